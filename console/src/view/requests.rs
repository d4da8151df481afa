//! Recent requests with the source of each step, and one request step by step.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};
use rsd_protocol::trace::{RequestTrace, StepView, TraceSummary, UnfinishedText};

use super::{
    draw_empty, draw_first_request, draw_list, draw_scrolled, framed, header_line, text, theme::Theme, waterfall,
};
use crate::{
    clock,
    input::Screen,
    state::{
        app::{
            App,
            opened::{OpenedPage, RUNNING},
        },
        server::ServerState,
        summary::ratio,
    },
};

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    let lines = app.filtered_lines(Screen::Requests);
    let cursor = app.cursor(lines.len());
    if let Some(OpenedPage::Request { id, follow }) = &app.ui.opened {
        return detail(frame, area, app, (server, id, *follow), theme);
    }
    let inside = framed(frame, area, "requests, times in UTC: d draft, t target, a target alone, f fallback", theme);
    if lines.is_empty() {
        let why = match (server.has_admin, app.ui.filter.is_empty()) {
            (true, true) if server.status.is_none() => "Waiting for the server's first answer.",
            (false, _) => {
                "The list needs the admin API: give the address of the admin listener with --target, and --token-file."
            }
            (true, true) => {
                let why = "No request has ended yet. Send one:";
                return draw_first_request(frame, inside, why, server, theme);
            }
            (true, false) => "No request contains this text. Esc clears the filter.",
        };
        return draw_empty(frame, inside, why, theme);
    }
    let mut header = header_line(Screen::Requests, &[9, 9, 8, 6, 9, 8], 2, app, theme);
    header.push_span("  source of each step");
    let room = usize::from(inside.width).saturating_sub(52);
    let rows = lines.iter().filter_map(|line| server.traces.get(*line)).map(|trace| row(trace, room, theme)).collect();
    draw_list(frame, inside, header, rows, cursor, theme);
}

fn row(trace: &TraceSummary, room: usize, theme: &Theme) -> Line<'static> {
    let accepted = text::percent(ratio(
        Some(trace.accepted_steps as f64),
        Some((trace.accepted_steps + trace.rejected_steps) as f64),
    ));
    let speed = text::rate(ratio(Some(trace.completion_tokens as f64), Some(trace.seconds)));
    let outcome = text::padded(&trace.outcome, 9, theme.symbols.cut);
    let (ended, style) = match trace.outcome.as_str() {
        RUNNING => ("in work".to_owned(), theme.accent),
        "failed" => (clock::utc_time_of_day(trace.at_ms), theme.bad),
        _ => (clock::utc_time_of_day(trace.at_ms), theme.text),
    };
    let mut spans = vec![
        Span::raw(format!("{ended:<8} ")),
        Span::styled(outcome, style),
        Span::raw(format!("{:>8}{:>6}{accepted:>9}{speed:>8}  ", trace.completion_tokens, trace.steps)),
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

fn detail(
    frame: &mut Frame<'_>,
    area: Rect,
    app: &App,
    (server, id, follow): (&ServerState, &str, bool),
    theme: &Theme,
) {
    let Some(trace) = server.trace.as_ref().filter(|trace| trace.summary.id == id) else {
        let inside = framed(frame, area, "request", theme);
        return draw_empty(frame, inside, "Waiting for the server's answer.", theme);
    };
    let state = match (trace.summary.outcome == RUNNING, follow) {
        (false, _) => "Esc back",
        (true, true) => "in work, its newest step last; Esc back",
        (true, false) => "in work; G goes to its newest step, Esc back",
    };
    let title = text::one_line(&format!("request {id}, {state}"), usize::from(area.width) - 6, theme.symbols.cut);
    let inside = framed(frame, area, &title, theme);
    if follow {
        app.ui.scroll.set(usize::MAX);
    }
    draw_scrolled(frame, inside, detail_lines(trace, usize::from(inside.width), theme), app);
}

fn detail_lines(trace: &RequestTrace, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let summary = &trace.summary;
    let about = format!(
        "{} {}: {} prompt and {} answer tokens in {:.1} s, {} steps; draft steps: {} accepted, {} rejected",
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
        None => lines.push(Line::from(Span::styled(
            "This server stores no text (admin.trace_text: true stores it).",
            theme.dim,
        ))),
    }
    if trace.steps.is_empty() && summary.outcome == RUNNING {
        lines.push(Line::from(Span::styled("Its first step is not decided yet.", theme.accent)));
    }
    lines.extend(waterfall::lines(&trace.steps, width, theme));
    for (n, step) in trace.steps.iter().enumerate() {
        lines.extend(step_heading(n + 1, step, width, theme));
        if let Some(rejected) = &step.rejected_text {
            let reason = step
                .false_statement
                .as_ref()
                .map_or_else(String::new, |what| format!(" false: {}", text::harmless(what)));
            let heading = format!("  rejected:{reason}");
            let heading =
                text::wrapped(&heading, width, 2).into_iter().map(|line| Line::from(Span::styled(line, theme.dim)));
            lines.extend(heading);
            lines.extend(paragraph(rejected, width, theme.dim));
        }
        lines.extend(step.text.iter().flat_map(|text| paragraph(text, width, theme.text)));
    }
    if let Some(UnfinishedText { source, text }) = &trace.unfinished {
        let heading = format!("  {}, in work:", text::harmless(source));
        lines.push(Line::from(Span::styled(text::one_line(&heading, width, theme.symbols.cut), theme.dim)));
        lines.extend(paragraph(text, width, theme.dim));
    }
    lines
}

fn step_heading(number: usize, step: &StepView, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let letter = match (&step.fallback, step.source.as_str()) {
        (Some(_), _) => 'f',
        (None, "draft") => 'd',
        _ if step.handover.is_some() => 'a',
        _ => 't',
    };
    let score = match (step.reward, &step.fallback) {
        (_, Some(reason)) => format!("no score ({})", text::harmless(reason)),
        (Some(reward), None) if reward >= step.delta => {
            format!("reward {reward:.3} >= {}", text::threshold(Some(step.delta)))
        }
        (Some(reward), None) => format!("reward {reward:.3} < {}", text::threshold(Some(step.delta))),
        (None, None) => match &step.handover {
            Some(reason) => format!("target alone ({})", text::harmless(reason)),
            None => "not scored".into(),
        },
    };
    let mut times = String::new();
    for (name, ms) in [("draft", step.draft_ms), ("reward", step.reward_ms), ("target", step.target_ms)] {
        if ms > 0.0 {
            times.extend([", ", name, " ", text::seconds(Some(ms / 1000.0)).as_str()]);
        }
    }
    let words = format!(
        " step {number}, {}: {score}, {} tokens{times}, rev {}",
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
