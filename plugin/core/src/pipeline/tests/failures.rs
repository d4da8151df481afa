//! Tests of failing models, cancelled requests and deadlines.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::pipeline::testing::{RewardFault, ScriptedAnswer, ScriptedModel, WaitValve, World, block_on};
use crate::{
    pipeline::{
        AnswerOutcome, FinishReason, PipelineError, Rsd,
        observe::{PipelineEvent, PipelineObserver},
        roles::{Prompt, RoleError, Step, StepEnd},
        trace::{FallbackReason, StepSource},
        transcript::Transcript,
    },
    policy::{AnswerRoute, PolicyConfig, ThresholdMode, WeightingFunction},
};

const FAULTS: [(RewardFault, FallbackReason); 7] = [
    (RewardFault::Error, FallbackReason::RewardFailed),
    (RewardFault::Hang, FallbackReason::RewardTimeout),
    (RewardFault::NoOpinion, FallbackReason::RewardNoOpinion),
    (RewardFault::Returns(f64::NAN), FallbackReason::RewardInvalid),
    (RewardFault::Returns(f64::INFINITY), FallbackReason::RewardInvalid),
    (RewardFault::Returns(1.5), FallbackReason::RewardInvalid),
    (RewardFault::Returns(-0.1), FallbackReason::RewardInvalid),
];

/// A world whose answer holds steps of both models.
fn mixed() -> World {
    let world = (0..10_000).map(World::new).find(|world| {
        let steps = world.answer().trace.steps;
        let by = |source| steps.iter().filter(|step| step.source == source).count();
        steps.len() >= 6 && by(StepSource::Draft) >= 2 && by(StepSource::Target) >= 2
    });
    World::new(world.unwrap().request.sampling.seed)
}

fn target_alone(world: &World) -> AnswerOutcome {
    world.with(PolicyConfig { route: AnswerRoute::Target, ..world.policy }).answer()
}

fn draft_alone(world: &World) -> AnswerOutcome {
    world.with(PolicyConfig { route: AnswerRoute::Draft, ..world.policy }).answer()
}

/// Asserts that the reported progress is the beginning of the undisturbed answer.
fn assert_begins(answered: &ScriptedAnswer, whole: &AnswerOutcome) {
    assert!(whole.text.starts_with(&answered.streamed()), "{:?} in {:?}", answered.streamed(), whole.text);
    let reported = answered.progress.iter().filter_map(|progress| progress.step.as_ref());
    for (reported, step) in reported.zip(&whole.trace.steps) {
        assert_eq!((&reported.text, reported.source), (&step.text, step.source));
    }
}

#[test]
fn without_a_reward_the_step_goes_to_the_target() {
    for (fault, fallback) in FAULTS {
        let mut world = mixed();
        world.critic.fault = Some((fault, 0));
        let outcome = world.answer();
        let target = target_alone(&world);
        assert_eq!((&outcome.text, &outcome.tokens), (&target.text, &target.tokens), "{fault:?}");
        assert_eq!(outcome.trace.totals.rejected_steps, outcome.trace.steps.len());
        for step in &outcome.trace.steps {
            assert_eq!((step.source, step.fallback, step.reward), (StepSource::Target, Some(fallback), None));
            assert!(step.rejected.is_some());
        }
    }
}

#[test]
fn a_false_step_is_rejected_by_every_weighting_and_mode_with_its_reason() {
    let constant = PolicyConfig { weighting: WeightingFunction::Constant, constant_probability: 1.0, ..mixed().policy };
    let logistic = PolicyConfig { weighting: WeightingFunction::Logistic, logistic_steepness: 0.01, ..mixed().policy };
    let budget = PolicyConfig { mode: ThresholdMode::Budget, ..mixed().policy };
    for policy in [mixed().policy, constant, logistic, budget] {
        let mut world = mixed().with(policy);
        world.critic.fault = Some((RewardFault::FindsFalse, 0));
        let outcome = world.answer();
        assert_eq!(outcome.text, target_alone(&world).text);
        for step in &outcome.trace.steps {
            let reason = step.rejected.as_ref().unwrap().false_statement.as_deref();
            assert_eq!((step.source, step.fallback, step.reward), (StepSource::Target, None, Some(0.0)), "{policy:?}");
            assert_eq!(reason, Some("1 = 2"));
        }
    }
}

