use std::sync::{Arc, atomic::Ordering::SeqCst};

use async_trait::async_trait;
use proptest::prelude::*;
use rsd_grading::AnswerKind;

use crate::{
    question::Question,
    run_log::{Answer, StepSource},
};

use super::{BeamWidth, MemoizedGenerator, Method, MethodRunner, RunRecipe};
use rsd_core::{
    pipeline::{
        AnswerOutcome, PolicyOverrides, Rsd,
        observe::ModelRole,
        price::{CurrencyCode, TokenPrice},
        roles::{Generator, ModelHealth, RemoteTraffic, RewardModel, RoleError, StepScore, Trajectory},
        testing::{PROMPT, ScriptedReward, World, block_on},
        trace,
    },
    policy::AfterRejection,
    sampling::Sampling,
};

/// Greedy and without lookahead, so that only rejected steps are discarded.
fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.request.sampling = Sampling::default();
    world.runtime.steps.lookahead = 0;
    world
}

fn memoized(world: &World) -> (Rsd, MemoizedGenerator, MemoizedGenerator) {
    let draft = MemoizedGenerator::new(Arc::new(world.draft.clone()), false);
    let target = MemoizedGenerator::new(Arc::new(world.target.clone()), false);
    let rsd = Rsd { draft: Arc::new(draft.clone()), target: Arc::new(target.clone()), ..world.rsd() };
    (rsd, draft, target)
}

async fn at(rsd: &Rsd, world: &World, delta: f64) -> AnswerOutcome {
    let overrides = PolicyOverrides { delta: Some(delta), ..PolicyOverrides::default() };
    rsd.complete(rsd_core::pipeline::Request { overrides, ..world.request.clone() }).await.unwrap()
}

fn question() -> Question {
    Question {
        id: "one".to_owned(),
        text: PROMPT.to_owned(),
        answers: vec!["1".to_owned()],
        kind: AnswerKind::Number,
        code: None,
        level: None,
    }
}

fn runner(world: &World) -> MethodRunner {
    MethodRunner {
        rsd: world.rsd(),
        recipe: RunRecipe {
            system: String::new(),
            max_tokens: 60,
            sampling: Sampling { temperature: 1.0, seed: 5, ..Sampling::default() },
            samples: 3,
            width: BeamWidth { beams: 2, expansions: 2 },
            timed: true,
        },
    }
}

fn answers(world: &World, methods: &[Method]) -> Vec<Answer> {
    let world = world.clone();
    block_on(async move { runner(&world).answers(&question(), methods).await.unwrap() })
}

fn by_draft(answer: &Answer) -> bool {
    answer.steps.iter().all(|step| step.source == StepSource::Draft)
}

