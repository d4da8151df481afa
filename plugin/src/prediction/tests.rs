use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rsd_protocol::{
    policy::{Answers, Mode, Weighting},
    preview::{Interval, Point},
};

use super::*;

const SIZES: Sizes = Sizes { draft: 1, reward: 0, target: 10 };

/// omega as far as these tests need it.
fn keep(policy: &PolicyConfig, reward: f64) -> f64 {
    match policy.weighting {
        Weighting::Constant if reward.is_nan() => 0.0,
        Weighting::Constant => policy.p,
        _ if policy.delta <= 0.0 => 1.0,
        _ if policy.delta > 1.0 || reward.is_nan() => 0.0,
        Weighting::Logistic => 1.0 / (1.0 + (-policy.alpha * (reward - policy.delta)).exp()),
        _ => f64::from(u8::from(reward >= policy.delta)),
    }
}

fn at(delta: f64) -> PolicyConfig {
    PolicyConfig { delta, ..PolicyConfig::default() }
}

fn judged(answer: u64, reward: Option<f64>, draft_tokens: usize, kept: bool) -> Judged {
    Judged { answer, reward, draft_tokens, kept, at_ms: 1_000 + answer }
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-9
}

fn holds(interval: &Interval) -> bool {
    interval.low <= interval.value && interval.value <= interval.high
}

fn value(interval: Option<Interval>) -> f64 {
    interval.expect("a figure").value
}

/// Unit costs that are easy to reckon with: 0.01 and 0.001 for the draft, 0.1 and 0.02 for the target, 0.05 a verdict
/// that reads 20 tokens.
fn with_costs(recorder: &Recorder) {
    let run = |model, decode: f64, prefill: f64| Ran {
        model,
        generated: 11,
        prefilled: 10,
        prefill_seconds: 10.0 * prefill,
        seconds: 10.0 * prefill + 10.0 * decode,
    };
    recorder.ran(run(Model::Draft, 0.01, 0.001));
    recorder.ran(run(Model::Target, 0.1, 0.02));
    recorder.scored(0.05, 20);
}

fn three_steps() -> Recorder {
    let recorder = Recorder::new(100);
    recorder.judged(judged(1, Some(0.9), 10, true));
    recorder.judged(judged(1, Some(0.4), 20, false));
    recorder.replaced(1, 30);
    recorder.judged(judged(1, Some(0.8), 10, true));
    recorder
}

#[test]
fn three_steps_cost_what_they_cost_by_hand() {
    let recorder = three_steps();
    with_costs(&recorder);
    let sizes = Some(Sizes { draft: 1, reward: 2, target: 10 });
    let preview = recorder.preview(&at(0.5), keep, &[0.5, 0.85], sizes);
    assert_eq!(preview.now, Some(preview.curve[0]));

    // Drafted 40, judged 3, the target read 10 and wrote 30, the draft read 30; the answer has 50 tokens.
    let first = preview.curve[0];
    assert!(close(first.acceptance.value, 2.0 / 3.0));
    assert!(close(first.token_acceptance.value, 0.5));
    assert!(close(value(first.speed_up), 5.0 / (0.4 + 0.15 + 0.2 + 3.0 + 0.03)));
    assert!(close(value(first.flops_saving), 1.0 - (80.0 + 240.0 + 200.0 + 600.0 + 60.0) / 1000.0));

    // The last step is rejected too: of the target's 1.5 tokens per token of the draft, it would have had 15.
    let second = preview.curve[1];
    assert!(close(second.acceptance.value, 1.0 / 3.0));
    assert!(close(second.token_acceptance.value, 0.25));
    assert!(close(value(second.speed_up), 5.5 / (0.4 + 0.15 + 0.2 + 4.5 + 0.045)));
    assert!(close(value(second.flops_saving), 1.0 - (80.0 + 240.0 + 200.0 + 900.0 + 90.0) / 1100.0));

    assert_eq!((preview.basis.steps, preview.basis.answers, preview.basis.since_ms), (3, 1, Some(1_001)));
    assert_eq!(preview.basis.costs, recorder.costs());
}

