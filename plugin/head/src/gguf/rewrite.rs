//! Makes copies of GGUF files with some tensors changed. A copy is made once and cached, and never visible
//! half-written.
//!
//! A copy has all metadata and tensors of its source that the [`GgufRewrite`] does not change. It is written beside the
//! source (`NAME.SUFFIX.gguf`) or, if that directory is not writable, in the cache directory. A [`CopyManifest`] beside
//! it records what was done, so that later starts use the copy without hashing it. candle's writer needs all tensors at
//! once, so making a copy takes its size in memory, and several times its largest tensor in f32.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Seek, Write},
    path::{Path, PathBuf},
};

use candle_core::{
    Device, Shape,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Content, Value},
    },
};
use rsd_files::{FileAccess, FileError, FileStamp, digest, lock, open_regular, replace};
use sha2::{Digest, Sha256};

use super::{
    header_check::check_claims,
    manifest::{CopyManifest, FileRecord},
};
use crate::{
    models::{ModelError, cache_dir},
    progress::ProgressReporter,
};

/// candle's writer aligns tensors to this, whatever the metadata says.
const WRITER_ALIGNMENT: u32 = 32;
const ALIGNMENT_KEY: &str = "general.alignment";

pub(super) trait GgufRewrite {
    /// Names the copy: `NAME.SUFFIX.gguf`.
    fn suffix(&self) -> &'static str;
    /// Must be raised when the same source would give another copy; older copies are then made again.
    fn version(&self) -> u32;
    /// What is being done, for the progress bar.
    fn task(&self) -> &'static str;
    /// Whether anything would change; if not, the source is used as it is.
    fn changes(&self, source: &Content) -> bool;
    /// Metadata that the copy has in place of the source's, or besides it.
    fn metadata(&self) -> Vec<(String, Value)> {
        Vec::new()
    }
    /// The tensors, by name, that the copy has in place of one tensor.
    fn rewrite(&self, source: &Content, name: &str, tensor: QTensor) -> candle_core::Result<Vec<(String, QTensor)>>;
}

/// The path of the rewritten copy of `source`, which is made if necessary; `source` itself if nothing would change.
pub(super) fn rewritten_copy(
    source: &Path,
    how: &impl GgufRewrite,
    progress: &ProgressReporter,
) -> Result<PathBuf, ModelError> {
    if let Some(copy) = fresh_copy(source, how.suffix(), how.version()) {
        return Ok(copy);
    }
    let content = read_header(source)?;
    if !how.changes(&content) {
        return Ok(source.to_path_buf());
    }
    let mut denied = None;
    for output in places(source, how.suffix()) {
        match make(source, how, &output, progress) {
            Err(ModelError::File(error)) if not_writable(&error.source) && denied.is_none() => {
                denied = Some(error.source);
            }
            made => return made.map(|()| output),
        }
    }
    let denied = denied.unwrap_or_else(|| io::ErrorKind::PermissionDenied.into());
    Err(FileError::io("write a copy beside", source)(denied).into())
}

/// The copy of `source` by this version of a rewrite, if there is one and `source` has not changed since.
pub(super) fn fresh_copy(source: &Path, suffix: &str, version: u32) -> Option<PathBuf> {
    places(source, suffix).into_iter().find(|output| {
        CopyManifest::load(&manifest_path(output))
            .is_some_and(|known| known.describes(output, version) && known.source.stamp.is_fresh(source))
    })
}

/// Hashes the copy of `source` again. `None` if there is no copy.
pub(super) fn verify_copy(
    source: &Path,
    suffix: &str,
    progress: &ProgressReporter,
) -> Result<Option<PathBuf>, ModelError> {
    for output in places(source, suffix) {
        let Some(manifest) = CopyManifest::load(&manifest_path(&output)) else { continue };
        if !output.exists() {
            continue;
        }
        let found = hash(&output, progress)?;
        let expected = manifest.output.stamp.sha256;
        if found != expected {
            return Err(ModelError::WrongHash { origin: output.display().to_string(), expected, found });
        }
        return Ok(Some(output));
    }
    Ok(None)
}

/// The manifest of a copy. `None` if `copy` has none.
pub(super) fn manifest_of(copy: &Path) -> Option<CopyManifest> {
    CopyManifest::load(&manifest_path(copy))
}

/// SHA-256 of the file that `copy` was made from. `None` if `copy` was not made by this program.
#[must_use]
pub fn source_sha256(copy: &Path) -> Option<String> {
    manifest_of(copy).map(|manifest| manifest.source.stamp.sha256)
}

