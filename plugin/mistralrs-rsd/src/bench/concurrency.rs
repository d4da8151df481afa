//! The part `clients`: throughput and latency with several clients at the same time.

use std::time::Instant;

use futures::future::try_join_all;
use rsd_core::pipeline::PipelineError;
use serde::{Deserialize, Serialize};

use super::{BenchMode, BenchSetup, MedianRange};

/// Throughput and latency with one number of clients. Each client asks its questions one after another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConcurrencyRow {
    /// Number of clients.
    pub clients: usize,
    /// True if the target alone answered, false if RSD did.
    pub target_only: bool,
    /// Tokens per second of all clients together.
    pub tokens_per_second: f64,
    /// Answer latency in seconds: (p50, p95).
    pub latency: (f64, f64),
    /// Seconds until the first and until the last client had all its answers.
    pub client_seconds: (f64, f64),
    /// Resident memory of the process afterwards in bytes; `None` where the system does not report it.
    pub resident_bytes: Option<u64>,
}

/// Lets each number of clients ask `questions` questions each, once with the target alone and once with RSD at this
/// acceptance rate (steps). `on_row` is called after each measurement.
///
/// # Errors
/// A model failed.
pub async fn concurrency(
    bench: &BenchSetup,
    client_counts: &[usize],
    questions: usize,
    acceptance: f64,
    mut on_row: impl FnMut(),
) -> Result<Vec<ConcurrencyRow>, PipelineError> {
    let mut table = Vec::new();
    for &clients in client_counts {
        for acceptance in [None, Some(acceptance)] {
            bench.clear_cache().await?;
            table.push(measure_clients(bench, clients, questions, acceptance).await?);
            on_row();
        }
    }
    Ok(table)
}

/// Measures one number of clients. Without an acceptance rate the target answers alone.
async fn measure_clients(
    bench: &BenchSetup,
    clients: usize,
    questions: usize,
    acceptance: Option<f64>,
) -> Result<ConcurrencyRow, PipelineError> {
    let began = Instant::now();
    let client = |number: usize| async move {
        let mut answers = Vec::new();
        for question in 0..questions {
            let asked = Instant::now();
            let nth = number * questions + question;
            let mode = acceptance.map_or(BenchMode::Target, |rate| BenchMode::Acceptance(rate, nth));
            let answer = bench.metered_answer(bench.prompt(nth), mode, 0).await?;
            answers.push((answer.outcome.completion_tokens, asked.elapsed().as_secs_f64()));
        }
        Ok::<_, PipelineError>((answers, began.elapsed().as_secs_f64()))
    };
    let served = try_join_all((0..clients).map(client)).await?;
    let seconds = began.elapsed().as_secs_f64();
    let answers = || served.iter().flat_map(|(answers, _)| answers);
    let mut latencies: Vec<f64> = answers().map(|(_, seconds)| *seconds).collect();
    latencies.sort_by(f64::total_cmp);
    let rank = |percent: usize| latencies[(latencies.len() * percent).div_ceil(100).clamp(1, latencies.len()) - 1];
    let finished = MedianRange::from_values(served.iter().map(|(_, seconds)| *seconds));
    Ok(ConcurrencyRow {
        clients,
        target_only: acceptance.is_none(),
        tokens_per_second: answers().map(|(tokens, _)| *tokens).sum::<usize>() as f64 / seconds,
        latency: (rank(50), rank(95)),
        client_seconds: finished.map_or((seconds, seconds), |finished| (finished.low, finished.high)),
        resident_bytes: resident_bytes(),
    })
}

/// Resident memory of this process as Linux reports it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
