//! A directory of the user's that already holds the file.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Job, Source};
use crate::models::error::ModelError;
use crate::models::part::{self, Part};
use crate::models::stamp::Stamp;
use crate::models::{atomic, digest};

/// The directory named by `RSD_MODELS_PATH` or `--from`.
#[derive(Debug, Clone, Default)]
pub(in crate::models) struct Local {
    /// The directory, if one is named.
    pub dir: Option<PathBuf>,
}

impl Source for Local {
    fn name(&self) -> &'static str {
        "local path"
    }

    fn fetch(&self, job: &Job<'_>) -> Result<Stamp, ModelError> {
        let Some(dir) = &self.dir else {
            return Err(ModelError::Skipped("none named (RSD_MODELS_PATH is not set)".into()));
        };
        import(&dir.join(job.entry.file), job)
    }
}

/// Takes over a file from elsewhere on this machine, by hard link where the file system allows it.
pub(super) fn import(file: &Path, job: &Job<'_>) -> Result<Stamp, ModelError> {
    // A hard link to a symbolic link would be one more symbolic link.
    let file = &file.canonicalize().map_err(ModelError::io("find", file))?;
    let size = fs::metadata(file).map_err(ModelError::io("read", file))?.len();
    if size != job.entry.size {
        return Err(ModelError::Source(format!(
            "{} has {size} bytes where the model has {}; it is another model or a broken copy",
            file.display(),
            job.entry.size
        )));
    }
    job.progress.begin(&format!("checking {}", file.display()), size);
    let found = digest::sha256(file, |at| job.progress.at(at)).map_err(ModelError::io("read", file));
    job.progress.end();
    let found = found?;
    if found != job.entry.sha256 {
        return Err(ModelError::WrongHash {
            origin: file.display().to_string(),
            expected: job.entry.sha256.to_owned(),
            found,
        });
    }
    atomic::remove(&job.part)?;
    if fs::hard_link(file, &job.part).is_ok() {
        return part::publish(&job.part, &job.target, found);
    }
    job.progress.begin(&format!("copying {}", file.display()), size);
    let copied = copy(file, job);
    job.progress.end();
    copied
}

fn copy(file: &Path, job: &Job<'_>) -> Result<Stamp, ModelError> {
    let mut from = File::open(file).map_err(ModelError::io("open", file))?;
    let mut part = Part::create(&job.part)?;
    let mut buffer = vec![0; digest::CHUNK];
    loop {
        let read = from.read(&mut buffer).map_err(ModelError::io("read", file))?;
        if read == 0 {
            return part.commit(job.entry, &job.target, &file.display().to_string());
        }
        part.append(&buffer[..read]).map_err(ModelError::io("write", &job.part))?;
        job.progress.at(part.len());
    }
}
