//! The panels of a change: its values, what the server says of it, and what to do when somebody else was faster.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};
use rsd_protocol::{
    live::{Changed, Source},
    preview::Interval,
};
use serde_json::Value;

use super::{over, rewards, text, theme::Theme};
use crate::{
    clock,
    state::{
        app::App,
        draft::{Draft, TRIAL_SECONDS, expected},
        edit::{Conflict, Edit, Plan, Review, Verdict},
        presets,
    },
};

/// A panel as it will be drawn.
pub struct Panel {
    title: String,
    lines: Vec<Line<'static>>,
    last: Line<'static>,
    /// Where: at the bottom of the screen's area.
    pub area: Rect,
}

/// The panel of the change that is being made.
pub fn panel(area: Rect, app: &App, theme: &Theme) -> Option<Panel> {
    let server = app.data.servers.get(app.ui.server).map_or("", |server| server.name.as_str());
    let (title, lines, last) = match &app.ui.edit {
        Edit::Closed => return None,
        Edit::Draft(draft) => (
            format!("settings of {server}, revision {}", draft.policy.revision),
            drafting(draft, app, theme),
            holds(draft, theme),
        ),
        Edit::Review(review) => (format!("review: {server}"), reviewing(review, theme), answers(review, theme)),
        Edit::Conflict(conflict) => {
            let last = choice("discard mine", "review mine again", conflict.again, theme);
            (format!("somebody else changed {server}"), conflicting(conflict, app, theme), last)
        }
    };
    let width = area.width.saturating_sub(2).min(84);
    let wrapped: usize = lines.iter().map(|line| line.width().div_ceil(usize::from(width - 2)).max(1)).sum();
    let height = u16::try_from(wrapped + 4).unwrap_or(u16::MAX).clamp(8, area.height);
    let area = Rect { x: area.x + (area.width - width) / 2, y: area.bottom() - height, width, height };
    Some(Panel { title, lines, last, area })
}

pub fn draw(frame: &mut Frame<'_>, panel: Panel, theme: &Theme) {
    let room = usize::from(panel.area.width) - 6;
    let inside = over(frame, panel.area, &text::one_line(&panel.title, room, theme.symbols.cut), theme);
    // The answers are always seen, however much there is to say.
    let [above, below] = Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(inside);
    frame.render_widget(Paragraph::new(panel.lines).wrap(Wrap { trim: false }), above);
    frame.render_widget(Paragraph::new(panel.last), below);
}

/// Settings seen at once.
const SEEN: usize = 5;

fn drafting(draft: &Draft, app: &App, theme: &Theme) -> Vec<Line<'static>> {
    let first = (draft.cursor + 1).saturating_sub(SEEN).min(draft.settings.len().saturating_sub(SEEN));
    let mut lines = Vec::new();
    for (index, setting) in draft.settings.iter().enumerate().skip(first).take(SEEN) {
        let chosen = index == draft.cursor;
        let typed = draft.typed.as_ref().filter(|_| chosen).map(|typed| format!("{typed}_"));
        let now = word(&setting.value);
        let value = match (typed, draft.values.get(&setting.path)) {
            (Some(typed), _) => format!("{now} -> {typed}"),
            (None, Some(value)) => format!("{now} -> {}", word(value)),
            (None, None) => now,
        };
        let cursor = if chosen { theme.symbols.cursor } else { " " };
        let line = Line::raw(format!("{cursor} {:<20} {value:<22} {}", setting.path, source(&setting.source)));
        lines.push(if chosen { line.style(theme.chosen) } else { line });
    }
    let Some(setting) = draft.setting() else {
        return vec![Line::raw("The server names no setting that can be changed here.")];
    };
    let about = format!("{} Expected {}.", text::harmless(&setting.description), expected(setting));
    lines.push(Line::from(Span::styled(about, theme.dim)));
    if let Some(problem) = &draft.problem {
        lines.push(Line::from(Span::styled(problem.clone(), theme.bad)));
    }
    let delta = draft.delta();
    if let Some(server) = app.data.servers.get(app.ui.server)
        && delta.is_some()
    {
        lines.push(Line::from(Span::styled(format!("expected at {}", text::threshold(delta)), theme.accent)));
        lines.extend(rewards::point(delta.and_then(|delta| server.expected(delta))));
    }
    lines
}

/// For how long the change would hold.
fn holds(draft: &Draft, theme: &Theme) -> Line<'static> {
    let trial = if draft.trial { format!("for {TRIAL_SECONDS} s unless kept") } else { "until changed again".into() };
    let file = if draft.persist { ", and in the file" } else { "" };
    Line::from(Span::styled(format!("Holds {trial}{file}."), theme.dim))
}

