//! The courses that an answer can take: the draft goes on after a rejection, or the target, or the target answers alone.

use rsd_protocol::preview::UnitCosts;

use super::{
    record::RecordedStep,
    work::{ExpectedWork, UnitPrices},
};
use crate::policy::handover::WHOLE_ANSWERS;

/// How often an answer takes each course.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CourseShares {
    paper: f64,
    until_rejection: f64,
    target_alone: f64,
}

impl CourseShares {
    /// The draft goes on after every step of the target.
    pub const PAPER: Self = Self { paper: 1.0, until_rejection: 0.0, target_alone: 0.0 };
    /// The target goes on after the first rejection.
    pub const UNTIL_REJECTION: Self = Self { paper: 0.0, until_rejection: 1.0, target_alone: 0.0 };
    /// Nothing is drafted.
    pub const TARGET_ALONE: Self = Self { paper: 0.0, until_rejection: 0.0, target_alone: 1.0 };

    /// The expected work on one answer, where each step is accepted with its own probability.
    pub fn work(self, steps: &[RecordedStep], probabilities: &[f64], ratio: f64) -> ExpectedWork {
        let part = |share: f64, work: &dyn Fn() -> ExpectedWork| {
            if share > 0.0 { work() * share } else { ExpectedWork::default() }
        };
        part(self.paper, &|| ExpectedWork::rsd(steps, probabilities, ratio))
            + part(self.until_rejection, &|| ExpectedWork::until_rejection(steps, probabilities, ratio))
            + part(self.target_alone, &|| ExpectedWork::target_alone(steps, ratio))
    }

    /// The one course that costs least time for all these answers together; the loop of the paper until the prices are
    /// known.
    pub fn cheapest<'a, A>(costs: &UnitCosts, ratio: f64, answers: impl Fn() -> A) -> Self
    where
        A: Iterator<Item = (&'a [RecordedStep], &'a [f64])>,
    {
        let cost = |course: Self| {
            let work: ExpectedWork =
                answers().map(|(steps, probabilities)| course.work(steps, probabilities, ratio)).sum();
            UnitPrices::seconds(costs, &work).map(|prices| work.relative_cost(&prices))
        };
        let Some(paper) = cost(Self::PAPER) else { return Self::PAPER };
        [Self::UNTIL_REJECTION, Self::TARGET_ALONE]
            .into_iter()
            .fold((Self::PAPER, paper), |least, course| match cost(course) {
                Some(seconds) if seconds < least.1 => (course, seconds),
                _ => least,
            })
            .0
    }

    /// The same courses, where this fraction of the answers explores.
    pub fn exploring(self, fraction: f64) -> Self {
        let rest = 1.0 - fraction;
        Self {
            paper: rest * self.paper + fraction * WHOLE_ANSWERS,
            until_rejection: rest * self.until_rejection + fraction * (1.0 - WHOLE_ANSWERS),
            target_alone: rest * self.target_alone,
        }
    }
}
