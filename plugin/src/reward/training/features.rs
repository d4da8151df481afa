//! What a head looks at: the parts of a step's features, in the order in which they stand side by side.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::dataset::Dataset;
use crate::reward::{features::StepFeatures, so_far::SoFar};

/// One part of a step's features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
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
}

impl Feature {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Last, "last"),
        (Self::Mean, "mean"),
        (Self::Statistics, "statistics"),
        (Self::MeanSoFar, "mean_so_far"),
        (Self::StatisticsSoFar, "statistics_so_far"),
    ];

    /// Its name in head files and on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Whether it is a state, not a few statistics.
    fn is_state(self) -> bool {
        !matches!(self, Self::Statistics | Self::StatisticsSoFar)
    }
}

/// Parts without repetition, in the order of [`Feature`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Feature>")]
pub struct FeatureSet(Vec<Feature>);

impl TryFrom<Vec<Feature>> for FeatureSet {
    type Error = String;

    fn try_from(parts: Vec<Feature>) -> Result<Self, String> {
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
            let found = Feature::ALL.iter().find(|(_, known)| *known == name.trim());
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
    /// What there is to choose from.
    fn known() -> String {
        Feature::ALL.map(|(_, name)| name).join(", ")
    }

    /// Columns for a draft with states of width `hidden_size` and this many statistics.
    pub fn width(&self, hidden_size: usize, statistics: usize) -> usize {
        let width = |part: &Feature| if part.is_state() { hidden_size } else { statistics };
        self.0.iter().map(width).sum()
    }

    /// Whether a part is among them.
    pub fn has(&self, part: Feature) -> bool {
        self.0.contains(&part)
    }

    /// The features of one step as it is being served, `[F]`.
    pub fn of_step(&self, step: &StepFeatures, so_far: &SoFar) -> Vec<f32> {
        let parts = self.0.iter().flat_map(|part| match part {
            Feature::Last => step.last.clone(),
            Feature::Mean => step.mean.clone(),
            Feature::Statistics => step.statistics.to_vec(),
            Feature::MeanSoFar => so_far.mean(),
            Feature::StatisticsSoFar => so_far.statistics(),
        });
        parts.collect()
    }

    /// Columns for this data.
    pub fn width_for(&self, data: &Dataset) -> usize {
        self.width(data.hidden_size, data.statistics.len())
    }

    /// For each column whether it is a statistic, not a part of a state.
    pub(super) fn are_statistics(&self, data: &Dataset) -> Vec<bool> {
        let columns = |part: &Feature| {
            let width = if part.is_state() { data.hidden_size } else { data.statistics.len() };
            std::iter::repeat_n(!part.is_state(), width)
        };
        self.0.iter().flat_map(columns).collect()
    }

    /// The features of some rows, `[rows, F]`.
    pub fn gather(&self, data: &Dataset, rows: &[usize]) -> Vec<f32> {
        let mut matrix = Vec::with_capacity(rows.len() * self.width_for(data));
        for &row in rows {
            for part in &self.0 {
                let (from, width) = match part {
                    Feature::Last => (&data.last, data.hidden_size),
                    Feature::Mean => (&data.mean, data.hidden_size),
                    Feature::Statistics => (&data.statistic, data.statistics.len()),
                    Feature::MeanSoFar => (&data.mean_so_far, data.hidden_size),
                    Feature::StatisticsSoFar => (&data.statistic_so_far, data.statistics.len()),
                };
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
