//! Answers simulated with known prices and rewards: what `auto` learns, and what it costs until then.

use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    costs::RunCost,
    policy::{
        AfterRejection, PolicyConfig,
        handover::{
            AnswerExploration, AnswerStanding, HandoverController, HandoverReason, NextModel,
            expected_cost::ModelPrices,
        },
    },
};

const PROMPT: usize = 80;

/// Prices of a processor on which prefill costs as much as half of decoding.
const SLOW_PREFILL: ModelPrices = ModelPrices {
    draft_decode: 0.022,
    draft_prefill: 0.013,
    target_decode: 0.037,
    target_prefill: 0.024,
    reward_step: 0.0,
};

/// Prices of a GPU: decoding depends on the bandwidth, prefill is nearly free.
const FAST_PREFILL: ModelPrices = ModelPrices {
    draft_decode: 0.004,
    draft_prefill: 0.0002,
    target_decode: 0.030,
    target_prefill: 0.0008,
    reward_step: 0.001,
};

/// Questions half of which the draft can answer, and questions with a rejection in most answers.
const MIXED: [f64; 2] = [0.85, 0.4];
const HARD: [f64; 2] = [0.6, 0.45];

/// A stream of questions with a controller that learns from the answers.
struct Simulation {
    controller: HandoverController,
    rng: ChaCha8Rng,
    prices: ModelPrices,
    /// Mean reward of easy and hard questions; half of them are easy.
    questions: [f64; 2],
    /// Steps of an answer.
    steps: Range<usize>,
    /// Tokens of a step.
    step_tokens: Range<usize>,
    prompt: usize,
    /// Rewards of code, in place of `questions`.
    code: bool,
}

/// What the answers cost, what the target alone would have cost, and how many began with the draft.
#[derive(Debug, Default, Clone, Copy)]
struct Costs {
    seconds: f64,
    target: f64,
    drafted: usize,
    explored: usize,
}

fn policy(after_rejection: AfterRejection) -> PolicyConfig {
    PolicyConfig { delta: 0.5, after_rejection, ..PolicyConfig::default() }
}

impl Simulation {
    fn new(prices: ModelPrices, seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let controller = HandoverController::default();
        Self {
            controller,
            rng,
            prices,
            questions: MIXED,
            steps: 3..10,
            step_tokens: 20..40,
            prompt: PROMPT,
            code: false,
        }
    }

    /// Another run of a model, of the kind that a server sees.
    fn learn_run(&self, draft: bool, generated: usize, prefilled: usize) {
        let (decode, prefill) = if draft {
            (self.prices.draft_decode, self.prices.draft_prefill)
        } else {
            (self.prices.target_decode, self.prices.target_prefill)
        };
        let prefill_seconds = prefill * prefilled as f64;
        let seconds = prefill_seconds + decode * generated.saturating_sub(1) as f64;
        let cost = RunCost { generated, prefilled, prefill_seconds, seconds };
        if draft { self.controller.record_draft_run(&cost) } else { self.controller.record_target_run(&cost) }
    }

    /// Answers as many questions, one after the other, as the loop does.
    fn answer(&mut self, answers: usize, policy: &PolicyConfig) -> Costs {
        let mut costs = Costs::default();
        for _ in 0..answers {
            self.answer_one(policy, &mut costs);
        }
        costs
    }

    /// The reward of a line of code, if the draft goes astray at another one. It is then often rejected again. That of the
    /// fence before the code says nothing.
    fn reward_of_line(&mut self, line: usize, astray: usize) -> f64 {
        if line == 0 {
            return 0.32;
        }
        let bad = line == astray || line > astray && self.rng.random_bool(0.3);
        if bad { self.rng.random_range(0.2..0.49) } else { 0.7 + self.rng.random_range(-0.12..0.12) }
    }

