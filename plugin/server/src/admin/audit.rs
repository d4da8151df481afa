//! The audit log: every attempt to change something, and requests that were denied.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use parking_lot::Mutex;
use rsd_files::append_private;
use rsd_protocol::event::AdminAttempt;
use tokio::time::Instant;

/// Number of attempts in memory.
const MAX_RECENT: usize = 1000;

/// Longest text of a field, in bytes. Clients choose paths, names and reasons.
const MAX_TEXT: usize = 256;

/// How many denied requests without a token are logged in [`WINDOW`]. Everybody can send them, so that all of them would
/// fill the disk and hide what matters.
const MAX_DENIED: u64 = 60;
const WINDOW: Duration = Duration::from_secs(60);

/// The newest attempts, and the file that receives all of them. Tokens and bodies are never logged.
#[derive(Debug, Default)]
pub struct AuditLog {
    recent: Mutex<VecDeque<AdminAttempt>>,
    file: Option<Mutex<File>>,
    denied: Mutex<DeniedRequests>,
}

/// The denied requests without a token in the current window.
#[derive(Debug, Default)]
struct DeniedRequests {
    since: Option<Instant>,
    count: u64,
}

impl DeniedRequests {
    /// Counts one. Says whether to log it, and how many before it were left out.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let mut left_out = 0;
        if self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            left_out = self.count.saturating_sub(MAX_DENIED);
            *self = Self { since: Some(now), count: 0 };
        }
        self.count += 1;
        (self.count <= MAX_DENIED).then_some(left_out)
    }
}

impl AuditLog {
    /// An audit log that also appends to `file`, which it creates for its owner alone.
    pub fn open(file: Option<&Path>) -> io::Result<Self> {
        let open =
            |path: &Path| append_private(path).map_err(|error| io::Error::other(format!("admin.audit_file: {error}")));
        Ok(Self { file: file.map(open).transpose()?.map(Mutex::new), ..Self::default() })
    }

    /// The attempt as it is to be logged and announced: with short texts. `None` if it is one of too many requests
    /// without a token, which the next one that is logged counts.
    pub(super) fn admit(&self, mut attempt: AdminAttempt) -> Option<AdminAttempt> {
        if attempt.token == NO_TOKEN {
            let left_out = self.denied.lock().admit(Instant::now())?;
            if left_out > 0 {
                attempt.why = Some(format!("{left_out} more requests without a token were denied before this one"));
            }
        }
        for text in [Some(&mut attempt.path), attempt.by.as_mut(), attempt.why.as_mut()].into_iter().flatten() {
            shorten(text);
        }
        Some(attempt)
    }

    /// Logs an attempt that was admitted.
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
            why = attempt.why,
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

/// What [`AdminAttempt::token`] is for a request without a valid token.
pub(super) const NO_TOKEN: &str = "none";

/// Cuts a text that is too long, and says so in it.
pub(super) fn shorten(text: &mut String) {
    if text.len() > MAX_TEXT {
        let length = text.len();
        let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        *text = format!("{text}... ({length} bytes)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(token: &str, path: String) -> AdminAttempt {
        AdminAttempt {
            at_ms: 1,
            from: "127.0.0.1:1".to_owned(),
            method: "GET".to_owned(),
            path,
            token: token.to_owned(),
            status: 401,
            code: None,
            dry_run: false,
            by: None,
            why: None,
            revision: 1,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_without_a_token_cannot_fill_the_disk_and_their_number_is_logged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let log = AuditLog::open(Some(&path)).unwrap();
        let knock = |count: usize, token: &str| {
            for _ in 0..count {
                if let Some(attempt) = log.admit(attempt(token, "é".repeat(30_000))) {
                    log.record(attempt);
                }
            }
        };
        knock(1200, NO_TOKEN);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() == 60 && text.len() < 60_000, "{}", text.len());
        knock(100, "read");
        assert_eq!(log.recent(usize::MAX).len(), 160);
        tokio::time::advance(WINDOW).await;
        knock(1, NO_TOKEN);
        let newest = log.recent(1).remove(0);
        assert_eq!(newest.why.unwrap(), "1140 more requests without a token were denied before this one");
        assert!(newest.path.ends_with("é... (60000 bytes)"), "{}", newest.path);
    }
}
