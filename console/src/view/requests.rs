//! Recent requests, each with the source of its steps; one of them in full.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};
use rsd_protocol::trace::{RequestTrace, StepView, TraceSummary};

use super::{empty, framed, list, scrolled, text, theme::Theme};
use crate::{
    clock,
    input::Screen,
    state::{app::App, server::Server},
};

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    let lines = app.lines(Screen::Requests);
    let cursor = app.cursor(lines.len());
    let chosen = lines.get(cursor).and_then(|line| server.traces.get(*line));
    if app.ui.detail {
        return detail(frame, area, app, server, chosen, theme);
    }
    let inside = framed(frame, area, "requests: d draft's step, t target's, f target's for want of a verdict", theme);
    if lines.is_empty() {
        let why = match (server.has_admin, app.ui.filter.is_empty()) {
            (false, _) => "Requests are told by the admin API, which is not known for this server.",
            (true, true) => "No request has ended yet.",
            (true, false) => "No request has this text. Esc forgets the filter.",
        };
        return empty(frame, inside, why, theme);
    }
    let header = Line::raw(" ended    outcome    tokens steps kept    tok/s  source of each step");
    let room = usize::from(inside.width).saturating_sub(50);
    let rows = lines.iter().filter_map(|line| server.traces.get(*line)).map(|trace| row(trace, room, theme)).collect();
    list(frame, inside, header, rows, cursor, theme);
}

fn row(trace: &TraceSummary, room: usize, theme: &Theme) -> Line<'static> {
    let kept = text::percent(crate::state::figures::ratio(
        Some(trace.accepted_steps as f64),
        Some((trace.accepted_steps + trace.rejected_steps) as f64),
    ));
    let speed = text::rate(crate::state::figures::ratio(Some(trace.completion_tokens as f64), Some(trace.seconds)));
    let outcome = text::one_line(&trace.outcome, 9, theme.symbols.cut);
    let bad = if trace.outcome == "failed" { theme.bad } else { theme.text };
    let mut spans = vec![
        Span::raw(format!("{} ", clock::time_of_day(trace.at_ms))),
        Span::styled(format!("{outcome:<9}"), bad),
        Span::raw(format!("{:>8}{:>6}{kept:>6}{speed:>8}  ", trace.completion_tokens, trace.steps)),
    ];
    let letters = text::one_line(&trace.sources, room, theme.symbols.cut);
    spans.extend(letters.chars().map(|letter| Span::styled(letter.to_string(), source_style(letter, theme))));
    Line::from(spans)
}

fn source_style(letter: char, theme: &Theme) -> ratatui::style::Style {
    match letter {
        'd' => theme.good,
        't' => theme.accent,
        'f' => theme.bad,
        _ => theme.dim,
    }
}

fn detail(frame: &mut Frame<'_>, area: Rect, app: &App, server: &Server, chosen: Option<&TraceSummary>, theme: &Theme) {
    let Some(trace) = server.trace.as_ref().filter(|trace| chosen.is_none_or(|chosen| chosen.id == trace.summary.id))
    else {
        let inside = framed(frame, area, "request", theme);
        return empty(frame, inside, "Asked the server for it.", theme);
    };
    let title = text::one_line(&format!("request {}, Esc back", trace.summary.id), usize::from(area.width) - 6, "");
    let inside = framed(frame, area, &title, theme);
    scrolled(frame, inside, detail_lines(trace, usize::from(inside.width), theme), app);
}

fn detail_lines(trace: &RequestTrace, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let summary = &trace.summary;
    let about = format!(
        "{} {}: {} prompt and {} answer tokens in {:.1} s, {} steps, {} kept, {} replaced",
        text::harmless(&summary.model),
        text::harmless(&summary.outcome),
        summary.prompt_tokens,
        summary.completion_tokens,
        summary.seconds,
        summary.steps,
        summary.accepted_steps,
        summary.rejected_steps
    );
    let mut lines: Vec<_> = text::wrapped(&about, width, 0).into_iter().map(Line::raw).collect();
    match &trace.question {
        Some(question) => lines.extend(paragraph(question, width, theme.dim)),
        None => lines.push(Line::from(Span::styled("This server keeps no text.", theme.dim))),
    }
    for (n, step) in trace.steps.iter().enumerate() {
        lines.extend(head(n + 1, step, width, theme));
        if let Some(rejected) = &step.rejected_text {
            lines.push(Line::from(Span::styled("  replaced:", theme.dim)));
            lines.extend(paragraph(rejected, width, theme.dim));
        }
        lines.extend(step.text.iter().flat_map(|text| paragraph(text, width, theme.text)));
    }
    lines
}

fn head(number: usize, step: &StepView, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let letter = match (&step.fallback, step.source.as_str()) {
        (Some(_), _) => 'f',
        (None, "draft") => 'd',
        _ => 't',
    };
    let verdict = match (step.reward, &step.fallback) {
        (_, Some(reason)) => format!("no verdict ({})", text::harmless(reason)),
        (Some(reward), None) if reward >= step.delta => {
            format!("reward {reward:.3} >= {}", text::threshold(Some(step.delta)))
        }
        (Some(reward), None) => format!("reward {reward:.3} < {}", text::threshold(Some(step.delta))),
        (None, None) => "not judged".into(),
    };
    let mut times = String::new();
    for (name, ms) in [("draft", step.draft_ms), ("reward", step.reward_ms), ("target", step.target_ms)] {
        if ms > 0.0 {
            times.extend([", ", name, " ", text::seconds(Some(ms / 1000.0)).as_str()]);
        }
    }
    let words = format!(
        " step {number}, {}: {verdict}, {} tokens{times}, rev {}",
        text::harmless(&step.source),
        step.tokens,
        step.revision
    );
    let mut lines = Vec::new();
    for (n, line) in text::wrapped(&words, width.saturating_sub(1), 1).into_iter().enumerate() {
        let letter = if n == 0 { letter } else { ' ' };
        let words = Span::styled(line, theme.accent);
        lines.push(Line::from(vec![Span::styled(letter.to_string(), source_style(letter, theme)), words]));
    }
    lines
}

fn paragraph(text: &str, width: usize, style: ratatui::style::Style) -> Vec<Line<'static>> {
    let harmless = text::harmless(text);
    let lines = harmless.lines().flat_map(|line| text::wrapped(&format!("  {line}"), width, 2));
    lines.map(|line| Line::from(Span::styled(line, style))).collect()
}