#[test]
fn an_answer_costs_what_its_tokens_cost_whatever_method_made_it() {
    let currency = CurrencyCode::parse("USD").unwrap();
    // Cached tokens cost nothing, so that what the log holds of tokens is what costs.
    let price = TokenPrice { input: 2e6, cached_input: 0.0, output: 1e6, currency };
    let mut world = world(7);
    let methods = [Method::Target, Method::Rsd, Method::Beam, Method::Samples(StepSource::Draft)];
    assert!(answers(&world, &methods).iter().all(|answer| answer.cost.is_none()));
    world.target.price = Some(price);
    for answer in answers(&world, &methods) {
        let cost = answer.cost.unwrap();
        let tokens = 2 * answer.target.prefilled + answer.target.generated;
        assert!((cost.target - tokens as f64).abs() < 1e-9, "{}: {cost:?}", answer.method);
        assert_eq!(cost.draft.to_bits(), 0.0_f64.to_bits(), "a model without a price costs nothing");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// An answer from memory equals the answer of the models, whatever ran before.
    #[test]
    fn memory_changes_neither_answers_nor_traces(seed: u64, deltas in proptest::collection::vec(0u8..13, 1..6)) {
        let world = world(seed);
        block_on(async {
            let (rsd, draft, target) = memoized(&world);
            for (index, delta) in deltas.iter().enumerate() {
                let delta = f64::from(*delta) / 10.0 - 0.1;
                draft.begin(index > 0);
                target.begin(index > 0);
                let remembered = at(&rsd, &world, delta).await;
                world.draft.clear_cache().await.unwrap();
                world.target.clear_cache().await.unwrap();
                let fresh = at(&world.rsd(), &world, delta).await;
                assert_eq!(remembered.tokens, fresh.tokens);
                assert_eq!(remembered.finish, fresh.finish);
                let count = |o: &AnswerOutcome| {
                    let t = &o.trace.totals;
                    (t.accepted_steps, t.rejected_steps, t.rejected_tokens, t.draft.generated, t.target.generated)
                };
                assert_eq!(count(&remembered), count(&fresh));
                // Tokens that a cache would have held are counted as cached.
                let prefilled = |o: &AnswerOutcome| (o.trace.totals.draft.prefilled, o.trace.totals.target.prefilled);
                assert_eq!(prefilled(&remembered), prefilled(&fresh));
            }
        });
    }
}

#[test]
fn remembered_steps_cost_no_model_and_are_counted_all_the_same() {
    let world = world(3);
    block_on(async {
        let (rsd, draft, target) = memoized(&world);
        let first = at(&rsd, &world, 0.5).await;
        let starts = || world.draft.starts.load(SeqCst) + world.target.starts.load(SeqCst);
        let before = starts();
        draft.begin(true);
        target.begin(true);
        let again = at(&rsd, &world, 0.5).await;
        assert_eq!(starts(), before);
        assert_eq!(first.tokens, again.tokens);
        let totals = &again.trace.totals;
        assert!(totals.rejected_steps > 0, "the world must hold both kinds of steps");
        let prefilled =
            |o: &AnswerOutcome| [&o.trace.totals.draft, &o.trace.totals.target].map(|model| model.prefilled);
        assert_eq!(prefilled(&first), prefilled(&again));
    });
}

#[test]
fn health_traffic_and_tokens_are_those_of_the_model_inside() {
    let mut world = world(1);
    let health = ModelHealth { running: false, deaths: 2 };
    *world.draft.health.lock() = health;
    world.draft.traffic = Some(RemoteTraffic { requests: 3, ..RemoteTraffic::default() });
    let (rsd, draft, target) = memoized(&world);
    assert_eq!(rsd.health()[0], (ModelRole::Draft, health));
    assert_eq!(draft.traffic(), world.draft.traffic);
    assert_eq!((target.health(), target.traffic()), (ModelHealth::default(), None));
    assert!(draft.has_token(255) && !draft.has_token(256));
}

#[test]
fn proposals_of_the_deployment_change_no_answer() {
    let methods = [Method::Rsd, Method::Sweep(0.3), Method::Sweep(0.7), Method::Draft];
    for seed in 0..10 {
        let without = answers(&world(seed), &methods);
        let mut world = world(seed);
        world.settings.proposals = 3;
        let with: Vec<Answer> = answers(&world, &methods).into_iter().zip(&without).map(timeless).collect();
        assert_eq!(with, without, "{seed}");
    }
}

#[test]
fn every_method_answers_and_records_its_work() {
    let world = world(11);
    let methods = [
        Method::Target,
        Method::Draft,
        Method::Rsd,
        Method::RsdAfter(AfterRejection::Draft),
        Method::RsdAfter(AfterRejection::Target),
        Method::Samples(trace::StepSource::Draft),
        Method::Samples(trace::StepSource::Target),
        Method::Beam,
        Method::Sweep(-1.0),
        Method::Sweep(2.0),
    ];
    let answers = answers(&world, &methods);
    let names: Vec<(&str, usize)> = answers.iter().map(|answer| (answer.method.as_str(), answer.sample)).collect();
    let wanted = [
        ("target", 0),
        ("draft", 0),
        ("rsd@0.5", 0),
        ("rsd-draft@0.5", 0),
        ("rsd-target@0.5", 0),
        ("draft-sampled", 0),
        ("draft-sampled", 1),
        ("draft-sampled", 2),
        ("target-sampled", 0),
        ("target-sampled", 1),
        ("target-sampled", 2),
        ("beam", 0),
        ("rsd@-1", 0),
        ("rsd@2", 0),
    ];
    assert_eq!(names, wanted);
    let of = |name: &str| answers.iter().find(|answer| answer.method == name).unwrap();
    assert_eq!(of("rsd@-1").text, of("draft").text);
    assert_eq!(of("rsd-draft@0.5").text, of("rsd@0.5").text);
    let steps = &of("rsd-target@0.5").steps;
    let rejected = steps.iter().position(|step| step.rejected.is_some()).expect("a rejection");
    assert!(steps[rejected + 1..].iter().all(|step| step.reward.is_none()));
    assert_eq!(of("rsd@2").text, of("target").text);
    assert!(by_draft(of("draft")) && by_draft(of("beam")) && by_draft(of("draft-sampled")));
    for answer in &answers {
        assert_eq!(answer.steps.iter().map(|step| step.tokens).sum::<usize>(), answer.tokens);
        assert_eq!(answer.steps.iter().map(|step| step.text.as_deref().unwrap()).collect::<String>(), answer.text);
        assert!(answer.steps.iter().all(|step| step.rejected.is_some() == step.rejected_text.is_some()));
        assert_eq!(answer.seconds.is_some(), !answer.method.starts_with("rsd@-") && answer.method != "rsd@2");
        let flops = answer.flops.unwrap();
        assert!(flops.generated > 0.0 && flops.generated <= flops.with_prm && flops.with_prm <= flops.total);
    }
}

#[test]
fn samples_of_the_draft_are_scored_at_every_step_and_differ() {
    let methods = [Method::Samples(trace::StepSource::Draft)];
    let samples = answers(&world(11), &methods);
    assert!(samples.iter().all(|answer| answer.steps.iter().all(|step| step.reward.is_some())));
    assert!(samples.iter().any(|answer| answer.text != samples[0].text));
    assert_eq!(samples, answers(&world(11), &methods).into_iter().zip(&samples).map(timeless).collect::<Vec<_>>());
}

#[test]
fn samples_of_the_target_are_scored_at_their_last_step_as_if_the_draft_had_generated_them() {
    for seed in 0..20 {
        let world = world(seed);
        for answer in answers(&world, &[Method::Samples(trace::StepSource::Target)]) {
            assert!(answer.steps.iter().all(|step| step.source == StepSource::Target));
            let steps: Vec<String> = split(&answer);
            let Some((last, before)) = steps.split_last() else { continue };
            let (scored, others) = answer.steps.split_last().unwrap();
            assert_eq!(scored.reward, Some(world.critic.reward_for(before, last)));
            assert!(others.iter().all(|step| step.reward.is_none()));
        }
    }
}

/// A reward model that checks that it gets the draft's features of every step.
struct FeatureCheckingReward(ScriptedReward);

#[async_trait]
impl RewardModel for FeatureCheckingReward {
    fn name(&self) -> &'static str {
        "seeing"
    }

    fn parameters(&self) -> Option<u64> {
        Some(1)
    }

    fn reads_features(&self) -> bool {
        true
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let seen: Vec<f32> = trajectory
            .draft_features
            .iter()
            .chain(trajectory.generated_step.features.as_deref())
            .map(|step| step.mean[0])
            .collect();
        let there = trajectory.steps.iter().map(String::len).chain([trajectory.step.len()]);
        assert_eq!(seen, there.map(|length| length as f32).collect::<Vec<_>>());
        self.0.score(trajectory).await
    }
}

