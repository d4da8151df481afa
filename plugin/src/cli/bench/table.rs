//! What was measured, as tables.

use std::fmt::Write as _;

use crate::bench::{Ahead, Crowd, Kept, Ratios, Scaling};

/// The four ratios, the unit costs, and where the time went.
pub(super) fn ratios(of: &Ratios) -> String {
    let mut out = String::from("| ratio | median (lowest to highest) | wanted |\n|---|---|---|\n");
    let mut row = |name: &str, figure: &crate::bench::Spread, wanted: &str| {
        let _ = writeln!(out, "| {name} | {figure:.3} | {wanted} |");
    };
    row("keeping: the draft alone / RSD that keeps every step", &of.accept, "at least 0.98");
    row("refusing: RSD that refuses every step / target alone + drafts thrown away", &of.reject, "at most 1.05");
    let mixed = format!("mixed ({:.0} % of drafted tokens kept): predicted / measured", of.kept.1 * 100.0);
    row(&mixed, &of.mixed, "0.90 to 1.10");
    row("engine: a token of the target / one of mistral.rs's own request", &of.engine, "at most 1");
    if of.unequal > 0 {
        let _ = writeln!(out, "\nIn {} rounds the two sides did not write the same tokens.", of.unequal);
    }
    let units = &of.units;
    let _ = writeln!(out, "\n| ms per token | writes | reads |\n|---|---|---|");
    let _ = writeln!(out, "| draft | {:.1} | {:.1} |", 1e3 * units.draft_writes, 1e3 * units.draft_reads);
    let _ = writeln!(out, "| target | {:.1} | {:.1} |", 1e3 * units.target_writes, 1e3 * units.target_reads);
    let parts = &of.parts;
    let _ = writeln!(out, "\n| the mixed answers' time | share |\n|---|---|");
    for (name, share) in [
        ("the draft writes what stays", parts.draft_writes),
        ("the draft writes what is thrown away", parts.draft_wastes),
        ("the draft reads", parts.draft_reads),
        ("the target writes", parts.target_writes),
        ("the target reads", parts.target_reads),
        ("verdicts", parts.verdicts),
        ("neither model works", parts.rest),
    ] {
        let _ = writeln!(out, "| {name} | {:.1} % |", 100.0 * share);
    }
    let reuse = &of.reuse;
    let _ = writeln!(
        out,
        "\nIf the target began with what it agrees to of a refused step: {} of {} tokens it wrote anew, for reading {}; \
         {:+.1} % of the time saved.",
        reuse.agreed,
        reuse.written,
        reuse.refused,
        100.0 * reuse.saving
    );
    out
}

pub(super) fn acceptance(of: &[Kept]) -> String {
    let mut out = String::from(
        "| steps to keep | drafted tokens kept | speed-up over the target alone | time predicted / measured |\n\
         |---|---|---|---|\n",
    );
    for row in of {
        let (keeping, tokens) = (100.0 * row.keeping, 100.0 * row.tokens);
        let _ = writeln!(out, "| {keeping:.0} % | {tokens:.0} % | {:.2} | {:.3} |", row.speed_up, row.predicted);
    }
    out
}

pub(super) fn lookahead(of: &[Ahead]) -> String {
    let mut out = String::from(
        "| steps to keep | drafted tokens kept | lookahead | time over lookahead 0 | time of verdicts | thrown away ahead, \
         of the answer |\n|---|---|---|---|---|---|\n",
    );
    for row in of {
        let percent = |share: f64| 100.0 * share;
        let _ = writeln!(
            out,
            "| {:.0} % | {:.0} % | {} | {:.3} | {:.0} % | {:.1} % |",
            percent(row.keeping),
            percent(row.tokens),
            row.lookahead,
            row.time,
            percent(row.verdicts.median),
            percent(row.wasted)
        );
    }
    out
}

pub(super) fn clients(of: &[Crowd]) -> String {
    let mut out = String::from(
        "| clients | who answers | tokens/s | latency p50, s | p95, s | first and last client through, s | memory, MB |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in of {
        let who = if row.target_only { "target" } else { "RSD" };
        let memory = row.resident_bytes.map_or("unknown".to_owned(), |bytes| (bytes / 1_000_000).to_string());
        let _ = writeln!(
            out,
            "| {} | {who} | {:.1} | {:.1} | {:.1} | {:.1}, {:.1} | {memory} |",
            row.clients, row.tokens_per_second, row.latency.0, row.latency.1, row.through.0, row.through.1
        );
    }
    out
}

pub(super) fn scaling(of: &Scaling) -> String {
    let mut out =
        String::from("| model | tokens there | reads, ms per token | writes, ms per token |\n|---|---|---|---|\n");
    for row in &of.lengths {
        let _ = writeln!(out, "| {} | {} | {:.1} | {:.1} |", row.role, row.tokens, row.read, row.write);
    }
    out += "\n| tokens of a step | ms per token, all kept | ms per token, all refused |\n|---|---|---|\n";
    for row in &of.steps {
        let _ = writeln!(out, "| {} | {:.1} | {:.1} |", row.step_tokens, row.kept, row.refused);
    }
    out += "\n| answers cached | first token, ms |\n|---|---|\n";
    for row in &of.prefixes {
        let _ = writeln!(out, "| {} | {:.0} |", row.cached, row.first_token);
    }
    out
}
