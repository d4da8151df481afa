//! What holds for every request on every pair of models.

use std::{collections::HashSet, sync::Arc};

use proptest::{prelude::*, sample::select};

use super::scripted::{ALPHABET, Critic, PROMPT, World, block_on};
use rsd_protocol::live::Live;

use crate::{
    pipeline::{Answer, Finish, Outcome, segment::Boundary, trace::Source},
    policy::{Answers, PolicyConfig, PolicyHandle, Weighting, keep_probability},
    sampling::{Sampling, Stream},
};

/// Any world: models, sampling, unit, limits, stop strings, shared or foreign vocabulary.
fn worlds() -> impl Strategy<Value = World> {
    let boundary = prop_oneof![
        Just(Boundary::Delimiter(vec!["|".to_owned()])),
        Just(Boundary::Delimiter(vec!["d|".to_owned(), "X".to_owned()])),
        (1usize..4).prop_map(Boundary::Tokens),
    ];
    let stop = select(vec![vec![], vec!["ab"], vec!["|a", "XX"], vec!["b|c", "da|"], vec!["a|bc", "cd", "X|"]]);
    let limits = (0usize..60, 0usize..14, 1usize..8, 0usize..3);
    (any::<u64>(), any::<u64>(), select(vec![0.0f32, 0.7, 1.3]), boundary, stop, limits, any::<bool>()).prop_map(
        |(models, seed, temperature, boundary, stop, (tokens, steps, step, lookahead), foreign)| {
            let mut world = World::new(models);
            world.request.sampling = Sampling { seed, temperature, ..Sampling::default() };
            world.request.max_tokens = tokens;
            world.request.stop = stop.into_iter().map(str::to_owned).collect();
            world.settings.boundary = boundary;
            world.live.steps.max_tokens = step;
            world.live.limits.max_steps = steps;
            world.live.steps.lookahead = lookahead;
            world.target.shift = if foreign { 256 } else { 0 };
            world
        },
    )
}

/// Any policy.
fn policies() -> impl Strategy<Value = PolicyConfig> {
    let weighting = select(vec![
        Weighting::Binary,
        Weighting::Constant,
        Weighting::Clipping,
        Weighting::Sigmoidal,
        Weighting::Logistic,
    ]);
    let mode = prop_oneof![8 => Just(Answers::Rsd), 1 => Just(Answers::Draft), 1 => Just(Answers::Target)];
    (weighting, -0.2f64..1.2, 0.0f64..=1.0, mode).prop_map(|(weighting, delta, p, mode)| PolicyConfig {
        weighting,
        delta,
        p,
        answers: mode,
        ..PolicyConfig::default()
    })
}

fn alone(world: &World, mode: Answers) -> Outcome {
    world.with(PolicyConfig { answers: mode, ..world.policy }).answer()
}

