//! Replaces the output matrix of a safetensors checkpoint by identity rows, in a separate folder that mistral.rs loads.
//!
//! mistral.rs accepts `lm_head.weight` at `[vocab_size, hidden]` only, so the rows of the identity come first and the
//! rest is zero, which a file system with sparse files does not store. Weights are linked, not copied, except the
//! files that must change: `.bin` files, and a file that has an output matrix already, because mistral.rs would take
//! either of the two. The folder's name has a hash of everything that it was made from (the configuration, and the
//! files' paths, sizes and times), so that a changed checkpoint gets another folder.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use indicatif::DecimalBytes;
use rsd_files::{FileAccess, FileError, digest, lock, replace};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Checkpoint, CheckpointError,
    checkpoint::OUTPUT,
    weights::{TensorEntry, WeightFile},
};
use crate::progress::ProgressReporter;

/// Version of what is written. A folder of another version is made again.
const RECIPE: &str = "identity rows 1";

/// The record in an exposed model's folder, written last. Like the cache folder it has the name that earlier versions
/// gave it, so that their folders are used again.
const RECORD: &str = "graft.json";

/// A folder that mistral.rs loads, whose first logits are the hidden state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExposedModel {
    pub folder: PathBuf,
    /// The first `hidden_size` logits are the state.
    pub hidden_size: usize,
}

/// Where exposed models are cached.
pub(super) fn cache_folder(cache: &Path) -> PathBuf {
    cache.join("grafted")
}

/// The folder in the directory `cache` with the copy of a checkpoint that exposes its states. It is made if necessary;
/// a message says first how much space on disk it will take.
///
/// # Errors
/// The architecture or the weights are not supported, or the cache cannot be written.
pub(crate) fn expose_states(
    checkpoint: &Checkpoint,
    cache: &Path,
    progress: &ProgressReporter,
) -> Result<ExposedModel, CheckpointError> {
    let (vocabulary, hidden_size) = checkpoint.embeddings()?;
    if hidden_size > vocabulary {
        let reason = format!("a state of {hidden_size} numbers does not fit into an output of {vocabulary} rows");
        return Err(CheckpointError::invalid(&checkpoint.folder, reason));
    }
    let config = config(checkpoint, vocabulary)?;
    let cache = cache_folder(cache);
    fs::create_dir_all(&cache).map_err(FileError::io("create", &cache))?;
    let stem = checkpoint.folder.canonicalize().map_err(FileError::io("find", &checkpoint.folder))?;
    let stem = stem.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("{stem}-{}", key(checkpoint, &config)?);
    let folder = cache.join(&name);
    let done = ExposedModel { folder: folder.clone(), hidden_size };
    if is_complete(&folder) {
        return Ok(done);
    }
    let _lock = lock::acquire(&cache.join(format!("{name}.lock")), |message| progress.note(message))?;
    if is_complete(&folder) {
        return Ok(done);
    }
    let prefix = format!(".{name}.");
    delete_leftovers(&cache, &prefix)?;
    let mut builder = tempfile::Builder::new();
    // Temporary folders are readable by their owner only, by default; a cache may be shared.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let part = builder.prefix(&prefix).tempdir_in(&cache);
    let part = part.map_err(FileError::io("write in", &cache))?;
    write(checkpoint, &config, (vocabulary, hidden_size), part.path(), progress)?;
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(FileError::io("delete the damaged", &folder))?;
    }
    fs::rename(part.path(), &folder).map_err(FileError::io("rename the finished folder to", &folder))?;
    replace::sync_directory_of(&folder)?;
    Ok(done)
}

/// Deletes what killed processes have left of this model. The caller holds the model's lock.
fn delete_leftovers(cache: &Path, prefix: &str) -> Result<(), FileError> {
    let entries = fs::read_dir(cache).map_err(FileError::io("read", cache))?;
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        fs::remove_dir_all(entry.path()).map_err(FileError::io("delete the unfinished", &entry.path()))?;
    }
    Ok(())
}

/// Whether a folder was finished and everything that it links to still exists.
fn is_complete(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    folder.join(RECORD).exists() && entries.flatten().all(|entry| fs::metadata(entry.path()).is_ok())
}

