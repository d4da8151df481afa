//! Features of a solution up to the end of a step. Training and serving use the same arithmetic.

/// How the statistics of steps are combined to one of the solution. It follows from the statistic's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AggregationRule {
    Minimum,
    Maximum,
    Sum,
    /// Every token has the same weight.
    Mean,
}

impl AggregationRule {
    /// `min_*` is the minimum so far, `max_*` the maximum, `tokens` the sum, anything else the mean.
    fn from_name(name: &str) -> Self {
        match name {
            "tokens" => Self::Sum,
            _ if name.starts_with("min_") => Self::Minimum,
            _ if name.starts_with("max_") => Self::Maximum,
            _ => Self::Mean,
        }
    }
}

/// Accumulates the steps of one solution that the draft decoded, in order.
#[derive(Debug, Clone)]
pub(crate) struct PrefixStatistics {
    tokens: f64,
    /// The index of the statistic that is the number of tokens, end token included. Without it every step has the same
    /// weight.
    count: Option<usize>,
    /// The sum of the states, `[H]`.
    states: Vec<f64>,
    statistics: Vec<(AggregationRule, f64)>,
}

impl PrefixStatistics {
    /// The state before the first step. `statistics` are the names of the token statistics.
    #[must_use]
    pub fn new(hidden_size: usize, statistics: &[impl AsRef<str>]) -> Self {
        let start = |name: &dyn AsRef<str>| match AggregationRule::from_name(name.as_ref()) {
            AggregationRule::Minimum => (AggregationRule::Minimum, f64::INFINITY),
            AggregationRule::Maximum => (AggregationRule::Maximum, f64::NEG_INFINITY),
            rule => (rule, 0.0),
        };
        let count = statistics.iter().position(|name| name.as_ref() == "tokens");
        let statistics = statistics.iter().map(|name| start(name)).collect();
        Self { tokens: 0.0, count, states: vec![0.0; hidden_size], statistics }
    }

    /// Adds a step with the mean of its states `[H]` and its statistics `[K]`.
    pub fn add(&mut self, mean: &[f32], statistics: &[f32]) {
        let tokens = self.count.and_then(|at| statistics.get(at)).map_or(1.0, |tokens| f64::from(*tokens));
        self.tokens += tokens;
        for (sum, state) in self.states.iter_mut().zip(mean) {
            *sum += tokens * f64::from(*state);
        }
        for ((rule, value), new) in self.statistics.iter_mut().zip(statistics) {
            let new = f64::from(*new);
            *value = match rule {
                AggregationRule::Minimum => value.min(new),
                AggregationRule::Maximum => value.max(new),
                AggregationRule::Sum => *value + new,
                AggregationRule::Mean => *value + tokens * new,
            };
        }
    }

    /// The mean of the states that predicted the tokens, `[H]`. NaN before the first step.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "features are f32")]
    pub fn mean(&self) -> Vec<f32> {
        self.states.iter().map(|sum| (sum / self.tokens) as f32).collect()
    }

    /// The statistics of the solution, `[K]`. Not all are finite before the first step.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "features are f32")]
    pub fn statistics(&self) -> Vec<f32> {
        let value = |(rule, value): &(AggregationRule, f64)| match rule {
            AggregationRule::Mean => value / self.tokens,
            _ => *value,
        };
        self.statistics.iter().map(|statistic| value(statistic) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_the_same_weight_and_names_say_how_to_combine() {
        let mut prefix =
            PrefixStatistics::new(2, &["mean_logprob", "min_logprob", "max_entropy", "last_entropy", "tokens"]);
        prefix.add(&[1.0, -2.0], &[-0.5, -3.0, 0.25, 0.5, 3.0]);
        assert_eq!(prefix.mean(), [1.0, -2.0]);
        assert_eq!(prefix.statistics(), [-0.5, -3.0, 0.25, 0.5, 3.0]);
        prefix.add(&[5.0, 2.0], &[-1.5, -1.5, 2.0, 2.5, 1.0]);
        assert_eq!(prefix.mean(), [2.0, -1.0]);
        assert_eq!(prefix.statistics(), [-0.75, -3.0, 2.0, 1.0, 4.0]);
        let before = prefix.clone();
        prefix.add(&[0.0, 0.0], &[0.0, -9.0, 0.0, 0.0, 4.0]);
        assert_eq!(before.mean(), [2.0, -1.0], "a copy is independent");
        assert_eq!(prefix.statistics(), [-0.375, -9.0, 2.0, 0.5, 8.0]);
    }
}
