//! The part `ratios`: accepting every step, rejecting every step, a mixed answer against its prediction, and the step
//! sampler against mistral.rs's own decoding.

use rsd_core::pipeline::{
    PipelineError,
    roles::{Generator, Prompt, RoleError},
    trace::StepSource,
};
use rsd_protocol::preview::UnitCosts;
use serde::{Deserialize, Serialize};

use super::{
    BenchMode, BenchSetup, MedianRange,
    forward_cost::{ForwardCost, predicted_seconds},
    meter::MeteredAnswer,
};
use crate::engine::Engine;

/// The four ratios over all rounds, and what they are made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchRatios {
    /// Seconds of the draft alone over seconds of RSD that scores and accepts every step.
    pub accept: MedianRange,
    /// Seconds of RSD that rejects every step over those of the target alone and of all rejected drafts.
    pub reject: MedianRange,
    /// Seconds predicted from the unit costs over seconds measured, for answers of which a part of the steps is
    /// accepted.
    pub mixed: MedianRange,
    /// Seconds in which the target decodes a token over those of mistral.rs's own decoding.
    pub engine: MedianRange,
    /// Rounds in which the two sides of a ratio generated different tokens. They count in the ratios all the same.
    pub unequal: usize,
    /// The acceptance rate (steps) of the mixed answers that was asked for.
    pub acceptance: f64,
    /// The acceptance rate (tokens) of the mixed answers that was measured.
    pub token_acceptance: f64,
    /// Seconds per token, medians.
    pub unit_costs: UnitCosts,
    /// How the time of the mixed answers is distributed, as fractions of their sum.
    pub breakdown: TimeBreakdown,
    /// What the rejected steps would save if the target started with the part of them that it agrees with.
    pub reuse: PrefixReuse,
}

/// Where the time of an answer went: seconds, or fractions of the whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeBreakdown {
    /// The draft decodes tokens that are accepted.
    pub draft_decode_accepted: f64,
    /// The draft decodes tokens that are rejected or discarded.
    pub draft_decode_rejected: f64,
    /// The draft prefills the prompt and the target's steps.
    pub draft_prefill: f64,
    /// The target decodes.
    pub target_decode: f64,
    /// The target prefills the prompt and the draft's steps.
    pub target_prefill: f64,
    /// The reward model scores.
    pub scoring: f64,
    /// No model works.
    pub other: f64,
}

/// The longest prefix of each rejected step that the target would have generated itself. To find it, the target would
/// have to prefill the rejected step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PrefixReuse {
    /// Tokens of the steps with which the target replaced rejected ones.
    pub replacement_tokens: usize,
    /// Tokens at their beginning that the rejected steps have in common with them.
    pub agreed_tokens: usize,
    /// Tokens of the rejected steps, which the target would have to prefill.
    pub rejected_tokens: usize,
    /// Seconds saved over all seconds of the answers; negative where the prefill would cost more than it saves.
    pub saving: f64,
}

struct RoundResult {
    accept: f64,
    reject: f64,
    mixed: f64,
    engine: f64,
    equal: bool,
    draft: ForwardCost,
    target: ForwardCost,
    /// In seconds.
    breakdown: TimeBreakdown,
    /// `saving` is in seconds.
    reuse: PrefixReuse,
    accepted_tokens: usize,
    drafted_tokens: usize,
    seconds: f64,
}

/// Measures the ratios. `acceptance` is the acceptance rate (steps) of the mixed answers, `engine` the target's engine.
/// `on_round` is called after each round.
///
/// # Errors
/// A model failed, or all answers were too short to measure.
pub async fn ratios(
    bench: &BenchSetup,
    engine: &Engine,
    acceptance: f64,
    mut on_round: impl FnMut(),
) -> Result<BenchRatios, PipelineError> {
    let mut rounds = Vec::new();
    // The first round is the warm-up. After an answer that is too short to measure another question is asked.
    let mut questions = 0..=bench.rounds + bench.prompts.len();
    let mut warm = false;
    while rounds.len() < bench.rounds {
        let Some(number) = questions.next() else { break };
        let Some(round) = measure_round(bench, engine, number, acceptance).await? else { continue };
        if std::mem::replace(&mut warm, true) {
            rounds.push(round);
        }
        on_round();
    }
    Ok(summarize(&rounds, acceptance)?)
}

