//! The four ratios: keeping a step, refusing one, both against the prediction, and mistral.rs's own request.

use serde::{Deserialize, Serialize};

use super::{
    Bench, Spread, Way,
    cost::{Cost, predicted},
    meter::Meter,
};
use crate::{
    engine::Engine,
    pipeline::{
        PipelineError,
        roles::{Generator, Prompt, RoleError},
        trace::Source,
    },
};

/// What one round, or the median of all, says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratios {
    /// Seconds of the draft alone over seconds of RSD that judges every step and keeps it.
    pub accept: Spread,
    /// Seconds of RSD that refuses every step over those of the target alone and of all drafts, which are thrown away.
    pub reject: Spread,
    /// Seconds predicted from the unit costs over seconds measured, where a share of the steps is kept.
    pub mixed: Spread,
    /// Seconds per token that the target writes, over those of mistral.rs's own request to it.
    pub engine: Spread,
    /// Rounds in which the two sides of a ratio wrote different tokens; they are in the figures all the same.
    pub unequal: usize,
    /// The share of steps that was to be kept, and the share of tokens that was.
    pub kept: (f64, f64),
    /// Seconds per token, medians.
    pub units: Units,
    /// Where the seconds of the mixed answers went, as shares of their sum.
    pub parts: Parts,
    /// What the refused steps were good for, if the target began with them.
    pub reuse: Reuse,
}

/// Seconds per token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Units {
    /// The draft writes.
    pub draft_writes: f64,
    /// The draft reads.
    pub draft_reads: f64,
    /// The target writes.
    pub target_writes: f64,
    /// The target reads.
    pub target_reads: f64,
}

/// Shares of the whole time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// The draft writes what stays.
    pub draft_writes: f64,
    /// The draft writes what is thrown away.
    pub draft_wastes: f64,
    /// The draft reads the prompt and the target's steps.
    pub draft_reads: f64,
    /// The target writes.
    pub target_writes: f64,
    /// The target reads the prompt and the draft's steps.
    pub target_reads: f64,
    /// Verdicts.
    pub verdicts: f64,
    /// Neither model worked.
    pub rest: f64,
}

/// The longest part of each refused step that the target would have written itself. To find it, the target must read
/// the step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Reuse {
    /// Tokens that the target wrote anew.
    pub written: usize,
    /// Of them, the ones that the refused steps began with.
    pub agreed: usize,
    /// Tokens of the refused steps, which would have to be read.
    pub refused: usize,
    /// Seconds that would be saved over all seconds of the answers; negative where reading costs more.
    pub saving: f64,
}

struct Round {
    accept: f64,
    reject: f64,
    mixed: f64,
    engine: f64,
    equal: bool,
    draft: Cost,
    target: Cost,
    /// Seconds.
    parts: Parts,
    reuse: Reuse,
    kept: (usize, usize),
    seconds: f64,
}

/// Measures; `keeping` is the share of steps that a mixed answer keeps, `engine` the target's. `told` hears of rounds.
///
/// # Errors
/// A model failed, or all answers were too short to measure.
pub async fn ratios(
    bench: &Bench,
    engine: &Engine,
    keeping: f64,
    mut told: impl FnMut(),
) -> Result<Ratios, PipelineError> {
    let mut rounds = Vec::new();
    // The first one warms up; an answer of no length says nothing, and another question is asked.
    let mut questions = 0..=bench.rounds + bench.prompts.len();
    let mut warm = false;
    while rounds.len() < bench.rounds {
        let Some(number) = questions.next() else { break };
        let Some(round) = round(bench, engine, number, keeping).await? else { continue };
        if std::mem::replace(&mut warm, true) {
            rounds.push(round);
        }
        told();
    }
    let nothing = || RoleError::Invalid("all answers were too short to measure".to_owned());
    let spread = |of: fn(&Round) -> f64| Spread::of(rounds.iter().map(of)).ok_or_else(nothing);
    let unit = |of: fn(&Round) -> f64| spread(of).map(|spread| spread.median);
    let sum = |of: fn(&Round) -> f64| rounds.iter().map(of).sum::<f64>();
    let seconds = sum(|round| round.seconds);
    let share = |of: fn(&Round) -> f64| sum(of) / seconds;
    let count = |of: fn(&Round) -> usize| rounds.iter().map(of).sum::<usize>();
    let written = count(|round| round.kept.1).max(1);
    Ok(Ratios {
        accept: spread(|round| round.accept)?,
        reject: spread(|round| round.reject)?,
        mixed: spread(|round| round.mixed)?,
        engine: spread(|round| round.engine)?,
        unequal: count(|round| usize::from(!round.equal)),
        kept: (keeping, count(|round| round.kept.0) as f64 / written as f64),
        units: Units {
            draft_writes: unit(|round| round.draft.write)?,
            draft_reads: unit(|round| round.draft.slope)?,
            target_writes: unit(|round| round.target.write)?,
            target_reads: unit(|round| round.target.slope)?,
        },
        parts: Parts {
            draft_writes: share(|round| round.parts.draft_writes),
            draft_wastes: share(|round| round.parts.draft_wastes),
            draft_reads: share(|round| round.parts.draft_reads),
            target_writes: share(|round| round.parts.target_writes),
            target_reads: share(|round| round.parts.target_reads),
            verdicts: share(|round| round.parts.verdicts),
            rest: share(|round| round.parts.rest),
        },
        reuse: Reuse {
            written: count(|round| round.reuse.written),
            agreed: count(|round| round.reuse.agreed),
            refused: count(|round| round.reuse.refused),
            saving: share(|round| round.reuse.saving),
        },
    })
}

