//! `mistralrs-rsd prm calibrate`: calibrates a reward head and suggests a threshold.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::{ThresholdGoalArgs, train::fit_bar};
use crate::cli::output::print_line;
use rsd_head::training::{
    Calibration, HeadFile, RolloutDataset, WeightedSample, choose_threshold,
    metrics::{bins_by_width, calibration_error},
    validate::{self, FoldPlan},
};

/// Calibrate a head. For problems that it was trained on, heads that are trained the same way on other folds are used.
#[derive(Debug, Clone, Args)]
pub(super) struct CalibrateHeadArgs {
    /// A folder that `prm collect` has written; may be repeated
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
    /// The file of the head, which is replaced
    #[arg(long, value_name = "FILE")]
    head: PathBuf,
    /// Folds of the cross-validation, for a head that was trained on this data
    #[arg(long, value_name = "K", default_value_t = 5)]
    folds: usize,
    #[command(flatten)]
    goal: ThresholdGoalArgs,
}

impl CalibrateHeadArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut head = HeadFile::read(&self.head)?;
        let data = RolloutDataset::read(&self.data)?;
        let own = head.logits(&data)?;
        let unseen = head.unseen(&data);
        let (solutions, logits) = match &head.recipe {
            _ if !unseen.is_empty() => {
                let seen = data.solutions.len() - unseen.len();
                if seen > 0 {
                    print_line(&format!(
                        "{seen} solutions are left out, because the head was trained on their problems"
                    ))?;
                }
                (unseen, own)
            }
            Some(recipe) => {
                let bar = fit_bar(self.folds);
                bar.set_message("cross-validating");
                let folds = FoldPlan { count: self.folds, problems: None };
                let mut logits = validate::held_out(&data, recipe, folds, &|| bar.inc(1))?;
                bar.finish_and_clear();
                // The heads of the folds are not calibrated, but this head may be.
                for logit in &mut logits {
                    *logit += head.offset;
                }
                ((0..data.solutions.len()).collect(), logits)
            }
            None => bail!(
                "{}: trained on all problems of this data, and the file does not record how; calibrate on other problems",
                self.head.display()
            ),
        };
        let rows: Vec<usize> =
            solutions.iter().flat_map(|&solution: &usize| data.solutions[solution].rows.clone()).collect();
        let samples = |score: &dyn Fn(f64) -> f64| -> Vec<WeightedSample> {
            let sample =
                |&row: &usize| WeightedSample { score: score(logits[row]), good: data.correct(row), weight: 1.0 };
            rows.iter().map(sample).collect()
        };
        let old = Calibration { temperature: head.temperature, offset: 0.0 };
        let calibration = Calibration::fit(&samples(&|logit| logit))?;
        let rewards = samples(&|logit| calibration.reward(logit));
        let error = |samples: &[WeightedSample]| calibration_error(&bins_by_width(samples, 10)).unwrap_or(f64::NAN);
        print_line(&format!(
            "{} steps of {} solutions: temperature {:.4}, offset {:.4}; calibration error {:.4}, before {:.4}",
            rows.len(),
            solutions.len(),
            calibration.temperature,
            calibration.offset,
            error(&rewards),
            error(&samples(&|logit| old.reward(logit)))
        ))?;
        if let Some(goal) = self.goal.goal() {
            let found = choose_threshold(&rewards, goal)?;
            print_line(&format!(
                "delta {}: {:.1} % of the steps are accepted, {:.1} % of those belong to right solutions",
                found.threshold,
                100.0 * found.coverage,
                100.0 * found.accuracy
            ))?;
            head.delta = found.threshold;
        }
        head.calibrate(calibration);
        Ok(head.write(&self.head)?)
    }
}
