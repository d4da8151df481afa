use std::sync::{Arc, atomic::Ordering::SeqCst};

use async_trait::async_trait;
use proptest::prelude::*;
use rsd_evaluation::{
    question::{Kind, Question},
    record::{Answer, Source},
};

use super::{Method, Recall, Recipe, Runner, Width};
use crate::{
    pipeline::{
        Outcome, Overrides, Rsd,
        roles::{Generator, Reward, RoleError, Score, Trajectory},
        tests::scripted::{Critic, PROMPT, World, block_on},
        trace,
    },
    sampling::Sampling,
};

/// Greedy, and without lookahead: what is thrown away then is the rejected step and nothing else.
fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.request.sampling = Sampling::default();
    world.live.steps.lookahead = 0;
    world
}

fn remembering(world: &World) -> (Rsd, Recall, Recall) {
    let draft = Recall::new(Arc::new(world.draft.clone()), false);
    let target = Recall::new(Arc::new(world.target.clone()), false);
    let rsd = Rsd { draft: Arc::new(draft.clone()), target: Arc::new(target.clone()), ..world.rsd() };
    (rsd, draft, target)
}

async fn at(rsd: &Rsd, world: &World, delta: f64) -> Outcome {
    let overrides = Overrides { delta: Some(delta), ..Overrides::default() };
    rsd.complete(crate::pipeline::Request { overrides, ..world.request.clone() }).await.unwrap()
}

fn question() -> Question {
    Question {
        id: "one".to_owned(),
        text: PROMPT.to_owned(),
        answers: vec!["1".to_owned()],
        kind: Kind::Number,
        level: None,
    }
}

fn runner(world: &World) -> Runner {
    Runner {
        rsd: world.rsd(),
        recipe: Recipe {
            system: String::new(),
            max_tokens: 60,
            sampling: Sampling { temperature: 1.0, seed: 5, ..Sampling::default() },
            samples: 3,
            width: Width { beams: 2, expansions: 2 },
            timed: true,
        },
    }
}

fn answers(world: &World, methods: &[Method]) -> Vec<Answer> {
    let world = world.clone();
    block_on(async move { runner(&world).answers(&question(), methods).await.unwrap() })
}

fn by_draft(answer: &Answer) -> bool {
    answer.steps.iter().all(|step| step.source == Source::Draft)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was asked before, an answer from memory is the answer the models give.
    #[test]
    fn memory_changes_neither_answers_nor_accounts(seed: u64, deltas in proptest::collection::vec(0u8..13, 1..6)) {
        let world = world(seed);
        block_on(async {
            let (rsd, draft, target) = remembering(&world);
            for (index, delta) in deltas.iter().enumerate() {
                let delta = f64::from(*delta) / 10.0 - 0.1;
                draft.begin(index > 0);
                target.begin(index > 0);
                let remembered = at(&rsd, &world, delta).await;
                world.draft.forget().await.unwrap();
                world.target.forget().await.unwrap();
                let fresh = at(&world.rsd(), &world, delta).await;
                assert_eq!(remembered.tokens, fresh.tokens);
                assert_eq!(remembered.finish, fresh.finish);
                let count = |o: &Outcome| {
                    let t = &o.trace.totals;
                    (t.accepted_steps, t.rejected_steps, t.rejected_tokens, t.draft.generated, t.target.generated)
                };
                assert_eq!(count(&remembered), count(&fresh));
                // What a cache would have held is counted as such, too.
                let read = |o: &Outcome| (o.trace.totals.draft.prefilled, o.trace.totals.target.prefilled);
                assert_eq!(read(&remembered), read(&fresh));
            }
        });
    }
}

#[test]
fn what_is_remembered_costs_no_model_and_is_counted_all_the_same() {
    let world = world(3);
    block_on(async {
        let (rsd, draft, target) = remembering(&world);
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
        let read = |o: &Outcome| [&o.trace.totals.draft, &o.trace.totals.target].map(|model| model.prefilled);
        assert_eq!(read(&first), read(&again));
    });
}

