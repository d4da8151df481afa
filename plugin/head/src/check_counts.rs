//! What the arithmetic check found in a solution so far, as features. Training and serving use the same arithmetic.

use rsd_checks::{ArithmeticCheck, CheckedStep, StepCheck};

/// Counts the equations in the steps of one solution, in order, whoever decoded them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckCounts {
    holding: usize,
    failing: usize,
}

impl CheckCounts {
    /// Number of features.
    pub(crate) const WIDTH: usize = 2;

    /// The counts of a solution up to and including a step.
    #[must_use]
    pub fn of(earlier: &[String], step: &str) -> Self {
        let mut counts = Self::default();
        for index in 0..earlier.len() {
            counts.add(&earlier[..index], &earlier[index]);
        }
        counts.add(earlier, step);
        counts
    }

    /// Adds the step after `earlier`.
    pub(crate) fn add(&mut self, earlier: &[String], step: &str) {
        // The check does not look at the question.
        let found = ArithmeticCheck.check(&CheckedStep { question: "", earlier, step });
        self.holding += found.holding;
        self.failing += found.false_statements.len();
    }

    /// ln(1 + n) of the equations that hold, and of the false ones.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "features are f32")]
    pub(crate) fn features(self) -> [f32; Self::WIDTH] {
        [self.holding, self.failing].map(|count| (count as f64).ln_1p() as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_of_all_steps_are_counted() {
        let steps = ["2 + 3 = 5 and 5 * 2 = 10.\n\n", "So 10 - 1 = 8.\n\n"].map(str::to_owned);
        let counts = CheckCounts::of(&steps, "It is 8.");
        assert_eq!(counts, CheckCounts { holding: 2, failing: 1 });
        assert_eq!(counts.features(), [3f32.ln(), 2f32.ln()]);
        assert_eq!(CheckCounts::of(&[], "It is 8.").features(), [0.0, 0.0]);
    }
}
