use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rsd_protocol::{
    policy::{AfterRejection, AnswerRoute, ThresholdMode, WeightingFunction},
    preview::{ConfidenceInterval, PredictedPoint},
};

use super::*;
use crate::policy::{Decision, Policy};

const SIZES: ModelParameters = ModelParameters { draft: 1, reward: 0, target: 10 };

fn at(delta: f64) -> PolicyConfig {
    PolicyConfig { delta, after_rejection: AfterRejection::Draft, ..PolicyConfig::default() }
}

/// Records a decision on a step of `tokens` draft tokens.
fn decide(recorder: &StepRecorder, answer: u64, reward: Option<f64>, tokens: usize, accepted: bool) {
    let decision = if accepted { Decision::Accept } else { Decision::Reject };
    let policy = Policy { revision: 1, values: at(0.5) };
    recorder.record_decision(answer, &StepDecision { tokens, reward, policy, decision }, 1_000 + answer);
}

fn score(seconds: f64, prefilled: usize) -> StepScore {
    StepScore { prefilled, seconds, ..StepScore::default() }
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-9
}

fn holds(interval: &ConfidenceInterval) -> bool {
    interval.low <= interval.value && interval.value <= interval.high
}

fn value(interval: Option<ConfidenceInterval>) -> f64 {
    interval.expect("a figure").value
}

/// Round unit costs: 0.01 and 0.001 for the draft, 0.1 and 0.02 for the target, 0.05 per scored step of 20 tokens.
fn with_costs(recorder: &StepRecorder) {
    let run = |decode: f64, prefill: f64| RunReport {
        generated: 11,
        prefilled: 10,
        prefill_seconds: 10.0 * prefill,
        seconds: 10.0 * prefill + 10.0 * decode,
        ..RunReport::default()
    };
    recorder.record_run(StepSource::Draft, &run(0.01, 0.001));
    recorder.record_run(StepSource::Target, &run(0.1, 0.02));
    recorder.record_score(&score(0.05, 20));
}

fn three_steps() -> StepRecorder {
    let recorder = StepRecorder::new(100);
    decide(&recorder, 1, Some(0.9), 10, true);
    decide(&recorder, 1, Some(0.4), 20, false);
    recorder.record_replacement(1, 30);
    decide(&recorder, 1, Some(0.8), 10, true);
    recorder
}

#[test]
fn a_preview_knows_which_threshold_each_step_meets() {
    let recorder = three_steps();
    // With the steps the answer has 10, 30 and 50 tokens.
    let accepted = |policy: PolicyConfig| recorder.preview(&policy, &[], None).now.unwrap().acceptance.value;
    assert!(close(accepted(at(0.85)), 1.0 / 3.0));
    assert!(close(accepted(PolicyConfig { ramp_tokens: 60, ..at(0.85) }), 2.0 / 3.0));
    assert!(close(accepted(PolicyConfig { ramp_tokens: 100, ..at(0.85) }), 1.0));
}

#[test]
fn three_steps_cost_what_they_cost_by_hand() {
    let recorder = three_steps();
    with_costs(&recorder);
    let sizes = Some(ModelParameters { draft: 1, reward: 2, target: 10 });
    let preview = recorder.preview(&at(0.5), &[0.5, 0.85], sizes);
    assert_eq!(preview.now, Some(preview.curve[0]));

    // The draft decodes 40 and prefills 30 tokens, 3 steps are scored, the target prefills 10 and decodes 30; the answer
    // has 50 tokens.
    let first = preview.curve[0];
    assert!(close(first.acceptance.value, 2.0 / 3.0));
    assert!(close(first.token_acceptance.value, 0.5));
    assert!(close(value(first.speedup), 5.0 / (0.4 + 0.15 + 0.2 + 3.0 + 0.03)));
    assert!(close(value(first.flops_saving), 1.0 - (80.0 + 240.0 + 200.0 + 600.0 + 60.0) / 1000.0));

    // The last step is rejected too: of the target's 1.5 tokens per token of the draft, it would have had 15.
    let second = preview.curve[1];
    assert!(close(second.acceptance.value, 1.0 / 3.0));
    assert!(close(second.token_acceptance.value, 0.25));
    assert!(close(value(second.speedup), 5.5 / (0.4 + 0.15 + 0.2 + 4.5 + 0.045)));
    assert!(close(value(second.flops_saving), 1.0 - (80.0 + 240.0 + 200.0 + 900.0 + 90.0) / 1100.0));

    assert_eq!((preview.basis.steps, preview.basis.answers, preview.basis.since_ms), (3, 1, Some(1_001)));
    assert_eq!(preview.basis.costs, recorder.unit_costs());
}

