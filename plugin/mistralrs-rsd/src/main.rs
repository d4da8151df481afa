//! The `mistralrs-rsd` binary.

use std::io::IsTerminal;

use clap::Parser;
use mistralrs_rsd::cli::Cli;
use tracing_subscriber::EnvFilter;

/// The log level of each target. The log of mistral.rs's engine is off, because it logs every failed forward pass and
/// we cause one on purpose to empty a cache. We get its errors as answers and log them ourselves.
const LOG: &str = "info,mistralrs_core=warn,mistralrs_quant=warn,mistralrs_core::engine=off";

fn main() -> std::process::ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG));
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color)
        .with_target(false)
        .init();
    if cfg!(all(target_arch = "x86_64", not(target_feature = "avx2"))) {
        tracing::warn!(
            "this binary was built without AVX2, so models run many times slower on a CPU; build it inside the repository \
             or with RUSTFLAGS=\"-C target-cpu=native\""
        );
    }
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the threads of the program could not be started: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let status = runtime.block_on(cli.run());
    // Not waiting for its threads: one may hang at a file.
    runtime.shutdown_background();
    status.into()
}
