//! Laws that hold for every request on every pair of models.

use std::{collections::HashSet, sync::Arc};

use proptest::{prelude::*, sample::select};

use crate::pipeline::testing::{ALPHABET, PROMPT, ScriptedReward, World, block_on};
use rsd_protocol::settings::RuntimeSettings;

use crate::{
    pipeline::{AnswerOutcome, AnswerText, FinishReason, segment::StepBoundary, trace::StepSource},
    policy::{AfterRejection, AnswerRoute, PolicyConfig, PolicyHandle, WeightingFunction, acceptance_probability},
    sampling::{RandomStream, Sampling},
};

/// Any world: models, sampling, unit, limits, stop strings, shared or foreign vocabulary.
pub(super) fn worlds() -> impl Strategy<Value = World> {
    let boundary = prop_oneof![
        Just(StepBoundary::Delimiter(vec!["|".to_owned()])),
        Just(StepBoundary::Delimiter(vec!["d|".to_owned(), "X".to_owned()])),
        (1usize..4).prop_map(StepBoundary::Tokens),
    ];
    let stop = select(vec![vec![], vec!["ab"], vec!["|a", "XX"], vec!["b|c", "da|"], vec!["a|bc", "cd", "X|"]]);
    let limits = (0usize..60, 0usize..14, 1usize..8, 0usize..3);
    (any::<u64>(), any::<u64>(), select(vec![0.0f32, 0.7, 1.3]), boundary, stop, limits, any::<bool>()).prop_map(
        |(models, seed, temperature, boundary, stop, (tokens, steps, step, lookahead), foreign)| {
            let mut world = World::new(models);
            world.request.sampling = Sampling { temperature, seed, ..Sampling::default() };
            world.request.max_tokens = tokens;
            world.request.stop = stop.into_iter().map(str::to_owned).collect();
            world.settings.boundary = boundary;
            world.runtime.steps.max_tokens = step;
            world.runtime.limits.max_steps = steps;
            world.runtime.steps.lookahead = lookahead;
            world.target.shift = if foreign { 256 } else { 0 };
            world
        },
    )
}

fn ways() -> impl Strategy<Value = AfterRejection> {
    select(vec![AfterRejection::Draft, AfterRejection::Target, AfterRejection::Auto])
}

/// Any policy that lets the draft go on after a rejection.
pub(super) fn policies() -> impl Strategy<Value = PolicyConfig> {
    let weighting = select(vec![
        WeightingFunction::Binary,
        WeightingFunction::Constant,
        WeightingFunction::Clipping,
        WeightingFunction::Sigmoidal,
        WeightingFunction::Logistic,
    ]);
    let mode = prop_oneof![8 => Just(AnswerRoute::Rsd), 1 => Just(AnswerRoute::Draft), 1 => Just(AnswerRoute::Target)];
    (weighting, -0.2f64..1.2, 0.0f64..=1.0, mode).prop_map(|(weighting, delta, p, mode)| PolicyConfig {
        weighting,
        delta,
        constant_probability: p,
        route: mode,
        after_rejection: AfterRejection::Draft,
        ..PolicyConfig::default()
    })
}

/// Any policy.
fn policies_of_all_ways() -> impl Strategy<Value = PolicyConfig> {
    (policies(), ways()).prop_map(|(policy, after_rejection)| PolicyConfig { after_rejection, ..policy })
}

fn alone(world: &World, mode: AnswerRoute) -> AnswerOutcome {
    world.with(PolicyConfig { route: mode, ..world.policy }).answer()
}