#[test]
fn of_one_answer_the_intervals_are_wilsons_and_the_costs_follow_them() {
    let recorder = three_steps();
    with_costs(&recorder);
    let point = recorder.preview(&at(0.5), &[], None).now.expect("a point");
    // Two of three steps; 20 of 40 tokens, in steps that weigh like 40^2 / (10^2 + 20^2 + 10^2) equal ones.
    let (steps, tokens) = (interval::wilson(2.0 / 3.0, 3.0), interval::wilson(0.5, 1600.0 / 600.0));
    assert!(close(point.acceptance.low, steps.low) && close(point.acceptance.high, steps.high));
    assert!(close(point.token_acceptance.low, tokens.low) && close(point.token_acceptance.high, tokens.high));
    let speedup = point.speedup.expect("a speedup");
    for (p, end) in [(steps.low, speedup.low), (steps.high, speedup.high)] {
        let evenly = PolicyConfig { weighting: WeightingFunction::Constant, constant_probability: p, ..at(0.5) };
        let evenly = recorder.preview(&evenly, &[], None).now.expect("a point");
        assert!(close(value(evenly.speedup), end), "{evenly:?}");
    }
}

#[test]
fn where_chance_decides_the_target_prefills_what_it_is_expected_not_to_have_prefilled() {
    let recorder = StepRecorder::new(100);
    decide(&recorder, 1, Some(0.9), 10, true);
    decide(&recorder, 1, Some(0.9), 10, true);
    with_costs(&recorder);
    let policy = PolicyConfig { weighting: WeightingFunction::Constant, constant_probability: 0.5, ..at(0.5) };
    let point = recorder.preview(&policy, &[], None).now.expect("a point");
    // The draft decodes 20 and prefills 10 tokens, 2 steps are scored, the target decodes 5 + 5 and prefills 0 + 0.5 * 5;
    // the answer has 20 tokens.
    assert!(close(value(point.speedup), 2.0 / (0.2 + 0.1 + 1.0 + 0.01 + 0.05)));
}

#[test]
fn where_the_target_goes_on_the_rest_is_decoded_by_it() {
    let recorder = three_steps();
    with_costs(&recorder);
    let target = PolicyConfig { after_rejection: AfterRejection::Target, ..at(0.5) };
    let point = recorder.preview(&target, &[], Some(SIZES)).now.expect("a point");
    // The draft decodes 30 tokens, 2 steps are scored, the target prefills 10 and decodes 30, and 15 for the last step;
    // the answer has 55 tokens.
    assert!(close(value(point.speedup), 5.5 / (0.3 + 0.1 + 0.2 + 4.5)));
    assert!(close(value(point.flops_saving), 1.0 - (60.0 + 200.0 + 900.0) / 1100.0));
    assert!(close(point.acceptance.value, 2.0 / 3.0), "the rate does not depend on who goes on");
}

#[test]
fn auto_is_predicted_as_the_cheapest_course_with_the_answers_that_explore() {
    let recorder = three_steps();
    with_costs(&recorder);
    let speedup = |after_rejection, delta, exploration| {
        let policy = PolicyConfig { after_rejection, exploration, ..at(delta) };
        value(recorder.preview(&policy, &[], None).now.expect("a point").speedup)
    };
    let paper = |delta| speedup(AfterRejection::Draft, delta, 0.0);
    let target = |delta| speedup(AfterRejection::Target, delta, 0.0);
    assert!(close(speedup(AfterRejection::Auto, 0.5, 0.0), paper(0.5)) && paper(0.5) > target(0.5));
    // Where nothing is accepted, every course but the target alone costs more.
    assert!(paper(0.95) < 1.0 && close(speedup(AfterRejection::Auto, 0.95, 0.0), 1.0));
    let explores = speedup(AfterRejection::Auto, 0.95, 0.1);
    assert!(explores < 1.0 && explores > 0.97, "{explores}");
    assert!(close(speedup(AfterRejection::Auto, 0.0, 0.1), paper(0.0)));
    assert!(close(speedup(AfterRejection::Auto, 1.5, 0.1), 1.0));
}

