//! Reward-Guided Speculative Decoding for mistral.rs, in one process on one device.
//!
//! A small *draft* model writes a reasoning step, a *process reward model* scores it, and only when the score is
//! under a threshold does the big *target* model rewrite the step (Liao et al., arXiv 2501.19324). Loading,
//! quantisation and GPU paging are mistral.rs's; this crate is the sampler, the loop and the server on top.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use mistralrs_rsd::{config::{self, TargetRule}, deploy::deploy, pipeline::{Overrides, Request, roles::Prompt}};
//!
//! let file = std::path::Path::new("config/demo.yaml");
//! let deployment = config::load(Some(file), config::environment(), &[], TargetRule::Required)?.deployment;
//! let rsd = deploy(&deployment, None).await?.rsd;
//! let outcome = rsd
//!     .complete(Request {
//!         prompt: Prompt::Text("17 * 23 =".to_owned()),
//!         sampling: Default::default(),
//!         max_tokens: 64,
//!         stop: vec![],
//!         model: None,
//!         overrides: Overrides { delta: Some(0.5), ..Overrides::default() },
//!         logprobs: None,
//!         deadline: None,
//!     })
//!     .await?;
//! println!("{}", outcome.text);
//! # Ok(())
//! # }
//! ```

pub mod bench;
pub mod cli;
pub mod config;
pub mod control;
pub mod deploy;
pub mod engine;
pub mod evaluation;
pub mod flops;
pub mod logits;
pub mod metrics;
pub mod models;
pub mod pipeline;
pub mod policy;
pub mod prediction;
pub mod probe;
pub mod reward;
pub mod sampling;
pub mod server;
