//! Records events and checks the rendered text.

// Counts are whole numbers, exact in a float.
#![allow(clippy::float_cmp)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use proptest::prelude::*;
use rsd_core::{
    pipeline::{
        observe::{AnswerEnd, ModelRole, ObserverFanout, PipelineEvent, PipelineObserver, StepDecision},
        roles::{ModelHealth, RunReport, StepScore},
        testing::{WaitValve, World, block_on},
        trace::{AnswerTotals, AnswerTrace, FallbackReason, ModelTotals, StepSource},
    },
    policy::{Decision, Policy, handover::HandoverReason},
};
use rsd_protocol::{
    metrics::{ALL, MetricKind},
    policy::PolicyConfig,
};

use super::*;

const KNOWN: UnitCosts = UnitCosts {
    draft_decode: None,
    draft_prefill: None,
    target_decode: Some(0.5),
    target_prefill: Some(0.25),
    reward_step: None,
};

fn metrics(costs: UnitCosts) -> Metrics {
    Metrics::new(&World::new(1).rsd(), move || costs).unwrap()
}

/// Every sample of a text, by its name with labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap())).unwrap())
        .collect()
}

fn read(metrics: &Metrics) -> BTreeMap<String, f64> {
    samples(&metrics.render(QueueDepth::default()).unwrap())
}

fn decided(decision: Decision, tokens: usize, reward: Option<f64>) -> StepDecision {
    let policy = Policy { revision: 1, values: PolicyConfig::default() };
    StepDecision { tokens, reward, policy, decision }
}

