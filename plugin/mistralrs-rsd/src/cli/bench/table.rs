//! The results of a benchmark as Markdown tables.

use std::fmt::Write as _;

use crate::bench::{AcceptanceRow, BenchRatios, ConcurrencyRow, LookaheadRow, MedianRange, ScalingTables};

/// The four ratios, the unit costs, and where the time went.
pub(super) fn ratios(ratios: &BenchRatios) -> String {
    let mut out = String::from("| ratio | median (lowest to highest) | goal |\n|---|---|---|\n");
    let mut row = |name: &str, value: &MedianRange, goal: &str| {
        let _ = writeln!(out, "| {name} | {value:.3} | {goal} |");
    };
    row("accepting every step: the draft alone / RSD that accepts every step", &ratios.accept, "at least 0.98");
    row(
        "rejecting every step: RSD that rejects every step / target alone + discarded drafts",
        &ratios.reject,
        "at most 1.05",
    );
    let accepted = 100.0 * ratios.token_acceptance;
    let mixed = format!("mixed ({accepted:.0} % of the drafted tokens accepted): predicted / measured");
    row(&mixed, &ratios.mixed, "0.90 to 1.10");
    row("engine: a token of the target / one of mistral.rs's own request", &ratios.engine, "at most 1");
    if ratios.unequal > 0 {
        let _ = writeln!(out, "\nIn {} rounds the two sides did not generate the same tokens.", ratios.unequal);
    }
    let costs = &ratios.unit_costs;
    let milliseconds = |seconds: Option<f64>| seconds.map_or("-".to_owned(), |seconds| format!("{:.1}", 1e3 * seconds));
    let _ = writeln!(out, "\n| ms per token | decode | prefill |\n|---|---|---|");
    for (name, decode, prefill) in
        [("draft", costs.draft_decode, costs.draft_prefill), ("target", costs.target_decode, costs.target_prefill)]
    {
        let _ = writeln!(out, "| {name} | {} | {} |", milliseconds(decode), milliseconds(prefill));
    }
    let breakdown = &ratios.breakdown;
    let _ = writeln!(out, "\n| the mixed answers' time | share |\n|---|---|");
    for (name, fraction) in [
        ("draft decode, accepted tokens", breakdown.draft_decode_accepted),
        ("draft decode, discarded tokens", breakdown.draft_decode_rejected),
        ("draft prefill", breakdown.draft_prefill),
        ("target decode", breakdown.target_decode),
        ("target prefill", breakdown.target_prefill),
        ("scoring", breakdown.scoring),
        ("outside any request to a model", breakdown.other),
    ] {
        let _ = writeln!(out, "| {name} | {:.1} % |", 100.0 * fraction);
    }
    let reuse = &ratios.reuse;
    let _ = writeln!(
        out,
        "\nIf the target started with the part of a rejected step that it agrees with, it would save {} of its {} tokens and \
         prefill {}: {:+.1} % of the time saved.",
        reuse.agreed_tokens,
        reuse.replacement_tokens,
        reuse.rejected_tokens,
        100.0 * reuse.saving
    );
    out
}

pub(super) fn acceptance(rows: &[AcceptanceRow]) -> String {
    let mut out = String::from(
        "| steps to accept | acceptance rate (tokens) | speedup over the target alone | time predicted / measured |\n\
         |---|---|---|---|\n",
    );
    for row in rows {
        let (steps, tokens) = (100.0 * row.acceptance, 100.0 * row.token_acceptance);
        let _ = writeln!(out, "| {steps:.0} % | {tokens:.0} % | {:.2} | {:.3} |", row.speedup, row.predicted);
    }
    out
}

pub(super) fn lookahead(rows: &[LookaheadRow]) -> String {
    let mut out = String::from(
        "| steps to accept | acceptance rate (tokens) | `steps.lookahead` | time over lookahead 0 | of it scoring | \
         discarded lookahead tokens, of the answers |\n|---|---|---|---|---|---|\n",
    );
    let percent = |fraction: f64| 100.0 * fraction;
    for row in rows {
        let _ = writeln!(
            out,
            "| {:.0} % | {:.0} % | {} | {:.3} | {:.0} % | {:.1} % |",
            percent(row.acceptance),
            percent(row.token_acceptance),
            row.lookahead,
            row.time,
            percent(row.scoring.median),
            percent(row.discarded)
        );
    }
    out
}

pub(super) fn clients(rows: &[ConcurrencyRow]) -> String {
    let mut out = String::from(
        "| clients | route | tokens/s | latency p50, s | p95, s | first and last client done, s | memory, MB |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let route = if row.target_only { "target" } else { "RSD" };
        let memory = row.resident_bytes.map_or("unknown".to_owned(), |bytes| (bytes / 1_000_000).to_string());
        let _ = writeln!(
            out,
            "| {} | {route} | {:.1} | {:.1} | {:.1} | {:.1}, {:.1} | {memory} |",
            row.clients,
            row.tokens_per_second,
            row.latency.0,
            row.latency.1,
            row.client_seconds.0,
            row.client_seconds.1
        );
    }
    out
}

pub(super) fn scaling(tables: &ScalingTables) -> String {
    let mut out = String::from(
        "| model | tokens in the context | prefill, ms per token | decode, ms per token |\n|---|---|---|---|\n",
    );
    for row in &tables.lengths {
        let _ = writeln!(out, "| {} | {} | {:.1} | {:.1} |", row.role, row.tokens, row.prefill, row.decode);
    }
    out += "\n| tokens of a step | ms per token, all accepted | ms per token, all rejected |\n|---|---|---|\n";
    for row in &tables.steps {
        let _ = writeln!(out, "| {} | {:.1} | {:.1} |", row.step_tokens, row.accepted, row.rejected);
    }
    out += "\n| answers cached | first token, ms |\n|---|---|\n";
    for row in &tables.prefixes {
        let _ = writeln!(out, "| {} | {:.0} |", row.cached, row.first_token);
    }
    out
}