#[test]
fn every_method_answers_and_says_what_it_took() {
    let world = world(11);
    let methods = [
        Method::Target,
        Method::Draft,
        Method::Rsd,
        Method::Samples(trace::Source::Draft),
        Method::Samples(trace::Source::Target),
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
    assert_eq!(of("rsd@2").text, of("target").text);
    assert!(by_draft(of("draft")) && by_draft(of("beam")) && by_draft(of("draft-sampled")));
    for answer in &answers {
        assert_eq!(answer.steps.iter().map(|step| step.tokens).sum::<usize>(), answer.tokens);
        assert_eq!(answer.seconds.is_some(), !answer.method.starts_with("rsd@-") && answer.method != "rsd@2");
        let flops = answer.flops.unwrap();
        assert!(flops.generated > 0.0 && flops.generated <= flops.with_prm && flops.with_prm <= flops.total);
    }
}

#[test]
fn samples_of_the_draft_are_judged_at_every_step_and_differ() {
    let methods = [Method::Samples(trace::Source::Draft)];
    let samples = answers(&world(11), &methods);
    assert!(samples.iter().all(|answer| answer.steps.iter().all(|step| step.reward.is_some())));
    assert!(samples.iter().any(|answer| answer.text != samples[0].text));
    assert_eq!(samples, answers(&world(11), &methods).into_iter().zip(&samples).map(timeless).collect::<Vec<_>>());
}

#[test]
fn samples_of_the_target_are_judged_at_their_last_step_as_if_the_draft_had_written_them() {
    for seed in 0..20 {
        let world = world(seed);
        for answer in answers(&world, &[Method::Samples(trace::Source::Target)]) {
            assert!(answer.steps.iter().all(|step| step.source == Source::Target));
            let steps: Vec<String> = split(&answer);
            let Some((last, before)) = steps.split_last() else { continue };
            let (judged, others) = answer.steps.split_last().unwrap();
            assert_eq!(judged.reward, Some(world.critic.judge(before, last)));
            assert!(others.iter().all(|step| step.reward.is_none()));
        }
    }
}

/// A critic that has to see what the draft sees of every step.
struct Seeing(Critic);

#[async_trait]
impl Reward for Seeing {
    fn name(&self) -> &'static str {
        "seeing"
    }

    fn parameters(&self) -> Option<u64> {
        Some(1)
    }

    fn reads_features(&self) -> bool {
        true
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<Score, RoleError> {
        let seen: Vec<f32> =
            trajectory.drafted.iter().chain(trajectory.written.features.as_deref()).map(|step| step.mean[0]).collect();
        let there = trajectory.steps.iter().map(String::len).chain([trajectory.step.len()]);
        assert_eq!(seen, there.map(|length| length as f32).collect::<Vec<_>>());
        self.0.score(trajectory).await
    }
}

#[test]
fn a_reward_in_the_drafts_states_has_the_draft_read_the_targets_answer() {
    let methods = [Method::Samples(trace::Source::Target)];
    let ask = |world: &World| {
        let world = world.clone();
        block_on(async move {
            let mut runner = runner(&world);
            runner.rsd.reward = Arc::new(Seeing(world.critic.clone()));
            runner.answers(&question(), &methods).await.unwrap()
        })
    };
    let (mut empty, mut cut_off) = (0, 0);
    for seed in 0..60 {
        let mut world = world(seed);
        let by_text = answers(&world, &methods);
        // The same in a vocabulary of the draft's own.
        for shift in [0, 7] {
            world.draft.shift = shift;
            for (seen, read) in ask(&world).iter().zip(&by_text) {
                assert_eq!(seen.text, read.text);
                let last = |answer: &Answer| answer.steps.last().unwrap().reward;
                assert!(last(seen).is_some() && last(seen) == last(read), "{seen:?}");
                // Tokens are bytes.
                assert_eq!(seen.draft.prefilled, PROMPT.len() + seen.text.len());
                assert!(seen.flops.unwrap().total > read.flops.unwrap().total);
                empty += usize::from(seen.text.is_empty());
                cut_off += usize::from(!seen.finished);
            }
        }
        // Without a verdict it stays an answer.
        world.draft.fail_start = Some(usize::MAX);
        assert!(ask(&world).iter().all(|answer| answer.steps.iter().all(|step| step.reward.is_none())));
    }
    assert!(empty > 0 && cut_off > 0, "{empty} {cut_off}");
}

/// The answer with another run's seconds, which are nobody's promise.
fn timeless((mut answer, other): (Answer, &Answer)) -> Answer {
    answer.seconds = other.seconds;
    answer.draft.seconds = other.draft.seconds;
    answer.target.seconds = other.target.seconds;
    answer
}

#[test]
fn beam_search_keeps_what_its_reward_likes_best() {
    for seed in 0..20 {
        let world = world(seed);
        let found = answers(&world, &[Method::Beam]).remove(0);
        let last = |answer: &Answer| answer.steps.last().and_then(|step| step.reward).unwrap_or(0.0);
        assert!(by_draft(&found) && found.tokens <= 60);
        // The critic is a function of the text: what the log says is what it says of the answer.
        let steps: Vec<String> = split(&found);
        for (index, step) in found.steps.iter().enumerate() {
            assert_eq!(step.reward, Some(world.critic.judge(&steps[..index], &steps[index])));
        }
        assert!(found.draft.generated >= found.tokens, "{} {}", last(&found), found.tokens);
    }
}

/// Speculative decoding as it is done: rounds, and what of the target's passes was in vain.
fn speculate(world: &World, proposals: usize, max_tokens: usize) -> (String, usize, usize) {
    let (mut text, mut rounds, mut vain) = (PROMPT.as_bytes().to_vec(), 0, 0);
    let answer = |text: &[u8]| String::from_utf8(text[PROMPT.len()..].to_vec()).unwrap();
    loop {
        if text.len() - PROMPT.len() >= max_tokens {
            return (answer(&text), rounds, vain);
        }
        let mut proposed = text.clone();
        // A draft that proposes the end has no more to propose.
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
        // So many were read, and so many are in the answer.
        vain += proposals + 1 - (text.len() - before + usize::from(own.is_none() && over == 0));
        if own.is_none() {
            return (answer(&text), rounds, vain);
        }
    }
}

#[test]
fn speculative_decoding_gives_the_targets_answer_for_what_its_rounds_take() {
    let (mut kept, mut cut_off) = (0, 0);
    for seed in 0..60 {
        let mut world = world(seed);
        // The two often agree.
        world.draft.seed = if seed % 3 == 0 { world.target.seed } else { world.draft.seed };
        for proposals in [1, 2, 4, 9] {
            let found = answers(&world, &[Method::Target, Method::Speculative(proposals)]);
            let [target, found] = &found[..] else { panic!("{found:?}") };
            let proposals = usize::from(proposals);
            let (text, rounds, vain) = speculate(&world, proposals, 60);
            assert_eq!((&found.text, &found.text, found.tokens), (&target.text, &text, target.tokens));
            assert_eq!(found.draft.generated, rounds * proposals, "{found:?}");
            assert_eq!(found.target.generated, target.target.generated);
            assert_eq!(found.target.prefilled, PROMPT.len() + vain, "{found:?}");
            assert_eq!(found.seconds, None);
            kept += found.steps.iter().filter(|step| step.source == Source::Draft).count();
            cut_off += usize::from(!found.finished);
        }
    }
    assert!(kept > 100 && cut_off > 0, "{kept} {cut_off}");
}

/// An answer's steps as text; tokens of scripted models are bytes.
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