fn summarize(rounds: &[RoundResult], acceptance: f64) -> Result<BenchRatios, RoleError> {
    let too_short = || RoleError::Invalid("all answers were too short to measure".to_owned());
    let range =
        |value: fn(&RoundResult) -> f64| MedianRange::from_values(rounds.iter().map(value)).ok_or_else(too_short);
    let median = |value: fn(&RoundResult) -> f64| range(value).map(|range| Some(range.median));
    let sum = |value: fn(&RoundResult) -> f64| rounds.iter().map(value).sum::<f64>();
    let seconds = sum(|round| round.seconds);
    let fraction = |value: fn(&RoundResult) -> f64| sum(value) / seconds;
    let count = |value: fn(&RoundResult) -> usize| rounds.iter().map(value).sum::<usize>();
    let drafted = count(|round| round.drafted_tokens).max(1);
    Ok(BenchRatios {
        accept: range(|round| round.accept)?,
        reject: range(|round| round.reject)?,
        mixed: range(|round| round.mixed)?,
        engine: range(|round| round.engine)?,
        unequal: count(|round| usize::from(!round.equal)),
        acceptance,
        token_acceptance: count(|round| round.accepted_tokens) as f64 / drafted as f64,
        unit_costs: UnitCosts {
            draft_decode: median(|round| round.draft.decode)?,
            draft_prefill: median(|round| round.draft.prefill)?,
            target_decode: median(|round| round.target.decode)?,
            target_prefill: median(|round| round.target.prefill)?,
            reward_step: None,
        },
        breakdown: TimeBreakdown {
            draft_decode_accepted: fraction(|round| round.breakdown.draft_decode_accepted),
            draft_decode_rejected: fraction(|round| round.breakdown.draft_decode_rejected),
            draft_prefill: fraction(|round| round.breakdown.draft_prefill),
            target_decode: fraction(|round| round.breakdown.target_decode),
            target_prefill: fraction(|round| round.breakdown.target_prefill),
            scoring: fraction(|round| round.breakdown.scoring),
            other: fraction(|round| round.breakdown.other),
        },
        reuse: PrefixReuse {
            replacement_tokens: count(|round| round.reuse.replacement_tokens),
            agreed_tokens: count(|round| round.reuse.agreed_tokens),
            rejected_tokens: count(|round| round.reuse.rejected_tokens),
            saving: fraction(|round| round.reuse.saving),
        },
    })
}

