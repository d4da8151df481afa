//! One policy's figures from one copy of the record.

use std::ops::Range;

use rsd_protocol::{
    policy::{Answers, Mode, PolicyConfig},
    preview::{Basis, Interval, Point},
};

use super::{
    Keep, Sizes,
    costs::Costs,
    interval::{Bootstrap, hull, wilson},
    record::{Recorded, Step},
    work::{Prices, Work, target_ratio},
};

/// With fewer answers than this, drawing among them shows too little of what may come: then the costs' intervals also
/// hold what comes out when every step is kept with the probability at either end of the acceptance's interval.
const FEW: usize = 8;

/// How a policy treats each recorded step.
struct Rule {
    delta: f64,
    keeps: Vec<f64>,
    /// Whether the rewards have no say.
    certain: bool,
}

pub(super) struct Predictor {
    recorded: Recorded,
    costs: Costs,
    sizes: Option<Sizes>,
    keep: Keep,
    ratio: f64,
    bootstrap: Bootstrap,
}

impl Predictor {
    pub fn new(recorded: Recorded, costs: Costs, sizes: Option<Sizes>, keep: Keep) -> Self {
        let ratio = target_ratio(&recorded.steps);
        let bootstrap = Bootstrap::new(recorded.ends.len());
        Self { recorded, costs, sizes, keep, ratio, bootstrap }
    }

    pub fn basis(&self) -> Basis {
        Basis {
            steps: self.recorded.steps.len(),
            answers: self.recorded.ends.len(),
            since_ms: self.recorded.steps.iter().map(|step| step.at_ms).min(),
            costs: self.costs.unit(),
        }
    }

    /// The policy's own threshold replaced, in RSD whoever answers now.
    pub fn point_at(&self, policy: &PolicyConfig, delta: f64) -> Option<Point> {
        self.point(&PolicyConfig { answers: Answers::Rsd, mode: Mode::Fixed, delta, ..*policy })
    }

    /// Nothing until a step was judged.
    pub fn point(&self, policy: &PolicyConfig) -> Option<Point> {
        let steps = &self.recorded.steps;
        if steps.is_empty() {
            return None;
        }
        let rule = self.rule(policy);
        let work = |answer: Range<usize>| match policy.answers {
            Answers::Rsd => Work::rsd(&steps[answer.clone()], &rule.keeps[answer], self.ratio),
            Answers::Draft => Work::draft_alone(&steps[answer]),
            Answers::Target => Work::target_alone(&steps[answer], self.ratio),
        };
        let blocks = self.bootstrap.blocks(self.recorded.answers().map(work));
        let work: Work = blocks.iter().copied().sum();
        let resamples = self.bootstrap.resamples(&blocks);
        let acceptance = self.bootstrap.around(work.acceptance(), &resamples, Work::acceptance);
        let token_acceptance = self.bootstrap.around(work.token_acceptance(), &resamples, Work::token_acceptance);
        let (acceptance, token_acceptance) = if rule.certain {
            (acceptance, token_acceptance)
        } else {
            let squares: f64 = steps.iter().map(|step| (step.draft_tokens as f64).powi(2)).sum();
            let trials = if squares > 0.0 { work.drafted.powi(2) / squares } else { work.steps };
            (
                hull(acceptance, wilson(acceptance.value, work.steps)),
                hull(token_acceptance, wilson(token_acceptance.value, trials)),
            )
        };
        let ends = if self.recorded.ends.len() < FEW && !rule.certain {
            vec![self.evenly(acceptance.low), self.evenly(acceptance.high)]
        } else {
            Vec::new()
        };
        let figure = |prices: Prices, figure: fn(f64) -> f64| {
            let of = |work: &Work| figure(work.relative_cost(&prices));
            let interval = self.bootstrap.around(of(&work), &resamples, of);
            let interval = ends
                .iter()
                .map(of)
                .filter(|end| end.is_finite())
                .fold(interval, |interval, end| hull(interval, Interval { value: end, low: end, high: end }));
            interval.value.is_finite().then_some(interval)
        };
        Some(Point {
            delta: rule.delta,
            acceptance,
            token_acceptance,
            speed_up: Prices::seconds(&self.costs.unit(), &work).and_then(|prices| figure(prices, |cost| 1.0 / cost)),
            flops_saving: self
                .sizes
                .and_then(|sizes| Prices::flops(sizes, self.costs.reward_tokens()))
                .and_then(|prices| figure(prices, |cost| 1.0 - cost)),
        })
    }

    /// RSD with every step kept with the same probability.
    fn evenly(&self, keep: f64) -> Work {
        let keeps = vec![keep; self.recorded.steps.len()];
        self.recorded
            .answers()
            .map(|answer| Work::rsd(&self.recorded.steps[answer.clone()], &keeps[answer], self.ratio))
            .sum()
    }

    fn rule(&self, policy: &PolicyConfig) -> Rule {
        let steps = &self.recorded.steps;
        if policy.answers != Answers::Rsd {
            return Rule { delta: policy.delta, keeps: Vec::new(), certain: true };
        }
        if policy.mode == Mode::Budget {
            return budget(steps, policy);
        }
        let keep = |reward: f64| {
            let keep = (self.keep)(policy, reward);
            if keep.is_nan() { 0.0 } else { keep.clamp(0.0, 1.0) }
        };
        let keeps = steps.iter().map(|step| keep(step.reward.unwrap_or(f64::NAN))).collect();
        Rule { delta: policy.delta, keeps, certain: keep(f64::NAN) >= 1.0 || keep(1.0) <= 0.0 }
    }
}

/// The threshold at which gamma of the steps go to the target; those without a verdict go in any case.
fn budget(steps: &[Step], policy: &PolicyConfig) -> Rule {
    let mut rewards: Vec<f64> = steps.iter().filter_map(|step| step.reward).collect();
    rewards.sort_unstable_by(f64::total_cmp);
    let to_send = policy.gamma * steps.len() as f64 - (steps.len() - rewards.len()) as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the length; below 0 is 0")]
    let quantile = rewards.get(to_send.max(0.0) as usize).copied();
    let wanted = match quantile {
        _ if rewards.is_empty() => policy.delta,
        Some(_) if to_send <= 0.0 => 0.0,
        Some(quantile) => quantile,
        None => 1.0f64.next_up(),
    };
    let highest = if policy.ceiling >= 1.0 { 1.0f64.next_up() } else { policy.ceiling };
    let delta = if rewards.is_empty() { wanted } else { wanted.max(policy.floor).min(highest) };
    let below = rewards.partition_point(|reward| *reward < delta);
    let equal = rewards[below..].partition_point(|reward| *reward <= delta);
    // Of the rewards equal to the threshold some are sent too, where no bound holds it.
    let is_held = (wanted < policy.floor) || (wanted > highest);
    let sent_of_equal = if is_held || equal == 0 { 0.0 } else { (to_send - below as f64) / equal as f64 };
    let keep = |reward: f64| {
        if reward > delta {
            1.0
        } else if reward < delta {
            0.0
        } else {
            1.0 - sent_of_equal.clamp(0.0, 1.0)
        }
    };
    Rule { delta, keeps: steps.iter().map(|step| step.reward.map_or(0.0, keep)).collect(), certain: false }
}