/// What a client sees of an answer, without the trace.
fn seen(outcome: &AnswerOutcome) -> (String, Vec<u32>, FinishReason) {
    (outcome.text.clone(), outcome.tokens.clone(), outcome.finish)
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("draft", &self.draft.seed)
            .field("target", &(self.target.seed, self.target.shift))
            .field("settings", &self.settings)
            .field("policy", &self.policy)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn at_or_below_zero_the_draft_alone(
        world in worlds(), after_rejection in ways(), logistic: bool, delta in select(vec![0.0, -0.5]),
    ) {
        let weighting = if logistic { WeightingFunction::Logistic } else { WeightingFunction::Binary };
        let rsd = world.with(PolicyConfig { weighting, delta, after_rejection, ..world.policy }).answer();
        prop_assert_eq!(seen(&rsd), seen(&alone(&world, AnswerRoute::Draft)));
        prop_assert_eq!(rsd.trace.totals.target.calls, 0);
    }

    #[test]
    fn above_one_the_target_alone(
        world in worlds(), after_rejection in ways(), logistic: bool, delta in select(vec![1.000_001, 2.0]),
    ) {
        let weighting = if logistic { WeightingFunction::Logistic } else { WeightingFunction::Binary };
        let rsd = world.with(PolicyConfig { weighting, delta, after_rejection, ..world.policy }).answer();
        prop_assert_eq!(seen(&rsd), seen(&alone(&world, AnswerRoute::Target)));
        prop_assert_eq!(rsd.trace.totals.accepted_steps, 0);
        if after_rejection == AfterRejection::Auto {
            prop_assert_eq!(rsd.trace.totals.draft.calls, 0);
        }
    }

    #[test]
    fn a_constant_of_one_or_zero_is_one_model_alone(world in worlds(), after_rejection in ways(), one: bool) {
        let (p, mode) = if one { (1.0, AnswerRoute::Draft) } else { (0.0, AnswerRoute::Target) };
        let policy =
            PolicyConfig { weighting: WeightingFunction::Constant, constant_probability: p, after_rejection, ..world.policy };
        let rsd = world.with(policy).answer();
        prop_assert_eq!(seen(&rsd), seen(&alone(&world, mode)));
    }

    #[test]
    fn the_trace_adds_up(world in worlds(), policy in policies()) {
        let answered = world.with(policy).answer_with_progress();
        let outcome = answered.outcome();
        let (steps, totals) = (&outcome.trace.steps, &outcome.trace.totals);
        let scored = steps.iter().filter(|step| step.reward.is_some()).count();
        prop_assert_eq!(totals.accepted_steps + totals.rejected_steps, scored);
        prop_assert_eq!(totals.reward.calls, scored);
        let drafted = |source: StepSource| steps.iter().filter(move |s| s.source == source && s.reward.is_some());
        prop_assert_eq!(totals.accepted_steps, drafted(StepSource::Draft).count());
        prop_assert_eq!(totals.accepted_tokens, drafted(StepSource::Draft).map(|s| s.tokens).sum::<usize>());
        prop_assert!(drafted(StepSource::Target).all(|s| s.rejected.is_some()));
        let rejected: usize = steps.iter().filter_map(|s| s.rejected.as_ref()).map(|r| r.tokens).sum();
        prop_assert_eq!(totals.rejected_tokens + totals.discarded_lookahead_tokens, rejected);
        prop_assert_eq!(outcome.completion_tokens, outcome.tokens.len());
        prop_assert_eq!(steps.iter().map(|s| s.tokens).sum::<usize>(), outcome.completion_tokens);
        prop_assert!(steps.iter().enumerate().all(|(i, s)| s.index == i));
        prop_assert_eq!(outcome.prompt_tokens, PROMPT.len());
        if policy.route == AnswerRoute::Rsd {
            let target: usize = steps.iter().filter(|s| s.source == StepSource::Target).map(|s| s.tokens).sum();
            prop_assert_eq!(totals.target.generated, target);
            prop_assert!(totals.draft.generated >= totals.accepted_tokens + rejected);
            prop_assert_eq!(scored, steps.len());
        }
    }

    #[test]
    fn text_tokens_steps_and_stream_agree(world in worlds(), policy in policies_of_all_ways()) {
        let answered = world.with(policy).answer_with_progress();
        let outcome = answered.outcome();
        prop_assert_eq!(answered.streamed(), outcome.text.as_str());
        let reported: Vec<_> = answered.progress.iter().filter_map(|p| p.step.clone()).collect();
        prop_assert_eq!(&reported, &outcome.trace.steps);
        let generated: String = outcome.trace.steps.iter().map(|step| step.text.as_str()).collect();
        let bytes: Vec<u8> = outcome.tokens.iter().map(|token| u8::try_from(token % 256).unwrap()).collect();
        prop_assert_eq!(generated.as_bytes(), bytes.as_slice());
        // The text is what was generated, up to the first stop string.
        let cut = world.request.stop.iter().filter_map(|stop| generated.find(stop.as_str())).min();
        prop_assert_eq!(&outcome.text, &generated[..cut.unwrap_or(generated.len())]);
        if cut.is_some() {
            prop_assert_eq!(outcome.finish, FinishReason::Stop);
        }
    }

    #[test]
    fn limits_hold(world in worlds(), policy in policies_of_all_ways()) {
        let outcome = world.with(policy).answer();
        prop_assert!(outcome.completion_tokens <= world.request.max_tokens);
        prop_assert!(outcome.trace.steps.len() <= world.runtime.limits.max_steps);
        prop_assert!(outcome.trace.steps.iter().all(|s| s.tokens <= world.runtime.steps.max_tokens));
        let ended = outcome.trace.steps.last().is_some_and(|s| s.end.is_final());
        let full = outcome.completion_tokens == world.request.max_tokens
            || outcome.trace.steps.len() == world.runtime.limits.max_steps;
        prop_assert!(ended || full && outcome.finish == FinishReason::Length);
    }

    #[test]
    fn working_ahead_changes_cost_and_nothing_else(world in worlds(), policy in policies_of_all_ways()) {
        let at = |lookahead| {
            let mut world = world.with(policy);
            world.runtime.steps.lookahead = lookahead;
            world.answer()
        };
        let waiting = at(0);
        prop_assert_eq!(waiting.trace.totals.discarded_lookahead_tokens, 0);
        for ahead in [at(1), at(2)] {
            prop_assert_eq!(seen(&ahead), seen(&waiting));
            prop_assert_eq!(ahead.trace.totals.accepted_steps, waiting.trace.totals.accepted_steps);
            prop_assert_eq!(ahead.trace.totals.rejected_tokens, waiting.trace.totals.rejected_tokens);
        }
    }

    #[test]
    fn foreign_vocabularies_give_the_same_text(world in worlds(), policy in policies_of_all_ways()) {
        let at = |draft, target| {
            let mut world = world.with(policy);
            (world.draft.shift, world.target.shift) = (draft, target);
            world.answer()
        };
        let shared = at(0, 0);
        prop_assert!(shared.trace.shared_vocabulary);
        for foreign in [at(0, 256), at(256, 0)] {
            prop_assert!(!foreign.trace.shared_vocabulary);
            prop_assert_eq!(&foreign.text, &shared.text);
            prop_assert_eq!(foreign.finish, shared.finish);
            prop_assert_eq!(foreign.trace.steps.len(), shared.trace.steps.len());
        }
    }

    #[test]
    fn a_higher_threshold_never_accepts_more_of_a_trajectory(world in worlds(), a in -0.2f64..1.2, b in -0.2f64..1.2, logistic: bool) {
        // Up to the first rejection every threshold sees the draft's own trajectory.
        let weighting = if logistic { WeightingFunction::Logistic } else { WeightingFunction::Binary };
        let accepted = |delta| {
            let outcome = world.with(PolicyConfig { weighting, delta, ..world.policy }).answer();
            outcome.trace.steps.iter().take_while(|step| step.source == StepSource::Draft).count()
        };
        prop_assert!(accepted(a.min(b)) >= accepted(a.max(b)));
    }

    #[test]
    fn no_draw_is_used_twice(world in worlds(), policy in policies_of_all_ways()) {
        world.with(policy).answer();
        let draft = world.draft.draws.lock().clone();
        let target = world.target.draws.lock().clone();
        let all: HashSet<_> = draft.iter().chain(&target).collect();
        prop_assert_eq!(all.len(), draft.len() + target.len());
        prop_assert!(all.iter().all(|(stream, _)| *stream != RandomStream::Accept.id()));
        // The target's draws are those it would use alone: position after position in one stream.
        prop_assert!(target.iter().all(|(stream, _)| *stream == RandomStream::Target.id()));
    }

    #[test]
    fn a_seed_repeats_its_answer(world in worlds(), policy in policies_of_all_ways()) {
        let world = world.with(policy);
        prop_assert_eq!(seen(&world.answer()), seen(&world.answer()));
    }

    #[test]
    fn each_step_is_decided_by_the_policy_then_in_force(
        world in worlds(),
        deltas in proptest::collection::vec(0.05f64..1.0, 14),
    ) {
        let handle = Arc::new(PolicyHandle::new(RuntimeSettings { policy: world.policy, ..world.runtime.clone() }).unwrap());
        let (swapped, live, schedule) = (handle.clone(), world.runtime.clone(), deltas.clone());
        let policy = world.policy;
        let mut world = world;
        world.critic.before = Some(Arc::new(move |call: usize| {
            // The mode is read once per request: switching it changes later requests only.
            let mode = if call % 3 == 1 { AnswerRoute::Target } else { AnswerRoute::Rsd };
            let policy = PolicyConfig { delta: schedule[call], route: mode, ..policy };
            swapped.replace_settings(&RuntimeSettings { policy, ..live.clone() }).unwrap();
        }));
        let outcome = block_on(async { world.answer_on(&world.rsd_under(handle)).await.outcome().clone() });
        for (i, step) in outcome.trace.steps.iter().enumerate() {
            prop_assert_eq!((step.revision, step.delta), (i as u64 + 2, deltas[i]));
            let source = if step.reward.unwrap() >= step.delta { StepSource::Draft } else { StepSource::Target };
            prop_assert_eq!(step.source, source);
        }
    }

    #[test]
    fn a_request_may_bring_its_own_policy(world in worlds(), policy in policies_of_all_ways()) {
        let mut asking = world.clone();
        asking.request.overrides.delta = Some(policy.delta);
        asking.request.overrides.route = Some(policy.route);
        asking.request.overrides.after_rejection = Some(policy.after_rejection);
        let values = PolicyConfig {
            delta: policy.delta,
            route: policy.route,
            after_rejection: policy.after_rejection,
            ..world.policy
        };
        prop_assert_eq!(seen(&asking.answer()), seen(&world.with(values).answer()));
    }
}