#[test]
fn of_one_answer_the_intervals_are_wilsons_and_the_costs_follow_them() {
    let recorder = three_steps();
    with_costs(&recorder);
    let point = recorder.preview(&at(0.5), keep, &[], None).now.expect("a point");
    // Two of three steps; 20 of 40 tokens, in steps that weigh like 40^2 / (10^2 + 20^2 + 10^2) equal ones.
    let (steps, tokens) = (interval::wilson(2.0 / 3.0, 3.0), interval::wilson(0.5, 1600.0 / 600.0));
    assert!(close(point.acceptance.low, steps.low) && close(point.acceptance.high, steps.high));
    assert!(close(point.token_acceptance.low, tokens.low) && close(point.token_acceptance.high, tokens.high));
    let speed_up = point.speed_up.expect("a speed-up");
    for (p, end) in [(steps.low, speed_up.low), (steps.high, speed_up.high)] {
        let evenly = PolicyConfig { weighting: Weighting::Constant, p, ..at(0.5) };
        let evenly = recorder.preview(&evenly, keep, &[], None).now.expect("a point");
        assert!(close(value(evenly.speed_up), end), "{evenly:?}");
    }
}

#[test]
fn where_chance_decides_the_target_reads_what_it_is_expected_not_to_have_read() {
    let recorder = Recorder::new(100);
    recorder.judged(judged(1, Some(0.9), 10, true));
    recorder.judged(judged(1, Some(0.9), 10, true));
    with_costs(&recorder);
    let policy = PolicyConfig { weighting: Weighting::Constant, p: 0.5, ..at(0.5) };
    let point = recorder.preview(&policy, keep, &[], None).now.expect("a point");
    // Drafted 20, judged 2, written 5 + 5, read by the draft 10, read by the target 0 + 0.5 * 5; 20 tokens come out.
    assert!(close(value(point.speed_up), 2.0 / (0.2 + 0.1 + 1.0 + 0.01 + 0.05)));
}

#[test]
fn nothing_is_said_before_a_step_was_judged_and_no_figure_before_its_costs_were_seen() {
    let empty = Recorder::new(100);
    let preview = empty.preview(&at(0.5), keep, &[0.5], Some(SIZES));
    assert_eq!((preview.now, preview.curve.len(), preview.basis.since_ms), (None, 0, None));
    assert!(empty.predict(&at(0.5), &at(0.6), keep, None).is_none());

    let recorder = three_steps();
    let point = |delta, sizes| recorder.preview(&at(delta), keep, &[], sizes).now.expect("a point");
    assert!(point(0.5, None).speed_up.is_none() && point(0.5, None).flops_saving.is_none());
    assert!(point(0.5, Some(SIZES)).flops_saving.is_some());
    assert!(point(0.5, Some(Sizes { reward: 1, ..SIZES })).flops_saving.is_none());

    let run = Ran { model: Model::Draft, generated: 11, prefilled: 0, prefill_seconds: 0.01, seconds: 0.1 };
    recorder.ran(run);
    recorder.ran(Ran { model: Model::Target, ..run });
    assert!(point(0.0, None).speed_up.is_none());
    recorder.scored(0.0, 0);
    // Nobody reads anything where everything is kept; elsewhere the costs of reading are wanted.
    assert!(point(0.0, None).speed_up.is_some() && point(0.5, None).speed_up.is_none());
}

