//! Recordings: everything that arrived, a JSON object a line, so that a state can be shown again and looked into.

use std::{
    fs::File,
    io::{BufRead, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{exit::Stop, source::Message, state::app::App};

/// The first line of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The form of the recording.
    pub rsd_console_recording: u32,
    /// The servers: name, and whether there was an admin API.
    pub servers: Vec<(String, bool)>,
}

impl Head {
    /// Of these servers.
    #[must_use]
    pub fn new(servers: Vec<(String, bool)>) -> Self {
        Self { rsd_console_recording: 1, servers }
    }
}

/// Writes a recording.
#[derive(Debug)]
pub struct Recorder {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Recorder {
    /// Begins a recording; a file that exists is not overwritten.
    pub fn begin(path: &Path, head: &Head) -> Result<Self, Stop> {
        let file = File::create_new(path).map_err(|error| cannot_write(path, &error))?;
        let mut recorder = Self { file: BufWriter::new(file), path: path.to_owned() };
        recorder.line(head)?;
        Ok(recorder)
    }

    /// Writes a message.
    pub fn write(&mut self, message: &Message) -> Result<(), Stop> {
        self.line(message)
    }

    /// Brings everything to the disk.
    pub fn flush(&mut self) -> Result<(), Stop> {
        self.file.flush().map_err(|error| cannot_write(&self.path, &error))
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), Stop> {
        let written = serde_json::to_writer(&mut self.file, value).map_err(std::io::Error::from);
        written.and_then(|()| self.file.write_all(b"\n")).map_err(|error| cannot_write(&self.path, &error))
    }
}

/// A recording, read line by line.
#[derive(Debug)]
pub struct Recording<R> {
    lines: std::io::Lines<R>,
    /// The servers.
    pub head: Head,
    /// Lines that could not be read.
    pub bad_lines: usize,
}

impl<R: BufRead> Recording<R> {
    /// Reads the first line.
    pub fn open(path: &Path, reader: R) -> Result<Self, Stop> {
        let mut lines = reader.lines();
        let wrong = |cause: String| Stop::Recording { path: path.display().to_string(), cause };
        let first = lines.next().ok_or_else(|| wrong("the file is empty".into()))?;
        let first = first.map_err(|error| wrong(error.to_string()))?;
        let head: Head = serde_json::from_str(&first)
            .map_err(|error| wrong(format!("no recording of rsd-console --record: {error}")))?;
        if head.rsd_console_recording != 1 {
            return Err(wrong(format!("a recording of form {}; this version reads 1", head.rsd_console_recording)));
        }
        Ok(Self { lines, head, bad_lines: 0 })
    }

    /// Takes everything into the state, as it was at the end.
    pub fn all(&mut self, app: &mut App) {
        for message in self.by_ref() {
            app.take(message);
        }
    }
}

impl<R: BufRead> Iterator for Recording<R> {
    type Item = Message;

    /// The next message; a line that is none is skipped and counted, for a recording may end in half a line.
    fn next(&mut self) -> Option<Message> {
        loop {
            let line = self.lines.next()?.ok()?;
            match serde_json::from_str(&line) {
                Ok(message) => return Some(message),
                Err(_) => self.bad_lines += 1,
            }
        }
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Stop {
    Stop::CannotWrite { path: path.display().to_string(), cause: error.to_string() }
}
