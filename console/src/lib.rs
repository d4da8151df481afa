//! The terminal console of mistralrs-rsd. It shows an operator whether RSD pays and changes the server's thresholds.
//!
//! [`source`] fetches and never draws, [`view`] draws and never fetches, and [`state`] does neither: it takes messages
//! and user intents and returns what has to be sent.

pub mod cli;
pub mod clock;
pub mod commands;
pub mod dispatch;
pub mod event_loop;
pub mod exit;
pub mod exposition;
pub mod input;
pub mod log;
pub mod palette;
pub mod recording;
pub mod report;
pub mod screenshot;
pub mod source;
pub mod state;
pub mod svg;
pub mod terminal;
#[cfg(feature = "test-support")]
pub mod test_support;
pub mod view;

use std::{ffi::OsString, io::Write};

use clap::Parser;

use crate::{cli::Cli, exit::ExitReason};

/// Runs `rsd-console` with these arguments, of which the first is the program's name, and returns its exit code.
///
/// The signature is not generic, so that the program is compiled with this library and not again in every caller.
pub fn run_program(arguments: Vec<OsString>) -> u8 {
    terminal::end_on_panic();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version arrive as errors too.
            return match error.print() {
                Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => ended(&ExitReason::from(cause)),
                _ if error.use_stderr() => 64,
                _ => 0,
            };
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(ExitReason::from).and_then(|runtime| runtime.block_on(dispatch::run(cli))) {
        Ok(()) => 0,
        Err(reason) => ended(&reason),
    }
}

/// Says why the program ends, and returns its exit code.
fn ended(reason: &ExitReason) -> u8 {
    let _ = writeln!(std::io::stderr(), "rsd-console: {reason}");
    reason.code()
}
