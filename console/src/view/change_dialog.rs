//! The dialog of a change: its values, the review of what the server would do, and conflicts with other changes.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};
use rsd_protocol::{
    preview::ConfidenceInterval,
    settings::{ChangeResult, SettingSource},
};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::{fleet_change, framed_over, rewards, text, theme::Theme};
use crate::{
    clock,
    state::{
        app::App,
        change_dialog::{ChangeConflict, ChangeDialog, ChangePlan, ChangeReview, DryRunAnswer},
        pending_change::{PendingChange, TRIAL_SECONDS, accepted_values},
        presets,
    },
};

/// The dialog, ready to be drawn.
pub struct DialogPanel {
    title: String,
    lines: Vec<Line<'static>>,
    last: Line<'static>,
    /// Its place, at the bottom of the screen's area.
    pub area: Rect,
}

/// The dialog of the change that is being made, if there is one.
pub fn panel(area: Rect, app: &App, theme: &Theme) -> Option<DialogPanel> {
    let server = app.data.servers.get(app.ui.server).map_or("", |server| server.name.as_str());
    let (title, lines, last) = match &app.ui.dialog {
        ChangeDialog::Closed => return None,
        ChangeDialog::Form(pending) => (
            if pending.all {
                format!("settings of all {} servers, shown are those of {server}", app.data.servers.len())
            } else {
                format!("settings of {server}, revision {}", pending.policy.revision)
            },
            form_lines(pending, app, theme),
            duration_line(pending, theme),
        ),
        ChangeDialog::Fleet(fleet) => {
            let (title, lines) = fleet_change::lines(fleet, app, theme);
            let (left, right) = fleet_change::answers(fleet);
            let last = if fleet.pending() { Line::raw("") } else { choice(left, &right, fleet.right, theme) };
            (title, lines, last)
        }
        ChangeDialog::Review(review) => {
            (format!("review: {server}"), review_lines(review, theme), review_answers(review, theme))
        }
        ChangeDialog::Conflict(conflict) => {
            let last = choice("discard my change", "review it again", conflict.review_again, theme);
            (format!("the policy of {server} has changed meanwhile"), conflict_lines(conflict, app, theme), last)
        }
    };
    let width = area.width.saturating_sub(2).min(84);
    let mut lines = text::fitted(lines, usize::from(width.saturating_sub(2)));
    let room = usize::from(area.height.saturating_sub(3)).max(1);
    if lines.len() > room {
        let more = format!("  and {} lines more: a taller terminal shows them", lines.len() + 1 - room);
        lines.truncate(room - 1);
        lines.push(Line::from(Span::styled(more, theme.dim)));
    }
    let height = u16::try_from(lines.len() + 3).unwrap_or(u16::MAX).clamp(8, area.height);
    let area = Rect { x: area.x + (area.width - width) / 2, y: area.bottom() - height, width, height };
    Some(DialogPanel { title, lines, last, area })
}

pub fn draw(frame: &mut Frame<'_>, panel: DialogPanel, theme: &Theme) {
    let room = usize::from(panel.area.width) - 6;
    let inside = framed_over(frame, panel.area, &text::one_line(&panel.title, room, theme.symbols.cut), theme);
    // The answers are always visible, however long the text above them is.
    let [above, below] = Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(inside);
    frame.render_widget(Paragraph::new(panel.lines), above);
    frame.render_widget(Paragraph::new(panel.last), below);
}

/// Settings that are visible at once.
const VISIBLE: usize = 5;

