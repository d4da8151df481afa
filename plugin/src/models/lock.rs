//! One process at a time works on a file; the next waits and then finds the work done.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::error::ModelError;
use super::progress::Progress;

/// Takes the lock at `path`, waiting for whoever holds it. It is held until the file is dropped, or the process dies.
pub(crate) fn acquire(path: &Path, progress: &dyn Progress) -> Result<File, ModelError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(ModelError::io("open the lock", path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            progress.note(&format!("another process is at work on this file ({}); waiting for it", path.display()));
        }
        Err(TryLockError::Error(error)) => return Err(ModelError::io("lock", path)(error)),
    }
    file.lock().map_err(ModelError::io("lock", path))?;
    Ok(file)
}
