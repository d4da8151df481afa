//! The histogram of the rewards with the threshold, and below it, on the same axis, the prediction for other thresholds.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};
use rsd_protocol::{metrics, preview::PredictedPoint};

use super::{curves, draw_empty, framed, graph, text, theme::Theme};
use crate::state::{app::App, change_dialog::ChangeDialog, metric_history::HistorySpan, server::ServerState};

/// Rows below which the screen is not readable.
pub const LEAST_ROWS: u16 = 6;
/// Columns below which the axis has no labels.
const LEAST_AXIS: u16 = 15;
/// Rows that the prediction needs for two rows per curve.
const PREDICTION_ROWS: u16 = 9;
/// Rows from which on there is room for the histogram above the prediction.
const BOTH_ROWS: u16 = 14;

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    let marks = ThresholdMarks {
        active: server.delta(),
        new: new_threshold(app),
        cursor: app.ui.probe.map(|percent| f64::from(percent) / 100.0),
    };
    let side = if area.width >= 100 { 40 } else { 32 };
    let [left, right] = Layout::horizontal([Constraint::Min(20), Constraint::Length(side)]).areas(area);
    if left.height < BOTH_ROWS {
        draw_prediction(frame, left, server, marks, theme);
    } else {
        let below = (left.height / 2).max(PREDICTION_ROWS);
        let [top, bottom] = Layout::vertical([Constraint::Min(1), Constraint::Length(below)]).areas(left);
        histogram(frame, top, app, server, marks, theme);
        draw_prediction(frame, bottom, server, marks, theme);
    }
    numbers(frame, right, server, marks, theme);
}

/// The thresholds that are marked on the axis.
#[derive(Debug, Clone, Copy)]
struct ThresholdMarks {
    active: Option<f64>,
    /// The one that is being entered or reviewed.
    new: Option<f64>,
    /// The one whose prediction is being looked up.
    cursor: Option<f64>,
}

impl ThresholdMarks {
    /// The one whose values are shown.
    fn at(self) -> Option<f64> {
        self.new.or(self.cursor).or(self.active)
    }

    fn word(self) -> &'static str {
        match (self.new, self.cursor) {
            (Some(_), _) => "new",
            (None, Some(_)) => "cursor",
            (None, None) => "active; up/down: others",
        }
    }
}

/// The new threshold that is being entered or reviewed.
fn new_threshold(app: &App) -> Option<f64> {
    match &app.ui.dialog {
        ChangeDialog::Form(pending) => pending.delta(),
        ChangeDialog::Review(review) => review.change.set.pointer("/policy/delta").and_then(serde_json::Value::as_f64),
        _ => None,
    }
}

fn histogram(frame: &mut Frame<'_>, area: Rect, app: &App, server: &ServerState, marks: ThresholdMarks, theme: &Theme) {
    let recent = server.readings.buckets(&metrics::REWARD, HistorySpan::Newest(app.options.window_ms));
    let scored = |buckets: &[(f64, f64)]| buckets.iter().map(|(_, count)| count).fold(0.0, |sum, count| sum + count);
    let (buckets, since) = if scored(&recent) > 0.0 {
        (recent, format!("last {} s", app.options.window_ms / 1000))
    } else {
        (server.readings.buckets(&metrics::REWARD, HistorySpan::SinceStart), "since the server's start".into())
    };
    let title = format!("rewards of {} steps, {since}", text::count(Some(scored(&buckets))));
    let inside = framed(frame, area, &title, theme);
    if scored(&buckets) <= 0.0 {
        return draw_empty(frame, inside, "No step has been scored yet. Send a request; screen 4 proposes one.", theme);
    }
    let [bars, axis] = Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(inside);
    let highest = buckets.iter().map(|(_, count)| *count).fold(0.0, f64::max);
    let labels = [format!("{} steps", text::count(Some(highest))), "0 steps".into()];
    let plot = curves::plot(bars);
    for (label, y) in labels.iter().zip([bars.top(), bars.bottom() - 1]) {
        let room = usize::from(plot.x - bars.x) - 1;
        frame.buffer_mut().set_string(bars.x, y, text::padded_left(label, room, theme.symbols.cut), theme.dim);
    }
    let bars = plot;
    let delta = marks.active;
    for x in bars.left()..bars.right() {
        let reward = graph::value_at(bars, x);
        let Some((_, count)) = buckets.iter().find(|(bound, _)| reward <= *bound) else { continue };
        let accepted = delta.is_none_or(|delta| reward >= delta);
        let (style, steps): (Style, &[&str]) =
            if accepted { (theme.good, &theme.symbols.bars) } else { (theme.dim, &theme.symbols.under) };
        graph::draw_bar(frame.buffer_mut(), bars, x, count / highest, style, steps);
    }
    threshold_lines(frame, bars, marks, theme);
    axis_line(frame, curves::plot(axis), delta, theme);
}

