//! The console's own log: into a file, and into memory for its screen. Never onto the terminal it draws on.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

/// A log file that is longer at the start begins anew; the old one is kept beside it.
const LONGEST: u64 = 1 << 20;
/// Lines that wait for the screen.
const MOST_WAITING: usize = 200;

#[derive(Debug, Default)]
struct Inside {
    file: Option<File>,
    waiting: VecDeque<String>,
}

/// Where log lines go.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Inside>>);

impl Log {
    /// Starts logging into this file, as far as it can be written.
    #[must_use]
    pub fn start(path: Option<PathBuf>) -> Self {
        let log = Self::default();
        let path = path.or_else(|| Some(home()?.join(".local/state/mistralrs-rsd/console.log")));
        let opened = path.as_deref().map(open);
        if let Some(Ok(file)) = opened {
            log.inside(|inside| inside.file = Some(file));
        } else if let (Some(Err(error)), Some(path)) = (opened, path) {
            log.inside(|inside| inside.waiting.push_back(format!("no log file: {}: {error}", path.display())));
        }
        let level = std::env::var("RSD_CONSOLE_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(Level::INFO);
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_target(false);
        // A second start in one process, as in tests, keeps the first log.
        let _ = subscriber.with_writer(log.clone()).try_init();
        log
    }

    /// Lines since the last call.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.inside(|inside| inside.waiting.drain(..).collect())
    }

    fn inside<T>(&self, f: impl FnOnce(&mut Inside) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inside(|inside| {
            for line in String::from_utf8_lossy(bytes).lines() {
                if inside.waiting.len() == MOST_WAITING {
                    inside.waiting.pop_front();
                }
                inside.waiting.push_back(line.to_owned());
            }
            match &mut inside.file {
                Some(file) => file.write_all(bytes).map(|()| bytes.len()),
                None => Ok(bytes.len()),
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if path.metadata().is_ok_and(|data| data.len() > LONGEST) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}
