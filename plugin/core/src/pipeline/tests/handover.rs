//! Tests of answers that the target finishes alone.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use parking_lot::Mutex;

use crate::pipeline::testing::{RewardFault, World, block_on};
use crate::{
    costs::RunCost,
    pipeline::{
        AnswerOutcome, Rsd,
        observe::{PipelineEvent, PipelineObserver},
        trace::StepSource,
    },
    policy::{AfterRejection, AnswerRoute, PolicyConfig, handover::HandoverReason},
};

/// Seconds per decoded and prefilled token of draft and target: going back to the draft never pays.
const SLOW_PREFILL: [[f64; 2]; 2] = [[0.022, 0.013], [0.037, 0.024]];
/// The same on a GPU.
const FAST_PREFILL: [[f64; 2]; 2] = [[0.001, 0.00001], [0.037, 0.00005]];

fn world(seed: u64, way: AfterRejection, [draft, target]: [[f64; 2]; 2]) -> World {
    let mut world = World::new(seed);
    world.policy = PolicyConfig { after_rejection: way, exploration: 0.0, ..world.policy };
    (world.draft.token_seconds, world.target.token_seconds) = (draft, target);
    world
}

/// Answers with one server, which learns from each of them.
fn answers(world: &World, rsd: &Rsd, seeds: std::ops::Range<u64>) -> Vec<AnswerOutcome> {
    let answer = |seed| {
        let mut world = world.clone();
        world.request.sampling.seed = seed;
        block_on(async { world.answer_on(rsd).await.outcome().clone() })
    };
    seeds.map(answer).collect()
}

/// The index of the first step that the target decodes alone, after which it decodes all.
fn handed_over_at(outcome: &AnswerOutcome) -> Option<usize> {
    let steps = &outcome.trace.steps;
    let first = steps.iter().position(|step| step.handover.is_some())?;
    let reason = steps[first].handover;
    assert!(steps[first..].iter().all(|step| step.source == StepSource::Target && step.handover == reason));
    assert!(steps[first + 1..].iter().all(|step| step.rejected.is_none() && step.reward.is_none()));
    Some(first)
}

#[test]
fn after_a_rejection_the_target_decodes_the_rest() {
    let mut handed_over = 0;
    for seed in 0..60 {
        let paper = World::new(seed).answer();
        let outcome = world(seed, AfterRejection::Target, SLOW_PREFILL).answer();
        let steps = &outcome.trace.steps;
        let rejected = steps.iter().position(|step| step.rejected.is_some());
        assert_eq!(handed_over_at(&outcome), rejected);
        let Some(rejected) = rejected else {
            assert_eq!(outcome.text, paper.text);
            continue;
        };
        handed_over += 1;
        assert_eq!(steps[rejected].handover, Some(HandoverReason::Rejection));
        assert!(steps[..rejected].iter().all(|step| step.source == StepSource::Draft));
        // Up to the step that replaces the rejected one both ways are the same.
        for (step, paper) in steps[..=rejected].iter().zip(&paper.trace.steps) {
            assert_eq!((&step.text, step.source, step.reward), (&paper.text, paper.source, paper.reward));
        }
        let totals = &outcome.trace.totals;
        assert_eq!((totals.rejected_steps, totals.accepted_steps), (1, rejected));
        assert_eq!((totals.target.calls, totals.draft.calls), (1, 1));
        let alone: usize = steps[rejected..].iter().map(|step| step.tokens).sum();
        assert_eq!(totals.target.generated, alone);
    }
    assert!(handed_over > 30, "{handed_over} are too few to tell");
}

#[test]
fn where_prefill_is_free_auto_answers_as_the_loop_of_the_paper() {
    let auto = world(1, AfterRejection::Auto, FAST_PREFILL);
    let outcomes = answers(&auto, &auto.rsd(), 0..60);
    let paper = world(1, AfterRejection::Draft, FAST_PREFILL);
    for (outcome, paper) in outcomes.iter().zip(answers(&paper, &paper.rsd(), 0..60)) {
        assert_eq!((&outcome.tokens, handed_over_at(outcome)), (&paper.tokens, None));
    }
}

#[test]
fn where_drafting_cannot_pay_auto_leaves_answers_to_the_target_from_the_start() {
    let mut auto = world(1, AfterRejection::Auto, SLOW_PREFILL);
    auto.policy.delta = 0.95;
    let rsd = auto.rsd();
    answers(&auto, &rsd, 0..40);
    let (drafted, scored) = (auto.draft.starts.load(SeqCst), auto.critic.calls.load(SeqCst));
    for outcome in answers(&auto, &rsd, 40..80) {
        assert!(outcome.trace.steps.is_empty() || handed_over_at(&outcome) == Some(0));
        assert!(outcome.trace.steps.iter().all(|step| step.handover == Some(HandoverReason::Price)));
    }
    assert_eq!((auto.draft.starts.load(SeqCst), auto.critic.calls.load(SeqCst)), (drafted, scored));
    let target = auto.with(PolicyConfig { route: AnswerRoute::Target, ..auto.policy });
    let alone = answers(&target, &target.rsd(), 40..80);
    let texts = |outcomes: Vec<AnswerOutcome>| outcomes.into_iter().map(|outcome| outcome.text).collect::<Vec<_>>();
    assert_eq!(texts(answers(&auto, &rsd, 40..80)), texts(alone), "token for token");
}