fn form_lines(pending: &PendingChange, app: &App, theme: &Theme) -> Vec<Line<'static>> {
    let first = (pending.cursor + 1).saturating_sub(VISIBLE).min(pending.settings.len().saturating_sub(VISIBLE));
    let mut lines = Vec::new();
    for (index, setting) in pending.settings.iter().enumerate().skip(first).take(VISIBLE) {
        let chosen = index == pending.cursor;
        let typed = pending.typed.as_ref().filter(|_| chosen).map(|typed| format!("{typed}_"));
        let now = value_text(&setting.value);
        let value = match (typed, pending.values.get(&setting.path)) {
            (Some(typed), _) => format!("{now} -> {typed}"),
            (None, Some(value)) => format!("{now} -> {}", value_text(value)),
            (None, None) => now,
        };
        let cursor = if chosen { theme.symbols.cursor } else { " " };
        let (path, value) = (cell(&setting.path, 20), cell(&value, 22));
        let line = Line::raw(format!("{cursor} {path} {value} {}", text::harmless(&source(&setting.source))));
        lines.push(if chosen { line.style(theme.chosen) } else { line });
    }
    let Some(setting) = pending.setting() else {
        return vec![Line::raw("The server has no settings that can be changed here.")];
    };
    let about = format!("{} Accepts {}.", text::harmless(&setting.description), accepted_values(setting));
    lines.push(Line::from(Span::styled(about, theme.dim)));
    if let Some(problem) = &pending.problem {
        lines.push(Line::from(Span::styled(problem.clone(), theme.bad)));
    }
    let delta = pending.delta();
    if let Some(server) = app.data.servers.get(app.ui.server)
        && delta.is_some()
    {
        lines.push(Line::from(Span::styled(format!("predicted at {}", text::threshold(delta)), theme.accent)));
        lines.extend(rewards::prediction_lines(delta.and_then(|delta| server.predict(delta))));
    }
    lines
}

/// How long the change would stay.
fn duration_line(pending: &PendingChange, theme: &Theme) -> Line<'static> {
    let trial = if pending.trial {
        format!("Will be reverted after {TRIAL_SECONDS} s unless confirmed")
    } else {
        "Stays until it is changed again".into()
    };
    let file = if pending.persist { "; also written into the deployment file" } else { "" };
    Line::from(Span::styled(format!("{trial}{file}."), theme.dim))
}

fn review_lines(review: &ChangeReview, theme: &Theme) -> Vec<Line<'static>> {
    let what = match review.plan {
        ChangePlan::Change => "A change".to_owned(),
        ChangePlan::Rollback(revision) => format!("Back to revision {revision}"),
    };
    let trial =
        review.change.ttl_seconds.map(|s| format!(", reverted after {s} s unless confirmed")).unwrap_or_default();
    let file = if review.change.persist { ", also written into the deployment file" } else { "" };
    let mut lines = vec![Line::from(Span::styled(format!("{what}{trial}{file}"), theme.accent))];
    match &review.answer {
        DryRunAnswer::Pending => lines.push(Line::raw("Asking the server what the change would do.")),
        DryRunAnswer::Shown(shown) => lines.extend(dry_run_lines(shown, theme)),
        DryRunAnswer::Refused(detail) => {
            lines.push(Line::from(Span::styled(
                format!("The server refuses: {}", text::harmless(&detail.message)),
                theme.bad,
            )));
            for problem in &detail.problems {
                lines.push(Line::raw(text::harmless(&format!("{}: {}", problem.path, problem.message))));
            }
        }
        DryRunAnswer::Failed(cause) => {
            lines.push(Line::from(Span::styled(format!("No answer: {}", text::harmless(cause)), theme.bad)));
            lines.push(Line::raw("Check the history before you try again: the server may have made the change."));
        }
    }
    lines
}

/// The answers that the user can give.
fn review_answers(review: &ChangeReview, theme: &Theme) -> Line<'static> {
    if review.sent {
        Line::raw("Sent; waiting for the server's answer.")
    } else if review.ready() {
        choice("cancel", "apply", review.apply, theme)
    } else {
        choice("cancel", "", false, theme)
    }
}

