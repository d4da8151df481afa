//! Several clients at a time.

use std::time::Instant;

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::{Bench, Spread, Way};
use crate::pipeline::PipelineError;

/// So many clients, each asking one question after another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Crowd {
    /// Clients.
    pub clients: usize,
    /// Whether the target answered alone.
    pub target_only: bool,
    /// Tokens per second, all clients together.
    pub tokens_per_second: f64,
    /// Seconds an answer took: half of them less, and 95 of 100.
    pub latency: (f64, f64),
    /// Seconds until each client had all its answers: the first to be through, and the last.
    pub through: (f64, f64),
    /// Bytes that the process has in memory afterwards, where the system tells.
    pub resident_bytes: Option<u64>,
}

/// Lets these numbers of clients ask `each` questions, the target alone and RSD keeping a share of the steps.
///
/// # Errors
/// A model failed.
pub async fn crowds(
    bench: &Bench,
    numbers: &[usize],
    each: usize,
    keeping: f64,
    mut told: impl FnMut(),
) -> Result<Vec<Crowd>, PipelineError> {
    let mut table = Vec::new();
    for &clients in numbers {
        for keeping in [None, Some(keeping)] {
            bench.forget().await?;
            table.push(crowd(bench, clients, each, keeping).await?);
            told();
        }
    }
    Ok(table)
}

/// `keeping` is the share of steps that RSD keeps; without it the target answers alone.
async fn crowd(bench: &Bench, clients: usize, each: usize, keeping: Option<f64>) -> Result<Crowd, PipelineError> {
    let began = Instant::now();
    let client = |number: usize| async move {
        let mut answers = Vec::new();
        for question in 0..each {
            let asked = Instant::now();
            let nth = number * each + question;
            let way = keeping.map_or(Way::Target, |share| Way::Keeping(share, nth));
            let meter = bench.metered(bench.prompt(nth), way, 0).await?;
            answers.push((meter.outcome.completion_tokens, asked.elapsed().as_secs_f64()));
        }
        Ok::<_, PipelineError>((answers, began.elapsed().as_secs_f64()))
    };
    let served = try_join_all((0..clients).map(client)).await?;
    let seconds = began.elapsed().as_secs_f64();
    let answers = || served.iter().flat_map(|(answers, _)| answers);
    let mut latencies: Vec<f64> = answers().map(|(_, seconds)| *seconds).collect();
    latencies.sort_by(f64::total_cmp);
    let rank = |percent: usize| latencies[(latencies.len() * percent).div_ceil(100).clamp(1, latencies.len()) - 1];
    let through = Spread::of(served.iter().map(|(_, seconds)| *seconds));
    Ok(Crowd {
        clients,
        target_only: keeping.is_none(),
        tokens_per_second: answers().map(|(tokens, _)| *tokens).sum::<usize>() as f64 / seconds,
        latency: (rank(50), rank(95)),
        through: through.map_or((seconds, seconds), |through| (through.low, through.high)),
        resident_bytes: resident_bytes(),
    })
}

/// What Linux says of this process's memory.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
