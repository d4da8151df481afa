//! Logs requests and answers as JSON lines, for `serve --log FILE`. Headers, and so keys, are never logged.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use parking_lot::Mutex;
use rsd_files::append_private;
use serde_json::{Value, json};

/// A log file of requests and answers.
#[derive(Debug)]
pub struct RequestLog(Mutex<File>);

impl RequestLog {
    /// Opens a file to append to, and creates it for its owner alone if there is none. A link is not followed.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = append_private(path).map_err(|error| io::Error::other(format!("--log: {error}")))?;
        Ok(Self(Mutex::new(file)))
    }

    /// Appends one line. A failed write is only reported: a full disk must not cost a client its answer.
    pub(crate) fn append(&self, kind: &str, body: &Value) {
        let line = format!("{}\n", json!({kind: body}));
        if let Err(error) = self.0.lock().write_all(line.as_bytes()) {
            tracing::warn!(%error, "cannot write to the request log");
        }
    }
}
