//! The input of a head: parts of a step's features, concatenated in a fixed order.

use std::{fmt, str::FromStr};

use rsd_core::features::StepFeatures;
use serde::{Deserialize, Serialize};

use super::{dataset::RolloutDataset, error::TrainingError};
use crate::{check_counts::CheckCounts, prefix_statistics::PrefixStatistics};

/// One part of a step's features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// The state that predicted the step's last token, `[H]`.
    Last,
    /// The mean of the states that predicted the step's tokens, `[H]`.
    Mean,
    /// The token statistics of the step, `[K]`.
    Statistics,
    /// The mean of the states that predicted the tokens of the draft's steps so far, this one included, `[H]`.
    MeanSoFar,
    /// The token statistics of the draft's steps so far, this one included, `[K]`.
    StatisticsSoFar,
    /// How many equations hold and how many are false in the solution so far, this step included, `[2]`.
    ChecksSoFar,
}

impl FeatureKind {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Last, "last"),
        (Self::Mean, "mean"),
        (Self::Statistics, "statistics"),
        (Self::MeanSoFar, "mean_so_far"),
        (Self::StatisticsSoFar, "statistics_so_far"),
        (Self::ChecksSoFar, "checks_so_far"),
    ];

    /// The name in head files and on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Whether it is a hidden state and not statistics.
    fn is_state(self) -> bool {
        matches!(self, Self::Last | Self::Mean | Self::MeanSoFar)
    }

    /// Number of columns for states of length `hidden_size` and this number of token statistics.
    fn width(self, hidden_size: usize, statistics: usize) -> usize {
        match self {
            Self::Last | Self::Mean | Self::MeanSoFar => hidden_size,
            Self::Statistics | Self::StatisticsSoFar => statistics,
            Self::ChecksSoFar => CheckCounts::WIDTH,
        }
    }
}

/// Features without repetition, in the order of [`FeatureKind`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<FeatureKind>")]
pub struct FeatureSet(Vec<FeatureKind>);

impl TryFrom<Vec<FeatureKind>> for FeatureSet {
    type Error = String;

    fn try_from(parts: Vec<FeatureKind>) -> Result<Self, String> {
        if parts.is_empty() || !parts.is_sorted_by(|a, b| a < b) {
            return Err(format!("features are {parts:?}: expected some of {}, in this order", Self::known()));
        }
        Ok(Self(parts))
    }
}

impl FromStr for FeatureSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |name: &str| {
            let found = FeatureKind::ALL.iter().find(|(_, known)| *known == name.trim());
            found.map(|(part, _)| *part).ok_or_else(|| {
                format!("no feature is called {name:?}; expected some of {}, with commas between", Self::known())
            })
        };
        let mut parts = text.split(',').map(part).collect::<Result<Vec<_>, _>>()?;
        parts.sort_unstable();
        parts.dedup();
        Ok(Self(parts))
    }
}

impl fmt::Display for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|part| part.name()).collect();
        f.write_str(&names.join(","))
    }
}

impl FeatureSet {
    /// The names of all features.
    fn known() -> String {
        FeatureKind::ALL.map(|(_, name)| name).join(", ")
    }

    /// Number of columns for a draft with states of length `hidden_size` and this number of statistics.
    pub(crate) fn width(&self, hidden_size: usize, statistics: usize) -> usize {
        self.0.iter().map(|part| part.width(hidden_size, statistics)).sum()
    }

    /// Whether the set contains a feature.
    pub(crate) fn has(&self, part: FeatureKind) -> bool {
        self.0.contains(&part)
    }

    /// Whether it contains no other features than these.
    pub(crate) fn are_among(&self, parts: &[FeatureKind]) -> bool {
        self.0.iter().all(|part| parts.contains(part))
    }

    /// The features of one step as it is being served, `[F]`.
    pub(crate) fn of_step(&self, step: &StepFeatures, prefix: &PrefixStatistics, checks: CheckCounts) -> Vec<f32> {
        let parts = self.0.iter().flat_map(|part| match part {
            FeatureKind::Last => step.last.clone(),
            FeatureKind::Mean => step.mean.clone(),
            FeatureKind::Statistics => step.statistics.to_vec(),
            FeatureKind::MeanSoFar => prefix.mean(),
            FeatureKind::StatisticsSoFar => prefix.statistics(),
            FeatureKind::ChecksSoFar => checks.features().to_vec(),
        });
        parts.collect()
    }

    /// Fails if the data lacks one of the features.
    pub(crate) fn check_data(&self, data: &RolloutDataset) -> Result<(), TrainingError> {
        match &data.without_ends {
            Some(line) if self.has(FeatureKind::ChecksSoFar) => Err(TrainingError::Unfit(format!(
                "{line}: the solution has no `ends`, which checks_so_far needs; collect it again, or choose other features"
            ))),
            _ => Ok(()),
        }
    }

    /// Number of columns for this data.
    pub(crate) fn width_for(&self, data: &RolloutDataset) -> usize {
        self.width(data.hidden_size, data.statistics.len())
    }

    /// For each column whether it is a statistic and not a part of a state.
    pub(super) fn are_statistics(&self, data: &RolloutDataset) -> Vec<bool> {
        let columns = |part: &FeatureKind| {
            std::iter::repeat_n(!part.is_state(), part.width(data.hidden_size, data.statistics.len()))
        };
        self.0.iter().flat_map(columns).collect()
    }

    /// The features of some rows, `[rows, F]`.
    pub(crate) fn gather(&self, data: &RolloutDataset, rows: &[usize]) -> Vec<f32> {
        let mut matrix = Vec::with_capacity(rows.len() * self.width_for(data));
        for &row in rows {
            for part in &self.0 {
                let from = match part {
                    FeatureKind::Last => &data.last,
                    FeatureKind::Mean => &data.mean,
                    FeatureKind::Statistics => &data.statistic,
                    FeatureKind::MeanSoFar => &data.mean_so_far,
                    FeatureKind::StatisticsSoFar => &data.statistic_so_far,
                    FeatureKind::ChecksSoFar => &data.checks_so_far,
                };
                let width = part.width(data.hidden_size, data.statistics.len());
                matrix.extend_from_slice(&from[row * width..(row + 1) * width]);
            }
        }
        matrix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_once_and_in_order() {
        let set: FeatureSet = "statistics, last,last".parse().unwrap();
        assert_eq!(set.to_string(), "last,statistics");
        assert_eq!(set.width(896, 6), 902);
        assert!("hidden".parse::<FeatureSet>().unwrap_err().contains("\"hidden\""));
        assert_eq!(serde_json::to_string(&set).unwrap(), r#"["last","statistics"]"#);
        assert_eq!(serde_json::from_str::<FeatureSet>(r#"["last","statistics"]"#).unwrap(), set);
        assert!(serde_json::from_str::<FeatureSet>(r#"["statistics","last"]"#).is_err());
        assert!(serde_json::from_str::<FeatureSet>("[]").is_err());
    }
}