#[test]
fn the_big_switch_is_predicted_too() {
    let recorder = three_steps();
    with_costs(&recorder);
    let alone = |answers| PolicyConfig { answers, ..at(0.5) };
    let prediction = recorder.predict(&alone(Answers::Draft), &alone(Answers::Target), keep, Some(SIZES));
    let prediction = prediction.expect("a prediction");
    assert!(close(prediction.now.acceptance.value, 1.0) && close(value(prediction.now.speed_up), 10.0));
    assert!(close(value(prediction.now.flops_saving), 0.9));
    assert!(close(prediction.then.acceptance.value, 0.0) && close(value(prediction.then.speed_up), 1.0));
    assert!(close(value(prediction.then.flops_saving), 0.0));
    // The curve is about thresholds: it shows RSD all the same.
    let preview = recorder.preview(&alone(Answers::Target), keep, &[0.5], None);
    assert!(close(preview.curve[0].acceptance.value, 2.0 / 3.0));
}

#[test]
fn a_budget_is_predicted_at_the_threshold_that_meets_it() {
    let recorder = Recorder::new(1000);
    for step in 0..100_u64 {
        recorder.judged(judged(step / 10, Some(step as f64 / 100.0), 10, true));
    }
    let budget = |gamma| PolicyConfig { mode: Mode::Budget, gamma, ..at(0.7) };
    let point = |policy: PolicyConfig| recorder.predict(&at(0.5), &policy, keep, None).expect("a prediction").then;
    for gamma in [0.0, 0.3, 0.45, 1.0] {
        let point = point(budget(gamma));
        assert!(close(point.acceptance.value, 1.0 - gamma), "gamma {gamma}: {point:?}");
        assert!((point.delta - gamma).abs() < 0.01, "gamma {gamma}: {point:?}");
    }
    let floor = point(PolicyConfig { floor: 0.6, ..budget(0.3) });
    assert!(close(floor.delta, 0.6) && close(floor.acceptance.value, 0.4));
    let ceiling = point(PolicyConfig { ceiling: 0.2, ..budget(0.3) });
    assert!(close(ceiling.delta, 0.2) && close(ceiling.acceptance.value, 0.8));
}

#[test]
fn a_budget_sends_a_part_of_equal_rewards_and_every_step_without_one() {
    let recorder = Recorder::new(1000);
    for step in 0..100_u64 {
        recorder.judged(judged(step / 10, (step % 10 > 0).then_some(0.8), 10, true));
    }
    let point = |gamma| {
        let policy = PolicyConfig { mode: Mode::Budget, gamma, ..at(0.7) };
        recorder.preview(&policy, keep, &[], None).now.expect("a point")
    };
    assert!(close(point(0.3).acceptance.value, 0.7) && close(point(0.3).delta, 0.8));
    // A tenth goes to the target whatever the threshold is.
    assert!(close(point(0.05).acceptance.value, 0.9) && close(point(0.05).delta, 0.0));
}

/// One recorded answer: each step's reward, the draft's and the target's tokens, whether it was kept.
type Steps = Vec<(Option<f64>, usize, usize, bool)>;

fn records() -> impl Strategy<Value = Vec<Steps>> {
    let reward = prop_oneof![
        4 => (0.0f64..=1.0).prop_map(Some),
        2 => prop_oneof![Just(0.0), Just(0.5), Just(1.0)].prop_map(Some),
        1 => Just(None),
    ];
    let steps = proptest::collection::vec((reward, 0usize..60, 0usize..90, any::<bool>()), 1..12);
    proptest::collection::vec(steps, 1..40)
}

fn recorder(answers: &[Steps]) -> Recorder {
    let recorder = Recorder::new(10_000);
    for (id, steps) in (0..).zip(answers) {
        for (reward, draft, target, kept) in steps {
            recorder.judged(judged(id, *reward, *draft, *kept));
            if !kept {
                recorder.replaced(id, *target);
            }
        }
    }
    with_costs(&recorder);
    recorder
}

fn figures(point: &Point) -> impl Iterator<Item = Interval> {
    [Some(point.acceptance), Some(point.token_acceptance), point.speed_up, point.flops_saving].into_iter().flatten()
}

