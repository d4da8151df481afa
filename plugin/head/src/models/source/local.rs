//! A directory of the user that already holds the file.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use rsd_files::{FileError, FileStamp, digest, replace};

use super::{FetchJob, ModelSource};
use crate::models::{
    error::ModelError,
    partial_file::{self, PartialFile},
};

/// The directory named by `RSD_MODELS_PATH` or `--from`.
#[derive(Debug, Clone, Default)]
pub(in crate::models) struct LocalSource {
    pub dir: Option<PathBuf>,
}

impl ModelSource for LocalSource {
    fn name(&self) -> &'static str {
        "local path"
    }

    fn fetch(&self, job: &FetchJob<'_>) -> Result<FileStamp, ModelError> {
        let Some(dir) = &self.dir else {
            return Err(ModelError::Skipped("none named (RSD_MODELS_PATH is not set)".into()));
        };
        import(&dir.join(job.model.file), job)
    }
}

/// Verifies a file on this machine and links it into the cache, or copies it if the file system does not allow a hard
/// link.
pub(super) fn import(file: &Path, job: &FetchJob<'_>) -> Result<FileStamp, ModelError> {
    // A hard link to a symbolic link would be another symbolic link.
    let file = &file.canonicalize().map_err(FileError::io("find", file))?;
    let size = fs::metadata(file).map_err(FileError::io("read", file))?.len();
    if size != job.model.size {
        return Err(ModelError::Source(format!(
            "{} has {size} bytes where the model has {}; it is another model or a broken copy",
            file.display(),
            job.model.size
        )));
    }
    job.progress.begin(&format!("checking {}", file.display()), size);
    let found = digest::sha256(file, |at| job.progress.set_position(at)).map_err(FileError::io("read", file));
    job.progress.end();
    let found = found?;
    if found != job.model.sha256 {
        return Err(ModelError::WrongHash {
            origin: file.display().to_string(),
            expected: job.model.sha256.to_owned(),
            found,
        });
    }
    replace::remove_if_present(&job.part)?;
    if fs::hard_link(file, &job.part).is_ok() {
        return partial_file::publish(&job.part, &job.target, found);
    }
    job.progress.begin(&format!("copying {}", file.display()), size);
    let copied = copy(file, job);
    job.progress.end();
    copied
}

fn copy(file: &Path, job: &FetchJob<'_>) -> Result<FileStamp, ModelError> {
    let mut from = File::open(file).map_err(FileError::io("open", file))?;
    let mut part = PartialFile::create(&job.part)?;
    let mut buffer = vec![0; digest::CHUNK];
    loop {
        let read = from.read(&mut buffer).map_err(FileError::io("read", file))?;
        if read == 0 {
            return part.commit(job.model, &job.target, &file.display().to_string());
        }
        part.append(&buffer[..read]).map_err(FileError::io("write", &job.part))?;
        job.progress.set_position(part.len());
    }
}
