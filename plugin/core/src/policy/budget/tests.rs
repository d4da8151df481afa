use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn budget(gamma: f64) -> PolicyConfig {
    PolicyConfig { mode: ThresholdMode::Budget, target_rate: gamma, ..PolicyConfig::default() }
}

fn is_accepted(reward: Option<f64>, delta: f64) -> bool {
    reward.is_some_and(|reward| delta <= 0.0 || (delta <= 1.0 && reward >= delta))
}

/// The decision of the budget on one step.
#[derive(Debug, Clone, Copy)]
struct DecidedStep {
    delta: f64,
    rejected: bool,
}

/// Decides on steps whose rewards may depend on their number and on the threshold.
fn decide_steps(
    budget: &mut BudgetController,
    policy: &PolicyConfig,
    steps: usize,
    mut reward: impl FnMut(usize, f64) -> Option<f64>,
) -> Vec<DecidedStep> {
    let step = |index| {
        let delta = budget.delta(policy);
        let reward = reward(index, delta);
        let rejected = !is_accepted(reward, delta);
        budget.record_step(policy, reward, rejected);
        DecidedStep { delta, rejected }
    };
    (0..steps).map(step).collect()
}

fn rate(steps: &[DecidedStep]) -> f64 {
    steps.iter().filter(|step| step.rejected).count() as f64 / steps.len() as f64
}

/// How far the rate over any 1,000 steps in a row is from gamma.
fn worst(steps: &[DecidedStep], gamma: f64) -> f64 {
    assert!(steps.len() >= 1000);
    steps.windows(1000).map(|thousand| (rate(thousand) - gamma).abs()).fold(0.0, f64::max)
}

fn spread(steps: &[DecidedStep]) -> f64 {
    let mean = steps.iter().map(|step| step.delta).sum::<f64>() / steps.len() as f64;
    let squares = steps.iter().map(|step| (step.delta - mean).powi(2)).sum::<f64>();
    (squares / steps.len() as f64).sqrt()
}

/// Where rewards come from; the last five know the threshold.
#[derive(Debug, Clone, Copy)]
enum RewardStream {
    Uniform,
    Skewed,
    TwoHumps,
    Grades,
    Constant(f64),
    Rising,
    Falling,
    Wave,
    Above,
    Below,
    Alternating,
    Runs(usize),
    AtWill(u64),
}

impl RewardStream {
    fn reward(self, index: usize, delta: f64, rng: &mut ChaCha8Rng) -> f64 {
        let u: f64 = rng.random();
        let at = index as f64 / 3000.0;
        let above = |yes: bool| if yes { delta.min(1.0) } else { delta.next_down() };
        let reward = match self {
            Self::Uniform => u,
            Self::Skewed => u.powf(0.1),
            Self::TwoHumps if rng.random_bool(0.4) => 0.2 * u,
            Self::TwoHumps => 0.9 + 0.1 * u,
            Self::Grades => (u * 5.0).floor() / 4.0,
            Self::Constant(value) => value,
            Self::Rising => 0.6 * at + 0.4 * u,
            Self::Falling => 0.6 * (1.0 - at) + 0.4 * u,
            Self::Wave => 0.35 + 0.35 * (index as f64 / 50.0).sin() + 0.3 * u,
            Self::Above => above(true),
            Self::Below => above(false),
            Self::Alternating => above(index.is_multiple_of(2)),
            Self::Runs(length) => above((index / length).is_multiple_of(2)),
            Self::AtWill(bits) => above(bits >> (index % 64) & 1 == 1),
        };
        reward.clamp(0.0, 1.0)
    }
}

fn streams() -> impl Strategy<Value = RewardStream> {
    prop_oneof![
        Just(RewardStream::Uniform),
        Just(RewardStream::Skewed),
        Just(RewardStream::TwoHumps),
        Just(RewardStream::Grades),
        prop_oneof![Just(0.0), Just(1.0), 0.0f64..=1.0].prop_map(RewardStream::Constant),
        Just(RewardStream::Rising),
        Just(RewardStream::Falling),
        Just(RewardStream::Wave),
        Just(RewardStream::Above),
        Just(RewardStream::Below),
        Just(RewardStream::Alternating),
        (1usize..200).prop_map(RewardStream::Runs),
        any::<u64>().prop_map(RewardStream::AtWill),
    ]
}

fn gammas() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), 0.0f64..=1.0]
}