#[test]
fn steps_that_the_target_decoded_alone_are_part_of_their_answers() {
    let recorder = StepRecorder::new(100);
    decide(&recorder, 1, Some(0.9), 10, true);
    decide(&recorder, 1, Some(0.2), 10, false);
    recorder.record_replacement(1, 20);
    recorder.record_alone(1, 40, 5_000);
    recorder.record_alone(2, 40, 5_000);
    with_costs(&recorder);
    let preview = recorder.preview(&at(0.5), &[], None);
    assert_eq!((preview.basis.steps, preview.basis.answers), (2, 2));
    let point = preview.now.expect("a point");
    // Two target tokens for each token of the draft, so 20 would be drafted for each of both steps, half accepted.
    assert!(close(point.acceptance.value, 0.5));
    // The draft decodes 10 + 10 + 20 + 20 and prefills 20 + 20 + 20 tokens, 4 steps are scored, the target prefills 10
    // and decodes 20 + 20 + 20; the answers have 10 + 20 + 30 + 30 tokens.
    assert!(close(value(point.speedup), 9.0 / (0.6 + 0.2 + 0.2 + 6.0 + 0.06)));

    // Without a draft step nothing is known of the draft.
    let recorder = StepRecorder::new(100);
    recorder.record_alone(1, 40, 5_000);
    assert_eq!(recorder.preview(&at(0.5), &[0.5], None).now, None);
}

#[test]
fn nothing_is_predicted_before_a_step_was_decided_and_no_figure_before_its_costs_were_observed() {
    let empty = StepRecorder::new(100);
    let preview = empty.preview(&at(0.5), &[0.5], Some(SIZES));
    assert_eq!((preview.now, preview.curve.len(), preview.basis.since_ms), (None, 0, None));
    assert!(empty.predict(&at(0.5), &at(0.6), None).is_none());

    let recorder = three_steps();
    let point = |delta, sizes| recorder.preview(&at(delta), &[], sizes).now.expect("a point");
    assert!(point(0.5, None).speedup.is_none() && point(0.5, None).flops_saving.is_none());
    assert!(point(0.5, Some(SIZES)).flops_saving.is_some());
    assert!(point(0.5, Some(ModelParameters { reward: 1, ..SIZES })).flops_saving.is_none());

    let run = RunReport { generated: 11, prefilled: 0, prefill_seconds: 0.01, seconds: 0.1, ..RunReport::default() };
    recorder.record_run(StepSource::Draft, &run);
    recorder.record_run(StepSource::Target, &run);
    assert!(point(0.0, None).speedup.is_none());
    recorder.record_score(&score(0.0, 0));
    // No model prefills anything where every step is accepted; elsewhere the prefill costs are needed.
    assert!(point(0.0, None).speedup.is_some() && point(0.5, None).speedup.is_none());
}

#[test]
fn another_route_is_predicted_too() {
    let recorder = three_steps();
    with_costs(&recorder);
    let alone = |route| PolicyConfig { route, ..at(0.5) };
    let prediction = recorder.predict(&alone(AnswerRoute::Draft), &alone(AnswerRoute::Target), Some(SIZES));
    let prediction = prediction.expect("a prediction");
    assert!(close(prediction.now.acceptance.value, 1.0) && close(value(prediction.now.speedup), 10.0));
    assert!(close(value(prediction.now.flops_saving), 0.9));
    assert!(close(prediction.then.acceptance.value, 0.0) && close(value(prediction.then.speedup), 1.0));
    assert!(close(value(prediction.then.flops_saving), 0.0));
    // The curve shows RSD whatever the route is.
    let preview = recorder.preview(&alone(AnswerRoute::Target), &[0.5], None);
    assert!(close(preview.curve[0].acceptance.value, 2.0 / 3.0));
}

