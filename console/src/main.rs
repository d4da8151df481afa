//! `rsd-console`, the operator's terminal of mistralrs-rsd.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(rsd_console::program::program(std::env::args_os().collect()))
}
