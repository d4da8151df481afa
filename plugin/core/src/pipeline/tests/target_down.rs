//! Tests of `limits.on_target_down: draft`: the draft decodes the rest of an answer whose target failed.

use std::{sync::Arc, sync::atomic::Ordering::SeqCst, time::Duration};

use proptest::prelude::*;
use rsd_protocol::settings::TargetDownAction;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    laws::{policies, worlds},
    permits::PermitModel,
};
use crate::{
    pipeline::{
        AnswerProgress, AnswerSink, FinishReason, PipelineError, Rsd,
        roles::{RoleError, StepEnd},
        testing::{PROMPT, ScriptedAnswer, ScriptedModel, WaitValve, World, block_on},
        trace::{FallbackReason, StepSource},
    },
    policy::{AnswerRoute, PolicyConfig},
    sampling::Sampling,
};

/// The target fails at one of its starts or steps.
#[derive(Debug, Clone, Copy)]
struct TargetFault {
    at: usize,
    at_start: bool,
}

impl TargetFault {
    fn any() -> impl Strategy<Value = Self> {
        (0usize..5, any::<bool>()).prop_map(|(at, at_start)| Self { at, at_start })
    }

    fn put_into(self, target: &mut ScriptedModel) {
        target.starts.store(0, SeqCst);
        target.steps.store(0, SeqCst);
        (target.fail_start, target.fail_step) =
            if self.at_start { (Some(self.at), None) } else { (None, Some(self.at)) };
    }
}

/// The world with a draft that stands in for a target that fails.
fn standing_in(mut world: World, fault: TargetFault) -> World {
    world.runtime.limits.on_target_down = TargetDownAction::Draft;
    fault.put_into(&mut world.target);
    world
}

fn taken_over(answered: &ScriptedAnswer) -> Option<usize> {
    let steps = &answered.outcome().trace.steps;
    steps.iter().position(|step| step.fallback == Some(FallbackReason::TargetFailed))
}

/// What a model says greedily after a text.
fn greedy(model: &ScriptedModel, mut text: Vec<u8>, most: usize) -> Vec<u8> {
    let from = text.len();
    while text.len() - from < most {
        let Some(byte) = model.greedy(&text) else { break };
        text.push(byte);
    }
    text.split_off(from)
}