/// The model's configuration as a language model with untied embeddings, of an architecture that mistral.rs knows.
fn config(checkpoint: &Checkpoint, vocabulary: usize) -> Result<Vec<u8>, CheckpointError> {
    let mut config = checkpoint.config.clone();
    config.remove("auto_map");
    config.insert("architectures".to_owned(), json!([checkpoint.base_architecture()?]));
    config.insert("tie_word_embeddings".to_owned(), json!(false));
    config.insert("vocab_size".to_owned(), json!(vocabulary));
    serde_json::to_vec_pretty(&config).map_err(|error| CheckpointError::invalid(&checkpoint.folder, error.to_string()))
}

/// Sixteen hexadecimal digits of the hash of everything that an exposed model's folder is made from.
fn key(checkpoint: &Checkpoint, config: &[u8]) -> Result<String, CheckpointError> {
    let mut hash = Sha256::new();
    hash.update(RECIPE);
    hash.update(config);
    for path in checkpoint.tensors.files.iter().map(|file| file.path().to_path_buf()).chain(companions(checkpoint)?) {
        let full = path.canonicalize().map_err(FileError::io("find", &path))?;
        let metadata = fs::metadata(&full).map_err(FileError::io("read", &full))?;
        let changed =
            metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        hash.update(full.as_os_str().as_encoded_bytes());
        hash.update(metadata.len().to_le_bytes());
        hash.update(changed.as_nanos().to_le_bytes());
    }
    let mut text = digest::hex(hash);
    text.truncate(16);
    Ok(text)
}

/// The small files that go with the weights: tokenizer, templates, generation settings.
fn companions(checkpoint: &Checkpoint) -> Result<Vec<PathBuf>, CheckpointError> {
    let folder = &checkpoint.folder;
    let entries = fs::read_dir(folder).map_err(FileError::io("read", folder))?;
    let wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kind = Path::new(&*name).extension().and_then(|extension| extension.to_str());
        let small = matches!(kind, Some("json" | "jinja" | "model" | "txt"));
        small && name != "config.json" && name != RECORD && !name.ends_with(".index.json") && path.is_file()
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(wanted).collect();
    paths.sort_unstable();
    Ok(paths)
}

fn write(
    checkpoint: &Checkpoint,
    config: &[u8],
    (vocabulary, hidden): (usize, usize),
    folder: &Path,
    progress: &ProgressReporter,
) -> Result<(), CheckpointError> {
    let is_linked = |file: &WeightFile| matches!(file, WeightFile::Safetensors { .. }) && file.shape(OUTPUT).is_none();
    let (linked, copied): (Vec<_>, Vec<_>) = checkpoint.tensors.files.iter().partition(|file| is_linked(file));
    let bytes: u64 = copied.iter().filter_map(|file| fs::metadata(file.path()).ok()).map(|data| data.len()).sum();
    // Every row of the identity is on pages of its own.
    let rows = (hidden * hidden * 2) as u64;
    progress.note(&format!(
        "preparing {} for its reward head: {} on disk ({} files linked, {} rewritten)",
        checkpoint.folder.display(),
        DecimalBytes(bytes + rows),
        linked.len(),
        copied.len()
    ));
    let total = linked.len() + copied.len() + 1;
    // Names that mistral.rs recognizes as weights.
    let name = |number: usize| folder.join(format!("model-{number:05}-of-{total:05}.safetensors"));
    for path in companions(checkpoint)? {
        link(&path, &folder.join(path.file_name().unwrap_or_default()))?;
    }
    for (index, file) in linked.iter().enumerate() {
        link(file.path(), &name(index + 1))?;
    }
    progress.begin("rewriting weights", bytes);
    let mut done = 0;
    let rewritten: Result<(), CheckpointError> = copied.iter().enumerate().try_for_each(|(index, file)| {
        without_output(file, &name(linked.len() + index + 1))?;
        done += fs::metadata(file.path()).map_or(0, |data| data.len());
        progress.set_position(done);
        Ok(())
    });
    progress.end();
    rewritten?;
    identity_rows(&name(total), vocabulary, hidden)?;
    let path = folder.join("config.json");
    fs::write(&path, config).map_err(FileError::io("write", &path))?;
    let sources: Vec<&Path> = checkpoint.tensors.files.iter().map(WeightFile::path).collect();
    let tool = concat!("mistralrs-rsd ", env!("CARGO_PKG_VERSION"));
    let record = json!({ "tool": tool, "recipe": RECIPE, "sources": sources });
    Ok(replace::replace_json(&folder.join(RECORD), &record, FileAccess::Shared)?)
}