    fn answer_one(&mut self, policy: &PolicyConfig, costs: &mut Costs) {
        let mean = self.questions[self.rng.random_range(0..2)];
        let length = self.rng.random_range(self.steps.clone());
        let draw = self.rng.random();
        // The line of code at which the draft goes astray, if it does.
        let astray = match self.rng.random::<f64>() {
            kind if kind < 0.45 => usize::MAX,
            kind if kind < 0.65 => 1,
            _ => self.rng.random_range(2..25),
        };
        let mut standing = AnswerStanding {
            prompt_tokens: self.prompt,
            draft_behind: self.prompt,
            target_behind: self.prompt,
            steps_left: 100,
            tokens_left: 2000,
            exploration: AnswerExploration::from_draw(draw, policy.exploration),
            ..AnswerStanding::default()
        };
        let (mut alone, mut drafted, mut explored) = (false, false, false);
        while standing.steps < length {
            let fence = self.code && standing.steps == 0;
            let tokens = if fence { 3 } else { self.rng.random_range(self.step_tokens.clone()) };
            let next = if alone {
                NextModel::Target(HandoverReason::Price)
            } else {
                self.controller.next_model(policy, &standing)
            };
            match next {
                NextModel::Target(_) => alone = true,
                NextModel::Draft { explores } => {
                    explored |= explores;
                    drafted = true;
                    let reward = if self.code {
                        self.reward_of_line(standing.steps, astray)
                    } else {
                        (mean + self.rng.random_range(-0.3..0.3)).clamp(0.0, 1.0)
                    };
                    self.learn_run(true, tokens, standing.draft_behind.max(1));
                    self.controller.record_score(self.prices.reward_step);
                    self.controller.record_draft_step(&standing, Some(reward), tokens);
                    standing.record_reward(Some(reward));
                    standing.done.draft_prefilled += std::mem::take(&mut standing.draft_behind);
                    standing.done.draft_decoded += tokens;
                    standing.done.scored += 1;
                    standing.rejected = reward < policy.at(standing.tokens + tokens).delta;
                    if standing.rejected {
                        self.controller.record_discarded(0);
                        // The rejected step gets another chance to leave the rest to the target.
                        alone = matches!(self.controller.next_model(policy, &standing), NextModel::Target(_));
                    }
                }
            }
            if alone || standing.rejected {
                self.learn_run(false, tokens, standing.target_behind.max(1));
                self.controller.record_target_step(tokens);
                standing.done.target_prefilled += std::mem::take(&mut standing.target_behind);
                standing.done.target_decoded += tokens;
                standing.draft_behind += tokens;
                standing.rejected = false;
            } else {
                standing.target_behind += tokens;
            }
            standing.steps += 1;
            standing.tokens += tokens;
            standing.steps_left -= 1;
            standing.tokens_left -= tokens;
            self.controller.record_ending(standing.steps - 1, standing.steps == length);
        }
        costs.seconds += standing.done.seconds(&self.prices);
        costs.target +=
            self.prompt as f64 * self.prices.target_prefill + standing.tokens as f64 * self.prices.target_decode;
        costs.drafted += usize::from(drafted);
        costs.explored += usize::from(explored);
    }
}

impl Costs {
    fn over_target(&self) -> f64 {
        self.seconds / self.target
    }
}

/// The time over the target's of each way, on the same questions.
fn ways(prices: ModelPrices, questions: [f64; 2], seed: u64) -> [f64; 3] {
    let way = |way| Simulation { questions, ..Simulation::new(prices, seed) }.answer(600, &policy(way)).over_target();
    let [draft, target, auto] = [AfterRejection::Draft, AfterRejection::Target, AfterRejection::Auto].map(way);
    println!("seed {seed}, over the target's time: draft {draft:.3}, target {target:.3}, auto {auto:.3}");
    [draft, target, auto]
}

#[test]
fn where_prefill_is_dear_auto_leaves_hard_questions_to_the_target() {
    for seed in 0..4 {
        let [draft, target, auto] = ways(SLOW_PREFILL, HARD, seed);
        assert!(draft > 1.3 && target > 1.05, "{draft} {target}");
        assert!(auto < 1.05, "{auto}");
    }
}

