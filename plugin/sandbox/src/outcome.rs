//! How a program ended.

use std::process::ExitStatus;

use serde::{Deserialize, Serialize};

/// The status that bubblewrap reports for a program that a signal ended is this plus the signal.
const SIGNALED: i32 = 128;
/// The signal at the limit on CPU time.
const SIGXCPU: i32 = 24;
/// Characters of a reason.
const REASON_CHARS: usize = 200;

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionOutcome {
    /// Its last line was executed.
    Passed,
    /// It raised an exception, exited early or was ended by a signal; with the last line of its output, if any.
    Failed(String),
    /// It reached the limit on CPU time or on time.
    TimedOut,
}

impl ExecutionOutcome {
    /// The outcome of a program that ended by itself. `completed`: its last line was executed.
    pub(crate) fn of(status: ExitStatus, completed: bool, output: &[u8]) -> Self {
        let text = String::from_utf8_lossy(output);
        let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        match status.code() {
            Some(0) if completed => Self::Passed,
            Some(code) if code == SIGNALED + SIGXCPU => Self::TimedOut,
            Some(0) => Self::Failed("it ended before its last line".to_owned()),
            Some(code) if code > SIGNALED => Self::Failed(format!("signal {} ended it", code - SIGNALED)),
            Some(_) if !last.is_empty() => Self::Failed(last.chars().take(REASON_CHARS).collect()),
            Some(code) => Self::Failed(format!("it exited with status {code}")),
            None => Self::Failed("the sandbox was killed".to_owned()),
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn an_outcome_follows_from_status_last_line_and_output() {
        let of = |code: i32, completed, output: &str| {
            ExecutionOutcome::of(ExitStatus::from_raw(code << 8), completed, output.as_bytes())
        };
        let failed = |reason: &str| ExecutionOutcome::Failed(reason.to_owned());
        assert_eq!(of(0, true, "a warning"), ExecutionOutcome::Passed);
        assert_eq!(of(0, false, "a line"), failed("it ended before its last line"));
        assert_eq!(of(1, false, "Traceback\n  File\nAssertionError\n\n"), failed("AssertionError"));
        assert_eq!(of(7, false, ""), failed("it exited with status 7"));
        assert_eq!(of(152, false, "a line"), ExecutionOutcome::TimedOut);
        assert_eq!(of(139, false, "a line"), failed("signal 11 ended it"));
        assert_eq!(ExecutionOutcome::of(ExitStatus::from_raw(9), true, b""), failed("the sandbox was killed"));
        assert_eq!(of(1, false, &"é".repeat(500)), failed(&"é".repeat(200)));
    }
}