#[test]
fn a_reward_that_scores_nothing_does_not_keep_the_draft_at_work() {
    for fault in [RewardFault::Error, RewardFault::NoOpinion] {
        let mut auto = world(1, AfterRejection::Auto, SLOW_PREFILL);
        auto.critic.fault = Some((fault, 0));
        let rsd = auto.rsd();
        answers(&auto, &rsd, 0..40);
        let drafted = auto.draft.starts.load(SeqCst);
        answers(&auto, &rsd, 40..80);
        assert_eq!(auto.draft.starts.load(SeqCst), drafted, "{fault:?}");
    }
}

#[test]
fn a_prompt_that_only_the_target_has_cached_is_a_reason_not_to_draft() {
    let drafted = |cached: usize| {
        // The prompt costs more than the answer, and the draft prefills it in half of the target's time.
        let mut auto = world(1, AfterRejection::Auto, [[0.022, 5.0], [0.037, 10.0]]);
        auto.critic.fault = Some((RewardFault::Returns(0.9), 0));
        auto.target.cached = cached;
        let rsd = auto.rsd();
        let warm_up = RunCost { generated: 2, prefilled: 1, prefill_seconds: 10.0, seconds: 10.037 };
        rsd.policy.handover().record_target_run(&warm_up);
        answers(&auto, &rsd, 0..40);
        answers(&auto, &rsd, 40..60).iter().filter(|outcome| handed_over_at(outcome) != Some(0)).count()
    };
    let (nothing, all) = (drafted(0), drafted(1_000));
    assert!(nothing > 10 && all < 5, "{nothing} {all}");
}

/// Counts the events of the decisions which model goes on.
#[derive(Default)]
struct DecisionLog(Mutex<(Vec<HandoverReason>, usize, usize)>);

impl PipelineObserver for DecisionLog {
    fn observe(&self, _: u64, event: &PipelineEvent<'_>) {
        let mut log = self.0.lock();
        match event {
            PipelineEvent::HandedOver(reason) => log.0.push(*reason),
            PipelineEvent::Explored => log.1 += 1,
            PipelineEvent::StepAlone { .. } => log.2 += 1,
            _ => {}
        }
    }
}

#[test]
fn every_decision_is_reported_once_and_some_answers_explore() {
    let mut auto = world(1, AfterRejection::Auto, SLOW_PREFILL);
    auto.policy = PolicyConfig { delta: 0.95, exploration: 0.3, ..auto.policy };
    let log = Arc::new(DecisionLog::default());
    let rsd = Rsd { observer: log.clone(), ..auto.rsd() };
    let outcomes = answers(&auto, &rsd, 0..200);
    let (reasons, explored, alone) = log.0.lock().clone();
    let handed_over = outcomes.iter().filter(|outcome| handed_over_at(outcome).is_some()).count();
    assert_eq!(reasons.len(), handed_over);
    assert!(reasons.iter().all(|reason| *reason == HandoverReason::Price));
    assert_eq!(explored, outcomes.iter().filter(|outcome| outcome.trace.explored).count());
    assert!((20..100).contains(&explored), "{explored}");
    let steps = outcomes.iter().flat_map(|outcome| &outcome.trace.steps);
    assert_eq!(alone, steps.filter(|step| step.handover.is_some() && step.rejected.is_none()).count());
    // The same seeds explore again.
    let again = answers(&auto, &Rsd { observer: Arc::new(DecisionLog::default()), ..auto.rsd() }, 0..200);
    let explored = |outcomes: &[AnswerOutcome]| outcomes.iter().map(|each| each.trace.explored).collect::<Vec<_>>();
    assert_eq!(explored(&outcomes), explored(&again));
}

#[test]
fn a_bound_of_zero_lets_no_step_be_drafted_that_may_be_in_vain() {
    let mut bounded = world(1, AfterRejection::Draft, SLOW_PREFILL);
    let rsd = bounded.rsd();
    answers(&bounded, &rsd, 0..30);
    bounded.policy.max_regret = Some(0.0);
    rsd.policy
        .replace_settings(&rsd_protocol::settings::RuntimeSettings {
            policy: bounded.policy,
            ..bounded.runtime.clone()
        })
        .unwrap();
    for outcome in answers(&bounded, &rsd, 0..30) {
        assert!(outcome.trace.steps.iter().all(|step| step.handover == Some(HandoverReason::Regret)));
    }
}
