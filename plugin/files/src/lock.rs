//! Locks between processes: one process works on a file, the next waits and then finds the work done.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
};

use crate::FileError;

/// Takes the lock at `path`, waiting for the process that holds it. It is held until the file is dropped or the process
/// ends. `on_wait` is called once, with a message for the user, if another process holds the lock.
pub fn acquire(path: &Path, on_wait: impl FnOnce(&str)) -> Result<File, FileError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(FileError::io("open the lock", path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            on_wait(&format!("another process is working on this file ({}); waiting for it", path.display()));
        }
        Err(TryLockError::Error(error)) => return Err(FileError::io("lock", path)(error)),
    }
    file.lock().map_err(FileError::io("lock", path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn the_second_to_lock_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = acquire(&path, |_| panic!("nobody holds it")).unwrap();
        let (send, receive) = mpsc::channel();
        let waiting = thread::spawn({
            let path = path.clone();
            move || acquire(&path, |message| send.send(message.to_owned()).unwrap()).unwrap()
        });
        assert!(receive.recv().unwrap().contains(&path.display().to_string()));
        assert!(!waiting.is_finished());
        drop(first);
        waiting.join().unwrap();
    }
}
