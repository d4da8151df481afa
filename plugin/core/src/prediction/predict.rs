//! Predicts the acceptance rates, the speedup and the FLOP savings of a policy from one copy of the record.

use std::ops::Range;

use crate::{
    costs::ObservedCosts,
    pipeline::flops::ModelParameters,
    policy::{acceptance_probability, accepts_all, accepts_none},
};
use rsd_protocol::{
    policy::{AfterRejection, AnswerRoute, PolicyConfig, ThresholdMode},
    preview::{ConfidenceInterval, PredictedPoint, PredictionBasis},
};

use super::{
    course::CourseShares,
    interval::{AnswerBootstrap, hull, wilson},
    record::RecordCopy,
    work::{ExpectedWork, UnitPrices, target_ratio},
};

/// With fewer answers than this, a bootstrap over them shows too little of the variation. Then the intervals of the
/// costs also include the costs at which every step is accepted with the probability at either end of the interval of
/// the acceptance rate.
const FEW_ANSWERS: usize = 8;

/// How a policy treats each recorded step.
struct AcceptanceRule {
    delta: f64,
    /// The probability of accepting each step.
    probabilities: Vec<f64>,
    /// Whether the decisions do not depend on the rewards.
    certain: bool,
}

pub(super) struct PolicyPredictor {
    recorded: RecordCopy,
    costs: ObservedCosts,
    parameters: Option<ModelParameters>,
    ratio: f64,
    bootstrap: AnswerBootstrap,
}

impl PolicyPredictor {
    pub fn new(recorded: RecordCopy, costs: ObservedCosts, parameters: Option<ModelParameters>) -> Self {
        let ratio = target_ratio(&recorded.steps);
        let bootstrap = AnswerBootstrap::new(recorded.ends.len());
        Self { recorded, costs, parameters, ratio, bootstrap }
    }

    pub fn basis(&self) -> PredictionBasis {
        PredictionBasis {
            steps: self.recorded.decided().count(),
            answers: self.recorded.ends.len(),
            since_ms: self.recorded.steps.iter().map(|step| step.at_ms).min(),
            costs: self.costs.unit_costs(),
        }
    }

    /// The prediction for RSD at another fixed threshold, whichever models answer under the policy.
    pub fn point_at(&self, policy: &PolicyConfig, delta: f64) -> Option<PredictedPoint> {
        self.point(&PolicyConfig { route: AnswerRoute::Rsd, mode: ThresholdMode::Fixed, delta, ..*policy })
    }

    /// The prediction for a policy; `None` until a step was decided.
    pub fn point(&self, policy: &PolicyConfig) -> Option<PredictedPoint> {
        let decided = self.recorded.decided().count();
        if decided == 0 {
            return None;
        }
        let steps = &self.recorded.steps;
        let rule = self.rule(policy);
        let shares = self.shares(policy, &rule);
        let work = |answer: Range<usize>, shares: CourseShares| match policy.route {
            AnswerRoute::Rsd => shares.work(&steps[answer.clone()], &rule.probabilities[answer], self.ratio),
            AnswerRoute::Draft => ExpectedWork::draft_alone(&steps[answer], self.ratio),
            AnswerRoute::Target => ExpectedWork::target_alone(&steps[answer], self.ratio),
        };
        // What is accepted of the draft's steps does not depend on who goes on after a rejection.
        let drafted = self.bootstrap.blocks(self.recorded.answers().map(|answer| work(answer, CourseShares::PAPER)));
        let blocks = self.bootstrap.blocks(self.recorded.answers().map(|answer| work(answer, shares)));
        let (resamples, costs) = (self.bootstrap.resamples(&drafted), self.bootstrap.resamples(&blocks));
        let cost: ExpectedWork = blocks.iter().copied().sum();
        let work: ExpectedWork = drafted.iter().copied().sum();
        let acceptance = self.bootstrap.percentile_interval(work.acceptance(), &resamples, ExpectedWork::acceptance);
        let token_acceptance =
            self.bootstrap.percentile_interval(work.token_acceptance(), &resamples, ExpectedWork::token_acceptance);
        let (acceptance, token_acceptance) = if rule.certain {
            (acceptance, token_acceptance)
        } else {
            let (sum, squares) = self.recorded.decided().fold((0.0, 0.0), |(sum, squares), step| {
                let tokens = step.draft_tokens as f64;
                (sum + tokens, squares + tokens.powi(2))
            });
            let trials = if squares > 0.0 { f64::powi(sum, 2) / squares } else { decided as f64 };
            (
                hull(acceptance, wilson(acceptance.value, decided as f64)),
                hull(token_acceptance, wilson(token_acceptance.value, trials)),
            )
        };
        let ends = if self.recorded.ends.len() < FEW_ANSWERS && !rule.certain {
            vec![self.uniform_work(acceptance.low, shares), self.uniform_work(acceptance.high, shares)]
        } else {
            Vec::new()
        };
        let figure = |prices: UnitPrices, figure: fn(f64) -> f64| {
            let of = |work: &ExpectedWork| figure(work.relative_cost(&prices));
            let interval = self.bootstrap.percentile_interval(of(&cost), &costs, of);
            let interval =
                ends.iter().map(of).filter(|end| end.is_finite()).fold(interval, |interval, end| {
                    hull(interval, ConfidenceInterval { value: end, low: end, high: end })
                });
            interval.value.is_finite().then_some(interval)
        };
        Some(PredictedPoint {
            delta: rule.delta,
            acceptance,
            token_acceptance,
            speedup: UnitPrices::seconds(&self.costs.unit_costs(), &cost)
                .and_then(|prices| figure(prices, |cost| 1.0 / cost)),
            flops_saving: self
                .parameters
                .and_then(|parameters| UnitPrices::flops(parameters, self.costs.reward_tokens()))
                .and_then(|prices| figure(prices, |cost| 1.0 - cost)),
        })
    }

