//! Requests and answers as JSON lines, for `serve --log FILE`. Headers, and so keys, are never written.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use parking_lot::Mutex;
use serde_json::{Value, json};

/// An open log.
#[derive(Debug)]
pub struct RequestLog(Mutex<File>);

impl RequestLog {
    /// Opens a log to append to.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| io::Error::new(error.kind(), format!("--log {}: {error}", path.display())))?;
        Ok(Self(Mutex::new(file)))
    }

    /// Notes a request or an answer.
    pub(super) fn note(&self, kind: &str, body: &Value) {
        let line = format!("{}\n", json!({kind: body}));
        // A full disk must not cost anybody an answer.
        if let Err(error) = self.0.lock().write_all(line.as_bytes()) {
            tracing::warn!(%error, "the request log could not be written");
        }
    }
}
