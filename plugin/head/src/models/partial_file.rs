//! A partial download: `NAME.part`, hashed as it grows, which becomes `NAME` only if its SHA-256 is the catalog's.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use rsd_files::{FileError, FileStamp, digest, replace};
use sha2::{Digest, Sha256};

use super::{catalog::BundledModel, error::ModelError};

/// A file that grows until it is the model.
#[derive(Debug)]
pub(super) struct PartialFile {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    len: u64,
}

/// A position to roll back to.
#[derive(Debug, Clone)]
pub(super) struct PartialMark {
    hasher: Sha256,
    len: u64,
}

impl PartialFile {
    /// Starts an empty file in place of what was there.
    pub fn create(path: &Path) -> Result<Self, ModelError> {
        // A part may be a hard link to one of the user's files, which must not be truncated in place.
        replace::remove_if_present(path)?;
        let file = File::create_new(path).map_err(FileError::io("create", path))?;
        Ok(Self { path: path.to_path_buf(), file, hasher: Sha256::new(), len: 0 })
    }

    /// Resumes from what an earlier attempt left. Starts an empty file if that is longer than `limit`, the model's
    /// size.
    pub fn resume(path: &Path, limit: u64) -> Result<Self, ModelError> {
        let left = fs::metadata(path).map_or(0, |metadata| metadata.len());
        if left == 0 || left > limit {
            return Self::create(path);
        }
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(FileError::io("open", path))?;
        let mut hasher = Sha256::new();
        let len = digest::feed(&mut file, &mut hasher, |_| ()).map_err(FileError::io("read", path))?;
        Ok(Self { path: path.to_path_buf(), file, hasher, len })
    }

    /// Number of bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The current position, for [`Self::roll_back`].
    pub fn mark(&self) -> PartialMark {
        PartialMark { hasher: self.hasher.clone(), len: self.len }
    }

    /// Deletes everything after `mark`.
    pub fn roll_back(&mut self, mark: &PartialMark) -> Result<(), ModelError> {
        self.file
            .set_len(mark.len)
            .and_then(|()| self.file.seek(SeekFrom::Start(mark.len)))
            .map_err(FileError::io("truncate", &self.path))?;
        self.hasher = mark.hasher.clone();
        self.len = mark.len;
        Ok(())
    }

    /// Turns the part into `target` if it is the model, and deletes it if not.
    pub fn commit(self, model: &BundledModel, target: &Path, origin: &str) -> Result<FileStamp, ModelError> {
        let Self { path, file, hasher, .. } = self;
        let found = digest::hex(hasher);
        if found != model.sha256 {
            drop(file);
            replace::remove_if_present(&path)?;
            return Err(ModelError::WrongHash { origin: origin.to_owned(), expected: model.sha256.to_owned(), found });
        }
        file.sync_all().map_err(FileError::io("sync", &path))?;
        drop(file);
        publish(&path, target, found)
    }
}

/// Gives a finished and verified part its final name.
pub(super) fn publish(part: &Path, target: &Path, sha256: String) -> Result<FileStamp, ModelError> {
    fs::rename(part, target).map_err(FileError::io("rename the finished download to", target))?;
    // A rename between two hard links of the same file does nothing.
    replace::remove_if_present(part)?;
    replace::sync_directory_of(target)?;
    Ok(FileStamp::from_file(target, sha256).map_err(FileError::io("read", target))?)
}
