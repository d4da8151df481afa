//! The record of attempts: everything that wanted to change something, and everything that was denied.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use parking_lot::Mutex;
use rsd_protocol::event::Attempt;

/// Attempts kept in memory.
const KEPT: usize = 1000;

/// The record. Tokens and bodies are never part of it.
#[derive(Debug, Default)]
pub struct Audit {
    recent: Mutex<VecDeque<Attempt>>,
    file: Option<Mutex<File>>,
}

impl Audit {
    /// Opens the record; `file` is appended to.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(file: Option<&Path>) -> io::Result<Self> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.map_err(|error| io::Error::new(error.kind(), format!("admin.audit_file {}: {error}", path.display())))
        };
        Ok(Self { recent: Mutex::default(), file: file.map(open).transpose()?.map(Mutex::new) })
    }

    /// Notes an attempt.
    pub(super) fn note(&self, attempt: Attempt) {
        tracing::info!(
            target: "rsd_audit",
            from = attempt.from,
            method = attempt.method,
            path = attempt.path,
            token = attempt.token,
            status = attempt.status,
            code = attempt.code,
            revision = attempt.revision,
            "admin"
        );
        if let Some(file) = &self.file {
            let line = serde_json::to_string(&attempt).unwrap_or_default() + "\n";
            // One write a line, so that lines of several writers do not mix.
            if let Err(error) = file.lock().write_all(line.as_bytes()) {
                tracing::error!(%error, "the audit file could not be written");
            }
        }
        let mut recent = self.recent.lock();
        if recent.len() >= KEPT {
            recent.pop_front();
        }
        recent.push_back(attempt);
    }

    /// The newest attempts, newest first.
    pub(super) fn recent(&self, most: usize) -> Vec<Attempt> {
        self.recent.lock().iter().rev().take(most).cloned().collect()
    }
}
