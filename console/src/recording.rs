//! Recordings of everything that arrived, one JSON object per line, which `--replay` shows again.

use std::{
    fs::File,
    io::{BufRead, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{exit::ExitReason, source::SourceMessage, state::app::App};

/// The first line of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingHeader {
    /// Version of the format.
    pub rsd_console_recording: u32,
    /// Name of each server, and whether its admin API was known.
    pub servers: Vec<(String, bool)>,
}

impl RecordingHeader {
    /// The header for these servers.
    #[must_use]
    pub fn new(servers: Vec<(String, bool)>) -> Self {
        Self { rsd_console_recording: 1, servers }
    }
}

/// Writes a recording.
#[derive(Debug)]
pub struct RecordingWriter {
    file: BufWriter<File>,
    path: PathBuf,
}

impl RecordingWriter {
    /// Creates the file; fails if it exists.
    pub fn begin(path: &Path, head: &RecordingHeader) -> Result<Self, ExitReason> {
        let file = File::create_new(path).map_err(|error| cannot_write(path, &error))?;
        let mut recorder = Self { file: BufWriter::new(file), path: path.to_owned() };
        recorder.line(head)?;
        Ok(recorder)
    }

    pub fn write(&mut self, message: &SourceMessage) -> Result<(), ExitReason> {
        self.line(message)
    }

    /// Writes what is buffered to the file.
    pub fn flush(&mut self) -> Result<(), ExitReason> {
        self.file.flush().map_err(|error| cannot_write(&self.path, &error))
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), ExitReason> {
        let result = serde_json::to_writer(&mut self.file, value).map_err(std::io::Error::from);
        result.and_then(|()| self.file.write_all(b"\n")).map_err(|error| cannot_write(&self.path, &error))
    }
}

/// Reads a recording line by line.
#[derive(Debug)]
pub struct RecordingReader<R> {
    lines: std::io::Lines<R>,
    pub head: RecordingHeader,
    /// Lines so far that were not messages.
    pub bad_lines: usize,
}

impl<R: BufRead> RecordingReader<R> {
    /// Reads the header.
    pub fn open(path: &Path, reader: R) -> Result<Self, ExitReason> {
        let mut lines = reader.lines();
        let wrong = |cause: String| ExitReason::Recording { path: path.display().to_string(), cause };
        let first = lines.next().ok_or_else(|| wrong("the file is empty".into()))?;
        let first = first.map_err(|error| wrong(error.to_string()))?;
        let head: RecordingHeader = serde_json::from_str(&first)
            .map_err(|error| wrong(format!("not a recording of rsd-console --record: {error}")))?;
        if head.rsd_console_recording != 1 {
            return Err(wrong(format!(
                "a recording of format {}; this version reads format 1",
                head.rsd_console_recording
            )));
        }
        Ok(Self { lines, head, bad_lines: 0 })
    }

    /// Feeds every message to `app`, which then is as it was at the end of the recording.
    pub fn replay_into(&mut self, app: &mut App) {
        for message in self.by_ref() {
            app.receive(message);
        }
    }
}

impl<R: BufRead> Iterator for RecordingReader<R> {
    type Item = SourceMessage;

    /// The next message. A line that is not one is skipped and counted, because a recording may end in half a line.
    fn next(&mut self) -> Option<SourceMessage> {
        loop {
            let line = self.lines.next()?.ok()?;
            match serde_json::from_str(&line) {
                Ok(message) => return Some(message),
                Err(_) => self.bad_lines += 1,
            }
        }
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> ExitReason {
    ExitReason::CannotWrite { path: path.display().to_string(), cause: error.to_string() }
}
