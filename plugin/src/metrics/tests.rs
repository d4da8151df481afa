//! Events in, text out.

// Counts are whole numbers, exact in a float.
#![allow(clippy::float_cmp)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use proptest::prelude::*;
use rsd_protocol::{
    metrics::{ALL, Kind},
    policy::PolicyConfig,
};

use super::*;
use crate::{
    pipeline::{
        observe::{Ended, Event, Fanout, Judged, Observer, Role},
        roles::{RunReport, Score},
        tests::scripted::{Valve, World, block_on},
        trace::{Fallback, ModelTotals, Source, Totals, Trace},
    },
    policy::{Decision, Policy},
};

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
    samples(&metrics.render(Queue::default()).unwrap())
}

fn judged(decision: Decision, tokens: usize, reward: Option<f64>) -> Judged {
    let policy = Policy { revision: 1, values: PolicyConfig::default() };
    Judged { tokens, reward, policy, decision }
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
    let text = metrics.render(Queue::default()).unwrap();
    let found: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let listed = |metric: &names::Metric| {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        format!("{} {kind}", metric.name)
    };
    // The scripted models have no cache whose size were known.
    let expected: BTreeSet<String> = ALL.iter().filter(|m| m.name != names::CACHE_BYTES.name).map(listed).collect();
    assert_eq!(found, expected.iter().map(String::as_str).collect());
    let samples = samples(&text);
    for metric in ALL.iter().filter(|metric| metric.kind == Kind::Counter) {
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
    let tell = |event: &Event<'_>| metrics.observe(0, event);
    let report = RunReport { generated: 3, prefilled: 4, prompt: 9, prefill_seconds: 1.0, seconds: 3.0, forwards: 4 };
    tell(&Event::Ran { source: Source::Draft, report: &report });
    tell(&Event::Ran { source: Source::Target, report: &RunReport { generated: 0, seconds: 0.5, ..report } });
    tell(&Event::Scored(&Score { reward: 0.5, prompt: 7, prefilled: 2, seconds: 0.125 }));
    tell(&Event::Emitted { source: Source::Target, tokens: 5 });
    tell(&Event::Failed(Role::Reward));
    tell(&Event::Fallback(Fallback::DraftContext));
    tell(&Event::Judged(&judged(Decision::Accept, 6, Some(0.75))));
    metrics.requests.ended(Outcome::Refused, std::time::Duration::ZERO);
    metrics.policy_changed(Cause::Expiry { of: 2 });
    metrics.admin_attempt(true);
    let text = metrics.render(Queue { running: 2, waiting: 1 }).unwrap();
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
    rsd_generated_tokens_total{role="draft"} 3
    rsd_judged_steps_total 1
    rsd_model_failures_total{role="reward"} 1
    rsd_model_seconds_total{phase="decode",role="draft"} 2
    rsd_model_seconds_total{phase="prefill",role="draft"} 1
    rsd_model_seconds_total{phase="prefill",role="reward"} 0.125
    rsd_model_seconds_total{phase="prefill",role="target"} 0.5
    rsd_model_up{role="draft"} 1
    rsd_model_up{role="target"} 1
    rsd_observed_seconds_per_token{phase="decode",role="target"} 0.5
    rsd_observed_seconds_per_token{phase="prefill",role="target"} 0.25
    rsd_policy_answers{answers="rsd"} 1
    rsd_policy_changes_total{cause="expiry"} 1
    rsd_policy_delta 0.5
    rsd_policy_gamma 0.3
    rsd_policy_mode{mode="fixed"} 1
    rsd_policy_revision 1
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
    rsd_steps_total{outcome="accepted"} 1
    "#);
}

#[test]
fn a_fallback_is_active_until_the_next_verdict() {
    let metrics = metrics(KNOWN);
    let active = || read(&metrics)["rsd_fallback_active"];
    let tell = |event: &Event<'_>| metrics.observe(0, event);
    tell(&Event::Fallback(Fallback::DraftContext));
    assert_eq!(active(), 0.0);
    for fallback in [Fallback::RewardTimeout, Fallback::DraftFailed] {
        if fallback == Fallback::RewardTimeout {
            tell(&Event::Judged(&judged(Decision::Reject, 1, None)));
        }
        tell(&Event::Fallback(fallback));
        assert_eq!(active(), 1.0);
        tell(&Event::Judged(&judged(Decision::Reject, 1, Some(0.5))));
        assert_eq!(active(), 0.0);
    }
}

#[test]
fn a_model_is_down_from_a_failure_to_its_next_success() {
    let metrics = metrics(KNOWN);
    let up = |role: &str| read(&metrics)[&format!("rsd_model_up{{role=\"{role}\"}}")];
    let tell = |event: &Event<'_>| metrics.observe(0, event);
    tell(&Event::Failed(Role::Target));
    tell(&Event::Failed(Role::Reward));
    tell(&Event::Ran { source: Source::Draft, report: &RunReport::default() });
    assert_eq!((up("draft"), up("reward"), up("target")), (1.0, 0.0, 0.0));
    tell(&Event::Ran { source: Source::Target, report: &RunReport::default() });
    tell(&Event::Scored(&Score::default()));
    assert_eq!((up("reward"), up("target")), (1.0, 1.0));
}

#[test]
fn only_complete_judged_answers_with_a_known_target_are_compared_with_the_target_alone() {
    let model = |generated, prefilled, seconds| ModelTotals { generated, prefilled, seconds, ..Default::default() };
    let totals =
        Totals { draft: model(8, 4, 1.0), reward: model(0, 6, 0.5), target: model(2, 5, 1.5), ..Totals::default() };
    let trace = Trace { totals, ..Trace::default() };
    let cancelled = crate::pipeline::PipelineError::Cancelled;
    let request = World::new(0).request;
    let ended = |judging, error| Ended {
        request: &request,
        judging,
        error,
        trace: &trace,
        prompt_tokens: 9,
        prompt_prefilled: 4,
        completion_tokens: 10,
    };
    let after = |costs, ended: &Ended<'_>| {
        let metrics = metrics(costs);
        metrics.observe(0, &Event::Ended(ended));
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
    let flops = crate::flops::Flops::estimate(&totals, parameters).total;
    assert_eq!(after(UnitCosts::default(), &ended(true, None)), (0.0, 0.0, flops));
    assert_eq!(after(KNOWN, &ended(true, None)), (3.0, 4.0 * 0.25 + 10.0 * 0.5, flops));
}

/// What may be told of one of several answers.
#[derive(Debug, Clone, Copy)]
enum Told {
    Judged(bool, usize, Option<f64>),
    Replaced(usize),
    Emitted(bool, usize),
    Cancelled,
}

fn told() -> impl Strategy<Value = (u64, Told)> {
    let what = prop_oneof![
        (any::<bool>(), 0..600usize, proptest::option::of(0.0..=1.0)).prop_map(|(a, b, c)| Told::Judged(a, b, c)),
        (0..600usize).prop_map(Told::Replaced),
        (any::<bool>(), 0..600usize).prop_map(|(a, b)| Told::Emitted(a, b)),
        Just(Told::Cancelled),
    ];
    (0..5u64, what)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn accepted_and_rejected_add_up_to_judged_after_every_event(events in proptest::collection::vec(told(), 1..60)) {
        let metrics = metrics(KNOWN);
        let trace = Trace::default();
        let request = World::new(0).request;
        let error = crate::pipeline::PipelineError::Cancelled;
        let (mut steps, mut tokens, mut rewards) = (0, 0, 0);
        for (answer, told) in events {
            match told {
                Told::Judged(keep, of, reward) => {
                    let decision = if keep { Decision::Accept } else { Decision::Reject };
                    metrics.observe(answer, &Event::Judged(&judged(decision, of, reward)));
                    (steps, tokens, rewards) = (steps + 1, tokens + of, rewards + usize::from(reward.is_some()));
                }
                Told::Replaced(tokens) => metrics.observe(answer, &Event::Replaced { tokens }),
                Told::Emitted(target, tokens) => {
                    let source = if target { Source::Target } else { Source::Draft };
                    metrics.observe(answer, &Event::Emitted { source, tokens });
                }
                Told::Cancelled => {
                    let ended = Ended {
                        request: &request, judging: true, error: Some(&error), trace: &trace,
                        prompt_tokens: 1, prompt_prefilled: 1, completion_tokens: 0,
                    };
                    metrics.observe(answer, &Event::Ended(&ended));
                }
            }
            let read = read(&metrics);
            let sum = |name: &str| {
                read[&format!("{name}{{outcome=\"accepted\"}}")] + read[&format!("{name}{{outcome=\"rejected\"}}")]
            };
            prop_assert_eq!(sum("rsd_steps_total"), f64::from(steps));
            prop_assert_eq!(read["rsd_judged_steps_total"], f64::from(steps));
            prop_assert_eq!(read["rsd_spec_decode_num_drafts_total"], f64::from(steps));
            prop_assert_eq!(sum("rsd_draft_tokens_total"), tokens as f64);
            prop_assert_eq!(read["rsd_spec_decode_num_draft_tokens_total"], tokens as f64);
            prop_assert_eq!(read["rsd_reward_count"], rewards as f64);
        }
    }
}

/// Counts what it is told.
#[derive(Default)]
struct Tally {
    judged: AtomicUsize,
    emitted: AtomicUsize,
    ended: AtomicUsize,
}

impl Observer for Tally {
    fn observe(&self, _: u64, event: &Event<'_>) {
        match event {
            Event::Judged(_) => _ = self.judged.fetch_add(1, Relaxed),
            Event::Emitted { tokens, .. } => _ = self.emitted.fetch_add(*tokens, Relaxed),
            Event::Ended(_) => _ = self.ended.fetch_add(1, Relaxed),
            _ => {}
        }
    }
}

#[test]
fn answers_that_overlap_and_are_cancelled_anywhere_lose_no_verdict() {
    let mut judged_in_all = 0.0;
    for seed in 0..4 {
        for at in (0..40).step_by(3) {
            let cancel = tokio_util::sync::CancellationToken::new();
            let mut broken = World::new(seed).through(Valve::hanging(at, Some(cancel.clone())));
            broken.cancel = cancel;
            let whole = World::new(seed + 100);
            let counting = Arc::new(metrics(KNOWN));
            let tally = Arc::new(Tally::default());
            let observer = Arc::new(Fanout(vec![counting.clone(), tally.clone()]));
            let watched = |world: &World| crate::pipeline::Rsd { observer: observer.clone(), ..world.rsd() };
            let (broken_rsd, whole_rsd) = (watched(&broken), watched(&whole));
            block_on(async { tokio::join!(broken.tell_by(&broken_rsd), whole.tell_by(&whole_rsd)) });
            let read = read(&counting);
            let judged = read["rsd_judged_steps_total"];
            let parts =
                ["accepted", "rejected"].map(|outcome| read[&format!("rsd_steps_total{{outcome=\"{outcome}\"}}")]);
            assert_eq!(judged, parts.iter().sum::<f64>());
            assert_eq!(judged, tally.judged.load(Relaxed) as f64);
            let emitted = ["draft", "target"].map(|by| read[&format!("rsd_emitted_tokens_total{{source=\"{by}\"}}")]);
            assert_eq!(emitted.iter().sum::<f64>(), tally.emitted.load(Relaxed) as f64);
            assert_eq!(tally.ended.load(Relaxed), 2);
            judged_in_all += judged;
        }
    }
    assert!(judged_in_all > 200.0, "{judged_in_all}");
}

#[test]
fn a_fanout_tells_everybody() {
    let (first, second) = (Arc::new(metrics(KNOWN)), Arc::new(metrics(KNOWN)));
    let fanout = Fanout(vec![first.clone(), second.clone()]);
    fanout.observe(0, &Event::Judged(&judged(Decision::Accept, 2, Some(1.0))));
    for metrics in [first, second] {
        assert_eq!(read(&metrics)["rsd_judged_steps_total"], 1.0);
    }
}
