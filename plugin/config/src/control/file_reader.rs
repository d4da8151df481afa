//! Reads the deployment file of a running server.
//!
//! A file can hang: a pipe that nobody writes to, or a disk of a network that is down. The thread that reads it cannot be
//! stopped then, but nothing else waits for it: not the lock of the settings, not the admin API, not the end of the
//! process.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// How long a file may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads one file at a time.
#[derive(Debug, Default)]
pub(super) struct FileReader {
    thread: Arc<ReaderThread>,
}

#[derive(Debug, Default)]
struct ReaderThread {
    reads: Mutex<bool>,
    done: Condvar,
}

impl ReaderThread {
    fn set(&self, reads: bool) {
        *self.reads.lock() = reads;
        self.done.notify_one();
    }

    /// Reserves the thread; false if it still reads when the patience ends.
    fn reserve(&self) -> bool {
        let mut reads = self.reads.lock();
        let free = !self.done.wait_while_for(&mut reads, |reads| *reads, PATIENCE).timed_out();
        *reads = true;
        free
    }
}

impl FileReader {
    /// The text of a regular file.
    ///
    /// # Errors
    /// It cannot be read, is no regular file, or takes too long. Then no other thread is started until it is done.
    pub fn read(&self, file: &Path) -> io::Result<String> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("it could not be read within {PATIENCE:?}"));
        if !self.thread.reserve() {
            return Err(late());
        }
        let (sender, text) = mpsc::channel();
        let (file, thread) = (file.to_owned(), self.thread.clone());
        let started = thread::Builder::new().name("deployment file".to_owned()).spawn(move || {
            let text = read_regular(&file);
            thread.set(false);
            // Sending fails if nobody waits any more.
            let _ = sender.send(text);
        });
        if let Err(error) = started {
            self.thread.set(false);
            return Err(error);
        }
        text.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(late()))
    }
}

/// The text of a file that is neither a folder nor a pipe nor a device.
pub(super) fn read_regular(file: &Path) -> io::Result<String> {
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    fs::read_to_string(file)
}

#[cfg(all(test, unix))]
mod tests {
    use std::{process::Command, time::Instant};

    use super::*;

    #[test]
    fn a_pipe_and_a_folder_are_refused_at_once_and_a_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, file) = (folder.path().join("pipe"), folder.path().join("file"));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::write(&file, "version: 1\n").unwrap();
        let began = Instant::now();
        let reader = FileReader::default();
        for hanging in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
            let error = reader.read(hanging).unwrap_err().to_string();
            assert_eq!(error, "it is not a regular file", "{}", hanging.display());
        }
        assert_eq!(reader.read(&file).unwrap(), "version: 1\n");
        assert!(began.elapsed() < PATIENCE);
    }

    #[test]
    fn while_a_read_hangs_the_next_one_gives_up_and_starts_no_thread() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "version: 1\n").unwrap();
        let reader = FileReader::default();
        reader.thread.set(true);
        assert_eq!(reader.read(&file).unwrap_err().kind(), io::ErrorKind::TimedOut);
        reader.thread.set(false);
        assert_eq!(reader.read(&file).unwrap(), "version: 1\n");
    }
}
