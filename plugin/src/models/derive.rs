//! Copies of GGUF files with some tensors changed, made once, cached beside the source and never half-written.
//!
//! All metadata and every tensor a [`Rewrite`] leaves alone stay as they are. The copy is made beside the source
//! (`NAME.SUFFIX.gguf`) or, where that directory cannot be written, in the cache directory; a [`Manifest`] beside it
//! says what was done and lets later starts use it without hashing. candle's writer wants all tensors at once, so
//! making the copy takes about the size of the copy in memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Content, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Shape};
use sha2::{Digest, Sha256};

use super::error::ModelError;
use super::manifest::{Manifest, Recorded};
use super::progress::Progress;
use super::stamp::Stamp;
use super::store::cache_dir;
use super::{atomic, digest, lock};

/// candle's writer aligns tensors to this, whatever the metadata says.
const WRITER_ALIGNMENT: u32 = 32;
const ALIGNMENT_KEY: &str = "general.alignment";

/// What is changed in a copy.
pub(crate) trait Rewrite {
    /// Names the copy: `NAME.SUFFIX.gguf`.
    fn suffix(&self) -> &'static str;
    /// Raised when the same source would give another copy; older copies are then made anew.
    fn version(&self) -> u32;
    /// What is being done, for the progress bar.
    fn task(&self) -> &'static str;
    /// Whether anything would change; a source without need of change is used as it is.
    fn changes(&self, source: &Content) -> bool;
    /// What the copy has in place of a tensor, by name.
    fn rewrite(&self, source: &Content, name: &str, tensor: QTensor) -> candle_core::Result<Vec<(String, QTensor)>>;
}

/// The path of the rewritten copy of `source`, made if it is not there; `source` itself where nothing would change.
pub(crate) fn derived(source: &Path, how: &impl Rewrite, progress: &dyn Progress) -> Result<PathBuf, ModelError> {
    let places = places(source, how.suffix());
    for output in &places {
        if Manifest::load(&manifest_path(output))
            .is_some_and(|m| m.describes(output, how.version()) && m.source.stamp.is_fresh(source))
        {
            return Ok(output.clone());
        }
    }
    let content = read_header(source)?;
    if !how.changes(&content) {
        return Ok(source.to_path_buf());
    }
    let mut refused = None;
    for output in places {
        match make(source, &content, how, &output, progress) {
            Err(ModelError::Io { source, .. }) if not_writable(&source) && refused.is_none() => refused = Some(source),
            made => return made.map(|()| output),
        }
    }
    Err(ModelError::Io {
        action: "write a copy beside",
        path: source.to_path_buf(),
        source: refused.unwrap_or_else(|| io::Error::from(io::ErrorKind::PermissionDenied)),
    })
}

