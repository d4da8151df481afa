//! `mistralrs-rsd prm`: the resident reward, from rollouts to a calibrated head.

mod calibrate;
mod eval;
#[cfg(test)]
mod tests;
mod train;

use std::io::Write as _;

use anyhow::Context;
use clap::{Args, Subcommand};

/// Resident rewards: a small head that reads the draft's own states.
#[derive(Debug, Clone, Args)]
pub struct PrmCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// Train a head on collected rollouts, with its model card
    Train(train::Train),
    /// Measure a head on collected rollouts
    Eval(eval::Eval),
    /// Make a head's rewards probabilities and suggest a threshold
    Calibrate(calibrate::Calibrate),
}

impl PrmCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong and what to do.
    pub async fn run(self) -> anyhow::Result<()> {
        tokio::task::spawn_blocking(move || match self.action {
            Action::Train(train) => train.run(),
            Action::Eval(eval) => eval.run(),
            Action::Calibrate(calibrate) => calibrate.run(),
        })
        .await
        .context("the task that trains died")?
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