#[test]
fn a_budget_is_predicted_at_the_threshold_that_meets_it() {
    let recorder = StepRecorder::new(1000);
    for step in 0..100_u64 {
        decide(&recorder, step / 10, Some(step as f64 / 100.0), 10, true);
    }
    let budget = |gamma| PolicyConfig { mode: ThresholdMode::Budget, target_rate: gamma, ..at(0.7) };
    let point = |policy: PolicyConfig| recorder.predict(&at(0.5), &policy, None).expect("a prediction").then;
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
fn a_budget_rejects_a_part_of_equal_rewards_and_every_step_without_one() {
    let recorder = StepRecorder::new(1000);
    for step in 0..100_u64 {
        decide(&recorder, step / 10, (step % 10 > 0).then_some(0.8), 10, true);
    }
    let point = |gamma| {
        let policy = PolicyConfig { mode: ThresholdMode::Budget, target_rate: gamma, ..at(0.7) };
        recorder.preview(&policy, &[], None).now.expect("a point")
    };
    assert!(close(point(0.3).acceptance.value, 0.7) && close(point(0.3).delta, 0.8));
    // A tenth is rejected whatever the threshold is.
    assert!(close(point(0.05).acceptance.value, 0.9) && close(point(0.05).delta, 0.0));
}

/// One recorded answer: each step's reward, the draft's and the target's tokens, whether it was accepted.
type RecordedSteps = Vec<(Option<f64>, usize, usize, bool)>;

fn records() -> impl Strategy<Value = Vec<RecordedSteps>> {
    let reward = prop_oneof![
        4 => (0.0f64..=1.0).prop_map(Some),
        2 => prop_oneof![Just(0.0), Just(0.5), Just(1.0)].prop_map(Some),
        1 => Just(None),
    ];
    let steps = proptest::collection::vec((reward, 0usize..60, 0usize..90, any::<bool>()), 1..12);
    proptest::collection::vec(steps, 1..40)
}

fn recorder(answers: &[RecordedSteps]) -> StepRecorder {
    let recorder = StepRecorder::new(10_000);
    for (id, steps) in (0..).zip(answers) {
        for (reward, draft, target, accepted) in steps {
            decide(&recorder, id, *reward, *draft, *accepted);
            if !accepted {
                recorder.record_replacement(id, *target);
            }
        }
    }
    with_costs(&recorder);
    recorder
}

fn figures(point: &PredictedPoint) -> impl Iterator<Item = ConfidenceInterval> {
    [Some(point.acceptance), Some(point.token_acceptance), point.speedup, point.flops_saving].into_iter().flatten()
}

proptest! {
    #[test]
    fn a_higher_threshold_never_accepts_more(answers in records(), logistic: bool) {
        let weighting = if logistic { WeightingFunction::Logistic } else { WeightingFunction::Binary };
        let deltas: Vec<f64> = (-2..=22).map(|tick| f64::from(tick) / 20.0).collect();
        let curve = recorder(&answers).preview(&PolicyConfig { weighting, ..at(0.5) }, &deltas, None).curve;
        for pair in curve.windows(2) {
            for figure in [|point: &PredictedPoint| point.acceptance, |point: &PredictedPoint| point.token_acceptance] {
                let (low, high) = (figure(&pair[0]), figure(&pair[1]));
                prop_assert!(low.value >= high.value && low.low >= high.low && low.high >= high.high);
            }
        }
    }

    #[test]
    fn the_extremes_hold_exactly(answers in records(), low in -1.0f64..=0.0, high in 1.000_001f64..2.0) {
        let curve = recorder(&answers).preview(&at(0.5), &[low, high], Some(SIZES)).curve;
        for (point, exact) in curve.iter().zip([1.0, 0.0]) {
            let expected = ConfidenceInterval { value: exact, low: exact, high: exact };
            prop_assert_eq!((point.acceptance, point.token_acceptance), (expected, expected));
        }
        // The target alone is never slower than RSD that accepts nothing.
        prop_assert!(curve[1].speedup.is_none_or(|speedup| speedup.high <= 1.0));
    }

    #[test]
    fn intervals_hold_their_value_and_are_finite_and_the_same_each_time(
        answers in records(), delta in -0.1f64..1.1, gamma in 0.0f64..=1.0,
    ) {
        let recorder = recorder(&answers);
        let then = PolicyConfig { mode: ThresholdMode::Budget, target_rate: gamma, ..at(delta) };
        let ask = || recorder.predict(&at(delta), &then, Some(SIZES)).expect("steps were decided");
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

/// The totals of some served answers.
#[derive(Debug, Default)]
struct ServedTotals {
    decided: f64,
    accepted: f64,
    seconds: f64,
    target_seconds: f64,
    flops: f64,
    target_flops: f64,
}

/// Serves answers whose steps are similar within an answer, as the loop does, and counts every token: a run prefills
/// what its cache lacks and one token more, and its first token is a result of the prefill.
fn serve(recorder: &StepRecorder, delta: f64, answers: u64, seed: u64) -> ServedTotals {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut served = ServedTotals::default();
    let run = |served: &mut ServedTotals, source, generated: usize, prefilled: usize| {
        let (decode, prefill, size) =
            if source == StepSource::Draft { (0.01, 0.002, SIZES.draft) } else { (0.05, 0.01, SIZES.target) };
        let prefill_seconds = prefilled as f64 * prefill;
        let seconds = prefill_seconds + (generated - 1) as f64 * decode;
        let report = RunReport { generated, prefilled, prefill_seconds, seconds, ..RunReport::default() };
        recorder.record_run(source, &report);
        served.seconds += seconds;
        served.flops += 2.0 * size as f64 * (generated + prefilled) as f64;
    };
    for answer in 0..answers {
        let ease: f64 = rng.random();
        let (mut drafting, mut to_prefill, mut draft_to_prefill, mut decoded) = (0, 0, 1, 0);
        for _ in 0..rng.random_range(4..20) {
            let reward = (0.25 * ease + 0.75 * rng.random::<f64>()).powf(0.7);
            let draft: usize = rng.random_range(15..60);
            let target: usize = draft + rng.random_range(0..20);
            let accepted = reward >= delta;
            drafting += draft;
            served.decided += 1.0;
            decide(recorder, seed * 1_000_000 + answer, Some(reward), draft, accepted);
            recorder.record_score(&score(0.0, 0));
            if accepted {
                served.accepted += 1.0;
                to_prefill += draft;
                decoded += draft;
            } else {
                run(&mut served, StepSource::Draft, drafting, draft_to_prefill);
                run(&mut served, StepSource::Target, target, to_prefill + 1);
                recorder.record_replacement(seed * 1_000_000 + answer, target);
                (drafting, to_prefill, draft_to_prefill) = (0, 0, target + 1);
                decoded += target;
            }
        }
        if drafting > 0 {
            run(&mut served, StepSource::Draft, drafting, draft_to_prefill);
        }
        served.target_seconds += 0.05 * decoded as f64;
        served.target_flops += 2.0 * SIZES.target as f64 * decoded as f64;
    }
    served
}

#[test]
fn what_is_predicted_from_one_threshold_comes_true_at_another() {
    const SEEDS: u64 = 8;
    for delta in [0.2, 0.35, 0.5, 0.6, 0.7, 0.85] {
        // Long, so that what is left of a difference is the prediction's.
        let came = serve(&StepRecorder::new(1), delta, 4_000, 100);
        let acceptance = came.accepted / came.decided;
        let speedup = came.target_seconds / came.seconds;
        let saving = 1.0 - came.flops / came.target_flops;
        let (mut mean_speedup, mut mean_saving) = (0.0, 0.0);
        for seed in 0..SEEDS {
            let recorder = StepRecorder::new(4096);
            serve(&recorder, 0.6, 400, seed);
            let predicted = recorder.preview(&at(delta), &[], Some(SIZES)).now.expect("a point");
            assert!((predicted.acceptance.value - acceptance).abs() < 0.03, "{predicted:?} came {acceptance}");
            mean_speedup += value(predicted.speedup) / SEEDS as f64;
            mean_saving += value(predicted.flops_saving) / SEEDS as f64;
        }
        println!(
            "delta {delta}: acceptance {acceptance:.3}; speedup {speedup:.3}, predicted {mean_speedup:.3}; FLOP \
             saving {saving:.3}, predicted {mean_saving:.3}"
        );
        assert!((mean_speedup / speedup - 1.0).abs() < 0.04);
        assert!((mean_saving - saving).abs() < 0.02);
    }
}

#[test]
fn the_truth_lies_within_nine_in_ten_intervals_at_least() {
    let delta = 0.6;
    let truth = serve(&StepRecorder::new(1), delta, 40_000, 1);
    let (acceptance, speedup) = (truth.accepted / truth.decided, truth.target_seconds / truth.seconds);
    for answers in [3, 12, 50] {
        let mut hits = (0, 0);
        for seed in 0..200 {
            let recorder = StepRecorder::new(4096);
            serve(&recorder, delta, answers, 10 + seed);
            let point = recorder.preview(&at(delta), &[], None).now.expect("a point");
            let holds =
                |interval: ConfidenceInterval, truth: f64| u32::from(interval.low <= truth && truth <= interval.high);
            hits.0 += holds(point.acceptance, acceptance);
            hits.1 += holds(point.speedup.expect("a speedup"), speedup);
        }
        println!("{answers} answers: of 200 intervals {} hold the acceptance, {} the speedup", hits.0, hits.1);
        assert!(hits.0 >= 180 && hits.1 >= 180, "{answers} answers: {hits:?}");
    }
}

#[test]
fn a_curve_of_a_hundred_points_is_quick() {
    for (name, steps_per_answer) in [("ten steps an answer", 10), ("one step an answer", 1)] {
        let recorder = StepRecorder::new(4096);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for step in 0..5000_u64 {
            decide(&recorder, step / steps_per_answer, Some(rng.random()), rng.random_range(10..60), true);
        }
        with_costs(&recorder);
        let deltas: Vec<f64> = (0..100).map(|tick| f64::from(tick) / 100.0).collect();
        let began = std::time::Instant::now();
        let preview = recorder.preview(&at(0.5), &deltas, Some(SIZES));
        println!("{name}: {} points over {} steps in {:?}", preview.curve.len(), preview.basis.steps, began.elapsed());
        assert_eq!(preview.curve.len(), 100);
    }
}
