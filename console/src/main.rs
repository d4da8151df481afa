//! `rsd-console`, the terminal console of mistralrs-rsd.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(rsd_console::run_program(std::env::args_os().collect()))
}