proptest! {
    #[test]
    fn the_rate_is_within_two_points_of_gamma_over_any_thousand_steps_of_any_stream(
        parts in proptest::collection::vec((streams(), 1usize..1500), 1..6),
        gamma in gammas(),
        warm_up in 1u32..200,
        seed: u64,
    ) {
        let policy = PolicyConfig { warm_up, ..budget(gamma) };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let ends: Vec<usize> = parts.iter().scan(0, |end, part| { *end += part.1; Some(*end) }).collect();
        let stream = |index| parts[ends.iter().position(|end| index < *end).unwrap_or(parts.len() - 1)].0;
        let steps = decide_steps(&mut BudgetController::new(), &policy, 3000, |index, delta| {
            Some(stream(index).reward(index, delta, &mut rng))
        });
        prop_assert!(worst(&steps[warm_up as usize..], gamma) <= 0.02);
    }

    #[test]
    fn the_threshold_stays_between_floor_and_ceiling(
        stream in streams(), gamma in gammas(), a in 0.0f64..=1.0, b in 0.0f64..=1.0, seed: u64,
    ) {
        let policy = PolicyConfig { floor: a.min(b), ceiling: a.max(b), warm_up: 10, ..budget(gamma) };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let steps = decide_steps(&mut BudgetController::new(), &policy, 1000, |index, delta| {
            Some(stream.reward(index, delta, &mut rng))
        });
        let highest = if policy.ceiling >= 1.0 { REJECTS_ALL } else { policy.ceiling };
        prop_assert!(steps[10..].iter().all(|step| (policy.floor..=highest).contains(&step.delta)));
    }

    #[test]
    fn only_rewards_enter_the_window(values in proptest::collection::vec(any::<f64>(), 1..50)) {
        let mut seen = BudgetController::new();
        for value in values.iter().copied().chain([f64::NAN, f64::INFINITY, -1.0, 1.5, 0.5]) {
            seen.record_step(&budget(0.3), Some(value), true);
        }
        prop_assert!(seen.rewards.order.iter().all(|reward| (0.0..=1.0).contains(reward)));
        prop_assert!(!seen.rewards.order.is_empty());
        prop_assert_eq!(seen.rewards.order.len(), seen.rewards.sorted.len());
    }

    #[test]
    fn the_sorted_rewards_are_the_newest_ones(values in proptest::collection::vec(0.0f64..=1.0, 0..1500), grades: bool) {
        let mut window = RewardWindow::default();
        let values: Vec<f64> = values.iter().map(|v| if grades { (v * 4.0).round() / 4.0 } else { *v }).collect();
        for value in &values {
            window.push(*value);
        }
        let mut newest = values[values.len().saturating_sub(WINDOW)..].to_vec();
        newest.sort_by(f64::total_cmp);
        prop_assert_eq!(window.sorted, newest);
    }
}

/// 3,000 steps of a stream, and the budget after them.
fn three_thousand(policy: &PolicyConfig, stream: RewardStream, seed: u64) -> (Vec<DecidedStep>, BudgetController) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut budget = BudgetController::new();
    let steps = decide_steps(&mut budget, policy, 3000, |index, delta| Some(stream.reward(index, delta, &mut rng)));
    (steps, budget)
}

#[test]
fn on_a_steady_stream_the_threshold_settles_at_the_quantile() {
    for gamma in [0.1, 0.3, 0.5, 0.8] {
        let mut spreads = Vec::new();
        for seed in 0..20 {
            let (steps, _) = three_thousand(&budget(gamma), RewardStream::Uniform, seed);
            let last = &steps[2500..];
            let mean = last.iter().map(|step| step.delta).sum::<f64>() / last.len() as f64;
            assert!((mean - gamma).abs() < 0.06, "gamma {gamma}, seed {seed}: {mean}");
            spreads.push(spread(last));
        }
        let (mean, most) = (spreads.iter().sum::<f64>() / 20.0, spreads.iter().copied().fold(0.0, f64::max));
        println!("gamma {gamma}: standard deviation of delta {mean:.4} on average, {most:.4} at most");
        assert!(mean < 0.045 && most < 0.07, "gamma {gamma}: {spreads:?}");
    }
}

#[test]
fn of_equal_rewards_gamma_are_rejected_while_the_threshold_hardly_moves() {
    for value in [0.0, 0.5, 1.0] {
        let (steps, _) = three_thousand(&budget(0.3), RewardStream::Constant(value), 0);
        assert!((rate(&steps[50..]) - 0.3).abs() < 0.001);
        assert!(steps[50..].iter().all(|step| (step.delta - value).abs() < 1e-9));
    }
}

#[test]
fn a_ceiling_of_one_can_reject_everything_and_a_floor_of_zero_accept_everything() {
    let (steps, _) = three_thousand(&budget(1.0), RewardStream::Constant(1.0), 0);
    assert!(steps[50..].iter().all(|step| step.rejected && step.delta > 1.0));
    let (steps, _) = three_thousand(&budget(0.0), RewardStream::Constant(0.0), 0);
    assert!(steps[50..].iter().all(|step| !step.rejected && step.delta <= 0.0));
}