fn dry_run_lines(shown: &ChangeResult, theme: &Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if shown.differences.is_empty() {
        lines.push(Line::raw("No value would be different."));
    }
    for difference in presets::expand_presets(&shown.differences) {
        lines.push(Line::from(vec![
            Span::raw(format!("  {} {} -> ", cell(&difference.path, 20), value_text(&difference.old))),
            Span::styled(value_text(&difference.new), theme.figure),
        ]));
    }
    if let Some(prediction) = &shown.prediction {
        let (now, then) = (prediction.now, prediction.then);
        let basis = prediction.basis;
        lines.push(Line::from(Span::styled(
            format!("predicted from {} steps of {} answers", basis.steps, basis.answers),
            theme.accent,
        )));
        let row = |name: &str, now: String, then: String| Line::raw(format!("  {name:<9}{now:<7} -> {then}"));
        let value = |interval: Option<ConfidenceInterval>| interval.map(|interval| interval.value);
        lines.push(row(
            "accepted",
            text::percent(Some(now.acceptance.value)),
            text::percent_interval(Some(then.acceptance)),
        ));
        lines.push(row("speedup", text::factor(value(now.speedup)), text::factor_interval(then.speedup)));
        lines.push(row("FLOPs", text::percent(value(now.flops_saving)), text::percent_interval(then.flops_saving)));
    }
    for warning in &shown.warnings {
        lines.push(Line::from(Span::styled(format!("warning: {}", text::harmless(warning)), theme.warn)));
    }
    lines
}

fn conflict_lines(conflict: &ChangeConflict, app: &App, theme: &Theme) -> Vec<Line<'static>> {
    let history = app.data.servers.get(app.ui.server).map(|server| server.history.as_slice()).unwrap_or_default();
    let who = match (conflict.other_change(history), &conflict.current) {
        (Some(entry), _) => format!(
            "Revision {} was made at {} UTC by {} from {}.",
            entry.revision,
            clock::utc_time_of_day(entry.at_ms),
            text::harmless(entry.by.as_deref().unwrap_or("somebody")),
            text::harmless(entry.from.as_deref().unwrap_or("the server itself"))
        ),
        (None, Some(current)) => format!("Revision {} was made.", current.revision),
        (None, None) => "The policy was changed meanwhile.".into(),
    };
    let mut lines = vec![Line::from(Span::styled(who, theme.warn)), Line::raw("Your change was not applied.")];
    lines.push(Line::from(Span::styled(format!("  {:<20} {:<16} yours", "setting", "in effect now"), theme.dim)));
    for difference in presets::expand_presets(&conflict.differences()) {
        lines.push(Line::raw(format!(
            "  {} {} {}",
            cell(&difference.path, 20),
            cell(&value_text(&difference.old), 16),
            value_text(&difference.new)
        )));
    }
    lines
}

fn choice(left: &str, right: &str, on_right: bool, theme: &Theme) -> Line<'static> {
    let button = |word: &str, chosen: bool| {
        let text = if chosen { format!("{}[ {word} ]", theme.symbols.cursor) } else { format!("   {word}  ") };
        Span::styled(text, if chosen { theme.chosen } else { theme.dim })
    };
    let mut spans = vec![Span::raw("  "), button(left, !on_right)];
    if !right.is_empty() {
        spans.extend([Span::raw("   "), button(right, on_right)]);
    }
    Line::from(spans)
}

/// A text that takes at least this number of columns, so that those that follow are in line.
fn cell(text: &str, width: usize) -> String {
    let text = text::one_line(text, usize::MAX, "");
    let missing = width.saturating_sub(text.width());
    text + &" ".repeat(missing)
}

/// A value without quotes.
fn value_text(value: &Value) -> String {
    match value {
        Value::String(word) => text::harmless(word),
        Value::Number(number) if number.is_f64() => text::threshold(number.as_f64()),
        other => text::one_line(&other.to_string(), 40, ""),
    }
}

fn source(source: &SettingSource) -> String {
    match source {
        SettingSource::Default => "default".into(),
        SettingSource::File => "file".into(),
        SettingSource::Env { name } => format!("env {name}"),
        SettingSource::Flag { name } => format!("flag {name}"),
        SettingSource::Runtime { revision } => format!("revision {revision}"),
    }
}
