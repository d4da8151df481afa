//! The part `scaling`: cost against the length of the prefix, the length of steps and the number of cached prefixes.

use std::{sync::Arc, time::Instant};

use rsd_core::{
    pipeline::{
        PipelineError, Rsd,
        roles::{Generator, Prompt, RoleError, RunReport, RunRequest},
        segment::{Segmentation, StepBoundary},
    },
    policy::PolicyHandle,
};
use serde::{Deserialize, Serialize};

use super::{BenchMode, BenchSetup, MedianRange};

/// Tokens decoded after a prefix of each length.
const DECODED: usize = 16;

/// The three tables of the part `scaling`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScalingTables {
    /// Prefill and decode after prefixes of several lengths.
    pub lengths: Vec<LengthRow>,
    /// Answers cut into steps of several lengths.
    pub steps: Vec<StepLengthRow>,
    /// A new answer beside several numbers of cached ones.
    pub prefixes: Vec<CachedPrefixRow>,
}

/// Milliseconds per token of one model at one length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LengthRow {
    /// `draft` or `target`.
    pub role: String,
    /// Tokens of the prefix.
    pub tokens: usize,
    /// Milliseconds of the prefill per token of the prefix.
    pub prefill: MedianRange,
    /// Milliseconds per token decoded after the prefix.
    pub decode: MedianRange,
}

/// An answer cut into steps of one length, all of which are scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepLengthRow {
    /// Tokens of a step.
    pub step_tokens: usize,
    /// Milliseconds per token of the answer if every step is accepted.
    pub accepted: MedianRange,
    /// Milliseconds per token of the answer if every step is rejected.
    pub rejected: MedianRange,
}

/// The first token of an answer beside cached answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CachedPrefixRow {
    /// Answers in the draft's cache.
    pub cached: usize,
    /// Milliseconds to the first token.
    pub first_token: MedianRange,
}

/// Measures at these prefix lengths, step lengths and numbers of cached answers. `on_row` is called after each row.
///
/// # Errors
/// A model failed.
pub async fn scaling(
    bench: &BenchSetup,
    lengths: &[usize],
    steps: &[usize],
    prefixes: &[usize],
    mut on_row: impl FnMut(),
) -> Result<ScalingTables, PipelineError> {
    let mut tables = ScalingTables::default();
    for model in [&bench.rsd.draft, &bench.rsd.target] {
        let fitting = || lengths.iter().copied().filter(|tokens| tokens + DECODED < model.context_length());
        // The warm-up, on the shortest length.
        if let Some(tokens) = fitting().min() {
            run_prefix(model, prefix_of_length(model, bench.prompt(0), tokens)?, DECODED).await?;
        }
        for tokens in fitting() {
            let (mut prefill_times, mut decode_times) = (Vec::new(), Vec::new());
            for round in 1..=bench.rounds {
                model.clear_cache().await?;
                let run = run_prefix(model, prefix_of_length(model, bench.prompt(round), tokens)?, DECODED).await?;
                let forwards = run.forwards.saturating_sub(1).max(1);
                prefill_times.push(1e3 * run.prefill_seconds / tokens as f64);
                decode_times.push(1e3 * (run.seconds - run.prefill_seconds) / forwards as f64);
            }
            if let (Some(prefill), Some(decode)) =
                (MedianRange::from_values(prefill_times), MedianRange::from_values(decode_times))
            {
                tables.lengths.push(LengthRow { role: model.role().to_owned(), tokens, prefill, decode });
            }
            on_row();
        }
    }
    for &step_tokens in steps {
        tables.steps.extend(measure_step_length(bench, step_tokens).await?);
        on_row();
    }
    for &cached in prefixes {
        let mut first = Vec::new();
        for round in 0..=bench.rounds {
            let milliseconds = first_token_beside(&bench.rsd.draft, cached, bench.prompt(round)).await?;
            if round > 0 {
                first.push(milliseconds);
            }
        }
        tables
            .prefixes
            .extend(MedianRange::from_values(first).map(|first_token| CachedPrefixRow { cached, first_token }));
        on_row();
    }
    Ok(tables)
}

/// The tokens of a question, repeated up to this length.
fn prefix_of_length(model: &Arc<dyn Generator>, prompt: &Prompt, tokens: usize) -> Result<Vec<u32>, RoleError> {
    let once = model.encode_text(&prompt.question())?;
    if once.is_empty() {
        return Err(RoleError::Invalid("a question without text".to_owned()));
    }
    Ok(once.into_iter().cycle().take(tokens).collect())
}

/// Prefills a prefix and decodes a few tokens.
async fn run_prefix(model: &Arc<dyn Generator>, prefix: Vec<u32>, max_tokens: usize) -> Result<RunReport, RoleError> {
    let one_step = Segmentation { boundary: StepBoundary::Tokens(usize::MAX), max_tokens: usize::MAX };
    let mut run = model.start(RunRequest::greedy(prefix, one_step, max_tokens)).await?;
    while let Some(step) = run.next().await {
        step?;
    }
    Ok(run.finish().await)
}

async fn measure_step_length(bench: &BenchSetup, step_tokens: usize) -> Result<Option<StepLengthRow>, PipelineError> {
    let mut rsd = bench.rsd.clone();
    rsd.settings.boundary = StepBoundary::Tokens(step_tokens);
    let bench = BenchSetup { rsd: without_step_limit(rsd)?, prompts: bench.prompts.clone(), ..*bench };
    let (mut accepted, mut rejected) = (Vec::new(), Vec::new());
    for round in 0..=bench.rounds {
        for (delta, values) in [(0.0, &mut accepted), (2.0, &mut rejected)] {
            let answer = bench.answer(bench.prompt(round), BenchMode::Delta(delta), 0).await?;
            if round > 0 {
                values.push(1e3 * answer.seconds() / answer.outcome.completion_tokens.max(1) as f64);
            }
        }
    }
    let ranges = MedianRange::from_values(accepted).zip(MedianRange::from_values(rejected));
    Ok(ranges.map(|(accepted, rejected)| StepLengthRow { step_tokens, accepted, rejected }))
}

/// The same pipeline with a limit of as many steps as an answer has tokens.
fn without_step_limit(rsd: Rsd) -> Result<Rsd, RoleError> {
    let mut settings = rsd.policy.current().settings.clone();
    settings.limits.max_steps = settings.limits.max_tokens;
    let policy = PolicyHandle::new(settings).map_err(|error| RoleError::Invalid(error.to_string()))?;
    Ok(Rsd { policy: Arc::new(policy), ..rsd })
}

/// Milliseconds to the first token of an answer while others are in the cache.
async fn first_token_beside(model: &Arc<dyn Generator>, cached: usize, prompt: &Prompt) -> Result<f64, RoleError> {
    const SHORT: usize = 8;
    model.clear_cache().await?;
    for number in 0..cached {
        // No two prefixes begin with the same token.
        let mut prefix = model.encode_text(&format!("{number} "))?;
        prefix.extend(prefix_of_length(model, prompt, SHORT)?);
        run_prefix(model, prefix, 2).await?;
    }
    let prefix = prefix_of_length(model, prompt, SHORT)?;
    let began = Instant::now();
    run_prefix(model, prefix, 1).await?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