#[test]
fn where_prefill_is_dear_auto_drafts_questions_that_the_draft_can_answer_until_a_rejection() {
    let mut all = Vec::new();
    for seed in 0..8 {
        let [draft, target, auto] = ways(SLOW_PREFILL, MIXED, seed);
        assert!(draft > 1.05 && target < 0.93, "{draft} {target}");
        // Where few steps were seen and mislead, it stays with the target until some answers explored.
        assert!(auto < 1.02, "{auto}");
        all.push(auto);
    }
    assert!(all.iter().sum::<f64>() / (all.len() as f64) < 0.97, "{all:?}");
}

/// The mean over many servers of what their first answers cost, over the target's time.
fn first_answers(prices: ModelPrices, questions: [f64; 2], answers: usize) -> f64 {
    let server = |seed| Simulation { questions, ..Simulation::new(prices, seed) };
    let costs = (0..20).map(|seed| server(seed).answer(answers, &policy(AfterRejection::Auto)).over_target());
    costs.sum::<f64>() / 20.0
}

#[test]
fn a_few_answers_are_enough_to_see_that_drafting_does_not_pay() {
    for questions in [HARD, [0.3, 0.3]] {
        let (few, more) = (first_answers(SLOW_PREFILL, questions, 30), first_answers(SLOW_PREFILL, questions, 100));
        println!("{questions:?}: the first 30 answers {few:.3}, the first 100 {more:.3}");
        assert!(few < 1.04 && more < 1.03, "{questions:?}: {few} {more}");
    }
    assert!(first_answers(SLOW_PREFILL, [0.9, 0.9], 30) < 0.6);
    assert!(first_answers(SLOW_PREFILL, MIXED, 100) < 0.99);
}

/// Answers of code in lines: many short steps, all of which must be accepted before drafting pays.
#[test]
fn one_rejected_line_of_code_does_not_end_drafting() {
    for steps in [12..14, 15..17, 18..22] {
        let lines =
            |seed| Simulation { steps: steps.clone(), step_tokens: 7..12, ..Simulation::new(SLOW_PREFILL, seed) };
        let auto = policy(AfterRejection::Auto);
        let costs = (0..20).map(|seed| {
            let mut simulation = Simulation { questions: [0.1, 0.1], ..lines(seed) };
            simulation.answer(1, &auto);
            simulation.questions = [0.9, 0.9];
            simulation.answer(60, &auto).over_target()
        });
        let mean = costs.sum::<f64>() / 20.0;
        let hard =
            (0..20).map(|seed| Simulation { questions: [0.1, 0.1], ..lines(seed) }.answer(30, &auto).over_target());
        let hard = hard.sum::<f64>() / 20.0;
        println!("{steps:?} lines: {mean:.3} where all but the first answer can be drafted, {hard:.3} where none can");
        assert!(mean < 0.8 && hard < 1.06, "{steps:?} lines: {mean} {hard}");
    }
}

#[test]
fn where_prefill_is_nearly_free_auto_costs_what_the_loop_of_the_paper_costs() {
    for seed in 0..4 {
        let [draft, target, auto] = ways(FAST_PREFILL, MIXED, seed);
        assert!(draft < 0.7, "{draft}");
        assert!(auto <= draft * 1.02 && auto <= target, "{draft} {target} {auto}");
    }
}

#[test]
fn after_a_change_of_prices_it_finds_its_way_back() {
    let auto = policy(AfterRejection::Auto);
    let mut simulation = Simulation { questions: HARD, ..Simulation::new(SLOW_PREFILL, 2) };
    simulation.answer(400, &auto);
    let left = simulation.answer(400, &auto);
    assert!(left.drafted < 30 && left.explored > 0, "{left:?}");
    // The models move to a GPU. The few answers that explore show it.
    simulation.prices = FAST_PREFILL;
    simulation.answer(1200, &auto);
    let found = simulation.answer(200, &auto);
    assert!(found.drafted > 190 && found.over_target() < 0.7, "{found:?}");
    // And back.
    simulation.prices = SLOW_PREFILL;
    simulation.answer(300, &auto);
    let left = simulation.answer(400, &auto);
    assert!(left.drafted < 40 && left.over_target() < 1.05, "{left:?}");
}

