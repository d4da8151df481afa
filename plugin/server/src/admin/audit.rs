//! The audit log: every attempt to change something, and every request that was denied.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use parking_lot::Mutex;
use rsd_protocol::event::AdminAttempt;

/// Number of attempts in memory.
const MAX_RECENT: usize = 1000;

/// The newest attempts, and the file that receives all of them. Tokens and bodies are never logged.
#[derive(Debug, Default)]
pub struct AuditLog {
    recent: Mutex<VecDeque<AdminAttempt>>,
    file: Option<Mutex<File>>,
}

impl AuditLog {
    /// An audit log that also appends to `file`.
    pub fn open(file: Option<&Path>) -> io::Result<Self> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.map_err(|error| io::Error::new(error.kind(), format!("admin.audit_file {}: {error}", path.display())))
        };
        Ok(Self { recent: Mutex::default(), file: file.map(open).transpose()?.map(Mutex::new) })
    }

    /// Logs an attempt.
    pub(super) fn record(&self, attempt: AdminAttempt) {
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
            // One write per line, so that the lines of several processes do not mix.
            if let Err(error) = file.lock().write_all(line.as_bytes()) {
                tracing::error!(%error, "cannot write to the audit file");
            }
        }
        let mut recent = self.recent.lock();
        if recent.len() >= MAX_RECENT {
            recent.pop_front();
        }
        recent.push_back(attempt);
    }

    /// Up to `limit` attempts, newest first.
    pub(super) fn recent(&self, limit: usize) -> Vec<AdminAttempt> {
        self.recent.lock().iter().rev().take(limit).cloned().collect()
    }
}