proptest! {
    #[test]
    fn a_higher_threshold_never_keeps_more(answers in records(), logistic: bool) {
        let weighting = if logistic { Weighting::Logistic } else { Weighting::Binary };
        let deltas: Vec<f64> = (-2..=22).map(|tick| f64::from(tick) / 20.0).collect();
        let curve = recorder(&answers).preview(&PolicyConfig { weighting, ..at(0.5) }, keep, &deltas, None).curve;
        for pair in curve.windows(2) {
            for figure in [|point: &Point| point.acceptance, |point: &Point| point.token_acceptance] {
                let (low, high) = (figure(&pair[0]), figure(&pair[1]));
                prop_assert!(low.value >= high.value && low.low >= high.low && low.high >= high.high);
            }
        }
    }

    #[test]
    fn the_extremes_hold_exactly(answers in records(), low in -1.0f64..=0.0, high in 1.000_001f64..2.0) {
        let curve = recorder(&answers).preview(&at(0.5), keep, &[low, high], Some(SIZES)).curve;
        for (point, exact) in curve.iter().zip([1.0, 0.0]) {
            let expected = Interval { value: exact, low: exact, high: exact };
            prop_assert_eq!((point.acceptance, point.token_acceptance), (expected, expected));
        }
        // The target alone is never slower than RSD that keeps nothing.
        prop_assert!(curve[1].speed_up.is_none_or(|speed_up| speed_up.high <= 1.0));
    }

    #[test]
    fn intervals_hold_their_value_and_are_finite_and_the_same_each_time(
        answers in records(), delta in -0.1f64..1.1, gamma in 0.0f64..=1.0,
    ) {
        let recorder = recorder(&answers);
        let then = PolicyConfig { mode: Mode::Budget, gamma, ..at(delta) };
        let ask = || recorder.predict(&at(delta), &then, keep, Some(SIZES)).expect("steps were judged");
        let prediction = ask();
        for figure in figures(&prediction.now).chain(figures(&prediction.then)) {
            prop_assert!(holds(&figure) && figure.low.is_finite() && figure.high.is_finite(), "{:?}", figure);
        }
        for figure in [prediction.now.acceptance, prediction.now.token_acceptance] {
            prop_assert!((0.0..=1.0).contains(&figure.low) && (0.0..=1.0).contains(&figure.high));
        }
        prop_assert_eq!(ask(), prediction);
    }
}

/// What serving some answers came to.
#[derive(Debug, Default)]
struct Served {
    judged: f64,
    kept: f64,
    seconds: f64,
    target_seconds: f64,
    flops: f64,
    target_flops: f64,
}

/// Serves answers whose steps are alike within an answer, as the loop does it, and counts every token: a run reads what
/// its cache lacks and one token more, and its first token comes out of the prefill.
fn serve(recorder: &Recorder, delta: f64, answers: u64, seed: u64) -> Served {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut served = Served::default();
    let run = |served: &mut Served, model, generated: usize, prefilled: usize| {
        let (decode, prefill, size) =
            if model == Model::Draft { (0.01, 0.002, SIZES.draft) } else { (0.05, 0.01, SIZES.target) };
        let prefill_seconds = prefilled as f64 * prefill;
        let seconds = prefill_seconds + (generated - 1) as f64 * decode;
        recorder.ran(Ran { model, generated, prefilled, prefill_seconds, seconds });
        served.seconds += seconds;
        served.flops += 2.0 * size as f64 * (generated + prefilled) as f64;
    };
    for answer in 0..answers {
        let ease: f64 = rng.random();
        let (mut drafting, mut unread, mut draft_unread, mut written) = (0, 0, 1, 0);
        for _ in 0..rng.random_range(4..20) {
            let reward = (0.25 * ease + 0.75 * rng.random::<f64>()).powf(0.7);
            let draft: usize = rng.random_range(15..60);
            let target: usize = draft + rng.random_range(0..20);
            let kept = reward >= delta;
            drafting += draft;
            served.judged += 1.0;
            recorder.judged(judged(seed * 1_000_000 + answer, Some(reward), draft, kept));
            recorder.scored(0.0, 0);
            if kept {
                served.kept += 1.0;
                unread += draft;
                written += draft;
            } else {
                run(&mut served, Model::Draft, drafting, draft_unread);
                run(&mut served, Model::Target, target, unread + 1);
                recorder.replaced(seed * 1_000_000 + answer, target);
                (drafting, unread, draft_unread) = (0, 0, target + 1);
                written += target;
            }
        }
        if drafting > 0 {
            run(&mut served, Model::Draft, drafting, draft_unread);
        }
        served.target_seconds += 0.05 * written as f64;
        served.target_flops += 2.0 * SIZES.target as f64 * written as f64;
    }
    served
}

