//! Who changed what, when and why; Enter goes back to a revision.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};
use rsd_protocol::live::{Cause, Difference, Revision};

use super::{empty, framed, list, text, theme::Theme};
use crate::{
    clock,
    input::Screen,
    state::{app::App, presets},
};

/// The newest revisions, one a line.
pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    let [top, bottom] = Layout::vertical([Constraint::Min(6), Constraint::Length(7)]).areas(area);
    let inside = framed(frame, top, "revisions, times in UTC; Enter goes back to one", theme);
    let lines = app.lines(Screen::History);
    if lines.is_empty() {
        let why = if server.has_admin {
            "No revision is known."
        } else {
            "The history is told by the admin API, which is not known for this server."
        };
        empty(frame, inside, why, theme);
    }
    let cursor = app.cursor(lines.len());
    let entries: Vec<_> = lines.iter().filter_map(|line| server.history.get(*line)).collect();
    if !entries.is_empty() {
        let rows = entries.iter().map(|entry| row(entry, usize::from(inside.width), theme)).collect();
        list(frame, inside, Line::raw("  rev when     cause        by          what"), rows, cursor, theme);
    }
    let inside = framed(frame, bottom, "in full", theme);
    if let Some(entry) = entries.get(cursor) {
        frame.render_widget(Paragraph::new(full(entry, theme)).wrap(Wrap { trim: true }), inside);
    }
}

fn row(entry: &Revision, width: usize, theme: &Theme) -> Line<'static> {
    let by = text::one_line(entry.by.as_deref().unwrap_or("-"), 11, theme.symbols.cut);
    let what = text::one_line(&differences(&entry.differences), width.saturating_sub(41), theme.symbols.cut);
    Line::from(vec![
        Span::styled(format!("{:>4} ", entry.revision), theme.accent),
        Span::raw(format!("{} {:<12} {by:<11} {what}", clock::time_of_day(entry.at_ms), cause(entry.cause))),
    ])
}

/// A cause in words.
#[must_use]
pub fn cause(cause: Cause) -> String {
    match cause {
        Cause::Start => "start".into(),
        Cause::Patch => "change".into(),
        Cause::Rollback { to } => format!("back to {to}"),
        Cause::Expiry { of } => format!("{of} expired"),
        Cause::Reload => "file".into(),
    }
}

/// Differences on one line.
#[must_use]
pub fn differences(differences: &[Difference]) -> String {
    let each: Vec<_> =
        presets::spelled(differences).iter().map(|d| format!("{} {} -> {}", d.path, d.old, d.new)).collect();
    each.join(", ")
}

fn full(entry: &Revision, theme: &Theme) -> Vec<Line<'static>> {
    let or_none = |value: &Option<String>| text::harmless(value.as_deref().unwrap_or("-"));
    let mut lines = vec![Line::from(vec![
        Span::styled(format!("revision {}, {}", entry.revision, cause(entry.cause)), theme.accent),
        Span::raw(format!(", by {}, from {}, why: {}", or_none(&entry.by), or_none(&entry.from), or_none(&entry.why))),
    ])];
    if let Some(at) = entry.reverts_at_ms {
        lines.push(Line::raw(format!("made for a time, until {}", clock::time_of_day(at))));
    }
    let held = format!("held from then on: delta {}, ", text::threshold(Some(entry.values.policy.delta)));
    lines.push(Line::raw(format!("{held}changed: {}", text::harmless(&differences(&entry.differences)))));
    lines
}