/// What a client sees of an answer, the account aside.
fn seen(outcome: &Outcome) -> (String, Vec<u32>, Finish) {
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
    fn at_or_below_zero_the_draft_alone(world in worlds(), logistic: bool, delta in select(vec![0.0, -0.5])) {
        let weighting = if logistic { Weighting::Logistic } else { Weighting::Binary };
        let rsd = world.with(PolicyConfig { weighting, delta, ..world.policy }).answer();
        prop_assert_eq!(seen(&rsd), seen(&alone(&world, Answers::Draft)));
        prop_assert_eq!(rsd.trace.totals.target.calls, 0);
    }

    #[test]
    fn above_one_the_target_alone(world in worlds(), logistic: bool, delta in select(vec![1.000_001, 2.0])) {
        let weighting = if logistic { Weighting::Logistic } else { Weighting::Binary };
        let rsd = world.with(PolicyConfig { weighting, delta, ..world.policy }).answer();
        prop_assert_eq!(seen(&rsd), seen(&alone(&world, Answers::Target)));
        prop_assert_eq!(rsd.trace.totals.accepted_steps, 0);
    }

    #[test]
    fn a_constant_of_one_or_zero_is_one_model_alone(world in worlds(), one: bool) {
        let (p, mode) = if one { (1.0, Answers::Draft) } else { (0.0, Answers::Target) };
        let rsd = world.with(PolicyConfig { weighting: Weighting::Constant, p, ..world.policy }).answer();
        prop_assert_eq!(seen(&rsd), seen(&alone(&world, mode)));
    }

    #[test]
    fn the_account_adds_up(world in worlds(), policy in policies()) {
        let told = world.with(policy).told();
        let outcome = told.outcome();
        let (steps, totals) = (&outcome.trace.steps, &outcome.trace.totals);
        let verdicts = steps.iter().filter(|step| step.reward.is_some()).count();
        prop_assert_eq!(totals.accepted_steps + totals.rejected_steps, verdicts);
        prop_assert_eq!(totals.reward.calls, verdicts);
        let drafted = |source: Source| steps.iter().filter(move |s| s.source == source && s.reward.is_some());
        prop_assert_eq!(totals.accepted_steps, drafted(Source::Draft).count());
        prop_assert_eq!(totals.accepted_tokens, drafted(Source::Draft).map(|s| s.tokens).sum::<usize>());
        prop_assert!(drafted(Source::Target).all(|s| s.rejected.is_some()));
        let rejected: usize = steps.iter().filter_map(|s| s.rejected.as_ref()).map(|r| r.tokens).sum();
        prop_assert_eq!(totals.rejected_tokens + totals.wasted_lookahead_tokens, rejected);
        prop_assert_eq!(outcome.completion_tokens, outcome.tokens.len());
        prop_assert_eq!(steps.iter().map(|s| s.tokens).sum::<usize>(), outcome.completion_tokens);
        prop_assert!(steps.iter().enumerate().all(|(i, s)| s.index == i));
        prop_assert_eq!(outcome.prompt_tokens, PROMPT.len());
        if policy.answers == Answers::Rsd {
            let target: usize = steps.iter().filter(|s| s.source == Source::Target).map(|s| s.tokens).sum();
            prop_assert_eq!(totals.target.generated, target);
            prop_assert!(totals.draft.generated >= totals.accepted_tokens + rejected);
            prop_assert_eq!(verdicts, steps.len());
        }
    }

    #[test]
    fn text_tokens_steps_and_stream_agree(world in worlds(), policy in policies()) {
        let told = world.with(policy).told();
        let outcome = told.outcome();
        prop_assert_eq!(told.streamed(), outcome.text.as_str());
        let reported: Vec<_> = told.progress.iter().filter_map(|p| p.step.clone()).collect();
        prop_assert_eq!(&reported, &outcome.trace.steps);
        let written: String = outcome.trace.steps.iter().map(|step| step.text.as_str()).collect();
        let bytes: Vec<u8> = outcome.tokens.iter().map(|token| (token % 256) as u8).collect();
        prop_assert_eq!(written.as_bytes(), bytes.as_slice());
        // The text is what was written, up to the first stop string.
        let cut = world.request.stop.iter().filter_map(|stop| written.find(stop.as_str())).min();
        prop_assert_eq!(&outcome.text, &written[..cut.unwrap_or(written.len())]);
        if cut.is_some() {
            prop_assert_eq!(outcome.finish, Finish::Stop);
        }
    }

    #[test]
    fn limits_hold(world in worlds(), policy in policies()) {
        let outcome = world.with(policy).answer();
        prop_assert!(outcome.completion_tokens <= world.request.max_tokens);
        prop_assert!(outcome.trace.steps.len() <= world.live.limits.max_steps);
        prop_assert!(outcome.trace.steps.iter().all(|s| s.tokens <= world.live.steps.max_tokens));
        let ended = outcome.trace.steps.last().is_some_and(|s| s.end.is_final());
        let full = outcome.completion_tokens == world.request.max_tokens
            || outcome.trace.steps.len() == world.live.limits.max_steps;
        prop_assert!(ended || full && outcome.finish == Finish::Length);
    }

    #[test]
    fn working_ahead_changes_cost_and_nothing_else(world in worlds(), policy in policies()) {
        let at = |lookahead| {
            let mut world = world.with(policy);
            world.live.steps.lookahead = lookahead;
            world.answer()
        };
        let waiting = at(0);
        prop_assert_eq!(waiting.trace.totals.wasted_lookahead_tokens, 0);
        for ahead in [at(1), at(2)] {
            prop_assert_eq!(seen(&ahead), seen(&waiting));
            prop_assert_eq!(ahead.trace.totals.accepted_steps, waiting.trace.totals.accepted_steps);
            prop_assert_eq!(ahead.trace.totals.rejected_tokens, waiting.trace.totals.rejected_tokens);
        }
    }

    #[test]
    fn foreign_vocabularies_give_the_same_text(world in worlds(), policy in policies()) {
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
    fn a_higher_threshold_never_keeps_more_of_a_trajectory(world in worlds(), a in -0.2f64..1.2, b in -0.2f64..1.2, logistic: bool) {
        // Up to the first rejection every threshold sees the draft's own trajectory.
        let weighting = if logistic { Weighting::Logistic } else { Weighting::Binary };
        let kept = |delta| {
            let outcome = world.with(PolicyConfig { weighting, delta, ..world.policy }).answer();
            outcome.trace.steps.iter().take_while(|step| step.source == Source::Draft).count()
        };
        prop_assert!(kept(a.min(b)) >= kept(a.max(b)));
    }

    #[test]
    fn no_draw_is_used_twice(world in worlds(), policy in policies()) {
        world.with(policy).answer();
        let draft = world.draft.draws.lock().clone();
        let target = world.target.draws.lock().clone();
        let all: HashSet<_> = draft.iter().chain(&target).collect();
        prop_assert_eq!(all.len(), draft.len() + target.len());
        prop_assert!(all.iter().all(|(stream, _)| *stream != Stream::Accept.id()));
        // The target's draws are those it would use alone: position after position in one stream.
        prop_assert!(target.iter().all(|(stream, _)| *stream == Stream::Target.id()));
    }

    #[test]
    fn a_seed_repeats_its_answer(world in worlds(), policy in policies()) {
        let world = world.with(policy);
        prop_assert_eq!(seen(&world.answer()), seen(&world.answer()));
    }

    #[test]
    fn each_step_is_judged_by_the_policy_then_in_force(
        world in worlds(),
        deltas in proptest::collection::vec(0.05f64..1.0, 14),
    ) {
        let handle = Arc::new(PolicyHandle::new(Live { policy: world.policy, ..world.live.clone() }).unwrap());
        let (swapped, live, schedule) = (handle.clone(), world.live.clone(), deltas.clone());
        let policy = world.policy;
        let mut world = world;
        world.critic.before = Some(Arc::new(move |call: usize| {
            // The mode is read once per request: switching it changes later requests only.
            let mode = if call % 3 == 1 { Answers::Target } else { Answers::Rsd };
            let policy = PolicyConfig { delta: schedule[call], answers: mode, ..policy };
            swapped.replace(Live { policy, ..live.clone() }).unwrap();
        }));
        let outcome = block_on(async { world.tell_by(&world.rsd_under(handle)).await.outcome().clone() });
        for (i, step) in outcome.trace.steps.iter().enumerate() {
            prop_assert_eq!((step.revision, step.delta), (i as u64 + 2, deltas[i]));
            let source = if step.reward.unwrap() >= step.delta { Source::Draft } else { Source::Target };
            prop_assert_eq!(step.source, source);
        }
    }

    #[test]
    fn a_request_may_bring_its_own_policy(world in worlds(), policy in policies()) {
        let mut asking = world.clone();
        asking.request.overrides.delta = Some(policy.delta);
        asking.request.overrides.answers = Some(policy.answers);
        let values = PolicyConfig { delta: policy.delta, answers: policy.answers, ..world.policy };
        prop_assert_eq!(seen(&asking.answer()), seen(&world.with(values).answer()));
    }
}

#[test]
fn a_constant_keeps_its_share_of_steps() {
    let (mut kept, mut judged) = (0, 0);
    for seed in 0..200 {
        let mut world = World::new(seed);
        world.settings.boundary = Boundary::Tokens(1);
        let values = PolicyConfig { weighting: Weighting::Constant, p: 0.3, ..world.policy };
        let totals = world.with(values).answer().trace.totals;
        kept += totals.accepted_steps;
        judged += totals.accepted_steps + totals.rejected_steps;
    }
    let share = f64::from(u32::try_from(kept).unwrap()) / judged as f64;
    assert!(judged > 2000, "{judged} steps are too few to tell");
    assert!((share - 0.3).abs() < 0.03, "{kept} of {judged}");
}

/// P(y) = omega(r(y)) m(y) + (1 - E[omega]) M(y), for a step of one token.
fn mixture(world: &World, critic: &Critic, text: &str) -> Vec<f64> {
    let so_far = format!("{PROMPT}{text}");
    let (m, big) = (world.draft.probabilities(so_far.as_bytes()), world.target.probabilities(so_far.as_bytes()));
    let omega: Vec<f64> = (0..=ALPHABET.len())
        .map(|token| {
            let step: String = ALPHABET.get(token).map(|byte| char::from(*byte)).into_iter().collect();
            let reward = critic.judge(&[text.to_owned()], &step);
            keep_probability(&world.policy, reward)
        })
        .collect();
    let kept: f64 = m.iter().zip(&omega).map(|(m, w)| m * w).sum();
    m.iter().zip(&omega).zip(&big).map(|((m, w), big)| w * m + (1.0 - kept) * big).collect()
}

#[test]
fn answers_are_drawn_from_the_mixture() {
    let mut world = World::new(11);
    world.policy = PolicyConfig { weighting: Weighting::Clipping, ..world.policy };
    world.settings.boundary = Boundary::Tokens(1);
    world.live.steps.lookahead = 0;
    world.request.max_tokens = 2;
    let symbols = ALPHABET.len() + 1;
    let mut seen = vec![0u32; symbols * symbols];
    let requests = 20_000u32;
    block_on(async {
        for seed in 0..requests {
            world.request.sampling.seed = u64::from(seed);
            let told = world.tell().await;
            let text = told.outcome().text.as_bytes().to_vec();
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
        (0..60).flat_map(|seed| [Answers::Rsd, Answers::Draft, Answers::Target].map(|mode| (seed, mode)))
    {
        let mut world = World::new(seed);
        world.policy.answers = mode;
        let free = world.answer();
        let steps: Vec<&str> = free.trace.steps.iter().map(|step| step.text.as_str()).collect();
        let Some(pair) = steps.windows(2).rev().find(|pair| pair[0].len() > 1 && pair[1].len() > 1) else { continue };
        // It ends where a step ends: a step cut short by it would be another step, with a verdict of its own.
        let stop = format!("{}{}", &pair[0][pair[0].len() - 2..], pair[1]);
        // So would a rejected step be that holds it.
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
        let told = world.told();
        let expected = Answer::new(vec![stop]).push_all(free.text.as_bytes());
        assert_eq!(told.outcome().text, expected);
        assert_eq!(told.streamed(), expected);
        assert_eq!(told.outcome().finish, Finish::Stop);
    }
    assert!(checked > 50, "{checked} cases are too few to tell");
}
