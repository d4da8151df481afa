//! A model's turn: one for one model in two roles, and given back when the model is out.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::scripted::{Script, World, block_on};
use crate::pipeline::{
    Rsd,
    roles::{Generator, Prompt, RoleError, Run, RunRequest, Turn},
    trace::Fallback,
};

/// A scripted model with a turn.
#[derive(Clone)]
struct InTurn {
    script: Script,
    turn: Arc<Semaphore>,
    /// Another model's turn, which must be free when a run of this one starts.
    free: Option<Arc<Semaphore>>,
}

impl InTurn {
    fn new(script: &Script) -> Self {
        Self { script: script.clone(), turn: Arc::new(Semaphore::new(1)), free: None }
    }
}

#[async_trait]
impl Generator for InTurn {
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

    fn identity(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.turn).addr())
    }

    async fn turn(&self) -> Turn {
        Turn(self.turn.clone().acquire_owned().await.ok())
    }

    async fn start(&self, request: RunRequest) -> Result<Box<dyn Run>, RoleError> {
        if let Some(free) = &self.free {
            assert_eq!(free.available_permits(), 1, "the other model is kept for nothing");
        }
        self.script.start(request).await
    }
}

fn rsd(world: &World, draft: &InTurn, target: &InTurn) -> Rsd {
    Rsd { draft: Arc::new(draft.clone()), target: Arc::new(target.clone()), ..world.rsd() }
}

#[test]
fn one_model_in_both_roles_has_one_turn() {
    for seed in 0..20 {
        let world = World::new(seed);
        let model = InTurn::new(&world.draft);
        let told = block_on(async {
            let rsd = rsd(&world, &model, &model);
            tokio::time::timeout(Duration::from_secs(60), world.tell_by(&rsd)).await
        });
        let told = told.expect("it waits for itself");
        assert!(!told.outcome().trace.steps.is_empty());
        assert_eq!(model.turn.available_permits(), 1, "given back");
    }
}

#[test]
fn a_draft_that_is_out_is_free_for_another_answer() {
    let mut out = 0;
    for seed in 0..20 {
        let mut world = World::new(seed);
        world.draft.fail_start = Some(0);
        let draft = InTurn::new(&world.draft);
        let target = InTurn { free: Some(draft.turn.clone()), ..InTurn::new(&world.target) };
        let told = block_on(async { world.tell_by(&rsd(&world, &draft, &target)).await });
        let steps = &told.outcome().trace.steps;
        out += usize::from(steps.iter().all(|step| step.fallback == Some(Fallback::DraftFailed)));
    }
    assert_eq!(out, 20);
}

#[test]
fn one_model_that_is_out_as_a_draft_keeps_its_turn_as_the_target() {
    let mut world = World::new(1);
    world.draft.fail_start = Some(0);
    let model = InTurn::new(&world.draft);
    let probe = model.turn.clone();
    let told = block_on(async {
        let rsd = rsd(&world, &model, &model);
        let answer = world.tell_by(&rsd);
        tokio::pin!(answer);
        loop {
            tokio::select! {
                biased;
                told = &mut answer => break told,
                () = tokio::task::yield_now() => assert_eq!(probe.available_permits(), 0),
            }
        }
    });
    assert!(!told.outcome().trace.steps.is_empty());
}
