//! `mistralrs-rsd prm`: trains a reward head for a draft, from rollouts to calibration, and prepares published reward
//! models.

mod calibrate;
mod collect;
mod eval;
mod grade;
mod labels;
mod prepare;
#[cfg(test)]
mod tests;
mod train;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::values;

/// Reward models: train a head for a draft, or prepare a published model.
#[derive(Debug, Args)]
pub(super) struct PrmCommand {
    #[command(subcommand)]
    action: PrmAction,
}

#[derive(Debug, Subcommand)]
enum PrmAction {
    /// Let the draft solve problems with known answers and save the features of its steps
    Collect(Box<collect::CollectArgs>),
    /// Grade the solutions of a folder that another program wrote, or grade them again
    Grade(grade::GradeArgs),
    /// Train a head on collected rollouts and write its model card
    Train(train::TrainArgs),
    /// Measure a head on collected rollouts
    Eval(eval::EvalHeadArgs),
    /// Calibrate the rewards of a head to probabilities and suggest a threshold
    Calibrate(calibrate::CalibrateHeadArgs),
    /// Prepare a published reward model for mistral.rs, as `serve` does at its first start
    #[command(alias = "graft")]
    Prepare(prepare::PrepareArgs),
}

impl PrmCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        // `collect` waits for an engine, `grade` for programs and `prepare` for downloads. The others only compute.
        let work: Box<dyn FnOnce() -> anyhow::Result<()> + Send> = match self.action {
            PrmAction::Collect(args) => return collect::run(*args).await,
            PrmAction::Grade(args) => return grade::run(args).await,
            PrmAction::Prepare(args) => return prepare::run(args).await,
            PrmAction::Train(train) => Box::new(move || train.run()),
            PrmAction::Eval(eval) => Box::new(move || eval.run()),
            PrmAction::Calibrate(calibrate) => Box::new(move || calibrate.run()),
        };
        tokio::task::spawn_blocking(work).await.context("the task that computes panicked")?
    }
}

/// The goal of the suggested threshold.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
struct ThresholdGoalArgs {
    /// Suggest the threshold that gives this acceptance rate (steps)
    #[arg(long, value_name = "RATE", value_parser = values::positive_fraction)]
    acceptance: Option<f64>,
    /// Suggest the threshold at which this fraction of the accepted steps belongs to right solutions
    #[arg(long, value_name = "FRACTION", value_parser = values::positive_fraction)]
    precision: Option<f64>,
}

impl ThresholdGoalArgs {
    fn goal(&self) -> Option<rsd_head::training::ThresholdGoal> {
        use rsd_head::training::ThresholdGoal;
        self.acceptance.map(ThresholdGoal::Acceptance).or(self.precision.map(ThresholdGoal::Precision))
    }
}