    /// How often an answer takes each course. Under `after_rejection: auto` it is the one that costs least for the
    /// recorded answers, but for those that explore.
    fn shares(&self, policy: &PolicyConfig, rule: &AcceptanceRule) -> CourseShares {
        if policy.route != AnswerRoute::Rsd || accepts_all(policy) {
            return CourseShares::PAPER;
        }
        match policy.after_rejection {
            AfterRejection::Draft => CourseShares::PAPER,
            AfterRejection::Target => CourseShares::UNTIL_REJECTION,
            AfterRejection::Auto if accepts_none(policy) => CourseShares::TARGET_ALONE,
            AfterRejection::Auto => {
                let steps = &self.recorded.steps;
                let answers =
                    || self.recorded.answers().map(|answer| (&steps[answer.clone()], &rule.probabilities[answer]));
                CourseShares::cheapest(&self.costs.unit_costs(), self.ratio, answers).exploring(policy.exploration)
            }
        }
    }

    /// The work of RSD if every step is accepted with the same probability.
    fn uniform_work(&self, probability: f64, shares: CourseShares) -> ExpectedWork {
        let probabilities = vec![probability; self.recorded.steps.len()];
        self.recorded
            .answers()
            .map(|answer| shares.work(&self.recorded.steps[answer.clone()], &probabilities[answer], self.ratio))
            .sum()
    }

    fn rule(&self, policy: &PolicyConfig) -> AcceptanceRule {
        if policy.route != AnswerRoute::Rsd {
            return AcceptanceRule { delta: policy.delta, probabilities: Vec::new(), certain: true };
        }
        if policy.mode == ThresholdMode::Budget {
            return budget_rule(&self.recorded, policy);
        }
        let probability = |tokens, reward| acceptance_probability(&policy.at(tokens), reward);
        AcceptanceRule {
            delta: policy.delta,
            probabilities: self.recorded.probabilities(probability),
            certain: accepts_all(policy) || accepts_none(policy),
        }
    }
}

/// The threshold at which gamma of the steps are rejected; steps without a reward are rejected in any case.
fn budget_rule(recorded: &RecordCopy, policy: &PolicyConfig) -> AcceptanceRule {
    let decided = recorded.decided().count();
    let mut rewards: Vec<f64> = recorded.decided().filter_map(|step| step.reward).collect();
    rewards.sort_unstable_by(f64::total_cmp);
    let to_reject = policy.target_rate * decided as f64 - (decided - rewards.len()) as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the length; below 0 is 0")]
    let quantile = rewards.get(to_reject.max(0.0) as usize).copied();
    let wanted = match quantile {
        _ if rewards.is_empty() => policy.delta,
        Some(_) if to_reject <= 0.0 => 0.0,
        Some(quantile) => quantile,
        None => 1.0f64.next_up(),
    };
    let highest = if policy.ceiling >= 1.0 { 1.0f64.next_up() } else { policy.ceiling };
    let delta = if rewards.is_empty() { wanted } else { wanted.max(policy.floor).min(highest) };
    let below = rewards.partition_point(|reward| *reward < delta);
    let equal = rewards[below..].partition_point(|reward| *reward <= delta);
    // Some of the rewards equal to the threshold are rejected too, unless a bound changed the threshold.
    let is_bound = (wanted < policy.floor) || (wanted > highest);
    let rejected_of_equal = if is_bound || equal == 0 { 0.0 } else { (to_reject - below as f64) / equal as f64 };
    let probability = |reward: f64| {
        if reward > delta {
            1.0
        } else if reward < delta {
            0.0
        } else {
            1.0 - rejected_of_equal.clamp(0.0, 1.0)
        }
    };
    AcceptanceRule {
        delta,
        probabilities: recorded.probabilities(|_, reward| reward.map_or(0.0, probability)),
        certain: false,
    }
}
