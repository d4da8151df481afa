//! Which row of a reply belongs to the newest step.
//!
//! A prompt ends at the token where the newest step is scored, so that is always the last row. But an engine that looks
//! for another step token than the prompt has, or that cuts a prompt, returns a last row of another place. So the number
//! of rows must be the one that follows from the prompt.

use std::fmt;

/// For which tokens of a prompt an engine returns a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PooledRows {
    /// The last one.
    Last,
    /// Each one that is the same as the last: the token that closes a step.
    StepTokens,
    /// Each one.
    Every,
}

impl PooledRows {
    /// What explains this number of rows for a prompt with at least two steps.
    pub fn explain(rows: usize, prompt: &[u32]) -> Option<Self> {
        [Self::StepTokens, Self::Last, Self::Every].into_iter().find(|pooling| pooling.expected(prompt) == rows)
    }

    /// The number of rows for a prompt.
    pub fn expected(self, prompt: &[u32]) -> usize {
        match self {
            Self::Last => 1,
            Self::StepTokens => step_tokens(prompt),
            Self::Every => prompt.len(),
        }
    }
}

impl fmt::Display for PooledRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Last => "one for the last token",
            Self::StepTokens => "one for each step token",
            Self::Every => "one for each token",
        })
    }
}

/// How often the last token is in the prompt.
pub(crate) fn step_tokens(prompt: &[u32]) -> usize {
    prompt.iter().filter(|id| Some(*id) == prompt.last()).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_of_pooling_is_told_by_its_number_of_rows() {
        let prompt = [1, 2, 9, 3, 4, 9];
        let explained = [0, 1, 2, 3, 6].map(|rows| PooledRows::explain(rows, &prompt));
        assert_eq!(
            explained,
            [None, Some(PooledRows::Last), Some(PooledRows::StepTokens), None, Some(PooledRows::Every)]
        );
    }

    proptest! {
        #[test]
        fn a_step_more_is_a_row_more_except_for_the_last_token_alone(
            steps in proptest::collection::vec(proptest::collection::vec(0u32..9, 1..6), 2..6),
            more in proptest::collection::vec(0u32..9, 1..6),
        ) {
            let closed = |steps: &[Vec<u32>]| -> Vec<u32> {
                steps.iter().flat_map(|step| step.iter().copied().chain([9])).collect()
            };
            let prompt = closed(&steps);
            let longer = closed(&[steps.clone(), vec![more]].concat());
            for pooling in [PooledRows::Last, PooledRows::StepTokens, PooledRows::Every] {
                prop_assert_eq!(PooledRows::explain(pooling.expected(&prompt), &prompt), Some(pooling));
                let grown = pooling.expected(&longer) - pooling.expected(&prompt);
                prop_assert_eq!(grown > 0, pooling != PooledRows::Last);
            }
        }
    }
}
