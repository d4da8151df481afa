//! Laws of tokens that the draft proposes inside the steps of the target.

use std::sync::atomic::Ordering::SeqCst;

use proptest::{prelude::*, sample::select};

use super::laws::{policies, worlds};
use crate::{
    pipeline::{
        AnswerOutcome,
        testing::World,
        trace::{AnswerTotals, SpeculationTotals, StepSource},
    },
    policy::{AfterRejection, PolicyConfig},
};

fn proposing(world: &World, proposals: usize) -> World {
    let mut world = world.clone();
    world.settings.proposals = proposals;
    world
}

/// An answer without its costs.
fn without_costs(mut outcome: AnswerOutcome) -> AnswerOutcome {
    outcome.cached_prompt_tokens = None;
    for step in &mut outcome.trace.steps {
        (step.draft_ms, step.reward_ms, step.target_ms) = (0.0, 0.0, 0.0);
    }
    let AnswerTotals { rejected_steps, rejected_tokens, .. } = outcome.trace.totals;
    outcome.trace.totals = AnswerTotals { rejected_steps, rejected_tokens, ..AnswerTotals::default() };
    outcome
}

/// Worlds of one vocabulary, with penalties and log-probabilities.
fn shared_worlds() -> impl Strategy<Value = World> {
    (worlds(), select(vec![None, Some(0.7f32)]), select(vec![None, Some(2usize)])).prop_map(
        |(mut world, penalty, logprobs)| {
            world.target.shift = 0;
            world.request.sampling.frequency_penalty = penalty;
            world.request.logprobs = logprobs;
            world
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn proposals_change_costs_and_nothing_else(world in shared_worlds(), policy in policies(), proposals in 1usize..7) {
        let plain = world.with(policy);
        let (one_by_one, proposed) = (plain.answer(), proposing(&plain, proposals).answer());
        prop_assert_eq!(one_by_one.trace.totals.speculation, SpeculationTotals::default());
        let speculation = proposed.trace.totals.speculation;
        prop_assert!(speculation.accepted <= speculation.proposed);
        prop_assert!(speculation.proposed <= speculation.rounds * proposals);
        prop_assert_eq!(without_costs(proposed), without_costs(one_by_one));
    }

    #[test]
    fn a_failed_verification_leaves_the_step_to_the_target(
        world in shared_worlds(), policy in policies(), proposals in 1usize..5, at in 0usize..6,
    ) {
        let plain = world.with(policy);
        let mut failing = proposing(&plain, proposals);
        failing.target.fail_verification = Some(at);
        prop_assert_eq!(without_costs(failing.answer()), without_costs(plain.answer()));
    }

    #[test]
    fn foreign_vocabularies_propose_nothing(world in worlds(), policy in policies()) {
        let mut world = proposing(&world.with(policy), 4);
        world.target.shift = 256;
        prop_assert_eq!(world.answer().trace.totals.speculation, SpeculationTotals::default());
        prop_assert_eq!(world.target.verifications.load(SeqCst), 0);
    }
}

/// Worlds whose target replaces some steps.
fn replacing(proposals: usize) -> Vec<World> {
    let policy = PolicyConfig { delta: 0.6, after_rejection: AfterRejection::Draft, ..World::new(0).policy };
    (0..40).map(|seed| proposing(&World::new(seed).with(policy), proposals)).collect()
}

#[test]
fn a_draft_that_is_the_target_proposes_what_the_target_picks() {
    let mut accepted = 0;
    for mut world in replacing(3) {
        world.draft.seed = world.target.seed;
        // The same randomness and the same logits: only an end that the draft foresees ends a proposal early.
        let totals = world.answer().trace.totals;
        assert_eq!(totals.speculation.accepted, totals.speculation.proposed);
        accepted += totals.speculation.accepted;
    }
    assert!(accepted > 100, "{accepted}");
}

#[test]
fn what_is_proposed_is_counted_as_the_drafts_work_and_what_is_verified_as_the_targets() {
    let mut rounds = 0;
    for world in replacing(4) {
        let [plain, outcome] = [proposing(&world, 0), world].map(|world| world.answer());
        let [before, after] = [plain.trace.totals, outcome.trace.totals];
        assert_eq!(after.draft.generated, before.draft.generated + after.speculation.proposed);
        assert_eq!(after.draft.calls, before.draft.calls + after.speculation.rounds);
        let target = |outcome: &AnswerOutcome| -> usize {
            outcome.trace.steps.iter().filter(|step| step.source == StepSource::Target).map(|step| step.tokens).sum()
        };
        assert!(after.target.generated >= target(&outcome));
        assert!(after.target.generated >= after.speculation.accepted);
        rounds += after.speculation.rounds;
    }
    assert!(rounds > 50, "{rounds}");
}

#[test]
fn a_draft_whose_context_is_full_proposes_nothing() {
    for world in replacing(4) {
        let whole = world.answer();
        for context in 4..20 {
            let mut world = world.clone();
            world.draft.context = context;
            let narrow = world.answer();
            let plain = proposing(&world, 0).answer();
            assert_eq!(without_costs(narrow), without_costs(plain), "context {context} of {:?}", whole.text);
        }
    }
}