async fn round(bench: &Bench, engine: &Engine, number: usize, keeping: f64) -> Result<Option<Round>, PipelineError> {
    let prompt = bench.prompt(number);
    let (draft, kept) = pair(bench, prompt, number, Way::Draft, Way::Delta(0.0)).await?;
    // This ratio is the nearest to 1. Once more the other way round: a machine that drifts steadily is not seen in it.
    let (draft_again, kept_again) = pair(bench, prompt, number + 1, Way::Draft, Way::Delta(0.0)).await?;
    let (target, refused) = pair(bench, prompt, number, Way::Target, Way::Delta(2.0)).await?;
    let mixed = bench.answer(prompt, Way::Keeping(keeping, number), 0).await?;
    let ids = engine.encode_prompt(prompt).await?;
    engine.forget().await?;
    let stock = engine.stock(ids, bench.max_tokens).await?;

    let (Some(of_draft), Some(of_target)) = (Cost::of(&draft, Source::Draft), Cost::of(&target, Source::Target)) else {
        return Ok(None);
    };
    let thrown_away = refused.of(Source::Draft).map(|run| run.seconds).sum::<f64>();
    let per_token = stock.decode_seconds / stock.tokens.saturating_sub(1).max(1) as f64;
    let totals = &mixed.outcome.trace.totals;
    Ok(Some(Round {
        accept: (draft.seconds() + draft_again.seconds()) / (kept.seconds() + kept_again.seconds()),
        reject: refused.seconds() / (target.seconds() + thrown_away),
        mixed: predicted(&mixed, of_draft, of_target) / mixed.seconds(),
        engine: of_target.write / per_token,
        equal: draft.outcome.tokens == kept.outcome.tokens && target.outcome.tokens == refused.outcome.tokens,
        draft: of_draft,
        target: of_target,
        parts: parts(&mixed),
        reuse: reuse(&mixed, engine, of_target)?,
        kept: (totals.accepted_tokens, totals.accepted_tokens + totals.rejected_tokens),
        seconds: mixed.seconds(),
    }))
}

/// The two sides of a ratio; who comes first changes with the round.
async fn pair(
    bench: &Bench,
    prompt: &Prompt,
    number: usize,
    one: Way,
    other: Way,
) -> Result<(Meter, Meter), PipelineError> {
    if number.is_multiple_of(2) {
        let first = bench.answer(prompt, one, 0).await?;
        return Ok((first, bench.answer(prompt, other, 0).await?));
    }
    let first = bench.answer(prompt, other, 0).await?;
    Ok((bench.answer(prompt, one, 0).await?, first))
}

/// Where an answer's seconds went.
fn parts(meter: &Meter) -> Parts {
    let totals = &meter.outcome.trace.totals;
    let (draft_reads, wrote) = meter.read_and_wrote(Source::Draft);
    let (target_reads, target_writes) = meter.read_and_wrote(Source::Target);
    let wasted = 1.0 - totals.accepted_tokens as f64 / totals.draft.generated.max(1) as f64;
    let worked = draft_reads + wrote + target_reads + target_writes + meter.verdicts();
    Parts {
        draft_writes: wrote * (1.0 - wasted),
        draft_wastes: wrote * wasted,
        draft_reads,
        target_writes,
        target_reads,
        verdicts: meter.verdicts(),
        rest: meter.seconds() - worked,
    }
}

/// How far each refused step is what the target then wrote.
fn reuse(meter: &Meter, engine: &Engine, target: Cost) -> Result<Reuse, RoleError> {
    let mut reuse = Reuse::default();
    for step in &meter.outcome.trace.steps {
        let Some(rejected) = &step.rejected else { continue };
        let (refused, written) = (engine.encode_text(&rejected.text)?, engine.encode_text(&step.text)?);
        let agreed = refused.iter().zip(&written).take_while(|(a, b)| a == b).count();
        reuse.written += written.len();
        reuse.agreed += agreed;
        reuse.refused += refused.len();
        // What is read beyond the one token that every run reads first.
        reuse.saving += agreed as f64 * target.write - refused.len() as f64 * target.slope;
    }
    Ok(reuse)
}