#[test]
fn a_threshold_that_accepts_every_step_accepts_false_ones_too() {
    let mut world = mixed();
    world.policy.delta = 0.0;
    world.critic.fault = Some((RewardFault::FindsFalse, 0));
    assert_eq!(world.answer().text, draft_alone(&world).text);
}

#[test]
fn a_reward_that_breaks_on_the_way_costs_no_earlier_step() {
    for (fault, fallback) in FAULTS {
        let mut world = mixed();
        let whole = world.answer();
        world.critic.calls.store(0, SeqCst);
        world.critic.fault = Some((fault, 3));
        let outcome = world.answer();
        assert_eq!(
            outcome.trace.steps[..3].iter().map(|s| &s.text).collect::<Vec<_>>(),
            whole.trace.steps[..3].iter().map(|s| &s.text).collect::<Vec<_>>()
        );
        assert!(outcome.trace.steps[..3].iter().all(|step| step.fallback.is_none()));
        assert!(outcome.trace.steps[3..].iter().all(|step| step.fallback == Some(fallback)));
        assert!(outcome.trace.steps.len() > 3);
    }
}

#[test]
fn a_broken_reward_does_not_stop_a_draft_that_needs_no_reward() {
    for (fault, fallback) in FAULTS {
        let mut world = mixed();
        world.policy.delta = 0.0;
        world.critic.fault = Some((fault, 0));
        let (outcome, draft) = (world.answer(), draft_alone(&world));
        assert_eq!((&outcome.text, &outcome.tokens), (&draft.text, &draft.tokens), "{fault:?}");
        assert!(outcome.trace.steps.iter().all(|step| step.fallback == Some(fallback) && step.rejected.is_none()));
    }
}

#[test]
fn a_hanging_reward_holds_a_step_no_longer_than_its_timeout() {
    let mut world = mixed();
    world.critic.fault = Some((RewardFault::Hang, 0));
    block_on(async {
        let began = Instant::now();
        let answered = world.answer_async().await;
        let timeouts = u32::try_from(answered.outcome().trace.steps.len()).unwrap();
        let waited = began.elapsed();
        assert!(waited >= world.settings.reward_timeout * timeouts);
        assert!(waited < world.settings.reward_timeout * timeouts + Duration::from_secs(1));
    });
}

#[test]
fn a_draft_that_will_not_start_leaves_the_target() {
    let mut world = mixed();
    world.draft.fail_start = Some(0);
    let (outcome, target) = (world.answer(), target_alone(&world));
    assert_eq!((&outcome.text, &outcome.tokens, outcome.finish), (&target.text, &target.tokens, target.finish));
    assert!(outcome.trace.steps.iter().all(|step| step.fallback == Some(FallbackReason::DraftFailed)));
    assert_eq!(outcome.trace.totals.rejected_steps, 0);
    assert_eq!(world.draft.starts.load(SeqCst), 1);
}