/// Hashes the copy of `source` again: its path if it is as it was written, `None` if there is none.
pub(crate) fn verify(source: &Path, suffix: &str, progress: &dyn Progress) -> Result<Option<PathBuf>, ModelError> {
    for output in places(source, suffix) {
        let Some(manifest) = Manifest::load(&manifest_path(&output)) else { continue };
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

/// The record of how a copy was made.
pub(crate) fn manifest_of(copy: &Path) -> Option<Manifest> {
    Manifest::load(&manifest_path(copy))
}

/// Where the copy may be: beside the source, or else in the cache.
fn places(source: &Path, suffix: &str) -> Vec<PathBuf> {
    let name = format!("{}.{suffix}.gguf", source.file_stem().unwrap_or_default().to_string_lossy());
    let mut places = vec![source.with_file_name(&name)];
    if let (Ok(cache), Ok(full)) = (cache_dir(), source.canonicalize()) {
        places.push(cache.join("derived").join(folder_name(full.parent().unwrap_or(Path::new("")))).join(&name));
    }
    places
}

/// The name of a folder with a hash of its whole path: no two folders share it.
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

fn make(
    source: &Path,
    content: &Content,
    how: &impl Rewrite,
    output: &Path,
    progress: &dyn Progress,
) -> Result<(), ModelError> {
    let dir = output.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(ModelError::io("create", dir))?;
    let _lock = lock::acquire(&with_suffix(output, ".lock"), progress)?;
    let manifest = manifest_path(output);
    let sha256 = hash(source, progress)?;
    if let Some(mut known) = Manifest::load(&manifest)
        && known.describes(output, how.version())
        && known.source.stamp.sha256 == sha256
    {
        // Another process made it meanwhile, or the source was only touched.
        known.source = record(source, sha256)?;
        return atomic::write_json(&manifest, &known);
    }
    let source_record = record(source, sha256)?;
    let part = with_suffix(output, ".part");
    let made = convert(source, content, how, &part, progress)
        .and_then(|written| check(&part, content, &written).map(|()| written.types()))
        .and_then(|types| Ok((types, hash(&part, progress)?)));
    let (after, sha256) = match made {
        Ok(made) => made,
        Err(error) => {
            atomic::remove(&part)?;
            return Err(error);
        }
    };
    fs::rename(&part, output).map_err(ModelError::io("rename the finished copy to", output))?;
    atomic::sync_dir_of(output)?;
    atomic::write_json(
        &manifest,
        &Manifest {
            tool: concat!("mistralrs-rsd ", env!("CARGO_PKG_VERSION")).to_owned(),
            recipe: how.version(),
            source: source_record,
            output: record(output, sha256)?,
            tensors_before: count(content.tensor_infos.values().map(|info| info.ggml_dtype)),
            tensors_after: after,
        },
    )
}

/// The tensors of a copy as they were written.
struct Written(BTreeMap<String, (GgmlDType, Shape)>);

impl Written {
    fn types(&self) -> BTreeMap<String, usize> {
        count(self.0.values().map(|(dtype, _)| *dtype))
    }
}

/// Writes the copy to `part`, over whatever a killed attempt left there.
fn convert(
    source: &Path,
    content: &Content,
    how: &impl Rewrite,
    part: &Path,
    progress: &dyn Progress,
) -> Result<Written, ModelError> {
    let mut infos: Vec<_> = content.tensor_infos.iter().collect();
    infos.sort_by_key(|(_, info)| info.offset);
    let total = fs::metadata(source).map_err(ModelError::io("read", source))?.len();
    progress.begin(&format!("{} {}", how.task(), source.display()), total);
    let mut reader = BufReader::new(File::open(source).map_err(ModelError::io("open", source))?);
    let mut tensors = Vec::with_capacity(infos.len());
    let read = infos.into_iter().try_for_each(|(name, info)| {
        let tensor = info.read(&mut reader, content.tensor_data_offset, &Device::Cpu)?;
        progress.at(content.tensor_data_offset + info.offset);
        tensors.extend(how.rewrite(content, name, tensor)?);
        Ok(())
    });
    progress.end();
    read.map_err(gguf_error(source))?;

    let alignment = Value::U32(WRITER_ALIGNMENT);
    let mut metadata: Vec<(&str, &Value)> = content
        .metadata
        .iter()
        .map(|(key, value)| (key.as_str(), if key == ALIGNMENT_KEY { &alignment } else { value }))
        .collect();
    metadata.sort_by_key(|(key, _)| *key);
    let written = tensors.iter().map(|(name, tensor)| (name.clone(), (tensor.dtype(), tensor.shape().clone())));
    let written = Written(written.collect());
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut writer = BufWriter::new(File::create(part).map_err(ModelError::io("create", part))?);
    gguf_file::write(&mut writer, &metadata, &tensors).map_err(gguf_error(part))?;
    writer.flush().and_then(|()| writer.get_ref().sync_all()).map_err(ModelError::io("write", part))?;
    Ok(written)
}

/// Reads the copy's header back: the source's metadata, the tensors that were written, and none of the source's lost.
fn check(copy: &Path, source: &Content, written: &Written) -> Result<(), ModelError> {
    let found = read_header(copy)?;
    let fail = |reason: String| ModelError::Gguf { path: copy.to_path_buf(), reason };
    for (key, value) in &source.metadata {
        let kept = found.metadata.get(key).is_some_and(|copied| key == ALIGNMENT_KEY || same(value, copied));
        if !kept {
            return Err(fail(format!("the copy does not keep the metadata {key}")));
        }
    }
    if found.metadata.len() != source.metadata.len() || found.tensor_infos.len() != written.0.len() {
        return Err(fail("the copy has other metadata or tensors than were written".into()));
    }
    if let Some(name) = source.tensor_infos.keys().find(|name| !written.0.contains_key(*name)) {
        return Err(fail(format!("the copy does not keep the tensor {name}")));
    }
    for (name, (dtype, shape)) in &written.0 {
        if found.tensor_infos.get(name).is_none_or(|info| (info.ggml_dtype, &info.shape) != (*dtype, shape)) {
            return Err(fail(format!("the copy has another tensor {name} than was written")));
        }
    }
    Ok(())
}

/// Equality of metadata, floating-point numbers bit by bit.
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

pub(crate) fn read_header(path: &Path) -> Result<Content, ModelError> {
    let mut reader = BufReader::new(File::open(path).map_err(ModelError::io("open", path))?);
    Content::read(&mut reader).map_err(gguf_error(path))
}

fn gguf_error(path: &Path) -> impl FnOnce(candle_core::Error) -> ModelError + '_ {
    move |error| ModelError::Gguf { path: path.to_path_buf(), reason: error.to_string() }
}

fn record(path: &Path, sha256: String) -> Result<Recorded, ModelError> {
    Ok(Recorded {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        stamp: Stamp::of(path, sha256).map_err(ModelError::io("read", path))?,
    })
}

fn hash(path: &Path, progress: &dyn Progress) -> Result<String, ModelError> {
    let size = fs::metadata(path).map_err(ModelError::io("read", path))?.len();
    progress.begin(&format!("checking {}", path.display()), size);
    let found = digest::sha256(path, |at| progress.at(at)).map_err(ModelError::io("read", path));
    progress.end();
    found
}

fn count(types: impl Iterator<Item = GgmlDType>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for dtype in types {
        *counts.entry(format!("{dtype:?}")).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
#[path = "derive_tests.rs"]
mod tests;
