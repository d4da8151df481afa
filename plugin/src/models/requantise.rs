//! Turns the Q5_0 and Q5_1 tensors of a GGUF file into Q8_0, for which the CPU kernels are fast.
//!
//! All metadata and every other tensor's bytes stay as they are. The copy is made once, beside the source
//! (`NAME.q8_0.gguf`) or, where that directory cannot be written, in the cache directory; a [`Manifest`] beside it
//! says what was done and lets later starts use it without hashing. candle's writer wants all tensors at once, so
//! making the copy takes about the size of the copy in memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::gguf_file::{self, Content, Value};
use candle_core::quantized::{GgmlDType, QTensor};

use super::error::ModelError;
use super::manifest::{Manifest, RECIPE, Recorded};
use super::progress::Progress;
use super::stamp::Stamp;
use super::store::cache_dir;
use super::{atomic, digest, lock};

/// candle's writer aligns tensors to this, whatever the metadata says.
const WRITER_ALIGNMENT: u32 = 32;
const ALIGNMENT_KEY: &str = "general.alignment";

/// The path of a file with the content of `source` and no Q5_0 or Q5_1 tensor: `source` itself if it has none.
pub fn requantized(source: &Path, progress: &dyn Progress) -> Result<PathBuf, ModelError> {
    let places = places(source);
    for output in &places {
        if Manifest::load(&manifest_path(output))
            .is_some_and(|m| m.describes(output) && m.source.stamp.is_fresh(source))
        {
            return Ok(output.clone());
        }
    }
    let content = read_header(source)?;
    if !content.tensor_infos.values().any(|info| is_slow(info.ggml_dtype)) {
        return Ok(source.to_path_buf());
    }
    let mut refused = None;
    for output in places {
        match make(source, &content, &output, progress) {
            Err(ModelError::Io { source, .. }) if not_writable(&source) && refused.is_none() => refused = Some(source),
            made => return made.map(|()| output),
        }
    }
    Err(ModelError::Io {
        action: "write the requantised copy beside",
        path: source.to_path_buf(),
        source: refused.unwrap_or_else(|| io::Error::from(io::ErrorKind::PermissionDenied)),
    })
}

/// Hashes the requantised copy of `source` again: its path if it is as it was written, `None` if there is none.
pub fn verify_requantized(source: &Path, progress: &dyn Progress) -> Result<Option<PathBuf>, ModelError> {
    for output in places(source) {
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

/// Where the copy may be: beside the source, or else in the cache under the source's own full path.
fn places(source: &Path) -> Vec<PathBuf> {
    let name = format!("{}.q8_0.gguf", source.file_stem().unwrap_or_default().to_string_lossy());
    let mut places = vec![source.with_file_name(&name)];
    if let (Ok(cache), Ok(full)) = (cache_dir(), source.canonicalize()) {
        let parent: String = full
            .parent()
            .unwrap_or(Path::new(""))
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { '_' })
            .collect();
        places.push(cache.join("requantised").join(parent).join(&name));
    }
    places
}

fn manifest_path(output: &Path) -> PathBuf {
    with_suffix(output, ".manifest.json")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn is_slow(dtype: GgmlDType) -> bool {
    matches!(dtype, GgmlDType::Q5_0 | GgmlDType::Q5_1)
}

fn not_writable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn make(source: &Path, content: &Content, output: &Path, progress: &dyn Progress) -> Result<(), ModelError> {
    let dir = output.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(ModelError::io("create", dir))?;
    let _lock = lock::acquire(&with_suffix(output, ".lock"), progress)?;
    let manifest = manifest_path(output);
    let sha256 = hash(source, progress)?;
    if let Some(mut known) = Manifest::load(&manifest)
        && known.describes(output)
        && known.source.stamp.sha256 == sha256
    {
        // Another process made it meanwhile, or the source was only touched.
        known.source = record(source, sha256)?;
        return atomic::write_json(&manifest, &known);
    }
    let source_record = record(source, sha256)?;
    let part = with_suffix(output, ".part");
    let made = convert(source, content, &part, progress)
        .and_then(|types| check(&part, content, &types).map(|()| types))
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
            recipe: RECIPE,
            source: source_record,
            output: record(output, sha256)?,
            tensors_before: count(content.tensor_infos.values().map(|info| info.ggml_dtype)),
            tensors_after: after,
        },
    )
}

/// Writes the copy to `part`, over whatever a killed attempt left there, and returns its tensors by type.
fn convert(
    source: &Path,
    content: &Content,
    part: &Path,
    progress: &dyn Progress,
) -> Result<BTreeMap<String, usize>, ModelError> {
    let mut infos: Vec<_> = content.tensor_infos.iter().collect();
    infos.sort_by_key(|(_, info)| info.offset);
    let total = fs::metadata(source).map_err(ModelError::io("read", source))?.len();
    progress.begin(&format!("requantising {} to Q8_0", source.display()), total);
    let mut reader = BufReader::new(File::open(source).map_err(ModelError::io("open", source))?);
    let mut tensors = Vec::with_capacity(infos.len());
    let read = infos.into_iter().try_for_each(|(name, info)| {
        let tensor = info.read(&mut reader, content.tensor_data_offset, &Device::Cpu)?;
        progress.at(content.tensor_data_offset + info.offset);
        let tensor = if is_slow(tensor.dtype()) {
            QTensor::quantize(&tensor.dequantize(&Device::Cpu)?, GgmlDType::Q8_0)?
        } else {
            tensor
        };
        tensors.push((name.as_str(), tensor));
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
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let mut writer = BufWriter::new(File::create(part).map_err(ModelError::io("create", part))?);
    gguf_file::write(&mut writer, &metadata, &tensors).map_err(gguf_error(part))?;
    writer.flush().and_then(|()| writer.get_ref().sync_all()).map_err(ModelError::io("write", part))?;
    Ok(count(tensors.iter().map(|(_, tensor)| tensor.dtype())))
}

/// Reads the copy's header back: it must say what the source's says, but for the types.
fn check(copy: &Path, source: &Content, types: &BTreeMap<String, usize>) -> Result<(), ModelError> {
    let written = read_header(copy)?;
    let fail = |reason: String| ModelError::Gguf { path: copy.to_path_buf(), reason };
    for (key, value) in &source.metadata {
        let kept = written.metadata.get(key).is_some_and(|copied| key == ALIGNMENT_KEY || same(value, copied));
        if !kept {
            return Err(fail(format!("the copy does not keep the metadata {key}")));
        }
    }
    if written.metadata.len() != source.metadata.len()
        || count(written.tensor_infos.values().map(|t| t.ggml_dtype)) != *types
    {
        return Err(fail("the copy has other metadata or tensors than were written".into()));
    }
    for (name, info) in &source.tensor_infos {
        if written.tensor_infos.get(name).is_none_or(|copied| copied.shape != info.shape) {
            return Err(fail(format!("the copy does not keep the tensor {name}")));
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

fn read_header(path: &Path) -> Result<Content, ModelError> {
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
#[path = "requantise_tests.rs"]
mod tests;
