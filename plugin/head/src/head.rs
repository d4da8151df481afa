//! A reward head as serving uses it: a [`HeadFile`] whose input this version can compute.

use std::path::Path;

use rsd_core::{
    features::{STATISTICS, StepFeatures},
    pipeline::roles::Trajectory,
};

use crate::{
    check_counts::CheckCounts,
    layer::DenseLayer,
    prefix_statistics::PrefixStatistics,
    training::{FeatureKind, HeadFile, TrainingError},
};

/// A trained head. The reward is `sigmoid(logit / temperature)`.
#[derive(Debug, Clone, PartialEq)]
pub struct RewardHead {
    file: HeadFile,
}

impl RewardHead {
    /// Reads a head and checks everything that can be checked without its draft.
    ///
    /// # Errors
    /// The file is missing, incomplete or of another format, its shapes do not fit, it has numbers that are not finite,
    /// or it was trained on other statistics than this version computes.
    pub fn load(path: &Path) -> Result<Self, TrainingError> {
        let file = HeadFile::read(path)?;
        let statistics = [FeatureKind::Statistics, FeatureKind::StatisticsSoFar];
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

    /// SHA-256 of the GGUF, as it was published, of the draft that the head was trained for.
    #[must_use]
    pub fn draft(&self) -> &str {
        &self.file.draft
    }

    /// Length of the hidden state that it needs.
    #[must_use]
    pub fn hidden_size(&self) -> usize {
        self.file.hidden_size
    }

    /// Number of parameters in all layers.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.file.network.layers.iter().map(DenseLayer::parameters).sum()
    }

    /// Rejects a draft whose hidden state has another length.
    pub fn check_width(&self, path: &Path, state: usize) -> Result<(), TrainingError> {
        if self.hidden_size() == state {
            return Ok(());
        }
        let expected = self.hidden_size();
        Err(TrainingError::invalid(
            path,
            format!("it needs hidden states of {expected} numbers, the draft's have {state}"),
        ))
    }

    /// Whether it needs the equations of the solution.
    #[must_use]
    pub fn counts_equations(&self) -> bool {
        self.file.features.has(FeatureKind::ChecksSoFar)
    }

    /// Rejects a head that needs more than the state at the end of a step, which is all that a remote engine returns.
    pub fn check_last_state_suffices(&self, path: &Path) -> Result<(), TrainingError> {
        if self.file.features.are_among(&[FeatureKind::Last, FeatureKind::ChecksSoFar]) {
            return Ok(());
        }
        let features = &self.file.features;
        Err(TrainingError::invalid(
            path,
            format!(
                "it reads {features}, but a remote engine returns only the state at the end of a step; train one with \
                 `prm train --features last,checks_so_far`"
            ),
        ))
    }

    /// The equations of the solution up to and including the step to score, if the head needs them.
    pub(crate) fn checks(&self, trajectory: &Trajectory<'_>) -> CheckCounts {
        if self.counts_equations() {
            CheckCounts::of(trajectory.steps, trajectory.step)
        } else {
            CheckCounts::default()
        }
    }

    /// The reward of a step, in [0, 1]; NaN if a feature is not finite. `before` are the draft's accepted steps of the
    /// same solution, `checks` counts the equations of all steps, this one included.
    #[must_use]
    pub fn reward(&self, before: &[StepFeatures], step: &StepFeatures, checks: CheckCounts) -> f64 {
        let mut prefix = PrefixStatistics::new(self.file.hidden_size, &STATISTICS);
        for step in before.iter().chain([step]) {
            prefix.add(&step.mean, &step.statistics);
        }
        let input = self.file.features.of_step(step, &prefix, checks);
        // ReLU would turn NaN into zero.
        if input.iter().any(|value| !value.is_finite()) {
            return f64::NAN;
        }
        let logit = self.file.network.logits(input).ok().and_then(|logits| logits.first().copied());
        logit.map_or(f64::NAN, |logit| 1.0 / (1.0 + (-f64::from(logit) / self.file.temperature).exp()))
    }
}

#[cfg(test)]
mod tests;