#[test]
fn a_reward_on_the_drafts_states_has_the_draft_prefill_the_targets_answer() {
    let methods = [Method::Samples(trace::StepSource::Target)];
    let ask = |world: &World| {
        let world = world.clone();
        block_on(async move {
            let mut runner = runner(&world);
            runner.rsd.reward = Arc::new(FeatureCheckingReward(world.critic.clone()));
            runner.answers(&question(), &methods).await.unwrap()
        })
    };
    let (mut empty, mut cut_off) = (0, 0);
    for seed in 0..60 {
        let mut world = world(seed);
        let by_text = answers(&world, &methods);
        // The same if the draft has its own vocabulary.
        for shift in [0, 7] {
            world.draft.shift = shift;
            for (seen, by_text) in ask(&world).iter().zip(&by_text) {
                assert_eq!(seen.text, by_text.text);
                let last = |answer: &Answer| answer.steps.last().unwrap().reward;
                assert!(last(seen).is_some() && last(seen) == last(by_text), "{seen:?}");
                // Tokens are bytes.
                assert_eq!(seen.draft.prefilled, PROMPT.len() + seen.text.len());
                assert!(seen.flops.unwrap().total > by_text.flops.unwrap().total);
                empty += usize::from(seen.text.is_empty());
                cut_off += usize::from(!seen.finished);
            }
        }
        // Without a score it is still an answer.
        world.draft.fail_start = Some(usize::MAX);
        assert!(ask(&world).iter().all(|answer| answer.steps.iter().all(|step| step.reward.is_none())));
    }
    assert!(empty > 0 && cut_off > 0, "{empty} {cut_off}");
}

