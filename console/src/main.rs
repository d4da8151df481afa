//! `rsd-console`, the operator's terminal of mistralrs-rsd.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use rsd_console::{cli::Cli, exit::Stop, run};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors. Where they cannot be printed, nobody reads them.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Stop::from).and_then(|runtime| runtime.block_on(run::run(cli))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            let _ = writeln!(std::io::stderr(), "rsd-console: {stop}");
            ExitCode::from(stop.code())
        }
    }
}