/// Makes `to` a symbolic link to `from`, or a hard link on systems without symbolic links.
fn link(from: &Path, to: &Path) -> Result<(), CheckpointError> {
    let from = from.canonicalize().map_err(FileError::io("find", from))?;
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(&from, to);
    #[cfg(not(unix))]
    let linked = fs::hard_link(&from, to);
    Ok(linked.map_err(FileError::io("link the weights to", to))?)
}

/// Writes a file's tensors without its output matrix.
fn without_output(file: &WeightFile, to: &Path) -> Result<(), CheckpointError> {
    match file {
        WeightFile::Safetensors { path, tensors, data } => {
            let mut others: Vec<(&String, &TensorEntry)> = tensors.iter().filter(|(name, _)| *name != OUTPUT).collect();
            others.sort_by_key(|(_, entry)| entry.range);
            let mut at = 0;
            let header: BTreeMap<&String, Value> = others
                .iter()
                .map(|(name, entry)| {
                    let begin = at;
                    at += entry.range.1 - entry.range.0;
                    (*name, tensor_header(&entry.dtype, &entry.shape, begin, at))
                })
                .collect();
            let copy = || -> io::Result<()> {
                let mut source = File::open(path)?;
                let mut target = begin(to, &json!(header))?;
                for (_, entry) in others {
                    source.seek(SeekFrom::Start(data + entry.range.0))?;
                    let length = entry.range.1 - entry.range.0;
                    if io::copy(&mut Read::by_ref(&mut source).take(length), &mut target)? != length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                target.into_inner()?.sync_all()
            };
            Ok(copy().map_err(FileError::io("rewrite the weights as", to))?)
        }
        WeightFile::Pickle { path, tensors } => {
            let names = tensors.tensor_infos().keys().filter(|name| *name != OUTPUT);
            let all: HashMap<&str, candle_core::Tensor> =
                names.map(|name| Ok((name.as_str(), file.read(name)?))).collect::<Result<_, CheckpointError>>()?;
            candle_core::safetensors::save(&all, to).map_err(|error| {
                CheckpointError::invalid(path, format!("cannot be converted to safetensors: {error}"))
            })?;
            Ok(File::open(to).and_then(|file| file.sync_all()).map_err(FileError::io("write", to))?)
        }
    }
}

/// Writes `lm_head.weight` of shape `[vocabulary, hidden]`: the identity, then zeros, which are left unwritten.
fn identity_rows(to: &Path, vocabulary: usize, hidden: usize) -> Result<(), CheckpointError> {
    /// 1.0 as bfloat16, which every type a model runs in can hold exactly.
    const ONE: [u8; 2] = 0x3F80u16.to_le_bytes();
    let (row, size) = (2 * hidden as u64, 2 * (vocabulary * hidden) as u64);
    let write = || -> io::Result<()> {
        let header = json!({ OUTPUT: tensor_header("BF16", &[vocabulary, hidden], 0, size) });
        let mut file = begin(to, &header)?.into_inner()?;
        let data = file.stream_position()?;
        file.set_len(data + size)?;
        for index in 0..hidden as u64 {
            file.seek(SeekFrom::Start(data + index * row + 2 * index))?;
            file.write_all(&ONE)?;
        }
        file.sync_all()
    };
    Ok(write().map_err(FileError::io("write the output rows", to))?)
}

fn tensor_header(dtype: &str, shape: &[usize], begin: u64, end: u64) -> Value {
    json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, end] })
}

/// Begins a safetensors file. What is written next is the data, aligned to eight bytes.
fn begin(to: &Path, header: &Value) -> io::Result<BufWriter<File>> {
    let mut header = serde_json::to_vec(header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = BufWriter::with_capacity(digest::CHUNK, File::create(to)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