/// The paths that the copy may have: beside the source, or else in the cache.
fn places(source: &Path, suffix: &str) -> Vec<PathBuf> {
    let name = format!("{}.{suffix}.gguf", source.file_stem().unwrap_or_default().to_string_lossy());
    let mut places = vec![source.with_file_name(&name)];
    if let (Ok(cache), Ok(full)) = (cache_dir(), source.canonicalize()) {
        places.push(cache.join("derived").join(folder_name(full.parent().unwrap_or(Path::new("")))).join(&name));
    }
    places
}

/// The name of a folder with a hash of its whole path, so that no two folders share it.
fn folder_name(folder: &Path) -> String {
    let mut hash = Sha256::new();
    hash.update(folder.as_os_str().as_encoded_bytes());
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}-{}", &digest::hex(hash)[..16])
}

fn manifest_path(output: &Path) -> PathBuf {
    with_suffix(output, ".manifest.json")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn not_writable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn make(source: &Path, how: &impl GgufRewrite, output: &Path, progress: &ProgressReporter) -> Result<(), ModelError> {
    let dir = output.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(FileError::io("create", dir))?;
    let _lock = lock::acquire(&with_suffix(output, ".lock"), |message| progress.note(message))?;
    let manifest = manifest_path(output);
    if output.exists() && !manifest.exists() {
        let reason = "a copy of another file would have this name, but this file was not written by this program; move \
                      it or that file to another folder";
        return Err(ModelError::Gguf { path: output.to_path_buf(), reason: reason.to_owned() });
    }
    // Before anything is read, so that a source that changes from here on is noticed below.
    let mut source_record = record(source, String::new())?;
    let sha256 = hash(source, progress)?;
    if let Some(mut known) = CopyManifest::load(&manifest)
        && known.describes(output, how.version())
        && known.source.stamp.sha256 == sha256
    {
        // Another process made it meanwhile, or only the source's time changed.
        source_record.stamp.sha256 = sha256;
        known.source = source_record;
        return Ok(replace::replace_json(&manifest, &known, FileAccess::Shared)?);
    }
    source_record.stamp.sha256 = sha256;
    let content = &read_header(source)?;
    let part = with_suffix(output, ".part");
    let metadata = copied_metadata(content, how);
    let made = convert(source, content, how, &metadata, &part, progress)
        .and_then(|written| check(&part, content, &metadata, &written).map(|()| written.types()))
        .and_then(|types| Ok((types, hash(&part, progress)?)))
        .and_then(|made| if source_record.stamp.is_fresh(source) { Ok(made) } else { Err(changed(source)) });
    let (after, sha256) = match made {
        Ok(made) => made,
        Err(error) => {
            replace::remove_if_present(&part)?;
            return Err(error);
        }
    };
    let record = CopyManifest {
        tool: concat!("mistralrs-rsd ", env!("CARGO_PKG_VERSION")).to_owned(),
        recipe: how.version(),
        source: source_record,
        output: FileRecord { file: file_name(output), ..record(&part, sha256)? },
        tensors_before: count_types(content.tensor_infos.values().map(|info| info.ggml_dtype)),
        tensors_after: after,
    };
    // Before the copy, so that no copy is ever without one. Until then it describes no file that exists.
    replace::replace_json(&manifest, &record, FileAccess::Shared)?;
    fs::rename(&part, output).map_err(FileError::io("rename the finished copy to", output))?;
    Ok(replace::sync_directory_of(output)?)
}

fn changed(source: &Path) -> ModelError {
    let reason = "the file changed while it was copied; start again when it is complete";
    ModelError::Gguf { path: source.to_path_buf(), reason: reason.to_owned() }
}

/// The tensors of a copy as they were written.
struct WrittenTensors(BTreeMap<String, (GgmlDType, Shape)>);

impl WrittenTensors {
    fn types(&self) -> BTreeMap<String, usize> {
        count_types(self.0.values().map(|(dtype, _)| *dtype))
    }
}

/// The metadata of the copy.
fn copied_metadata(source: &Content, how: &impl GgufRewrite) -> BTreeMap<String, Value> {
    let mut metadata: BTreeMap<_, _> = source.metadata.clone().into_iter().collect();
    if let Some(alignment) = metadata.get_mut(ALIGNMENT_KEY) {
        *alignment = Value::U32(WRITER_ALIGNMENT);
    }
    metadata.extend(how.metadata());
    metadata
}

/// Writes the copy to `part` and overwrites what a killed attempt left there.
fn convert(
    source: &Path,
    content: &Content,
    how: &impl GgufRewrite,
    metadata: &BTreeMap<String, Value>,
    part: &Path,
    progress: &ProgressReporter,
) -> Result<WrittenTensors, ModelError> {
    let mut infos: Vec<_> = content.tensor_infos.iter().collect();
    infos.sort_by_key(|(_, info)| info.offset);
    let total = fs::metadata(source).map_err(FileError::io("read", source))?.len();
    progress.begin(&format!("{} {}", how.task(), source.display()), total);
    let mut reader = BufReader::new(File::open(source).map_err(FileError::io("open", source))?);
    let mut tensors = Vec::with_capacity(infos.len());
    let read = infos.into_iter().try_for_each(|(name, info)| {
        let tensor = info.read(&mut reader, content.tensor_data_offset, &Device::Cpu)?;
        progress.set_position(content.tensor_data_offset + info.offset);
        tensors.extend(how.rewrite(content, name, tensor)?);
        Ok(())
    });
    progress.end();
    read.map_err(gguf_error(source))?;

    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let written = tensors.iter().map(|(name, tensor)| (name.clone(), (tensor.dtype(), tensor.shape().clone())));
    let written = WrittenTensors(written.collect());
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut writer = BufWriter::new(File::create(part).map_err(FileError::io("create", part))?);
    gguf_file::write(&mut writer, &metadata, &tensors).map_err(gguf_error(part))?;
    writer.flush().and_then(|()| writer.get_ref().sync_all()).map_err(FileError::io("write", part))?;
    Ok(written)
}

/// Reads the copy's header back and checks that it has the metadata and tensors that were written, and at least the
/// source's tensors.
fn check(
    copy: &Path,
    source: &Content,
    metadata: &BTreeMap<String, Value>,
    written: &WrittenTensors,
) -> Result<(), ModelError> {
    let found = read_header(copy)?;
    let fail = |reason: String| ModelError::Gguf { path: copy.to_path_buf(), reason };
    if let Some((key, _)) =
        metadata.iter().find(|(key, value)| found.metadata.get(*key).is_none_or(|copied| !same(value, copied)))
    {
        return Err(fail(format!("the copy lacks the metadata {key}, or has another value")));
    }
    if found.metadata.len() != metadata.len() || found.tensor_infos.len() != written.0.len() {
        return Err(fail("the copy has metadata or tensors that were not written".into()));
    }
    if let Some(name) = source.tensor_infos.keys().find(|name| !written.0.contains_key(*name)) {
        return Err(fail(format!("the copy lacks the tensor {name}")));
    }
    for (name, (dtype, shape)) in &written.0 {
        if found.tensor_infos.get(name).is_none_or(|info| (info.ggml_dtype, &info.shape) != (*dtype, shape)) {
            return Err(fail(format!("the copy's tensor {name} is not the one that was written")));
        }
    }
    Ok(())
}

/// Equality of metadata. Floating-point numbers are compared bit by bit, so that NaN equals itself.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::U8(a), Value::U8(b)) => a == b,
        (Value::I8(a), Value::I8(b)) => a == b,
        (Value::U16(a), Value::U16(b)) => a == b,
        (Value::I16(a), Value::I16(b)) => a == b,
        (Value::U32(a), Value::U32(b)) => a == b,
        (Value::I32(a), Value::I32(b)) => a == b,
        (Value::U64(a), Value::U64(b)) => a == b,
        (Value::I64(a), Value::I64(b)) => a == b,
        (Value::F32(a), Value::F32(b)) => a.to_bits() == b.to_bits(),
        (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => false,
    }
}