#[test]
fn after_a_change_of_questions_it_finds_its_way_back() {
    let auto = policy(AfterRejection::Auto);
    let mut simulation = Simulation { questions: [0.3, 0.3], ..Simulation::new(SLOW_PREFILL, 3) };
    simulation.answer(600, &auto);
    let hard = simulation.answer(300, &auto);
    assert!(hard.drafted < 30, "{hard:?}");
    // Everything is accepted from now on.
    simulation.questions = [0.9, 0.9];
    simulation.answer(3000, &auto);
    let easy = simulation.answer(200, &auto);
    assert!(easy.drafted > 190 && easy.over_target() < 0.8, "{easy:?}");
}

#[test]
fn without_exploration_it_stays_where_it_is() {
    let auto = PolicyConfig { exploration: 0.0, ..policy(AfterRejection::Auto) };
    let mut simulation = Simulation { questions: HARD, ..Simulation::new(SLOW_PREFILL, 2) };
    simulation.answer(400, &auto);
    simulation.prices = FAST_PREFILL;
    assert_eq!(simulation.answer(800, &auto).drafted, 0);
}

#[test]
fn a_bound_on_regret_holds_on_average_while_it_learns_and_under_every_way() {
    for way in [AfterRejection::Draft, AfterRejection::Target, AfterRejection::Auto] {
        let bounded = PolicyConfig { max_regret: Some(0.25), ..policy(way) };
        let mut simulation = Simulation { questions: HARD, ..Simulation::new(SLOW_PREFILL, 4) };
        // The warm-up has shown the prices.
        simulation.learn_run(true, 20, 64);
        simulation.learn_run(false, 20, 64);
        simulation.controller.record_score(0.0);
        let costs = simulation.answer(300, &bounded);
        println!("{way:?}: {:.3}", costs.over_target());
        assert!(costs.over_target() < 1.25, "{way:?}: {costs:?}");
        assert!(costs.drafted > 0);
    }
}

#[test]
fn a_policy_that_accepts_everything_or_nothing_decides_by_itself() {
    let simulation = Simulation::new(SLOW_PREFILL, 5);
    let next = |delta| {
        let policy = PolicyConfig { delta, ..policy(AfterRejection::Auto) };
        simulation.controller.next_model(&policy, &AnswerStanding::default())
    };
    assert_eq!(next(0.0), NextModel::Draft { explores: false });
    assert_eq!(next(1.5), NextModel::Target(HandoverReason::Threshold));
}

/// In code a draft that went astray is rejected again and again. That must not count against answers in which it did not.
#[test]
fn answers_in_which_the_draft_went_astray_do_not_end_drafting_of_others() {
    let cost = |way, answers| {
        let server = |seed| Simulation {
            steps: 9..26,
            step_tokens: 6..11,
            prompt: 140,
            code: true,
            ..Simulation::new(SLOW_PREFILL, seed)
        };
        let policy = PolicyConfig { ramp_tokens: 8, ..policy(way) };
        (0..20).map(|seed| server(seed).answer(answers, &policy).over_target()).sum::<f64>() / 20.0
    };
    for (answers, margin) in [(30, 0.07), (300, 0.04)] {
        let [draft, target, auto] =
            [AfterRejection::Draft, AfterRejection::Target, AfterRejection::Auto].map(|way| cost(way, answers));
        println!("{answers} answers: draft {draft:.3}, target {target:.3}, auto {auto:.3}");
        assert!(auto < target.min(draft) + margin && target < 0.9, "{draft} {target} {auto}");
    }
}
