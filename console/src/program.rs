//! The program as a function: arguments in, an exit code out.

use std::{ffi::OsString, io::Write};

use clap::Parser;

use crate::{cli::Cli, exit::Stop, run, terminal};

/// Runs `rsd-console` with these arguments, the first of which is its name.
///
/// Not generic, so that it is compiled with the library and not again with everything that calls it.
pub fn program(arguments: Vec<OsString>) -> u8 {
    terminal::end_on_panic();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors. Where they cannot be printed, nobody reads them.
            let _ = error.print();
            return if error.use_stderr() { 64 } else { 0 };
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Stop::from).and_then(|runtime| runtime.block_on(run::run(cli))) {
        Ok(()) => 0,
        Err(stop) => {
            let _ = writeln!(std::io::stderr(), "rsd-console: {stop}");
            stop.code()
        }
    }
}
