//! The `mistralrs-rsd` binary.

use mistralrs_rsd::cli::Cli;
use rsd_head::progress::note;

fn main() -> std::process::ExitCode {
    let cli = Cli::from_process();
    cli.start_log();
    if cfg!(all(target_arch = "x86_64", not(target_feature = "avx2"))) {
        tracing::warn!(
            "this binary was built without AVX2, so models run many times slower on a CPU; build it inside the repository \
             or with RUSTFLAGS=\"-C target-cpu=native\""
        );
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            note(&format!("error: the threads of the program could not be started: {error}"));
            return std::process::ExitCode::FAILURE;
        }
    };
    let status = runtime.block_on(cli.run());
    // Not waiting for its threads: one may hang at a file.
    runtime.shutdown_background();
    status.into()
}