#[test]
fn a_draft_that_breaks_on_the_way_loses_nothing() {
    for (at, restart) in (0..6).flat_map(|at| [(at, false), (at, true)]) {
        let mut world = mixed();
        let whole = world.answer_with_progress();
        for count in [&world.draft.starts, &world.draft.steps] {
            count.store(0, SeqCst);
        }
        let fails = Some(at);
        (world.draft.fail_start, world.draft.fail_step) = if restart { (fails, None) } else { (None, fails) };
        let answered = world.answer_with_progress();
        let steps = &answered.outcome().trace.steps;
        let failed = steps.iter().position(|step| step.fallback == Some(FallbackReason::DraftFailed));
        let Some(failed) = failed else {
            assert_eq!(answered.outcome().text, whole.outcome().text, "nothing failed");
            continue;
        };
        for (step, before) in steps[..failed].iter().zip(&whole.outcome().trace.steps) {
            assert_eq!((&step.text, step.source), (&before.text, before.source));
        }
        assert!(
            steps[failed..]
                .iter()
                .all(|s| s.source == StepSource::Target && s.fallback == Some(FallbackReason::DraftFailed))
        );
        assert_eq!(answered.streamed(), answered.outcome().text);
        let totals = &answered.outcome().trace.totals;
        assert_eq!(totals.accepted_steps + totals.rejected_steps, failed);
        let began = if restart { at } else { world.draft.starts.load(SeqCst) };
        assert_eq!(totals.draft.calls, began, "the cost of the broken run is part of the trace");
        assert!(totals.draft.generated >= totals.accepted_tokens + totals.rejected_tokens);
    }
}

#[test]
fn a_target_that_breaks_fails_the_request_and_leaves_what_was_reported() {
    for (at, restart, mode) in (0..3)
        .flat_map(|at| [(at, false, AnswerRoute::Rsd), (at, true, AnswerRoute::Rsd), (at, false, AnswerRoute::Target)])
    {
        let mut world = mixed();
        world.policy.route = mode;
        let whole = world.answer();
        for count in [&world.target.starts, &world.target.steps] {
            count.store(0, SeqCst);
        }
        let fails = Some(at);
        (world.target.fail_start, world.target.fail_step) = if restart { (fails, None) } else { (None, fails) };
        let answered = world.answer_with_progress();
        if world.target.starts.load(SeqCst) <= at && restart {
            assert_eq!(answered.outcome().text, whole.text, "nothing failed");
            continue;
        }
        match &answered.result {
            Err(PipelineError::Role(RoleError::Failed { role, .. })) => assert_eq!(role, "target"),
            Ok(outcome) => assert!(world.target.steps.load(SeqCst) <= at && outcome.text == whole.text),
            other => panic!("{other:?}"),
        }
        assert_begins(&answered, &whole);
    }
}

#[test]
fn a_prompt_beyond_the_context_is_rejected_before_any_run() {
    let mut world = mixed();
    world.target.context = 3;
    let answered = world.answer_with_progress();
    assert!(matches!(
        answered.result,
        Err(PipelineError::Role(RoleError::ContextExceeded { tokens: 3, context: 3, .. }))
    ));
    assert_eq!(world.draft.starts.load(SeqCst), 0);
}

#[test]
fn a_prompt_beyond_the_drafts_context_leaves_the_target() {
    let mut world = mixed();
    let target = target_alone(&world);
    world.draft.context = 3;
    let outcome = world.answer();
    assert_eq!((&outcome.text, &outcome.tokens, outcome.finish), (&target.text, &target.tokens, target.finish));
    assert!(outcome.trace.steps.iter().all(|step| step.fallback == Some(FallbackReason::DraftContext)));
    world.policy.delta = 0.0;
    assert!(matches!(world.answer_with_progress().result, Err(PipelineError::Role(RoleError::ContextExceeded { .. }))));
}

#[test]
fn a_full_draft_leaves_the_rest_to_the_target() {
    for room in 1..12 {
        let mut world = mixed();
        let (target, draft) = (target_alone(&world), draft_alone(&world));
        world.draft.context = 3 + room;
        let outcome = world.answer();
        let steps = &outcome.trace.steps;
        let left = steps.iter().position(|step| step.fallback == Some(FallbackReason::DraftContext));
        let left = left.unwrap_or_else(|| panic!("{room} tokens were enough"));
        assert!(
            steps[left..]
                .iter()
                .all(|s| s.source == StepSource::Target && s.fallback == Some(FallbackReason::DraftContext))
        );
        assert!(steps[..left].iter().all(|step| step.fallback.is_none()));
        assert_eq!(outcome.finish, FinishReason::Stop);

        world.policy.delta = 2.0;
        assert_eq!(world.answer().tokens, target.tokens);
        // The draft alone ends where its context does; so does RSD when the draft is to decide alone.
        world.policy.delta = 0.0;
        let outcome = world.answer();
        assert_eq!((outcome.finish, &outcome.tokens[..]), (FinishReason::Length, &draft.tokens[..room]));
    }
}

