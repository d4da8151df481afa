//! Writes what a command prints to the standard output.

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