proptest! {
    /// Before the failure the answer is the undisturbed one, after it every step is the draft's without a score.
    #[test]
    fn the_answer_is_the_undisturbed_one_up_to_the_failure_and_then_the_drafts(
        world in worlds(), policy in policies(), never_drafts in any::<bool>(), fault in TargetFault::any(),
    ) {
        let delta = if never_drafts { 2.0 } else { policy.delta };
        let policy = PolicyConfig { route: AnswerRoute::Rsd, delta, ..policy };
        let world = world.with(policy);
        let whole = world.answer();
        let answered = standing_in(world, fault).answer_with_progress();
        let outcome = answered.outcome();
        prop_assert_eq!(answered.streamed(), outcome.text.clone());
        let steps = &outcome.trace.steps;
        let taken = taken_over(&answered).unwrap_or(steps.len());
        prop_assert!(taken < steps.len() || outcome.text == whole.text, "without a failure nothing changes");
        for (step, before) in steps[..taken].iter().zip(&whole.trace.steps) {
            prop_assert_eq!((&step.text, step.source, step.reward), (&before.text, before.source, before.reward));
        }
        for (index, step) in steps.iter().enumerate() {
            prop_assert_eq!(step.index, index);
            let marked = step.fallback == Some(FallbackReason::TargetFailed);
            prop_assert_eq!(marked, index >= taken);
            prop_assert!(!marked || (step.source, step.reward, step.rejected.is_none()) == (StepSource::Draft, None, true));
        }
        let tokens: usize = steps.iter().map(|step| step.tokens).sum();
        prop_assert_eq!(tokens, outcome.completion_tokens);
    }

    /// Nothing is lost and nothing comes twice where the models meet.
    #[test]
    fn the_draft_goes_on_exactly_where_the_last_whole_step_ended(
        world in worlds(), policy in policies(), fault in TargetFault::any(),
    ) {
        let mut world = world.with(PolicyConfig { route: AnswerRoute::Rsd, ..policy });
        world.request.sampling = Sampling { seed: world.request.sampling.seed, ..Sampling::default() };
        world.request.stop.clear();
        let world = standing_in(world, fault);
        let answered = world.answer_with_progress();
        if let Some(taken) = taken_over(&answered) {
            let steps = &answered.outcome().trace.steps;
            let text = |steps: &[crate::pipeline::trace::StepTrace]| -> String {
                steps.iter().map(|step| step.text.as_str()).collect()
            };
            let (before, after) = (text(&steps[..taken]), text(&steps[taken..]));
            prop_assert_eq!(&answered.outcome().text, &format!("{before}{after}"));
            let expected = greedy(&world.draft, format!("{PROMPT}{before}").into_bytes(), after.len() + 1);
            let ended = steps.last().is_some_and(|step| step.end == StepEnd::EndOfText);
            prop_assert_eq!(&expected[..after.len()], after.as_bytes());
            prop_assert!(!ended || expected.len() == after.len(), "the draft ends where it ends");
        }
    }

    /// The default fails as ever: the error of the target, after a beginning of the undisturbed answer.
    #[test]
    fn without_the_setting_the_request_fails(world in worlds(), policy in policies(), fault in TargetFault::any()) {
        let whole = world.with(policy).answer();
        let mut world = world.with(policy);
        fault.put_into(&mut world.target);
        let answered = world.answer_with_progress();
        match &answered.result {
            Ok(outcome) => prop_assert_eq!(&outcome.text, &whole.text),
            Err(PipelineError::Role(RoleError::Failed { role, .. })) => prop_assert_eq!(role, "target"),
            Err(other) => prop_assert!(false, "{}", other),
        }
        prop_assert!(whole.text.starts_with(&answered.streamed()));
    }
}

/// A world in which the target decodes at least two steps, and so has something to fail at.
fn contested() -> World {
    let world = (0..10_000).map(World::new).find(|world| {
        let steps = world.answer().trace.steps;
        steps.iter().filter(|step| step.source == StepSource::Target).count() >= 2
            && steps.iter().filter(|step| step.source == StepSource::Draft).count() >= 2
    });
    World::new(world.unwrap().request.sampling.seed)
}

const SECOND_STEP: TargetFault = TargetFault { at: 1, at_start: false };

#[test]
fn a_failed_target_is_counted_and_its_work_too() {
    let answered = standing_in(contested(), SECOND_STEP).answer_with_progress();
    let taken = taken_over(&answered).unwrap();
    let trace = &answered.outcome().trace;
    assert!(taken > 0 && trace.steps[..taken].iter().any(|step| step.source == StepSource::Target));
    assert_eq!(trace.totals.target.calls, 2, "the run that failed has its cost");
    assert_eq!(trace.totals.rejected_steps, trace.steps.iter().filter(|step| step.rejected.is_some()).count());
}

/// A sink that counts how often it heard that the prompt was accepted.
#[derive(Default)]
struct CountingSink(usize);

impl AnswerSink for CountingSink {
    fn prompt_accepted(&mut self) {
        self.0 += 1;
    }

    fn progress(&mut self, _: AnswerProgress) {}
}