#[test]
fn a_constant_accepts_its_share_of_steps() {
    let (mut accepted, mut decided) = (0, 0);
    for seed in 0..200 {
        let mut world = World::new(seed);
        world.settings.boundary = StepBoundary::Tokens(1);
        let values = PolicyConfig { weighting: WeightingFunction::Constant, constant_probability: 0.3, ..world.policy };
        let totals = world.with(values).answer().trace.totals;
        accepted += totals.accepted_steps;
        decided += totals.accepted_steps + totals.rejected_steps;
    }
    let share = f64::from(u32::try_from(accepted).unwrap()) / decided as f64;
    assert!(decided > 2000, "{decided} steps are too few to tell");
    assert!((share - 0.3).abs() < 0.03, "{accepted} of {decided}");
}

/// P(y) = omega(r(y)) m(y) + (1 - E[omega]) M(y), for a step of one token.
fn mixture(world: &World, critic: &ScriptedReward, text: &str) -> Vec<f64> {
    let so_far = format!("{PROMPT}{text}");
    let (m, big) = (world.draft.probabilities(so_far.as_bytes()), world.target.probabilities(so_far.as_bytes()));
    let omega: Vec<f64> = (0..=ALPHABET.len())
        .map(|token| {
            let step: String = ALPHABET.get(token).map(|byte| char::from(*byte)).into_iter().collect();
            let reward = critic.reward_for(&[text.to_owned()], &step);
            acceptance_probability(&world.policy, Some(reward))
        })
        .collect();
    let accepted: f64 = m.iter().zip(&omega).map(|(m, w)| m * w).sum();
    m.iter().zip(&omega).zip(&big).map(|((m, w), big)| w * m + (1.0 - accepted) * big).collect()
}