/// The answer with another run's seconds, which are not reproducible.
fn timeless((mut answer, other): (Answer, &Answer)) -> Answer {
    answer.seconds = other.seconds;
    answer.draft.seconds = other.draft.seconds;
    answer.target.seconds = other.target.seconds;
    answer
}

#[test]
fn beam_search_prefers_the_highest_rewards() {
    for seed in 0..20 {
        let world = world(seed);
        let found = answers(&world, &[Method::Beam]).remove(0);
        let last = |answer: &Answer| answer.steps.last().and_then(|step| step.reward).unwrap_or(0.0);
        assert!(by_draft(&found) && found.tokens <= 60);
        // The critic is a function of the text, so the log holds the rewards of the answer's steps.
        let steps: Vec<String> = split(&found);
        for (index, step) in found.steps.iter().enumerate() {
            assert_eq!(step.reward, Some(world.critic.reward_for(&steps[..index], &steps[index])));
        }
        assert!(found.draft.generated >= found.tokens, "{} {}", last(&found), found.tokens);
    }
}

/// Real speculative decoding: the answer, the rounds, and the tokens that the target computed and discarded.
fn speculate(world: &World, proposals: usize, max_tokens: usize) -> (String, usize, usize) {
    let (mut text, mut rounds, mut discarded) = (PROMPT.as_bytes().to_vec(), 0, 0);
    let answer = |text: &[u8]| String::from_utf8(text[PROMPT.len()..].to_vec()).unwrap();
    loop {
        if text.len() - PROMPT.len() >= max_tokens {
            return (answer(&text), rounds, discarded);
        }
        let mut proposed = text.clone();
        // A draft that proposes the end proposes nothing after it.
        while let Some(byte) = world.draft.greedy(&proposed).filter(|_| proposed.len() < text.len() + proposals) {
            proposed.push(byte);
        }
        rounds += 1;
        let own = (text.len()..=proposed.len()).find_map(|place| {
            let own = world.target.greedy(&proposed[..place]);
            (own != proposed.get(place).copied() || own.is_none()).then_some((place, own))
        });
        let (place, own) = own.unwrap();
        let before = text.len();
        text = proposed[..place].to_vec();
        text.extend(own);
        let over = text.len().saturating_sub(PROMPT.len() + max_tokens);
        text.truncate(PROMPT.len() + max_tokens);
        // Tokens computed minus tokens in the answer.
        discarded += proposals + 1 - (text.len() - before + usize::from(own.is_none() && over == 0));
        if own.is_none() {
            return (answer(&text), rounds, discarded);
        }
    }
}

#[test]
fn speculative_decoding_gives_the_targets_answer_at_the_cost_of_its_rounds() {
    let (mut accepted, mut cut_off) = (0, 0);
    for seed in 0..60 {
        let mut world = world(seed);
        // The two models often agree.
        world.draft.seed = if seed % 3 == 0 { world.target.seed } else { world.draft.seed };
        for proposals in [1, 2, 4, 9] {
            let found = answers(&world, &[Method::Target, Method::Speculative(proposals)]);
            let [target, found] = &found[..] else { panic!("{found:?}") };
            let proposals = usize::from(proposals);
            let (text, rounds, discarded) = speculate(&world, proposals, 60);
            assert_eq!((&found.text, &found.text, found.tokens), (&target.text, &text, target.tokens));
            assert_eq!(found.draft.generated, rounds * proposals, "{found:?}");
            assert_eq!(found.target.generated, target.target.generated);
            assert_eq!(found.target.prefilled, PROMPT.len() + discarded, "{found:?}");
            assert_eq!(found.seconds, None);
            accepted += found.steps.iter().filter(|step| step.source == StepSource::Draft).count();
            cut_off += usize::from(!found.finished);
        }
    }
    assert!(accepted > 100 && cut_off > 0, "{accepted} {cut_off}");
}

/// An answer's steps as text. Tokens of scripted models are bytes.
fn split(answer: &Answer) -> Vec<String> {
    let mut rest = answer.text.as_str();
    let mut steps = Vec::new();
    for step in &answer.steps {
        let (head, tail) = rest.split_at(step.tokens);
        steps.push(head.to_owned());
        rest = tail;
    }
    steps
}
