//! A resident head as serving uses it: a [`HeadFile`] that fits what this version observes.

use std::path::Path;

use super::{
    features::{STATISTICS, StepFeatures},
    layer::Layer,
    so_far::SoFar,
    training::{Feature, HeadFile, TrainingError},
};

/// A trained head. The reward is `sigmoid(logit / temperature)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    file: HeadFile,
}

impl Head {
    /// Reads a head and checks all that can be checked without its draft.
    ///
    /// # Errors
    /// The file is missing, cut short, of another format, of shapes that do not fit, has numbers that are none, or was
    /// trained on other statistics than this version computes.
    pub fn load(path: &Path) -> Result<Self, TrainingError> {
        let file = HeadFile::read(path)?;
        let statistics = [Feature::Statistics, Feature::StatisticsSoFar];
        if statistics.iter().any(|part| file.features.has(*part)) && file.statistics != STATISTICS {
            return Err(TrainingError::invalid(
                path,
                format!(
                    "it was trained on the statistics {:?}, this version computes {STATISTICS:?}; train it again",
                    file.statistics
                ),
            ));
        }
        Ok(Self { file })
    }

    /// sha256 of the draft's GGUF, as it was published, that the head was trained for.
    #[must_use]
    pub fn draft(&self) -> &str {
        &self.file.draft
    }

    /// Length of the states it reads.
    #[must_use]
    pub fn hidden_size(&self) -> usize {
        self.file.hidden_size
    }

    /// Numbers in all its layers.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.file.network.layers.iter().map(Layer::parameters).sum()
    }

    /// Refuses a draft whose states have another length.
    ///
    /// # Errors
    /// They have.
    pub fn check_width(&self, path: &Path, state: usize) -> Result<(), TrainingError> {
        if self.hidden_size() == state {
            return Ok(());
        }
        let expected = self.hidden_size();
        Err(TrainingError::invalid(path, format!("it reads states of {expected} numbers, the draft's have {state}")))
    }

    /// The reward of a step, in [0, 1]; not a number where a feature is none. `before` are the draft's steps taken so
    /// far.
    #[must_use]
    pub fn reward(&self, before: &[StepFeatures], step: &StepFeatures) -> f64 {
        let mut so_far = SoFar::new(self.file.hidden_size, &STATISTICS);
        for step in before.iter().chain([step]) {
            so_far.add(&step.mean, &step.statistics);
        }
        let input = self.file.features.of_step(step, &so_far);
        // A rectifier would make a zero of what is not a number.
        if input.iter().any(|value| !value.is_finite()) {
            return f64::NAN;
        }
        let logit = self.file.network.logits(input).ok().and_then(|logits| logits.first().copied());
        logit.map_or(f64::NAN, |logit| 1.0 / (1.0 + (-f64::from(logit) / self.file.temperature).exp()))
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