#[test]
fn answers_are_drawn_from_the_mixture() {
    let mut world = World::new(11);
    world.policy = PolicyConfig { weighting: WeightingFunction::Clipping, ..world.policy };
    world.settings.boundary = StepBoundary::Tokens(1);
    world.runtime.steps.lookahead = 0;
    world.request.max_tokens = 2;
    let symbols = ALPHABET.len() + 1;
    let mut seen = vec![0u32; symbols * symbols];
    let requests = 20_000u32;
    block_on(async {
        for seed in 0..requests {
            world.request.sampling.seed = u64::from(seed);
            let answered = world.answer_async().await;
            let text = answered.outcome().text.as_bytes().to_vec();
            let symbol =
                |at: usize| text.get(at).map_or(symbols - 1, |b| ALPHABET.iter().position(|a| a == b).unwrap());
            seen[symbol(0) * symbols + symbol(1)] += 1;
        }
    });
    let first = mixture(&world, &world.critic, "");
    let mut distance = 0.0;
    for (a, p) in first.iter().enumerate() {
        let second = match ALPHABET.get(a) {
            Some(byte) => mixture(&world, &world.critic, &char::from(*byte).to_string()),
            // Nothing follows the end.
            None => (0..symbols).map(|b| f64::from(u8::from(b == symbols - 1))).collect(),
        };
        for (b, q) in second.iter().enumerate() {
            distance += (f64::from(seen[a * symbols + b]) / f64::from(requests) - p * q).abs() / 2.0;
        }
    }
    assert!(distance < 0.03, "total variation {distance}");
}

