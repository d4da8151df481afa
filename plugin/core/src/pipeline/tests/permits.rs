//! Tests of answer permits: one for an engine in two roles, and returned when the draft is out.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::pipeline::testing::{ScriptedModel, World, block_on};
use crate::pipeline::{
    Rsd,
    roles::{AnswerPermit, Generator, GeneratorRun, Prompt, RoleError, RunRequest},
    trace::FallbackReason,
};
use crate::policy::{AfterRejection, PolicyConfig};

/// A scripted model with an answer permit.
#[derive(Clone)]
pub(super) struct PermitModel {
    script: ScriptedModel,
    pub permit: Arc<Semaphore>,
    /// The permit of another model, which must be free when a run of this one starts.
    free: Option<Arc<Semaphore>>,
}

impl PermitModel {
    pub fn new(script: &ScriptedModel) -> Self {
        Self { script: script.clone(), permit: Arc::new(Semaphore::new(1)), free: None }
    }
}

#[async_trait]
impl Generator for PermitModel {
    fn role(&self) -> &str {
        self.script.role()
    }

    fn vocabulary(&self) -> Arc<str> {
        self.script.vocabulary()
    }

    fn context_length(&self) -> usize {
        self.script.context_length()
    }

    fn parameters(&self) -> Option<u64> {
        None
    }

    async fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, RoleError> {
        self.script.encode_prompt(prompt).await
    }

    fn encode_text(&self, text: &str) -> Result<Vec<u32>, RoleError> {
        self.script.encode_text(text)
    }

    fn token_bytes(&self, token: u32) -> Vec<u8> {
        self.script.token_bytes(token)
    }

    fn engine_id(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.permit).addr())
    }

    async fn answer_permit(&self) -> AnswerPermit {
        AnswerPermit(self.permit.clone().acquire_owned().await.ok())
    }

    async fn start(&self, request: RunRequest) -> Result<Box<dyn GeneratorRun>, RoleError> {
        if let Some(free) = &self.free {
            assert_eq!(free.available_permits(), 1, "the other model is held for nothing");
        }
        self.script.start(request).await
    }
}

fn rsd(world: &World, draft: &PermitModel, target: &PermitModel) -> Rsd {
    Rsd { draft: Arc::new(draft.clone()), target: Arc::new(target.clone()), ..world.rsd() }
}

#[test]
fn one_model_in_both_roles_has_one_permit() {
    for seed in 0..20 {
        let world = World::new(seed);
        let model = PermitModel::new(&world.draft);
        let answered = block_on(async {
            let rsd = rsd(&world, &model, &model);
            tokio::time::timeout(Duration::from_secs(60), world.answer_on(&rsd)).await
        });
        let answered = answered.expect("it waits for itself");
        assert!(!answered.outcome().trace.steps.is_empty());
        assert_eq!(model.permit.available_permits(), 1, "returned");
    }
}

#[test]
fn a_draft_that_is_out_is_free_for_another_answer() {
    let mut out = 0;
    for seed in 0..20 {
        let mut world = World::new(seed);
        world.draft.fail_start = Some(0);
        let draft = PermitModel::new(&world.draft);
        let target = PermitModel { free: Some(draft.permit.clone()), ..PermitModel::new(&world.target) };
        let answered = block_on(async { world.answer_on(&rsd(&world, &draft, &target)).await });
        let steps = &answered.outcome().trace.steps;
        out += usize::from(steps.iter().all(|step| step.fallback == Some(FallbackReason::DraftFailed)));
    }
    assert_eq!(out, 20);
}

#[test]
fn a_draft_that_the_target_takes_over_from_is_free_for_another_answer() {
    let mut handed_over = 0;
    for seed in 0..40 {
        let mut world = World::new(seed);
        world.policy.after_rejection = AfterRejection::Target;
        let draft = PermitModel::new(&world.draft);
        // The target runs once, after the draft is out.
        let target = PermitModel { free: Some(draft.permit.clone()), ..PermitModel::new(&world.target) };
        let answered = block_on(async { world.answer_on(&rsd(&world, &draft, &target)).await });
        let steps = &answered.outcome().trace.steps;
        handed_over += usize::from(steps.last().is_some_and(|step| step.handover.is_some()));
        assert_eq!((draft.permit.available_permits(), target.permit.available_permits()), (1, 1));
    }
    assert!(handed_over > 15, "{handed_over} are too few to tell");
}

#[test]
fn an_answer_that_cannot_be_drafted_does_not_wait_for_the_draft() {
    let mut world = World::new(1);
    world.policy = PolicyConfig { delta: 2.0, after_rejection: AfterRejection::Auto, ..world.policy };
    let (draft, target) = (PermitModel::new(&world.draft), PermitModel::new(&world.target));
    let held = draft.permit.clone().try_acquire_owned().unwrap();
    let answered = block_on(async {
        let rsd = rsd(&world, &draft, &target);
        tokio::time::timeout(Duration::from_secs(60), world.answer_on(&rsd)).await
    });
    drop(held);
    assert!(!answered.expect("it waits for the draft").outcome().trace.steps.is_empty());
}

#[test]
fn one_model_that_is_out_as_a_draft_holds_its_permit_as_the_target() {
    let mut world = World::new(1);
    world.draft.fail_start = Some(0);
    let model = PermitModel::new(&world.draft);
    let probe = model.permit.clone();
    let answered = block_on(async {
        let rsd = rsd(&world, &model, &model);
        let answer = world.answer_on(&rsd);
        tokio::pin!(answer);
        loop {
            tokio::select! {
                biased;
                answered = &mut answer => break answered,
                () = tokio::task::yield_now() => assert_eq!(probe.available_permits(), 0),
            }
        }
    });
    assert!(!answered.outcome().trace.steps.is_empty());
}
