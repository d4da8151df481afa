//! Reward-Guided Speculative Decoding (RSD) for mistral.rs, in one process on one device.
//!
//! A small *draft* model generates a reasoning step, a *process reward model* scores it, and only if the score is
//! below a threshold does the large *target* model generate the step instead (Liao et al., arXiv 2501.19324).
//! mistral.rs loads the models, quantizes them and pages GPU memory. This crate contains the step sampler inside
//! mistral.rs, the reward models that need an engine, the command line, and the re-exports that a program needs to
//! use RSD as a library:
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use mistralrs_rsd::{Request, deploy, load_deployment};
//!
//! let deployment = load_deployment("config/demo.yaml")?;
//! let rsd = deploy(&deployment, None).await?.rsd;
//! let outcome = rsd.complete(Request::text("17 * 23 =").max_tokens(64).delta(0.5)).await?;
//! println!("{}", outcome.text);
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod cli;
pub mod deploy;
pub mod engine;
pub mod reward;

use std::path::Path;

pub use rsd_config as config;
pub use rsd_core::{
    pipeline::{
        self, AnswerOutcome, AnswerProgress, FinishReason, PipelineError, PolicyOverrides, Request, Rsd,
        roles::{ChatMessage, Prompt},
        trace::{AnswerTrace, StepSource, StepTrace},
    },
    policy::{self, AnswerRoute, PolicyConfig},
    prediction,
    sampling::{self, Sampling},
};
pub use rsd_evaluation as evaluation;
pub use rsd_head as head;
pub use rsd_protocol as protocol;
pub use rsd_server as server;

pub use deploy::{DeployError, LoadedDeployment, deploy};

/// Loads and checks a deployment file, with the `RSD__...` variables of the environment. The file must name a target.
///
/// # Errors
/// All problems of the file and the environment at once, each with its place and what to do.
pub fn load_deployment(file: impl AsRef<Path>) -> Result<config::Deployment, config::ConfigError> {
    let rule = config::TargetRule::Required;
    Ok(config::load(Some(file.as_ref()), config::environment(), &[], rule)?.deployment)
}