#[test]
fn a_full_context_ends_the_answer() {
    let mut world = mixed();
    let whole = world.answer();
    (world.draft.context, world.target.context) = (10, 10);
    let outcome = world.answer();
    assert_eq!(outcome.finish, FinishReason::Length);
    assert!(whole.text.starts_with(&outcome.text));
    assert!(outcome.completion_tokens <= 7);
}

/// All modes undisturbed: the world, how often its models wait, and the answer.
fn undisturbed() -> Vec<(World, usize, AnswerOutcome)> {
    let ways = [(AnswerRoute::Rsd, 0), (AnswerRoute::Rsd, 2), (AnswerRoute::Draft, 0), (AnswerRoute::Target, 0)];
    let answers = ways.map(|(route, proposals)| {
        let mut world = mixed();
        world.policy.route = route;
        world.settings.proposals = proposals;
        let world = world.through(WaitValve::default());
        let whole = world.answer();
        let waits = world.draft.valve.waits();
        assert!(waits >= 5, "{waits} waits");
        (world, waits, whole)
    });
    answers.into()
}

#[test]
fn cancelling_at_any_wait_frees_all_models() {
    let cases = undisturbed().into_iter().flat_map(|(w, n, o)| (0..n).map(move |at| (w.clone(), at, o.clone())));
    block_on(async {
        for (world, at, whole) in cases {
            let cancel = CancellationToken::new();
            let mut world = world.through(WaitValve::hanging(at, Some(cancel.clone())));
            world.cancel = cancel;
            let began = Instant::now();
            let answered = world.answer_async().await;
            assert_eq!(answered.result, Err(PipelineError::Cancelled), "at wait {at}");
            assert_eq!(began.elapsed(), Duration::ZERO, "at wait {at}");
            assert_eq!(world.live_runs(), 0);
            assert_begins(&answered, &whole);
        }
    });
}

#[test]
fn a_client_that_drops_the_answer_frees_all_models() {
    let cases = undisturbed().into_iter().flat_map(|(w, n, _)| (0..n).map(move |at| (w.clone(), at)));
    block_on(async {
        for (world, at) in cases {
            let world = world.through(WaitValve::hanging(at, None));
            let valve = world.draft.valve.clone();
            tokio::select! {
                biased;
                _ = world.answer_async() => panic!("wait {at} did not hang"),
                () = valve.hung.notified() => {}
            }
            assert_eq!(world.live_runs(), 0, "at wait {at}");
        }
    });
}

/// The ends that it hears of: why there is no answer, and how many steps there were.
#[derive(Default)]
struct EndLog(Mutex<Vec<(Option<PipelineError>, usize)>>);

impl PipelineObserver for EndLog {
    fn observe(&self, _: u64, event: &PipelineEvent<'_>) {
        if let PipelineEvent::AnswerEnded(ended) = event {
            self.0.lock().push((ended.error.cloned(), ended.trace.steps.len()));
        }
    }
}

