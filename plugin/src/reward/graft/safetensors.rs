//! Identity rows in place of a safetensors checkpoint's output matrix, in a folder of its own that mistral.rs loads.
//!
//! mistral.rs takes `lm_head.weight` at `[vocab_size, hidden]` only, so the identity's rows come first and the rest
//! is zero: a hole in the file where the file system knows holes. Weights are linked, not copied, except those that
//! must change: a file that holds an output matrix already, for mistral.rs would take either of the two, and `.bin`
//! files. The folder's name holds a hash of everything it was made from (configuration, and the files' paths, sizes
//! and times), so that a changed checkpoint gets a folder of its own.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use indicatif::DecimalBytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Checkpoint, GraftError,
    checkpoint::OUTPUT,
    weights::{Entry, Weights},
};
use crate::models::{Progress, atomic, digest, lock};

/// Version of what is written; a folder of another one is made anew.
const RECIPE: &str = "identity rows 1";

/// The record in a grafted folder; there once everything else is.
const RECORD: &str = "graft.json";

/// A folder that mistral.rs loads, whose first logits are the hidden state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grafted {
    /// The folder.
    pub folder: PathBuf,
    /// How many of the first logits are the state: the model's hidden size.
    pub hidden_size: usize,
}

/// The grafted folder of a checkpoint in a cache directory, made where there is none; says before it begins what it
/// will take on disk.
///
/// # Errors
/// An architecture or weights that cannot be grafted, or a cache that cannot be written.
pub fn grafted(checkpoint: &Checkpoint, cache: &Path, progress: &dyn Progress) -> Result<Grafted, GraftError> {
    let (vocabulary, hidden_size) = checkpoint.embeddings()?;
    if hidden_size > vocabulary {
        let reason = format!("its {hidden_size} states do not fit into an output of {vocabulary} rows");
        return Err(GraftError::file(&checkpoint.folder, reason));
    }
    let config = config(checkpoint, vocabulary)?;
    let cache = cache.join("grafted");
    fs::create_dir_all(&cache).map_err(GraftError::io("create", &cache))?;
    let stem = checkpoint.folder.canonicalize().map_err(GraftError::io("find", &checkpoint.folder))?;
    let stem = stem.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("{stem}-{}", key(checkpoint, &config)?);
    let folder = cache.join(&name);
    let done = Grafted { folder: folder.clone(), hidden_size };
    if is_whole(&folder) {
        return Ok(done);
    }
    let _lock = lock::acquire(&cache.join(format!("{name}.lock")), progress)?;
    if is_whole(&folder) {
        return Ok(done);
    }
    let prefix = format!(".{name}.");
    let mut builder = tempfile::Builder::new();
    // Temporary folders are the owner's alone unless told; a cache may be shared.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let part = builder.prefix(&prefix).tempdir_in(&cache);
    let part = part.map_err(GraftError::io("write in", &cache))?;
    write(checkpoint, &config, (vocabulary, hidden_size), part.path(), progress)?;
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(GraftError::io("delete the damaged", &folder))?;
    }
    fs::rename(part.path(), &folder).map_err(GraftError::io("rename the finished folder to", &folder))?;
    atomic::sync_dir_of(&folder)?;
    Ok(done)
}

/// Whether a folder was finished and everything it links to is still there.
fn is_whole(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    folder.join(RECORD).exists() && entries.flatten().all(|entry| fs::metadata(entry.path()).is_ok())
}

/// The model's configuration as an untied language model of an architecture that mistral.rs knows.
fn config(checkpoint: &Checkpoint, vocabulary: usize) -> Result<Vec<u8>, GraftError> {
    let mut config = checkpoint.config.clone();
    config.remove("auto_map");
    config.insert("architectures".to_owned(), json!([checkpoint.base_architecture()?]));
    config.insert("tie_word_embeddings".to_owned(), json!(false));
    config.insert("vocab_size".to_owned(), json!(vocabulary));
    serde_json::to_vec_pretty(&config).map_err(|error| GraftError::file(&checkpoint.folder, error.to_string()))
}