/// Measures all ratios on one question; `None` if its answers are too short.
async fn measure_round(
    bench: &BenchSetup,
    engine: &Engine,
    number: usize,
    acceptance: f64,
) -> Result<Option<RoundResult>, PipelineError> {
    let prompt = bench.prompt(number);
    let (draft, accepted) = answer_pair(bench, prompt, number, BenchMode::Draft, BenchMode::Delta(0.0)).await?;
    // This ratio is the closest to 1. It is measured once more in the other order, which cancels a steady drift of the
    // machine's speed.
    let (draft_again, accepted_again) =
        answer_pair(bench, prompt, number + 1, BenchMode::Draft, BenchMode::Delta(0.0)).await?;
    let (target, rejected) = answer_pair(bench, prompt, number, BenchMode::Target, BenchMode::Delta(2.0)).await?;
    let mixed = bench.answer(prompt, BenchMode::Acceptance(acceptance, number), 0).await?;
    let tokens = engine.encode_prompt(prompt).await?;
    engine.clear_cache().await?;
    let native = engine.native_baseline(tokens, bench.max_tokens).await?;

    let costs =
        ForwardCost::from_answer(&draft, StepSource::Draft).zip(ForwardCost::from_answer(&target, StepSource::Target));
    let Some((draft_cost, target_cost)) = costs else { return Ok(None) };
    let rejected_drafts = rejected.runs_of(StepSource::Draft).map(|run| run.seconds).sum::<f64>();
    let native_decode = native.decode_seconds / native.tokens.saturating_sub(1).max(1) as f64;
    let totals = &mixed.outcome.trace.totals;
    Ok(Some(RoundResult {
        accept: (draft.seconds() + draft_again.seconds()) / (accepted.seconds() + accepted_again.seconds()),
        reject: rejected.seconds() / (target.seconds() + rejected_drafts),
        mixed: predicted_seconds(&mixed, draft_cost, target_cost) / mixed.seconds(),
        engine: target_cost.decode / native_decode,
        equal: draft.outcome.tokens == accepted.outcome.tokens && target.outcome.tokens == rejected.outcome.tokens,
        draft: draft_cost,
        target: target_cost,
        breakdown: time_breakdown(&mixed),
        reuse: prefix_reuse(&mixed, engine, target_cost)?,
        accepted_tokens: totals.accepted_tokens,
        drafted_tokens: totals.accepted_tokens + totals.rejected_tokens,
        seconds: mixed.seconds(),
    }))
}

/// Measures the two sides of a ratio. Which one is measured first changes with the round.
async fn answer_pair(
    bench: &BenchSetup,
    prompt: &Prompt,
    number: usize,
    one: BenchMode,
    other: BenchMode,
) -> Result<(MeteredAnswer, MeteredAnswer), PipelineError> {
    if number.is_multiple_of(2) {
        let first = bench.answer(prompt, one, 0).await?;
        return Ok((first, bench.answer(prompt, other, 0).await?));
    }
    let first = bench.answer(prompt, other, 0).await?;
    Ok((bench.answer(prompt, one, 0).await?, first))
}

/// Where the seconds of an answer went.
fn time_breakdown(answer: &MeteredAnswer) -> TimeBreakdown {
    let totals = &answer.outcome.trace.totals;
    let (draft_prefill, draft_decode) = answer.prefill_and_decode_seconds(StepSource::Draft);
    let (target_prefill, target_decode) = answer.prefill_and_decode_seconds(StepSource::Target);
    let scoring = answer.scoring_seconds();
    let rejected = 1.0 - totals.accepted_tokens as f64 / totals.draft.generated.max(1) as f64;
    let worked = draft_prefill + draft_decode + target_prefill + target_decode + scoring;
    TimeBreakdown {
        draft_decode_accepted: draft_decode * (1.0 - rejected),
        draft_decode_rejected: draft_decode * rejected,
        draft_prefill,
        target_decode,
        target_prefill,
        scoring,
        other: answer.seconds() - worked,
    }
}

/// How far the rejected steps of an answer agree with the target's replacements.
fn prefix_reuse(answer: &MeteredAnswer, engine: &Engine, target: ForwardCost) -> Result<PrefixReuse, RoleError> {
    let mut reuse = PrefixReuse::default();
    for step in &answer.outcome.trace.steps {
        let Some(rejected) = &step.rejected else { continue };
        let (rejected, replacement) = (engine.encode_text(&rejected.text)?, engine.encode_text(&step.text)?);
        let agreed = rejected.iter().zip(&replacement).take_while(|(a, b)| a == b).count();
        reuse.replacement_tokens += replacement.len();
        reuse.agreed_tokens += agreed;
        reuse.rejected_tokens += rejected.len();
        // Only the prefill beyond the one token with which every run starts anyway.
        reuse.saving += agreed as f64 * target.decode - rejected.len() as f64 * target.prefill;
    }
    Ok(reuse)
}