fn threshold_lines(frame: &mut Frame<'_>, area: Rect, marks: ThresholdMarks, theme: &Theme) {
    let lines = [
        (marks.active, theme.symbols.line, theme.accent),
        (marks.cursor.filter(|_| marks.new.is_none()), theme.symbols.cursor_line, theme.warn),
        (marks.new, theme.symbols.pending_line, theme.warn),
    ];
    for (at, symbol, style) in lines {
        let Some(at) = at.filter(|at| at.is_finite()) else { continue };
        let x = graph::column_of(area, at);
        for y in area.top()..area.bottom() {
            frame.buffer_mut().set_string(x, y, symbol, style);
        }
    }
}

fn axis_line(frame: &mut Frame<'_>, area: Rect, delta: Option<f64>, theme: &Theme) {
    let buffer = frame.buffer_mut();
    if area.width < LEAST_AXIS {
        return;
    }
    buffer.set_string(area.x, area.y, "0", theme.dim);
    buffer.set_string(area.right().saturating_sub(1), area.y, "1", theme.dim);
    let label = format!("delta {}", text::threshold(delta));
    let wide = u16::try_from(label.len()).unwrap_or(0);
    let at = graph::column_of(area, delta.unwrap_or(0.0)).saturating_sub(wide / 2);
    let last = area.right().saturating_sub(wide + 2).max(area.x);
    buffer.set_string(at.clamp((area.x + 2).min(last), last), area.y, label, theme.accent);
}

fn draw_prediction(frame: &mut Frame<'_>, area: Rect, server: &ServerState, marks: ThresholdMarks, theme: &Theme) {
    let curve = server.preview.as_ref().map(|preview| preview.curve.as_slice()).unwrap_or_default();
    let title = format!("predicted at {} ({})", text::threshold(marks.at()), marks.word());
    let inside = framed(frame, area, &title, theme);
    if curve.is_empty() {
        let why = match (server.has_admin, &server.preview) {
            (false, _) => {
                "The prediction needs the admin API: give the address of the admin listener with --target, and --token-file."
            }
            (true, None) => "Waiting for the server's prediction.",
            (true, Some(_)) => "No prediction yet: it comes with the first scored steps.",
        };
        return draw_empty(frame, inside, why, theme);
    }
    let [curves, axis] = Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(inside);
    curves::draw(frame, curves, server, marks.at(), theme);
    threshold_lines(frame, curves::plot(curves), marks, theme);
    axis_line(frame, curves::plot(axis), marks.active, theme);
}

fn numbers(frame: &mut Frame<'_>, area: Rect, server: &ServerState, marks: ThresholdMarks, theme: &Theme) {
    let inside = framed(frame, area, "measured and predicted", theme);
    let summary = server.summary();
    let now = server.preview.as_ref().and_then(|preview| preview.now);
    let mut lines = vec![Line::from(Span::styled("measured now", theme.accent))];
    lines.push(row("accepted", &text::percent(summary.step_acceptance)));
    lines.push(row("speedup", &text::factor(summary.speedup)));
    lines.push(row("FLOPs", &text::percent(summary.flop_savings_total)));
    lines.push(Line::raw(""));
    lines.push(Line::from(Span::styled(format!("at {} (active)", text::threshold(server.delta())), theme.accent)));
    lines.extend(prediction_lines(now));
    if let Some(other) = marks.new.or(marks.cursor) {
        lines.push(Line::raw(""));
        let title = format!("at {} ({})", text::threshold(Some(other)), marks.word());
        lines.push(Line::from(Span::styled(title, theme.warn)));
        lines.extend(prediction_lines(server.predict(other)));
    }
    if let Some(preview) = &server.preview {
        lines.push(Line::raw(""));
        let basis = format!("from {} steps of {} answers", preview.basis.steps, preview.basis.answers);
        lines.push(Line::from(Span::styled(basis, theme.dim)));
    }
    frame.render_widget(Paragraph::new(lines), inside);
}

/// The lines of a prediction.
pub fn prediction_lines(point: Option<PredictedPoint>) -> Vec<Line<'static>> {
    vec![
        row("accepted", &text::percent_interval(point.map(|p| p.acceptance))),
        row("speedup", &text::factor_interval(point.and_then(|p| p.speedup))),
        row("FLOPs", &text::percent_interval(point.and_then(|p| p.flops_saving))),
    ]
}

fn row(name: &str, value: &str) -> Line<'static> {
    Line::raw(format!("{name:<9}{value}"))
}