#[test]
fn a_stop_string_over_two_steps_ends_the_answer_before_it() {
    let mut checked = 0;
    for (seed, mode) in
        (0..60).flat_map(|seed| [AnswerRoute::Rsd, AnswerRoute::Draft, AnswerRoute::Target].map(|mode| (seed, mode)))
    {
        let mut world = World::new(seed);
        world.policy.route = mode;
        let free = world.answer();
        let steps: Vec<&str> = free.trace.steps.iter().map(|step| step.text.as_str()).collect();
        let Some(pair) = steps.windows(2).rev().find(|pair| pair[0].len() > 1 && pair[1].len() > 1) else { continue };
        // It ends where a step ends: a step cut short by it would be another step, with a reward of its own.
        let stop = format!("{}{}", &pair[0][pair[0].len() - 2..], pair[1]);
        // The same holds for a rejected step that contains it.
        let mut so_far = String::new();
        let met_before = free.trace.steps.iter().any(|step| {
            let rejected = step.rejected.as_ref().is_some_and(|r| format!("{so_far}{}", r.text).contains(&stop));
            so_far.push_str(&step.text);
            rejected
        });
        if met_before {
            continue;
        }
        checked += 1;
        world.request.stop = vec![stop.clone()];
        let answered = world.answer_with_progress();
        let expected = AnswerText::new(vec![stop]).push_all(free.text.as_bytes());
        assert_eq!(answered.outcome().text, expected);
        assert_eq!(answered.streamed(), expected);
        assert_eq!(answered.outcome().finish, FinishReason::Stop);
    }
    assert!(checked > 50, "{checked} cases are too few to tell");
}