/// The header of a GGUF file, whose claims are checked before they are believed.
pub fn read_header(path: &Path) -> Result<Content, ModelError> {
    let file = open_regular(path)?;
    let size = file.metadata().map_err(FileError::io("read", path))?.len();
    let mut reader = BufReader::new(file);
    check_claims(&mut reader, size).map_err(|reason| ModelError::Gguf { path: path.to_path_buf(), reason })?;
    reader.rewind().map_err(FileError::io("read", path))?;
    Content::read(&mut reader).map_err(gguf_error(path))
}

fn gguf_error(path: &Path) -> impl FnOnce(candle_core::Error) -> ModelError + '_ {
    move |error| ModelError::Gguf { path: path.to_path_buf(), reason: error.to_string() }
}

fn record(path: &Path, sha256: String) -> Result<FileRecord, ModelError> {
    Ok(FileRecord {
        file: file_name(path),
        stamp: FileStamp::from_file(path, sha256).map_err(FileError::io("read", path))?,
    })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn hash(path: &Path, progress: &ProgressReporter) -> Result<String, ModelError> {
    let size = fs::metadata(path).map_err(FileError::io("read", path))?.len();
    progress.begin(&format!("checking {}", path.display()), size);
    let found = digest::sha256(path, |at| progress.set_position(at)).map_err(FileError::io("read", path));
    progress.end();
    Ok(found?)
}

fn count_types(types: impl Iterator<Item = GgmlDType>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for dtype in types {
        *counts.entry(format!("{dtype:?}")).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests;