#[test]
fn what_is_predicted_from_one_threshold_comes_true_at_another() {
    const SEEDS: u64 = 8;
    for delta in [0.2, 0.35, 0.5, 0.6, 0.7, 0.85] {
        // Long, so that what is left of a difference is the prediction's.
        let came = serve(&Recorder::new(1), delta, 4_000, 100);
        let acceptance = came.kept / came.judged;
        let speed_up = came.target_seconds / came.seconds;
        let saving = 1.0 - came.flops / came.target_flops;
        let (mut mean_speed_up, mut mean_saving) = (0.0, 0.0);
        for seed in 0..SEEDS {
            let recorder = Recorder::new(4096);
            serve(&recorder, 0.6, 400, seed);
            let predicted = recorder.preview(&at(delta), keep, &[], Some(SIZES)).now.expect("a point");
            assert!((predicted.acceptance.value - acceptance).abs() < 0.03, "{predicted:?} came {acceptance}");
            mean_speed_up += value(predicted.speed_up) / SEEDS as f64;
            mean_saving += value(predicted.flops_saving) / SEEDS as f64;
        }
        println!(
            "delta {delta}: acceptance {acceptance:.3}; speed-up {speed_up:.3}, predicted {mean_speed_up:.3}; FLOP \
             saving {saving:.3}, predicted {mean_saving:.3}"
        );
        assert!((mean_speed_up / speed_up - 1.0).abs() < 0.04);
        assert!((mean_saving - saving).abs() < 0.02);
    }
}

#[test]
fn the_truth_lies_within_nine_in_ten_intervals_at_least() {
    let delta = 0.6;
    let truth = serve(&Recorder::new(1), delta, 40_000, 1);
    let (acceptance, speed_up) = (truth.kept / truth.judged, truth.target_seconds / truth.seconds);
    for answers in [3, 12, 50] {
        let mut hits = (0, 0);
        for seed in 0..200 {
            let recorder = Recorder::new(4096);
            serve(&recorder, delta, answers, 10 + seed);
            let point = recorder.preview(&at(delta), keep, &[], None).now.expect("a point");
            let holds = |interval: Interval, truth: f64| u32::from(interval.low <= truth && truth <= interval.high);
            hits.0 += holds(point.acceptance, acceptance);
            hits.1 += holds(point.speed_up.expect("a speed-up"), speed_up);
        }
        println!("{answers} answers: of 200 intervals {} hold the acceptance, {} the speed-up", hits.0, hits.1);
        assert!(hits.0 >= 180 && hits.1 >= 180, "{answers} answers: {hits:?}");
    }
}

#[test]
fn a_curve_of_a_hundred_points_is_quick() {
    for (name, steps_per_answer) in [("ten steps an answer", 10), ("one step an answer", 1)] {
        let recorder = Recorder::new(4096);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for step in 0..5000_u64 {
            recorder.judged(judged(step / steps_per_answer, Some(rng.random()), rng.random_range(10..60), true));
        }
        with_costs(&recorder);
        let deltas: Vec<f64> = (0..100).map(|tick| f64::from(tick) / 100.0).collect();
        let began = std::time::Instant::now();
        let preview = recorder.preview(&at(0.5), keep, &deltas, Some(SIZES));
        println!("{name}: {} points over {} steps in {:?}", preview.curve.len(), preview.basis.steps, began.elapsed());
        assert_eq!(preview.curve.len(), 100);
    }
}
