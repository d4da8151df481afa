//! The policy's revisions: who changed what, when and why.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};
use rsd_protocol::settings::{PolicyRevision, RevisionCause, SettingDifference};

use super::{draw_empty, draw_list, framed, text, theme::Theme};
use crate::{
    clock,
    input::Screen,
    state::{app::App, presets, summary::MetricSummary},
};

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    let [top, bottom] = Layout::vertical([Constraint::Min(6), Constraint::Length(8)]).areas(area);
    let inside = framed(frame, top, "revisions, times in UTC; Enter returns to one", theme);
    let lines = app.filtered_lines(Screen::History);
    if lines.is_empty() {
        let why = if server.has_admin {
            "No revision is known yet. d changes the threshold, and each change is listed here."
        } else {
            "The history needs the admin API: give the address of the admin listener with --target, and --token-file."
        };
        draw_empty(frame, inside, why, theme);
    }
    let cursor = app.cursor(lines.len());
    let entries: Vec<_> = lines.iter().filter_map(|line| server.history.get(*line)).collect();
    if !entries.is_empty() {
        let rows = entries.iter().map(|entry| row(entry, usize::from(inside.width), theme)).collect();
        draw_list(frame, inside, Line::raw("  rev when     cause        by          what"), rows, cursor, theme);
    }
    let inside = framed(frame, bottom, "in full", theme);
    if let Some(entry) = entries.get(cursor) {
        let mut lines = full(entry, theme);
        let around = server.around_revision(entry.revision, app.options.window_ms);
        lines.extend(around.iter().flat_map(comparison).map(Line::raw));
        frame.render_widget(Paragraph::new(text::fitted(lines, usize::from(inside.width))), inside);
    }
}

fn row(entry: &PolicyRevision, width: usize, theme: &Theme) -> Line<'static> {
    let by = text::padded(entry.by.as_deref().unwrap_or("-"), 11, theme.symbols.cut);
    let what = text::one_line(&differences_text(&entry.differences), width.saturating_sub(41), theme.symbols.cut);
    Line::from(vec![
        Span::styled(format!("{:>4} ", entry.revision), theme.accent),
        Span::raw(format!("{} {:<12} {by} {what}", clock::utc_time_of_day(entry.at_ms), cause_text(entry.cause))),
    ])
}

/// What made a revision, in words.
#[must_use]
pub fn cause_text(cause: RevisionCause) -> String {
    match cause {
        RevisionCause::Start => "start".into(),
        RevisionCause::Patch => "change".into(),
        RevisionCause::Rollback { to } => format!("back to {to}"),
        RevisionCause::Expiry { of } => format!("{of} reverted"),
        RevisionCause::Reload => "file".into(),
    }
}

/// Differences on one line.
#[must_use]
pub fn differences_text(differences: &[SettingDifference]) -> String {
    let each: Vec<_> =
        presets::expand_presets(differences).iter().map(|d| format!("{} {} -> {}", d.path, d.old, d.new)).collect();
    each.join(", ")
}

/// What was measured before a revision and after it.
fn comparison([before, after]: &[MetricSummary; 2]) -> [String; 2] {
    let measured = |word: &str, summary: &MetricSummary| {
        format!(
            "{word:<8}accepted {} of {}, speedup {}, FLOPs {}",
            text::percent(summary.step_acceptance),
            text::count(summary.decided_steps),
            text::factor(summary.speedup),
            text::percent(summary.flop_savings_total)
        )
    };
    [measured("before:", before), measured("after:", after)]
}

fn full(entry: &PolicyRevision, theme: &Theme) -> Vec<Line<'static>> {
    let or_none = |value: &Option<String>| text::harmless(value.as_deref().unwrap_or("-"));
    let what = format!("revision {}, {}", entry.revision, cause_text(entry.cause));
    let mut lines = vec![
        Line::from(Span::styled(what, theme.accent)),
        Line::raw(format!("by {}, from {}, why: {}", or_none(&entry.by), or_none(&entry.from), or_none(&entry.why))),
    ];
    if let Some(at) = entry.reverts_at_ms {
        lines.push(Line::raw(format!("reverted at {} UTC unless confirmed", clock::utc_time_of_day(at))));
    }
    let held = format!("delta {} from then on, ", text::threshold(Some(entry.values.policy.delta)));
    lines.push(Line::raw(format!("{held}changed: {}", text::harmless(&differences_text(&entry.differences)))));
    lines
}