/// A remote engine renders the messages itself, so the target can fail before it decodes anything.
#[test]
fn a_target_that_cannot_even_encode_the_prompt_leaves_the_whole_answer_to_the_draft() {
    for delta in [0.5, 2.0] {
        let mut world = contested();
        world.policy.delta = delta;
        let draft = world.with(PolicyConfig { route: AnswerRoute::Draft, ..world.policy }).answer();
        world.target.fail_prompt = true;
        let check = |world: &World, route| block_on(world.rsd().check_prompt(&world.request.prompt, route)).is_ok();
        assert!(!check(&world, AnswerRoute::Rsd) && world.answer_with_progress().result.is_err());

        world.runtime.limits.on_target_down = TargetDownAction::Draft;
        assert!(check(&world, AnswerRoute::Rsd) && !check(&world, AnswerRoute::Target));
        let mut sink = CountingSink::default();
        let outcome = block_on(world.rsd().answer_into(world.request.clone(), &mut sink, CancellationToken::new()));
        let outcome = outcome.unwrap();
        assert_eq!((&outcome.text, outcome.finish, sink.0), (&draft.text, draft.finish, 1));
        assert!(outcome.trace.steps.iter().all(|step| step.fallback == Some(FallbackReason::TargetFailed)));
    }
}

#[test]
fn who_asked_for_the_target_alone_gets_no_draft() {
    let world = contested();
    let world = world.with(PolicyConfig { route: AnswerRoute::Target, ..world.policy });
    let answered = standing_in(world, SECOND_STEP).answer_with_progress();
    assert!(matches!(&answered.result, Err(PipelineError::Role(RoleError::Failed { role, .. })) if role == "target"));
}

#[test]
fn where_the_draft_fails_too_the_error_is_the_targets() {
    let fault = TargetFault { at: 0, at_start: true };
    let broken = {
        let mut world = standing_in(contested(), fault);
        world.draft.starts.store(0, SeqCst);
        // Its first run began the answer.
        world.draft.fail_start = Some(1);
        world
    };
    let too_small = {
        let mut world = standing_in(contested(), fault);
        world.draft.context = PROMPT.len();
        world.policy.delta = 2.0;
        world
    };
    for world in [broken, too_small] {
        let result = world.answer_with_progress().result;
        assert!(
            matches!(&result, Err(PipelineError::Role(RoleError::Failed { role, .. })) if role == "target"),
            "{result:?}"
        );
    }
}

#[test]
fn the_draft_that_stands_in_holds_its_own_permit_and_not_the_targets() {
    for (delta, fault) in [(0.5, SECOND_STEP), (2.0, SECOND_STEP), (2.0, TargetFault { at: 0, at_start: true })] {
        let world = contested();
        let world = standing_in(world.with(PolicyConfig { delta, ..world.policy }), fault);
        let target = PermitModel::new(&world.target);
        let draft = PermitModel::new(&world.draft);
        let rsd = Rsd { draft: Arc::new(draft.clone()), target: Arc::new(target.clone()), ..world.rsd() };
        let answered = block_on(async {
            let answer = tokio::time::timeout(Duration::from_secs(60), world.answer_on(&rsd));
            answer.await.expect("it waits for itself")
        });
        assert!(taken_over(&answered).is_some());
        assert_eq!((draft.permit.available_permits(), target.permit.available_permits()), (1, 1), "returned");
    }
}

#[test]
fn cancelling_at_any_wait_frees_both_models_and_a_deadline_ends_with_the_answer_so_far() {
    let world = contested();
    let disturbed = |valve| standing_in(world.clone(), SECOND_STEP).through(valve);
    let calm = disturbed(WaitValve::default());
    let whole = calm.answer();
    let waits = calm.draft.valve.waits();
    assert!(waits >= 5);
    block_on(async {
        for at in 0..waits {
            let cancel = CancellationToken::new();
            let mut world = disturbed(WaitValve::hanging(at, Some(cancel.clone())));
            world.cancel = cancel;
            let answered = world.answer_async().await;
            assert_eq!(answered.result, Err(PipelineError::Cancelled), "at wait {at}");
            assert!(whole.text.starts_with(&answered.streamed()));

            let mut world = disturbed(WaitValve::hanging(at, None));
            let began = Instant::now();
            world.request.deadline = Some(began + Duration::from_secs(5));
            let answered = world.answer_async().await;
            assert!(began.elapsed() < Duration::from_millis(5010), "at wait {at}");
            assert_eq!(answered.outcome().finish, FinishReason::Length, "at wait {at}");
            assert!(whole.text.starts_with(&answered.outcome().text));
        }
    });
}