#[test]
fn an_observer_hears_of_a_dropped_answer_as_of_a_cancelled_one_and_once() {
    let cases = undisturbed().into_iter().flat_map(|(w, n, _)| (0..n).map(move |at| (w.clone(), at)));
    let mut steps_in_all = 0;
    block_on(async {
        for (world, at) in cases {
            let ends = Arc::new(EndLog::default());
            let watched = |world: &World| Rsd { observer: ends.clone(), ..world.rsd() };
            let cancel = CancellationToken::new();
            let mut cancelled = world.through(WaitValve::hanging(at, Some(cancel.clone())));
            cancelled.cancel = cancel;
            let progress = cancelled.answer_on(&watched(&cancelled)).await.progress;
            let steps = progress.iter().filter(|progress| progress.step.is_some()).count();
            let dropped = world.through(WaitValve::hanging(at, None));
            let rsd = watched(&dropped);
            tokio::select! {
                biased;
                _ = dropped.answer_on(&rsd) => panic!("wait {at} did not hang"),
                () = dropped.draft.valve.hung.notified() => {}
            }
            assert_eq!(*ends.0.lock(), vec![(Some(PipelineError::Cancelled), steps); 2], "at wait {at}");
            steps_in_all += steps;
        }
    });
    assert!(steps_in_all > 0);
}

#[test]
fn a_deadline_at_any_wait_ends_with_the_answer_so_far() {
    let cases = undisturbed().into_iter().flat_map(|(w, n, o)| (0..n).map(move |at| (w.clone(), at, o.clone())));
    block_on(async {
        for (world, at, whole) in cases {
            let mut world = world.through(WaitValve::hanging(at, None));
            world.request.deadline = Some(Instant::now() + Duration::from_secs(5));
            let began = Instant::now();
            let answered = world.answer_async().await;
            // Never later, even if scoring a step may take longer.
            assert!(began.elapsed() < Duration::from_millis(5010), "at wait {at}: {:?}", began.elapsed());
            assert_eq!(answered.outcome().finish, FinishReason::Length, "at wait {at}");
            assert_eq!(answered.streamed(), answered.outcome().text);
            assert_begins(&answered, &whole);
            let trace = &answered.outcome().trace;
            let replaced = trace.steps.iter().filter(|step| step.rejected.is_some()).count();
            assert_eq!(trace.totals.rejected_steps, replaced, "at wait {at}");
        }
    });
}

#[test]
fn a_slow_answer_is_cut_at_its_deadline() {
    let mut world = mixed();
    (world.draft.delay, world.target.delay) = (Duration::from_secs(1), Duration::from_secs(1));
    block_on(async {
        let whole = world.answer_async().await.outcome().clone();
        world.request.deadline = Some(Instant::now() + Duration::from_millis(4500));
        let answered = world.answer_async().await;
        let outcome = answered.outcome();
        assert_eq!(outcome.finish, FinishReason::Length);
        assert!(!outcome.text.is_empty() && outcome.text.len() < whole.text.len());
        assert_begins(&answered, &whole);
    });
}

#[tokio::test]
async fn a_foreign_step_that_ends_inside_a_character_keeps_its_place() {
    let model = std::sync::Arc::new(ScriptedModel::new("draft", 1));
    let mut transcript = Transcript::new(model, &Prompt::Text("Q".to_owned())).await.unwrap();
    let step = |bytes: &[u8]| Step {
        tokens: bytes.iter().map(|b| u32::from(*b)).collect(),
        bytes: bytes.to_vec(),
        end: StepEnd::Boundary,
        features: None,
        logprobs: Vec::new(),
        seconds: 0.0,
    };
    let e = "é".as_bytes();
    // Completed by the next foreign step, it is one character.
    transcript.push(&step(&[b'a', e[0]]), false).unwrap();
    transcript.push(&step(&[e[1], b'b']), false).unwrap();
    // Followed by a step of its own, it comes before that step as an invalid byte.
    transcript.push(&step(&[b'c', e[0]]), false).unwrap();
    transcript.push(&step(b"d"), true).unwrap();
    transcript.push(&step(b"f"), false).unwrap();
    let ids: Vec<u8> = transcript.ids().iter().map(|id| u8::try_from(*id).unwrap()).collect();
    assert_eq!(String::from_utf8(ids).unwrap(), "Qaébc\u{fffd}df");
}