#[test]
fn every_metric_of_the_list_is_there_from_the_start_with_every_label_and_no_other_is() {
    let metrics = metrics(UnitCosts {
        draft_decode: Some(0.1),
        draft_prefill: Some(0.1),
        target_decode: Some(0.1),
        target_prefill: Some(0.1),
        reward_step: Some(0.1),
    });
    let text = metrics.render(QueueDepth::default()).unwrap();
    let found: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let listed = |metric: &names::MetricSpec| {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram(_) => "histogram",
        };
        format!("{} {kind}", metric.name)
    };
    // The scripted models have no cache whose size were known, no price and no address.
    let absent = [
        &names::CACHE_BYTES,
        &names::COST,
        &names::ANSWER_COST,
        &names::TARGET_ONLY_COST,
        &names::REMOTE_ADDRESS_USABLE,
        &names::REMOTE_ADDRESS_LEFT_ALONE,
    ]
    .map(|m| m.name);
    let expected: BTreeSet<String> = ALL.iter().filter(|m| !absent.contains(&m.name)).map(listed).collect();
    assert_eq!(found, expected.iter().map(String::as_str).collect());
    let samples = samples(&text);
    for metric in ALL.iter().filter(|metric| metric.kind == MetricKind::Counter) {
        let combinations: usize = metric.labels.iter().map(|(_, values)| values.len()).product();
        let prefix = format!("{}{{", metric.name);
        let found = samples.iter().filter(|(name, _)| *name == metric.name || name.starts_with(&prefix));
        let values: Vec<f64> = found.map(|(_, value)| *value).collect();
        assert_eq!(values, vec![0.0; combinations], "{}", metric.name);
    }
    assert_eq!(samples[r#"rsd_observed_seconds_per_token{phase="prefill",role="reward"}"#], 0.1);
    assert!(!samples.contains_key(r#"rsd_observed_seconds_per_token{phase="decode",role="reward"}"#));
}

#[test]
fn the_order_of_every_enum_is_the_order_of_its_label() {
    let metrics = metrics(KNOWN);
    let observe = |event: &PipelineEvent<'_>| metrics.observe(0, event);
    let report = RunReport {
        generated: 3,
        prefilled: 4,
        verified: 0,
        prompt: 9,
        prefill_seconds: 1.0,
        seconds: 3.0,
        forwards: 4,
    };
    observe(&PipelineEvent::RunFinished { source: StepSource::Draft, report: &report });
    observe(&PipelineEvent::RunFinished {
        source: StepSource::Target,
        report: &RunReport { generated: 0, seconds: 0.5, ..report },
    });
    observe(&PipelineEvent::StepScored(&StepScore {
        reward: 0.5,
        prompt: 7,
        prefilled: 2,
        seconds: 0.125,
        ..StepScore::default()
    }));
    observe(&PipelineEvent::TokensEmitted { source: StepSource::Target, tokens: 5 });
    observe(&PipelineEvent::ModelFailed(ModelRole::Reward));
    observe(&PipelineEvent::FellBack(FallbackReason::DraftContext));
    observe(&PipelineEvent::HandedOver(HandoverReason::Regret));
    observe(&PipelineEvent::FalseStatement);
    observe(&PipelineEvent::StepDecided(&decided(Decision::Accept, 6, Some(0.75))));
    metrics.requests.record_end(RequestOutcome::Refused, std::time::Duration::ZERO);
    metrics.record_policy_change(RevisionCause::Expiry { of: 2 });
    metrics.record_admin_attempt(true);
    let text = metrics.render(QueueDepth { running: 2, waiting: 1 }).unwrap();
    let changed = text.lines().filter(|line| !line.starts_with('#') && !line.ends_with(" 0"));
    let of_interest = changed.filter(|line| !line.contains("_bucket") && !line.contains("start_time"));
    insta::assert_snapshot!(of_interest.collect::<Vec<_>>().join("\n"), @r#"
    rsd_admin_attempts_total{outcome="denied"} 1
    rsd_build_info{version="0.1.0"} 1
    rsd_cached_tokens_total{role="draft"} 5
    rsd_cached_tokens_total{role="reward"} 5
    rsd_cached_tokens_total{role="target"} 5
    rsd_draft_tokens_total{outcome="accepted"} 6
    rsd_emitted_tokens_total{source="target"} 5
    rsd_fallbacks_total{reason="draft_context"} 1
    rsd_false_steps_total 1
    rsd_generated_tokens_total{role="draft"} 3
    rsd_handover_total{reason="regret"} 1
    rsd_model_failures_total{role="reward"} 1
    rsd_model_seconds_total{phase="decode",role="draft"} 2
    rsd_model_seconds_total{phase="prefill",role="draft"} 1
    rsd_model_seconds_total{phase="prefill",role="reward"} 0.125
    rsd_model_seconds_total{phase="prefill",role="target"} 0.5
    rsd_model_up{role="draft"} 1
    rsd_model_up{role="target"} 1
    rsd_observed_seconds_per_token{phase="decode",role="target"} 0.5
    rsd_observed_seconds_per_token{phase="prefill",role="target"} 0.25
    rsd_policy_changes_total{cause="expiry"} 1
    rsd_policy_delta 0.5
    rsd_policy_mode{mode="fixed"} 1
    rsd_policy_revision 1
    rsd_policy_route{route="rsd"} 1
    rsd_policy_target_rate 0.3
    rsd_prefilled_tokens_total{role="draft"} 4
    rsd_prefilled_tokens_total{role="reward"} 2
    rsd_prefilled_tokens_total{role="target"} 4
    rsd_requests_running 2
    rsd_requests_total{outcome="refused"} 1
    rsd_requests_waiting 1
    rsd_reward_sum 0.75
    rsd_reward_count 1
    rsd_spec_decode_num_accepted_tokens_total 6
    rsd_spec_decode_num_draft_tokens_total 6
    rsd_spec_decode_num_drafts_total 1
    rsd_step_decisions_total 1
    rsd_steps_total{outcome="accepted"} 1
    "#);
}

#[test]
fn a_fallback_is_active_until_the_next_score() {
    let metrics = metrics(KNOWN);
    let active = || read(&metrics)["rsd_fallback_active"];
    let observe = |event: &PipelineEvent<'_>| metrics.observe(0, event);
    observe(&PipelineEvent::FellBack(FallbackReason::DraftContext));
    assert_eq!(active(), 0.0);
    for fallback in [FallbackReason::RewardTimeout, FallbackReason::DraftFailed, FallbackReason::TargetFailed] {
        if fallback == FallbackReason::RewardTimeout {
            observe(&PipelineEvent::StepDecided(&decided(Decision::Reject, 1, None)));
        }
        observe(&PipelineEvent::FellBack(fallback));
        assert_eq!(active(), 1.0);
        observe(&PipelineEvent::StepDecided(&decided(Decision::Reject, 1, Some(0.5))));
        assert_eq!(active(), 0.0);
    }
}

#[test]
fn deaths_of_an_engine_are_failures_of_its_model_and_it_is_down_until_it_runs_again() {
    let world = World::new(1);
    let metrics = Metrics::new(&world.rsd(), move || KNOWN).unwrap();
    let target = || {
        let read = read(&metrics);
        ["failures_total", "up"].map(|name| read[&format!("rsd_model_{name}{{role=\"target\"}}")])
    };
    assert_eq!(target(), [0.0, 1.0]);
    *world.target.health.lock() = ModelHealth { running: false, deaths: 1 };
    assert_eq!(target(), [1.0, 0.0]);
    *world.target.health.lock() = ModelHealth { running: true, deaths: 3 };
    assert_eq!(target(), [3.0, 1.0]);
    assert_eq!(target(), [3.0, 1.0]);
}

#[test]
fn a_model_is_down_from_a_failure_to_its_next_success() {
    let metrics = metrics(KNOWN);
    let up = |role: &str| read(&metrics)[&format!("rsd_model_up{{role=\"{role}\"}}")];
    let observe = |event: &PipelineEvent<'_>| metrics.observe(0, event);
    observe(&PipelineEvent::ModelFailed(ModelRole::Target));
    observe(&PipelineEvent::ModelFailed(ModelRole::Reward));
    observe(&PipelineEvent::RunFinished { source: StepSource::Draft, report: &RunReport::default() });
    assert_eq!((up("draft"), up("reward"), up("target")), (1.0, 0.0, 0.0));
    observe(&PipelineEvent::RunFinished { source: StepSource::Target, report: &RunReport::default() });
    observe(&PipelineEvent::StepScored(&StepScore::default()));
    assert_eq!((up("reward"), up("target")), (1.0, 1.0));
}

#[test]
fn only_complete_scored_answers_with_a_known_target_are_compared_with_the_target_alone() {
    let model = |generated, prefilled, seconds| ModelTotals { generated, prefilled, seconds, ..Default::default() };
    let totals = AnswerTotals {
        draft: model(8, 4, 1.0),
        reward: model(0, 6, 0.5),
        target: model(2, 5, 1.5),
        ..AnswerTotals::default()
    };
    let trace = AnswerTrace { totals, ..AnswerTrace::default() };
    let cancelled = rsd_core::pipeline::PipelineError::Cancelled;
    let request = World::new(0).request;
    let ended = |steps_scored, error| AnswerEnd {
        request: &request,
        steps_scored,
        error,
        trace: &trace,
        prompt_tokens: 9,
        prompt_prefilled: 4,
        completion_tokens: 10,
    };
    let after = |costs, ended: &AnswerEnd<'_>| {
        let metrics = metrics(costs);
        metrics.observe(0, &PipelineEvent::AnswerEnded(ended));
        let read = read(&metrics);
        let flops: f64 = ["draft", "reward", "target"]
            .iter()
            .map(|role| read[&format!("rsd_estimated_flops_total{{accounting=\"total\",role=\"{role}\"}}")])
            .sum();
        (read["rsd_answer_model_seconds_total"], read["rsd_target_only_estimated_seconds_total"], flops)
    };
    assert_eq!(after(KNOWN, &ended(false, None)), (0.0, 0.0, 0.0));
    assert_eq!(after(KNOWN, &ended(true, Some(&cancelled))), (0.0, 0.0, 0.0));
    let parameters = World::new(1).rsd().parameters().unwrap();
    let flops = totals.flops(parameters).total;
    assert_eq!(after(UnitCosts::default(), &ended(true, None)), (0.0, 0.0, flops));
    assert_eq!(after(KNOWN, &ended(true, None)), (3.0, 4.0 * 0.25 + 10.0 * 0.5, flops));
}

#[test]
fn money_is_counted_for_models_with_a_price_and_compared_with_the_target_alone() {
    let price = |input, cached_input, output| {
        let currency = rsd_core::pipeline::price::CurrencyCode::parse("EUR").unwrap();
        Some(rsd_core::pipeline::price::TokenPrice { input, cached_input, output, currency })
    };
    let scrape = |draft, target, fallback| {
        let mut world = World::new(1);
        (world.draft.price, world.target.price) = (draft, target);
        let metrics = Metrics::new(&world.rsd(), || KNOWN).unwrap();
        let report = RunReport { generated: 3, prefilled: 4, prompt: 9, ..RunReport::default() };
        metrics.observe(0, &PipelineEvent::RunFinished { source: StepSource::Target, report: &report });
        let mut outcome = block_on(world.answer_async()).outcome().clone();
        outcome.trace.totals.target = ModelTotals { generated: 3, prefilled: 4, cached: 5, ..Default::default() };
        outcome.trace.steps[0].fallback = fallback;
        metrics.observe(
            0,
            &PipelineEvent::AnswerEnded(&AnswerEnd {
                request: &world.request,
                steps_scored: true,
                error: None,
                trace: &outcome.trace,
                prompt_tokens: 6,
                prompt_prefilled: 4,
                completion_tokens: 5,
            }),
        );
        read(&metrics).into_iter().filter(|(name, _)| name.contains("_cost_total")).collect::<Vec<_>>()
    };
    let million = 1e6;
    let price_of_target = price(million, million / 2.0, 2.0 * million);
    let named = |name: &str, value: f64| (name.to_owned(), value);
    assert_eq!(scrape(None, None, None), []);
    assert_eq!(
        scrape(None, price_of_target, None),
        [
            named(r#"rsd_answer_cost_total{currency="EUR"}"#, 4.0 + 2.5 + 6.0),
            named(r#"rsd_cost_total{currency="EUR",role="target"}"#, 4.0 + 2.5 + 6.0),
            named(r#"rsd_target_only_estimated_cost_total{currency="EUR"}"#, 4.0 + 1.0 + 10.0),
        ]
    );
    let down = scrape(None, price_of_target, Some(FallbackReason::TargetFailed));
    assert_eq!((down[0].1, down[1].1, down[2].1), (0.0, 12.5, 0.0), "what was spent counts, there is no comparison");
    assert_eq!(
        scrape(price_of_target, None, None),
        [named(r#"rsd_cost_total{currency="EUR",role="draft"}"#, 0.0)],
        "without a price of the target nothing is compared"
    );
}

/// An event of one of several answers.
#[derive(Debug, Clone, Copy)]
enum AnswerEvent {
    Decided(bool, usize, Option<f64>),
    Replaced(usize),
    Emitted(bool, usize),
    Cancelled,
}

fn answer_event() -> impl Strategy<Value = (u64, AnswerEvent)> {
    let what = prop_oneof![
        (any::<bool>(), 0..600usize, proptest::option::of(0.0..=1.0))
            .prop_map(|(a, b, c)| AnswerEvent::Decided(a, b, c)),
        (0..600usize).prop_map(AnswerEvent::Replaced),
        (any::<bool>(), 0..600usize).prop_map(|(a, b)| AnswerEvent::Emitted(a, b)),
        Just(AnswerEvent::Cancelled),
    ];
    (0..5u64, what)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn accepted_and_rejected_add_up_to_decided_after_every_event(
        events in proptest::collection::vec(answer_event(), 1..60)
    ) {
        let metrics = metrics(KNOWN);
        let trace = AnswerTrace::default();
        let request = World::new(0).request;
        let error = rsd_core::pipeline::PipelineError::Cancelled;
        let (mut steps, mut tokens, mut rewards) = (0, 0, 0);
        for (answer, event) in events {
            match event {
                AnswerEvent::Decided(accept, of, reward) => {
                    let decision = if accept { Decision::Accept } else { Decision::Reject };
                    metrics.observe(answer, &PipelineEvent::StepDecided(&decided(decision, of, reward)));
                    (steps, tokens, rewards) = (steps + 1, tokens + of, rewards + usize::from(reward.is_some()));
                }
                AnswerEvent::Replaced(tokens) => metrics.observe(answer, &PipelineEvent::StepReplaced { tokens }),
                AnswerEvent::Emitted(target, tokens) => {
                    let source = if target { StepSource::Target } else { StepSource::Draft };
                    metrics.observe(answer, &PipelineEvent::TokensEmitted { source, tokens });
                }
                AnswerEvent::Cancelled => {
                    let ended = AnswerEnd {
                        request: &request, steps_scored: true, error: Some(&error), trace: &trace,
                        prompt_tokens: 1, prompt_prefilled: 1, completion_tokens: 0,
                    };
                    metrics.observe(answer, &PipelineEvent::AnswerEnded(&ended));
                }
            }
            let read = read(&metrics);
            let sum = |name: &str| {
                read[&format!("{name}{{outcome=\"accepted\"}}")] + read[&format!("{name}{{outcome=\"rejected\"}}")]
            };
            prop_assert_eq!(sum("rsd_steps_total"), f64::from(steps));
            prop_assert_eq!(read["rsd_step_decisions_total"], f64::from(steps));
            prop_assert_eq!(read["rsd_spec_decode_num_drafts_total"], f64::from(steps));
            prop_assert_eq!(sum("rsd_draft_tokens_total"), tokens as f64);
            prop_assert_eq!(read["rsd_spec_decode_num_draft_tokens_total"], tokens as f64);
            prop_assert_eq!(read["rsd_reward_count"], rewards as f64);
        }
    }
}

/// Counts the events that it receives.
#[derive(Default)]
struct EventTally {
    decided: AtomicUsize,
    emitted: AtomicUsize,
    ended: AtomicUsize,
}

impl PipelineObserver for EventTally {
    fn observe(&self, _: u64, event: &PipelineEvent<'_>) {
        match event {
            PipelineEvent::StepDecided(_) => _ = self.decided.fetch_add(1, Relaxed),
            PipelineEvent::TokensEmitted { tokens, .. } => _ = self.emitted.fetch_add(*tokens, Relaxed),
            PipelineEvent::AnswerEnded(_) => _ = self.ended.fetch_add(1, Relaxed),
            _ => {}
        }
    }
}

#[test]
fn answers_that_overlap_and_are_cancelled_anywhere_lose_no_decision() {
    let mut decided_in_all = 0.0;
    for seed in 0..4 {
        for at in (0..40).step_by(3) {
            let cancel = tokio_util::sync::CancellationToken::new();
            let mut broken = World::new(seed).through(WaitValve::hanging(at, Some(cancel.clone())));
            broken.cancel = cancel;
            let whole = World::new(seed + 100);
            let counting = Arc::new(metrics(KNOWN));
            let tally = Arc::new(EventTally::default());
            let observer = Arc::new(ObserverFanout(vec![counting.clone(), tally.clone()]));
            let watched = |world: &World| rsd_core::pipeline::Rsd { observer: observer.clone(), ..world.rsd() };
            let (broken_rsd, whole_rsd) = (watched(&broken), watched(&whole));
            block_on(async { tokio::join!(broken.answer_on(&broken_rsd), whole.answer_on(&whole_rsd)) });
            let read = read(&counting);
            let decided = read["rsd_step_decisions_total"];
            let parts =
                ["accepted", "rejected"].map(|outcome| read[&format!("rsd_steps_total{{outcome=\"{outcome}\"}}")]);
            assert_eq!(decided, parts.iter().sum::<f64>());
            assert_eq!(decided, tally.decided.load(Relaxed) as f64);
            let emitted = ["draft", "target"].map(|by| read[&format!("rsd_emitted_tokens_total{{source=\"{by}\"}}")]);
            assert_eq!(emitted.iter().sum::<f64>(), tally.emitted.load(Relaxed) as f64);
            assert_eq!(tally.ended.load(Relaxed), 2);
            decided_in_all += decided;
        }
    }
    assert!(decided_in_all > 200.0, "{decided_in_all}");
}

#[test]
fn a_fanout_informs_every_observer() {
    let (first, second) = (Arc::new(metrics(KNOWN)), Arc::new(metrics(KNOWN)));
    let fanout = ObserverFanout(vec![first.clone(), second.clone()]);
    fanout.observe(0, &PipelineEvent::StepDecided(&decided(Decision::Accept, 2, Some(1.0))));
    for metrics in [first, second] {
        assert_eq!(read(&metrics)["rsd_step_decisions_total"], 1.0);
    }
}
