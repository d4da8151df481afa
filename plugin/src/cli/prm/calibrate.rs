//! `mistralrs-rsd prm calibrate`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::{WishArgs, say, train};
use crate::reward::training::{
    Calibration, Dataset, HeadFile, delta,
    metrics::{Sample, bins_by_width, calibration_error},
    validate::{self, Folds},
};

/// Calibrate a head. On problems it was trained on, heads made the same way on other folds stand in for it.
#[derive(Debug, Clone, Args)]
pub(super) struct Calibrate {
    /// A directory that `prm collect` wrote; may be repeated
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
    /// The head; it is written anew
    #[arg(long, value_name = "FILE")]
    head: PathBuf,
    /// Parts of the cross-validation, for a head that was trained on this data
    #[arg(long, value_name = "K", default_value_t = 5)]
    folds: usize,
    #[command(flatten)]
    wish: WishArgs,
}

impl Calibrate {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut head = HeadFile::read(&self.head)?;
        let data = Dataset::read(&self.data)?;
        let own = head.logits(&data)?;
        let unseen = head.unseen(&data);
        let (solutions, logits) = match &head.recipe {
            _ if !unseen.is_empty() => {
                let seen = data.solutions.len() - unseen.len();
                if seen > 0 {
                    say(&format!("{seen} solutions are left out: the head was trained on their problems"))?;
                }
                (unseen, own)
            }
            Some(recipe) => {
                let bar = train::bar(self.folds);
                bar.set_message("cross-validating");
                let folds = Folds { count: self.folds, problems: None };
                let mut logits = validate::held_out(&data, recipe, folds, &|| bar.inc(1))?;
                bar.finish_and_clear();
                // Those heads have not been calibrated; this one may have been.
                for logit in &mut logits {
                    *logit += head.offset;
                }
                ((0..data.solutions.len()).collect(), logits)
            }
            None => bail!(
                "{}: trained on all problems of this data, and how is not known; calibrate on other problems",
                self.head.display()
            ),
        };
        let rows: Vec<usize> =
            solutions.iter().flat_map(|&solution: &usize| data.solutions[solution].rows.clone()).collect();
        let samples = |score: &dyn Fn(f64) -> f64| -> Vec<Sample> {
            let sample = |&row: &usize| Sample { score: score(logits[row]), good: data.correct(row), weight: 1.0 };
            rows.iter().map(sample).collect()
        };
        let old = Calibration { temperature: head.temperature, offset: 0.0 };
        let calibration = Calibration::fit(&samples(&|logit| logit))?;
        let rewards = samples(&|logit| calibration.reward(logit));
        let error = |samples: &[Sample]| calibration_error(&bins_by_width(samples, 10)).unwrap_or(f64::NAN);
        say(&format!(
            "{} steps of {} solutions: temperature {:.4}, offset {:.4}; calibration error {:.4}, before {:.4}",
            rows.len(),
            solutions.len(),
            calibration.temperature,
            calibration.offset,
            error(&rewards),
            error(&samples(&|logit| old.reward(logit)))
        ))?;
        if let Some(wish) = self.wish.wish() {
            let way = delta(&rewards, wish)?;
            say(&format!(
                "delta {}: {:.1} % of steps pass, {:.1} % of those belong to right solutions",
                way.threshold,
                100.0 * way.coverage,
                100.0 * way.accuracy
            ))?;
            head.delta = way.threshold;
        }
        head.calibrate(calibration);
        Ok(head.write(&self.head)?)
    }
}
