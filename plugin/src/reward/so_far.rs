//! What a head may know of a solution up to the end of a step: the same arithmetic when it is trained and when it
//! serves.

/// How a statistic of steps becomes one of the solution. It follows from the statistic's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Least,
    Most,
    Sum,
    /// Every token counts the same.
    Mean,
}

impl Rule {
    /// `min_*` is the least so far, `max_*` the most, `tokens` the sum, anything else the mean.
    fn of(name: &str) -> Self {
        match name {
            "tokens" => Self::Sum,
            _ if name.starts_with("min_") => Self::Least,
            _ if name.starts_with("max_") => Self::Most,
            _ => Self::Mean,
        }
    }
}

/// Gathers the steps of one solution that the draft wrote, in order.
#[derive(Debug, Clone)]
pub struct SoFar {
    tokens: f64,
    /// Which statistic counts the tokens that a step's means are over, the end token among them. Without it every
    /// step weighs the same.
    count: Option<usize>,
    /// The sum of the states, `[H]`.
    states: Vec<f64>,
    statistics: Vec<(Rule, f64)>,
}

impl SoFar {
    /// Before the first step. `statistics` are the names of the token statistics.
    #[must_use]
    pub fn new(hidden_size: usize, statistics: &[impl AsRef<str>]) -> Self {
        let start = |name: &dyn AsRef<str>| match Rule::of(name.as_ref()) {
            Rule::Least => (Rule::Least, f64::INFINITY),
            Rule::Most => (Rule::Most, f64::NEG_INFINITY),
            rule => (rule, 0.0),
        };
        let count = statistics.iter().position(|name| name.as_ref() == "tokens");
        let statistics = statistics.iter().map(|name| start(name)).collect();
        Self { tokens: 0.0, count, states: vec![0.0; hidden_size], statistics }
    }

    /// A step follows, with the mean of its states `[H]` and its statistics `[K]`.
    pub fn add(&mut self, mean: &[f32], statistics: &[f32]) {
        let tokens = self.count.and_then(|at| statistics.get(at)).map_or(1.0, |tokens| f64::from(*tokens));
        self.tokens += tokens;
        for (sum, state) in self.states.iter_mut().zip(mean) {
            *sum += tokens * f64::from(*state);
        }
        for ((rule, value), new) in self.statistics.iter_mut().zip(statistics) {
            let new = f64::from(*new);
            *value = match rule {
                Rule::Least => value.min(new),
                Rule::Most => value.max(new),
                Rule::Sum => *value + new,
                Rule::Mean => *value + tokens * new,
            };
        }
    }

    /// The mean of the states that predicted the tokens, `[H]`. Not numbers before the first step.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "features are f32")]
    pub fn mean(&self) -> Vec<f32> {
        self.states.iter().map(|sum| (sum / self.tokens) as f32).collect()
    }

    /// The statistics of the solution, `[K]`. Not all are finite before the first step.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "features are f32")]
    pub fn statistics(&self) -> Vec<f32> {
        let value = |(rule, value): &(Rule, f64)| match rule {
            Rule::Mean => value / self.tokens,
            _ => *value,
        };
        self.statistics.iter().map(|statistic| value(statistic) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_count_the_same_and_names_say_how() {
        let mut so_far = SoFar::new(2, &["mean_logprob", "min_logprob", "max_entropy", "last_entropy", "tokens"]);
        so_far.add(&[1.0, -2.0], &[-0.5, -3.0, 0.25, 0.5, 3.0]);
        assert_eq!(so_far.mean(), [1.0, -2.0]);
        assert_eq!(so_far.statistics(), [-0.5, -3.0, 0.25, 0.5, 3.0]);
        so_far.add(&[5.0, 2.0], &[-1.5, -1.5, 2.0, 2.5, 1.0]);
        assert_eq!(so_far.mean(), [2.0, -1.0]);
        assert_eq!(so_far.statistics(), [-0.75, -3.0, 2.0, 1.0, 4.0]);
        let before = so_far.clone();
        so_far.add(&[0.0, 0.0], &[0.0, -9.0, 0.0, 0.0, 4.0]);
        assert_eq!(before.mean(), [2.0, -1.0], "a step that is tried out leaves what was there");
        assert_eq!(so_far.statistics(), [-0.375, -9.0, 2.0, 0.5, 8.0]);
    }
}
