//! A file in the making: `NAME.part`, hashed as it grows, which becomes `NAME` only when size and sha256 are right.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::catalogue::Entry;
use super::error::ModelError;
use super::stamp::Stamp;
use super::{atomic, digest};

/// The growing file.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    len: u64,
}

/// A position to fall back to.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    hasher: Sha256,
    len: u64,
}

impl Part {
    /// Starts from nothing, whatever was there.
    pub fn create(path: &Path) -> Result<Self, ModelError> {
        // A part may be a hard link to a file of the user's, which must not be truncated in place.
        atomic::remove(path)?;
        let file = File::create_new(path).map_err(ModelError::io("create", path))?;
        Ok(Self { path: path.to_path_buf(), file, hasher: Sha256::new(), len: 0 })
    }

    /// Goes on from what an earlier attempt left, or from nothing if that is longer than the whole can be.
    pub fn resume(path: &Path, limit: u64) -> Result<Self, ModelError> {
        let left = fs::metadata(path).map_or(0, |metadata| metadata.len());
        if left == 0 || left > limit {
            return Self::create(path);
        }
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(ModelError::io("open", path))?;
        let mut hasher = Sha256::new();
        let len = digest::feed(&mut file, &mut hasher, |_| ()).map_err(ModelError::io("read", path))?;
        Ok(Self { path: path.to_path_buf(), file, hasher, len })
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Adds bytes.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Where the file is now.
    pub fn mark(&self) -> Mark {
        Mark { hasher: self.hasher.clone(), len: self.len }
    }

    /// Forgets everything after `mark`.
    pub fn back_to(&mut self, mark: &Mark) -> Result<(), ModelError> {
        self.file
            .set_len(mark.len)
            .and_then(|()| self.file.seek(SeekFrom::Start(mark.len)))
            .map_err(ModelError::io("truncate", &self.path))?;
        self.hasher = mark.hasher.clone();
        self.len = mark.len;
        Ok(())
    }

    /// Turns the part into `target` if it is the model, and deletes it if not.
    pub fn commit(self, entry: &Entry, target: &Path, origin: &str) -> Result<Stamp, ModelError> {
        let Self { path, file, hasher, .. } = self;
        let found = digest::hex(hasher);
        if found != entry.sha256 {
            drop(file);
            atomic::remove(&path)?;
            return Err(ModelError::WrongHash { origin: origin.to_owned(), expected: entry.sha256.to_owned(), found });
        }
        file.sync_all().map_err(ModelError::io("sync", &path))?;
        drop(file);
        publish(&path, target, found)
    }
}

/// Gives a finished and verified part its final name.
pub(super) fn publish(part: &Path, target: &Path, sha256: String) -> Result<Stamp, ModelError> {
    fs::rename(part, target).map_err(ModelError::io("rename the finished download to", target))?;
    // Renaming one hard link onto another of the same file leaves both.
    atomic::remove(part)?;
    atomic::sync_dir_of(target)?;
    Stamp::of(target, sha256).map_err(ModelError::io("read", target))
}