#[test]
fn the_warm_up_is_decided_by_delta_and_not_charged() {
    let policy = PolicyConfig { delta: 0.9, warm_up: 40, ..budget(0.2) };
    let mut budget = BudgetController::new();
    let steps = decide_steps(&mut budget, &policy, 39, |_, _| Some(0.5));
    assert!(steps.iter().all(|step| step.rejected && (step.delta - 0.9).abs() < 1e-12));
    let state = budget.state(&policy);
    assert_eq!((state.warming_up, state.saturated, state.decided_steps, state.observed_rate), (true, false, 39, 1.0));
    decide_steps(&mut budget, &policy, 1, |_, _| Some(0.5));
    let state = budget.state(&policy);
    assert_eq!((state.warming_up, state.decided_steps, state.observed_rate), (false, 0, 0.0));
    assert!((budget.delta(&policy) - 0.5).abs() < 1e-12);
}

#[test]
fn rewards_seen_under_a_fixed_threshold_spare_the_warm_up() {
    let policy = budget(0.5);
    let mut budget = BudgetController::new();
    let fixed = PolicyConfig { mode: ThresholdMode::Fixed, ..policy };
    decide_steps(&mut budget, &fixed, 200, |index, _| Some(f64::from(u8::from(index % 2 == 0))));
    let state = budget.state(&policy);
    assert_eq!((state.warming_up, state.decided_steps), (false, 0));
    assert!((budget.delta(&policy) - 1.0).abs() < 1e-12);
}

#[test]
fn new_terms_start_a_new_ledger_and_leave_the_rewards() {
    let policy = budget(0.5);
    let (_, mut budget) = three_thousand(&policy, RewardStream::Uniform, 1);
    assert_eq!(budget.state(&policy).decided_steps, 2950);
    for terms in [
        PolicyConfig { target_rate: 0.2, ..policy },
        PolicyConfig { floor: 0.1, ..policy },
        PolicyConfig { ceiling: 0.9, ..policy },
    ] {
        let state = budget.state(&terms);
        assert_eq!((state.decided_steps, state.warming_up), (0, false));
        assert!((budget.delta(&terms) - terms.target_rate).abs() < 0.06);
        decide_steps(&mut budget, &terms, 10, |_, _| Some(0.5));
        assert_eq!(budget.state(&terms).decided_steps, 10);
    }
    let other = PolicyConfig { ceiling: 0.9, delta: 0.1, warm_up: 60, ..policy };
    assert_eq!(budget.state(&other).decided_steps, 10);
}

#[test]
fn a_floor_or_a_ceiling_in_the_way_is_reported_and_leaves_no_debt() {
    let floor = PolicyConfig { floor: 0.6, ..budget(0.3) };
    let ceiling = PolicyConfig { ceiling: 0.4, ..budget(0.7) };
    for (policy, bound, spared) in [(floor, 0.6, (0.6, 1.0)), (ceiling, 0.4, (0.0, 0.4))] {
        let (steps, mut budget) = three_thousand(&policy, RewardStream::Uniform, 2);
        assert!(budget.state(&policy).saturated);
        assert!(steps[50..].iter().all(|step| (step.delta - bound).abs() < 1e-12));
        let observed = rate(&steps[50..]);
        assert!((observed - bound).abs() < 0.05, "a uniform stream rejects what lies below the bound: {observed}");
        assert!((budget.state(&policy).observed_rate - observed).abs() < 1e-9);

        // The operator takes the bound away: the very next threshold is the quantile.
        let free = PolicyConfig { floor: 0.0, ceiling: 1.0, ..policy };
        assert!(!budget.state(&free).saturated);
        assert!((budget.delta(&free) - policy.target_rate).abs() < 0.06);

        // The rewards move beyond the bound: the window still holds the old ones, the ledger does not wait for it.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (low, high) = spared;
        let steps = decide_steps(&mut budget, &policy, 2000, |_, _| Some(rng.random_range(low..high)));
        let recovered = steps.iter().position(|step| (step.delta - bound).abs() > 1e-9);
        println!("bound {bound}: free again after {recovered:?} steps");
        assert!(recovered.is_some_and(|steps| steps < 50), "{recovered:?}");
        assert!(worst(&steps, policy.target_rate) <= 0.02);
    }
}

#[test]
fn an_outage_of_the_reward_model_is_paid_back_by_at_most_the_bound() {
    let policy = budget(0.3);
    let (_, mut budget) = three_thousand(&policy, RewardStream::Uniform, 4);
    decide_steps(&mut budget, &policy, 1000, |_, _| None);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let steps = decide_steps(&mut budget, &policy, 1050, |_, _| Some(rng.random()));
    assert!(steps[50..].iter().filter(|step| step.delta <= 0.0).count() < 20);
    assert!(worst(&steps, 0.3) <= 0.02);
}

#[test]
fn a_few_steps_without_a_reward_are_part_of_the_budget() {
    let policy = budget(0.3);
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let steps =
        decide_steps(&mut BudgetController::new(), &policy, 4000, |_, _| rng.random_bool(0.9).then(|| rng.random()));
    assert!(worst(&steps[100..], 0.3) <= 0.02);
}