/// Sixteen hexadecimal digits of the hash of all that a grafted folder is made from.
fn key(checkpoint: &Checkpoint, config: &[u8]) -> Result<String, GraftError> {
    let mut hash = Sha256::new();
    hash.update(RECIPE);
    hash.update(config);
    for path in checkpoint.tensors.files.iter().map(|file| file.path().to_path_buf()).chain(companions(checkpoint)?) {
        let full = path.canonicalize().map_err(GraftError::io("find", &path))?;
        let metadata = fs::metadata(&full).map_err(GraftError::io("read", &full))?;
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
fn companions(checkpoint: &Checkpoint) -> Result<Vec<PathBuf>, GraftError> {
    let folder = &checkpoint.folder;
    let entries = fs::read_dir(folder).map_err(GraftError::io("read", folder))?;
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
    progress: &dyn Progress,
) -> Result<(), GraftError> {
    let is_linked = |file: &Weights| matches!(file, Weights::Safetensors { .. }) && file.shape(OUTPUT).is_none();
    let (linked, copied): (Vec<_>, Vec<_>) = checkpoint.tensors.files.iter().partition(|file| is_linked(file));
    let bytes: u64 = copied.iter().filter_map(|file| fs::metadata(file.path()).ok()).map(|data| data.len()).sum();
    // Every row of the identity touches its own page.
    let rows = (hidden * hidden * 2) as u64;
    progress.note(&format!(
        "preparing {} for its reward head: {} on disk ({} files linked, {} rewritten)",
        checkpoint.folder.display(),
        DecimalBytes(bytes + rows),
        linked.len(),
        copied.len()
    ));
    let total = linked.len() + copied.len() + 1;
    // Names that mistral.rs takes for weights.
    let name = |number: usize| folder.join(format!("model-{number:05}-of-{total:05}.safetensors"));
    for path in companions(checkpoint)? {
        link(&path, &folder.join(path.file_name().unwrap_or_default()))?;
    }
    for (index, file) in linked.iter().enumerate() {
        link(file.path(), &name(index + 1))?;
    }
    progress.begin("rewriting weights", bytes);
    let mut done = 0;
    let rewritten: Result<(), GraftError> = copied.iter().enumerate().try_for_each(|(index, file)| {
        without_output(file, &name(linked.len() + index + 1))?;
        done += fs::metadata(file.path()).map_or(0, |data| data.len());
        progress.at(done);
        Ok(())
    });
    progress.end();
    rewritten?;
    identity_rows(&name(total), vocabulary, hidden)?;
    let path = folder.join("config.json");
    fs::write(&path, config).map_err(GraftError::io("write", &path))?;
    let sources: Vec<&Path> = checkpoint.tensors.files.iter().map(Weights::path).collect();
    let tool = concat!("mistralrs-rsd ", env!("CARGO_PKG_VERSION"));
    atomic::write_json(&folder.join(RECORD), &json!({ "tool": tool, "recipe": RECIPE, "sources": sources }))?;
    Ok(())
}

/// Makes `to` another name of `from`: a symbolic link where there are such, else a hard one.
fn link(from: &Path, to: &Path) -> Result<(), GraftError> {
    let from = from.canonicalize().map_err(GraftError::io("find", from))?;
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(&from, to);
    #[cfg(not(unix))]
    let linked = fs::hard_link(&from, to);
    linked.map_err(GraftError::io("link the weights to", to))
}

/// Writes a file's tensors, its output matrix left out.
fn without_output(file: &Weights, to: &Path) -> Result<(), GraftError> {
    match file {
        Weights::Safetensors { path, tensors, data } => {
            let mut kept: Vec<(&String, &Entry)> = tensors.iter().filter(|(name, _)| *name != OUTPUT).collect();
            kept.sort_by_key(|(_, entry)| entry.range);
            let mut at = 0;
            let header: BTreeMap<&String, Value> = kept
                .iter()
                .map(|(name, entry)| {
                    let begin = at;
                    at += entry.range.1 - entry.range.0;
                    (*name, described(&entry.dtype, &entry.shape, begin, at))
                })
                .collect();
            let copy = || -> io::Result<()> {
                let mut source = File::open(path)?;
                let mut target = begin(to, &json!(header))?;
                for (_, entry) in kept {
                    source.seek(SeekFrom::Start(data + entry.range.0))?;
                    let length = entry.range.1 - entry.range.0;
                    if io::copy(&mut Read::by_ref(&mut source).take(length), &mut target)? != length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                target.into_inner()?.sync_all()
            };
            copy().map_err(GraftError::io("rewrite the weights as", to))
        }
        Weights::Pickle { path, tensors } => {
            let names = tensors.tensor_infos().keys().filter(|name| *name != OUTPUT);
            let all: HashMap<&str, candle_core::Tensor> =
                names.map(|name| Ok((name.as_str(), file.read(name)?))).collect::<Result<_, GraftError>>()?;
            candle_core::safetensors::save(&all, to)
                .map_err(|error| GraftError::file(path, format!("could not be converted to safetensors: {error}")))?;
            File::open(to).and_then(|file| file.sync_all()).map_err(GraftError::io("write", to))
        }
    }
}

/// Writes `lm_head.weight` of shape `[vocabulary, hidden]`: the identity, then zeros that need not be written.
fn identity_rows(to: &Path, vocabulary: usize, hidden: usize) -> Result<(), GraftError> {
    /// 1.0 as bfloat16, which every type a model runs in can hold exactly.
    const ONE: [u8; 2] = 0x3F80u16.to_le_bytes();
    let (row, size) = (2 * hidden as u64, 2 * (vocabulary * hidden) as u64);
    let write = || -> io::Result<()> {
        let header = json!({ OUTPUT: described("BF16", &[vocabulary, hidden], 0, size) });
        let mut file = begin(to, &header)?.into_inner()?;
        let data = file.stream_position()?;
        file.set_len(data + size)?;
        for index in 0..hidden as u64 {
            file.seek(SeekFrom::Start(data + index * row + 2 * index))?;
            file.write_all(&ONE)?;
        }
        file.sync_all()
    };
    write().map_err(GraftError::io("write the output rows", to))
}

fn described(dtype: &str, shape: &[usize], begin: u64, end: u64) -> Value {
    json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, end] })
}

/// Begins a safetensors file; what is written next is the data, aligned to eight bytes.
fn begin(to: &Path, header: &Value) -> io::Result<BufWriter<File>> {
    let mut header = serde_json::to_vec(header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = BufWriter::with_capacity(digest::CHUNK, File::create(to)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    Ok(file)
}

#[cfg(test)]
#[path = "safetensors_tests.rs"]
mod tests;
