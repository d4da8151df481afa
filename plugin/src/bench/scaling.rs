//! Cost against the length of what is there, the number of steps and the number of cached prefixes.

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use super::{Bench, Spread, Way};
use crate::pipeline::{
    PipelineError, Rsd,
    roles::{Generator, Prompt, RoleError, RunReport, RunRequest},
    segment::{Boundary, Segmentation},
};

/// Tokens written where a length is measured.
const WRITTEN: usize = 16;

/// Three tables.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// Reading and writing at a length.
    pub lengths: Vec<Length>,
    /// One answer in more and more steps.
    pub steps: Vec<Steps>,
    /// A new answer beside more and more cached ones.
    pub prefixes: Vec<Prefixes>,
}

/// Milliseconds per token of one model where so many tokens are there already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Length {
    /// `draft` or `target`.
    pub role: String,
    /// Tokens of the prompt.
    pub tokens: usize,
    /// Reading the prompt, per token of it.
    pub read: Spread,
    /// Writing after it.
    pub write: Spread,
}

/// An answer cut into steps of a fixed length, all of them judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// Tokens of a step.
    pub step_tokens: usize,
    /// Milliseconds per token of the answer where every step is kept.
    pub kept: Spread,
    /// And where every step is refused.
    pub refused: Spread,
}

/// The first token of an answer beside cached ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prefixes {
    /// Answers in the draft's cache.
    pub cached: usize,
    /// Milliseconds.
    pub first_token: Spread,
}

/// Measures at these lengths, step lengths and numbers of cached answers.
///
/// # Errors
/// A model failed.
pub async fn scaling(
    bench: &Bench,
    lengths: &[usize],
    steps: &[usize],
    prefixes: &[usize],
    mut told: impl FnMut(),
) -> Result<Scaling, PipelineError> {
    let mut scaling = Scaling::default();
    for model in [&bench.rsd.draft, &bench.rsd.target] {
        let fitting = || lengths.iter().copied().filter(|tokens| tokens + WRITTEN < model.context_length());
        // Warms up; the others find it warm.
        if let Some(tokens) = fitting().min() {
            read(model, text(model, bench.prompt(0), tokens)?, WRITTEN).await?;
        }
        for tokens in fitting() {
            let (mut reads, mut writes) = (Vec::new(), Vec::new());
            for round in 1..=bench.rounds {
                model.forget().await?;
                let run = read(model, text(model, bench.prompt(round), tokens)?, WRITTEN).await?;
                reads.push(1e3 * run.prefill_seconds / tokens as f64);
                writes.push(1e3 * (run.seconds - run.prefill_seconds) / run.forwards.saturating_sub(1).max(1) as f64);
            }
            if let (Some(read), Some(write)) = (Spread::of(reads), Spread::of(writes)) {
                scaling.lengths.push(Length { role: model.role().to_owned(), tokens, read, write });
            }
            told();
        }
    }
    for &step_tokens in steps {
        scaling.steps.extend(in_steps(bench, step_tokens).await?);
        told();
    }
    for &cached in prefixes {
        let mut first = Vec::new();
        for round in 0..=bench.rounds {
            let milliseconds = beside(&bench.rsd.draft, cached, bench.prompt(round)).await?;
            if round > 0 {
                first.push(milliseconds);
            }
        }
        scaling.prefixes.extend(Spread::of(first).map(|first_token| Prefixes { cached, first_token }));
        told();
    }
    Ok(scaling)
}

/// A question's tokens over and over, so many of them.
fn text(model: &Arc<dyn Generator>, prompt: &Prompt, tokens: usize) -> Result<Vec<u32>, RoleError> {
    let once = model.encode_text(prompt.question())?;
    if once.is_empty() {
        return Err(RoleError::Invalid("a question without text".to_owned()));
    }
    Ok(once.into_iter().cycle().take(tokens).collect())
}

/// Reads a prefix and writes a little.
async fn read(model: &Arc<dyn Generator>, prefix: Vec<u32>, max_tokens: usize) -> Result<RunReport, RoleError> {
    let in_one = Segmentation { boundary: Boundary::Tokens(usize::MAX), max_tokens: usize::MAX };
    let mut run = model.start(RunRequest::greedy(prefix, in_one, max_tokens)).await?;
    while let Some(step) = run.next().await {
        step?;
    }
    Ok(run.finish().await)
}

async fn in_steps(bench: &Bench, step_tokens: usize) -> Result<Option<Steps>, PipelineError> {
    let mut rsd = bench.rsd.clone();
    rsd.settings.boundary = Boundary::Tokens(step_tokens);
    let cut = Bench { rsd: without_step_limit(rsd)?, prompts: bench.prompts.clone(), ..*bench };
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    for round in 0..=bench.rounds {
        for (delta, figures) in [(0.0, &mut kept), (2.0, &mut refused)] {
            let meter = cut.answer(cut.prompt(round), Way::Delta(delta), 0).await?;
            if round > 0 {
                figures.push(1e3 * meter.seconds() / meter.outcome.completion_tokens.max(1) as f64);
            }
        }
    }
    let (Some(kept), Some(refused)) = (Spread::of(kept), Spread::of(refused)) else { return Ok(None) };
    Ok(Some(Steps { step_tokens, kept, refused }))
}

/// The same with room for as many steps as an answer has tokens.
fn without_step_limit(rsd: Rsd) -> Result<Rsd, RoleError> {
    let mut live = rsd.policy.current().live.clone();
    live.limits.max_steps = live.limits.max_tokens;
    let policy = crate::policy::PolicyHandle::new(live).map_err(|error| RoleError::Invalid(error.to_string()))?;
    Ok(Rsd { policy: Arc::new(policy), ..rsd })
}

/// Milliseconds to the first token of an answer while others are in the cache.
async fn beside(model: &Arc<dyn Generator>, cached: usize, prompt: &Prompt) -> Result<f64, RoleError> {
    const SHORT: usize = 8;
    model.forget().await?;
    for number in 0..cached {
        // No two begin alike.
        let mut prefix = model.encode_text(&format!("{number} "))?;
        prefix.extend(text(model, prompt, SHORT)?);
        read(model, prefix, 2).await?;
    }
    let prefix = text(model, prompt, SHORT)?;
    let began = Instant::now();
    read(model, prefix, 1).await?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
