//! The `mistralrs-rsd` binary.

use clap::Parser;
use mistralrs_rsd::cli::Cli;
use tracing_subscriber::EnvFilter;

/// mistral.rs's engine logs every failed forward, of which we make one on purpose to empty a cache; its errors
/// reach us as answers and are logged by us.
const LOG: &str = "info,mistralrs_core=warn,mistralrs_quant=warn,mistralrs_core::engine=off";

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    if cfg!(all(target_arch = "x86_64", not(target_feature = "avx2"))) {
        tracing::warn!(
            "this binary was built without AVX2, so models run many times slower on a CPU; build it in the repository, \
             or with RUSTFLAGS=\"-C target-cpu=native\""
        );
    }
    Cli::parse().run().await.into()
}
