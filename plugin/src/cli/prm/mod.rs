//! `mistralrs-rsd prm`: the resident reward, from rollouts to a calibrated head; and published reward models, made
//! ready.

mod calibrate;
mod collect;
mod eval;
mod graft;
mod labels;
#[cfg(test)]
mod tests;
mod train;

use std::io::Write as _;

use anyhow::Context;
use clap::{Args, Subcommand};

/// Reward models: a head for one's own draft, or a published model made ready.
#[derive(Debug, Args)]
pub struct PrmCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Let the draft solve problems with known answers, and keep what a head can learn from
    Collect(Box<collect::CollectArgs>),
    /// Train a head on collected rollouts, with its model card
    Train(train::Train),
    /// Measure a head on collected rollouts
    Eval(eval::Eval),
    /// Make a head's rewards probabilities and suggest a threshold
    Calibrate(calibrate::Calibrate),
    /// Make a published reward model ready for mistral.rs, as `serve` does at its first start
    Graft(graft::GraftArgs),
}

impl PrmCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong and what to do.
    pub async fn run(self) -> anyhow::Result<()> {
        // Collecting waits for an engine and grafting for downloads; the others only compute.
        let work: Box<dyn FnOnce() -> anyhow::Result<()> + Send> = match self.action {
            Action::Collect(args) => return collect::run(*args).await,
            Action::Graft(args) => return graft::run(args).await,
            Action::Train(train) => Box::new(move || train.run()),
            Action::Eval(eval) => Box::new(move || eval.run()),
            Action::Calibrate(calibrate) => Box::new(move || calibrate.run()),
        };
        tokio::task::spawn_blocking(work).await.context("the task that trains died")?
    }
}

/// Says a line on stdout; a reader that went away is an error, not a panic.
fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to stdout")
}

/// A share: more than 0, at most 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("expected a number over 0 and up to 1".to_owned()),
    }
}

/// What the suggested threshold is chosen for.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
struct WishArgs {
    /// Suggest the threshold that this share of steps passes
    #[arg(long, value_name = "SHARE", value_parser = share)]
    acceptance: Option<f64>,
    /// Suggest the threshold at which this share of the passing steps belongs to right solutions
    #[arg(long, value_name = "SHARE", value_parser = share)]
    precision: Option<f64>,
}

impl WishArgs {
    fn wish(&self) -> Option<crate::reward::training::Wish> {
        use crate::reward::training::Wish;
        self.acceptance.map(Wish::Acceptance).or(self.precision.map(Wish::Precision))
    }
}