fn reviewing(review: &Review, theme: &Theme) -> Vec<Line<'static>> {
    let what = match review.plan {
        Plan::Change => "A change".to_owned(),
        Plan::Rollback(revision) => format!("Back to revision {revision}"),
    };
    let trial = review.change.ttl_seconds.map(|s| format!(", taken back after {s} s unless kept")).unwrap_or_default();
    let file = if review.change.persist { ", written into the deployment file" } else { "" };
    let mut lines = vec![Line::from(Span::styled(format!("{what}{trial}{file}"), theme.accent))];
    match &review.verdict {
        Verdict::Asked => lines.push(Line::raw("Asking the server what it would do.")),
        Verdict::Shown(shown) => lines.extend(shown_lines(shown, theme)),
        Verdict::Refused(detail) => {
            lines.push(Line::from(Span::styled(
                format!("The server refuses: {}", text::harmless(&detail.message)),
                theme.bad,
            )));
            for problem in &detail.problems {
                lines.push(Line::raw(text::harmless(&format!("{}: {}", problem.path, problem.message))));
            }
        }
        Verdict::Failed(cause) => {
            lines.push(Line::from(Span::styled(format!("No answer: {}", text::harmless(cause)), theme.bad)));
            lines.push(Line::raw("Look at the history before you try again: it may have been done."));
        }
    }
    lines
}

/// The answers there are.
fn answers(review: &Review, theme: &Theme) -> Line<'static> {
    if review.sent {
        Line::raw("Sent; waiting for the answer.")
    } else if review.ready() {
        choice("cancel", "apply", review.apply, theme)
    } else {
        choice("cancel", "", false, theme)
    }
}

fn shown_lines(shown: &Changed, theme: &Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if shown.differences.is_empty() {
        lines.push(Line::raw("Nothing would be different."));
    }
    for difference in presets::spelled(&shown.differences) {
        lines.push(Line::from(vec![
            Span::raw(format!("  {:<20} {} -> ", difference.path, word(&difference.old))),
            Span::styled(word(&difference.new), theme.figure),
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
        let value = |interval: Option<Interval>| interval.map(|interval| interval.value);
        lines.push(row(
            "kept",
            text::percent(Some(now.acceptance.value)),
            text::percent_interval(Some(then.acceptance)),
        ));
        lines.push(row("speed-up", text::factor(value(now.speed_up)), text::factor_interval(then.speed_up)));
        lines.push(row("FLOPs", text::percent(value(now.flops_saving)), text::percent_interval(then.flops_saving)));
    }
    for warning in &shown.warnings {
        lines.push(Line::from(Span::styled(format!("warning: {}", text::harmless(warning)), theme.warn)));
    }
    lines
}

fn conflicting(conflict: &Conflict, app: &App, theme: &Theme) -> Vec<Line<'static>> {
    let history = app.data.servers.get(app.ui.server).map(|server| server.history.as_slice()).unwrap_or_default();
    let who = match (conflict.theirs(history), &conflict.current) {
        (Some(entry), _) => format!(
            "Revision {} came first, at {} UTC, by {} from {}.",
            entry.revision,
            clock::time_of_day(entry.at_ms),
            text::harmless(entry.by.as_deref().unwrap_or("somebody")),
            text::harmless(entry.from.as_deref().unwrap_or("the server itself"))
        ),
        (None, Some(current)) => format!("Revision {} came first.", current.revision),
        (None, None) => "The policy was changed meanwhile.".into(),
    };
    let mut lines = vec![Line::from(Span::styled(who, theme.warn)), Line::raw("Nothing of yours was applied.")];
    lines.push(Line::from(Span::styled(format!("  {:<20} {:<16} yours", "setting", "in effect now"), theme.dim)));
    for difference in presets::spelled(&conflict.both()) {
        lines.push(Line::raw(format!(
            "  {:<20} {:<16} {}",
            difference.path,
            word(&difference.old),
            word(&difference.new)
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

/// A value without its quotes.
fn word(value: &Value) -> String {
    match value {
        Value::String(word) => text::harmless(word),
        Value::Number(number) if number.is_f64() => text::threshold(number.as_f64()),
        other => text::one_line(&other.to_string(), 40, ""),
    }
}

fn source(source: &Source) -> String {
    match source {
        Source::Default => "default".into(),
        Source::File => "file".into(),
        Source::Env { name } => format!("env {name}"),
        Source::Flag { name } => format!("flag {name}"),
        Source::Runtime { revision } => format!("revision {revision}"),
    }
}
