//! The console's own log. It goes into a file and to the logs screen, never to the terminal that the console draws on.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rsd_protocol::token_file;
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

/// Bytes from which on a log file is renamed to `.log.1` when the console starts.
const MAX_FILE_SIZE: u64 = 1 << 20;
/// Lines that are buffered for the logs screen.
const MAX_WAITING: usize = 200;

#[derive(Debug, Default)]
struct LogState {
    file: Option<File>,
    waiting: VecDeque<String>,
}

/// The log; clones write to the same one.
#[derive(Debug, Clone, Default)]
pub struct ConsoleLog(Arc<Mutex<LogState>>);

impl ConsoleLog {
    /// Starts logging into this file. If it cannot be written, only the logs screen gets the lines.
    #[must_use]
    pub fn start(path: Option<PathBuf>) -> Self {
        let log = Self::default();
        let path = path.or_else(|| Some(token_file::state_folder()?.join("console.log")));
        let opened = path.as_deref().map(open);
        if let Some(Ok(file)) = opened {
            log.with_state(|state| state.file = Some(file));
        } else if let (Some(Err(error)), Some(path)) = (opened, path) {
            log.with_state(|state| {
                state.waiting.push_back(format!("cannot write the log file {}: {error}", path.display()));
            });
        }
        let level = std::env::var("RSD_CONSOLE_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(Level::INFO);
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_target(false);
        // A second start in one process, as in tests, leaves the first log in place.
        let _ = subscriber.with_writer(log.clone()).try_init();
        log
    }

    /// The lines since the last call.
    #[must_use]
    pub fn take_lines(&self) -> Vec<String> {
        self.with_state(|state| state.waiting.drain(..).collect())
    }

    fn with_state<T>(&self, f: impl FnOnce(&mut LogState) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for ConsoleLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with_state(|state| {
            for line in String::from_utf8_lossy(bytes).lines() {
                if state.waiting.len() == MAX_WAITING {
                    state.waiting.pop_front();
                }
                state.waiting.push_back(line.to_owned());
            }
            match &mut state.file {
                Some(file) => file.write_all(bytes).map(|()| bytes.len()),
                None => Ok(bytes.len()),
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for ConsoleLog {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if path.metadata().is_ok_and(|data| data.len() > MAX_FILE_SIZE) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}
