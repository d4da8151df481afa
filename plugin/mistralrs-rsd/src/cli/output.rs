//! What a command prints to the standard output, and the text of an error.

use std::io::{self, Write};

use anyhow::Context;

/// Prints text. A reader that has closed the pipe, as in `... | head`, wants no more and is no error.
///
/// # Errors
/// The standard output cannot be written, for example because the disk is full.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("cannot write to stdout"),
    }
}

/// Prints a line.
///
/// # Errors
/// As [`print`].
pub(super) fn print_line(line: &str) -> anyhow::Result<()> {
    print(&format!("{line}\n"))
}

/// An error with its causes. Many texts name their cause, which is not said again.
pub(super) fn error_text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read a.yaml: {source}. Is it there?")]
    struct ReadError {
        source: io::Error,
    }

    #[test]
    fn a_cause_is_named_once() {
        let read = || ReadError { source: io::Error::other("no such file") };
        assert_eq!(error_text(&read().into()), "cannot read a.yaml: no such file. Is it there?");
        let error = anyhow::Error::from(read()).context("serve");
        assert_eq!(error_text(&error), "serve: cannot read a.yaml: no such file. Is it there?");
        let error = anyhow::Error::from(io::Error::other("no such file")).context("cannot read a.yaml");
        assert_eq!(error_text(&error), "cannot read a.yaml: no such file");
    }
}
