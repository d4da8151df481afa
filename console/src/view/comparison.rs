//! The numbers of now beside those of an hour ago, and what has changed.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{draw_empty, framed, text, theme::Theme};
use crate::{
    clock,
    state::{
        app::App,
        comparison::{HourComparison, change_in_words, requests_per_minute},
        server::ServerState,
        summary::MetricSummary,
    },
};

/// A row of the table.
struct ComparedFigure {
    name: &'static str,
    value: fn(&MetricSummary) -> Option<f64>,
    format: fn(Option<f64>) -> String,
    change: ChangeFormat,
    /// Whether more is better; absent if neither is.
    more_is_better: Option<bool>,
}

/// How a difference is told.
#[derive(Clone, Copy)]
enum ChangeFormat {
    /// In percentage points.
    Points,
    /// In the unit of the values.
    Absolute,
    /// In percent of the value before.
    Relative,
}

/// The row that is there only if the target has a price.
const MONEY: &str = "money saved per hour";

const FIGURES: &[ComparedFigure] = &[
    ComparedFigure {
        name: "acceptance rate (steps)",
        value: |s| s.step_acceptance,
        format: text::percent,
        change: ChangeFormat::Points,
        more_is_better: Some(true),
    },
    ComparedFigure {
        name: "acceptance rate (tokens)",
        value: |s| s.token_acceptance,
        format: text::percent,
        change: ChangeFormat::Points,
        more_is_better: Some(true),
    },
    ComparedFigure {
        name: "speedup",
        value: |s| s.speedup,
        format: text::factor,
        change: ChangeFormat::Absolute,
        more_is_better: Some(true),
    },
    ComparedFigure {
        name: "FLOP savings",
        value: |s| s.flop_savings_total,
        format: text::percent,
        change: ChangeFormat::Points,
        more_is_better: Some(true),
    },
    ComparedFigure {
        name: MONEY,
        value: |s| s.money_saved_per_hour,
        format: |value| value.map_or_else(|| "-".into(), |value| format!("{value:.2}")),
        change: ChangeFormat::Absolute,
        more_is_better: Some(true),
    },
    ComparedFigure {
        name: "time per answer",
        value: |s| s.answer_seconds,
        format: text::seconds,
        change: ChangeFormat::Relative,
        more_is_better: Some(false),
    },
    ComparedFigure {
        name: "requests per minute",
        value: requests_per_minute,
        format: text::rate,
        change: ChangeFormat::Relative,
        more_is_better: None,
    },
    ComparedFigure {
        name: "decided steps",
        value: |s| s.decided_steps,
        format: text::count,
        change: ChangeFormat::Relative,
        more_is_better: None,
    },
    ComparedFigure {
        name: "delta",
        value: |s| s.delta,
        format: text::threshold,
        change: ChangeFormat::Absolute,
        more_is_better: None,
    },
];

/// Columns of the names, where there is room.
const NAMES: usize = 25;

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, server: &ServerState, theme: &Theme) {
    let inside = framed(frame, area, "now against an hour ago; v or Esc back", theme);
    let both = match HourComparison::of(server, app.options.window_ms) {
        HourComparison::Compared(both) => both,
        other => return draw_empty(frame, inside, &why_nothing(&other), theme),
    };
    let [then, now] = *both;
    let width = usize::from(inside.width);
    let words = text::wrapped(&change_in_words(&then, &now), width, 0);
    let mut lines: Vec<_> = words.into_iter().map(|line| Line::from(Span::styled(line, theme.figure))).collect();
    let priced = then.money_saved_per_hour.or(now.money_saved_per_hour).is_some();
    let figures: Vec<_> = FIGURES.iter().filter(|figure| figure.name != MONEY || priced).collect();
    // A blank line only where every row has room beside it.
    if lines.len() + figures.len() + 1 < usize::from(inside.height) {
        lines.push(Line::raw(""));
    }
    let column = (width.saturating_sub(NAMES) / 3).min(16);
    let right = |text: &str| text::padded_left(text, column, theme.symbols.cut);
    let until = |summary: &MetricSummary| right(&clock::utc_time_of_day(summary.at_ms));
    let heading = format!("{:<NAMES$}{}{}{}", window(&now), until(&then), until(&now), right("change"));
    lines.push(Line::from(Span::styled(heading, theme.dim)));
    for figure in figures {
        let [before, after] = [&then, &now].map(figure.value);
        let [shown_before, shown_after] = [before, after].map(|value| right(&(figure.format)(value)));
        lines.push(Line::from(vec![
            Span::raw(format!("{:<NAMES$}", figure.name)),
            Span::raw(shown_before),
            Span::styled(shown_after, theme.figure),
            Span::styled(right(&figure.change_text(before, after)), figure.style(before, after, theme)),
        ]));
    }
    frame.render_widget(Paragraph::new(lines), inside);
}

fn window(now: &MetricSummary) -> String {
    format!("{:.0} s until (UTC)", now.window_seconds.unwrap_or(0.0))
}

fn why_nothing(comparison: &HourComparison) -> String {
    match comparison {
        HourComparison::TooEarly { watched_seconds, wait_seconds } => format!(
            "The console has watched for {}. It can compare with an hour ago in {}, if it keeps running.",
            clock::short_duration(*watched_seconds),
            clock::short_duration(*wait_seconds)
        ),
        HourComparison::NothingThen { at_ms } => format!(
            "Nothing is known of {} UTC, an hour ago: the server did not answer then, or this machine slept.",
            clock::utc_time_of_day(*at_ms)
        ),
        HourComparison::NoMetrics | HourComparison::Compared(_) => {
            "There are no metrics yet. Numbers come with the second scrape, the comparison an hour later.".into()
        }
    }
}

impl ComparedFigure {
    fn change_text(&self, before: Option<f64>, after: Option<f64>) -> String {
        let (Some(before), Some(after)) = (before, after) else { return "-".into() };
        if (self.format)(Some(before)) == (self.format)(Some(after)) {
            return "same".into();
        }
        match self.change {
            ChangeFormat::Points => format!("{:+.0} points", 100.0 * (after - before)),
            ChangeFormat::Absolute => format!("{:+.2}", after - before),
            ChangeFormat::Relative if before > 0.0 => format!("{:+.0} %", 100.0 * (after / before - 1.0)),
            ChangeFormat::Relative => "new".into(),
        }
    }

    fn style(&self, before: Option<f64>, after: Option<f64>, theme: &Theme) -> Style {
        match (before, after, self.more_is_better) {
            (Some(before), Some(after), Some(more)) if (self.format)(Some(before)) != (self.format)(Some(after)) => {
                if (after > before) == more {
                    theme.good
                } else {
                    theme.warn
                }
            }
            _ => theme.text,
        }
    }
}
