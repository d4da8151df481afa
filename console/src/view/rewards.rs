//! The histogram of the rewards with the threshold, and below it, on the same axis, the prediction for other thresholds.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};
use rsd_protocol::{metrics, preview::PredictedPoint};

use super::{draw_empty, framed, graph, text, theme::Theme};
use crate::state::{app::App, change_dialog::ChangeDialog, server::ServerState};

/// Rows below which the screen is not readable.
pub const LEAST_ROWS: u16 = 6;
/// Rows from which on there is room for the histogram above the prediction.
const BOTH_ROWS: u16 = 14;

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    let new = new_threshold(app);
    let side = if area.width >= 100 { 40 } else { 32 };
    let [left, right] = Layout::horizontal([Constraint::Min(20), Constraint::Length(side)]).areas(area);
    if left.height < BOTH_ROWS {
        draw_prediction(frame, left, server, new, theme);
    } else {
        let [top, bottom] = Layout::vertical([Constraint::Ratio(1, 2); 2]).areas(left);
        histogram(frame, top, app, server, new, theme);
        draw_prediction(frame, bottom, server, new, theme);
    }
    numbers(frame, right, server, new, theme);
}

/// The new threshold that is being entered or reviewed.
fn new_threshold(app: &App) -> Option<f64> {
    match &app.ui.dialog {
        ChangeDialog::Form(pending) => pending.delta(),
        ChangeDialog::Review(review) => review.change.set.pointer("/policy/delta").and_then(serde_json::Value::as_f64),
        _ => None,
    }
}

fn histogram(frame: &mut Frame<'_>, area: Rect, app: &App, server: &ServerState, new: Option<f64>, theme: &Theme) {
    let recent = server.readings.buckets(&metrics::REWARD, Some(app.options.window_ms));
    let scored = |buckets: &[(f64, f64)]| buckets.iter().map(|(_, count)| count).sum::<f64>();
    let (buckets, since) = if scored(&recent) > 0.0 {
        (recent, format!("last {} s", app.options.window_ms / 1000))
    } else {
        (server.readings.buckets(&metrics::REWARD, None), "since the server's start".into())
    };
    let title = format!("rewards of {} steps, {since}", text::count(Some(scored(&buckets))));
    let inside = framed(frame, area, &title, theme);
    if scored(&buckets) <= 0.0 {
        return draw_empty(frame, inside, "No step has been scored yet.", theme);
    }
    let [bars, axis] = Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(inside);
    let highest = buckets.iter().map(|(_, count)| *count).fold(0.0, f64::max);
    let delta = server.delta();
    for x in bars.left()..bars.right() {
        let reward = graph::value_at(bars, x);
        let Some((_, count)) = buckets.iter().find(|(bound, _)| reward <= *bound) else { continue };
        let accepted = delta.is_none_or(|delta| reward >= delta);
        let (style, steps): (Style, &[&str]) =
            if accepted { (theme.good, &theme.symbols.bars) } else { (theme.dim, &theme.symbols.under) };
        graph::draw_bar(frame.buffer_mut(), bars, x, count / highest, style, steps);
    }
    threshold_line(frame, bars, delta, new, theme);
    axis_line(frame, axis, delta, theme);
}

fn threshold_line(frame: &mut Frame<'_>, area: Rect, delta: Option<f64>, new: Option<f64>, theme: &Theme) {
    let lines = [(delta, theme.symbols.line, theme.accent), (new, theme.symbols.pending_line, theme.warn)];
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
    buffer.set_string(area.x, area.y, "0", theme.dim);
    buffer.set_string(area.right().saturating_sub(1), area.y, "1", theme.dim);
    let label = format!("delta {}", text::threshold(delta));
    let wide = u16::try_from(label.len()).unwrap_or(0);
    let at = graph::column_of(area, delta.unwrap_or(0.0)).saturating_sub(wide / 2);
    let last = area.right().saturating_sub(wide + 2).max(area.x);
    buffer.set_string(at.clamp((area.x + 2).min(last), last), area.y, label, theme.accent);
}

fn draw_prediction(frame: &mut Frame<'_>, area: Rect, server: &ServerState, new: Option<f64>, theme: &Theme) {
    let fastest =
        |curve: &[PredictedPoint]| curve.iter().filter_map(|p| p.speedup).map(|s| s.value).fold(1.0, f64::max);
    let curve = server.preview.as_ref().map(|preview| preview.curve.as_slice()).unwrap_or_default();
    let top = fastest(curve);
    let [accepted, speed, flops] = theme.symbols.points;
    let title = format!("{accepted} accepted {speed} speedup to {top:.1} x {flops} FLOP savings");
    let inside = framed(frame, area, &title, theme);
    if curve.is_empty() {
        let why = match (server.has_admin, &server.preview) {
            (false, _) => "The prediction needs the admin API, which is not known for this server.",
            (true, None) => "Waiting for the server's prediction.",
            (true, Some(_)) => "No prediction yet: no step has been scored.",
        };
        return draw_empty(frame, inside, why, theme);
    }
    threshold_line(frame, inside, server.delta(), new, theme);
    for x in inside.left()..inside.right() {
        let Some(point) = server.predict(graph::value_at(inside, x)) else { continue };
        let curves = [
            (point.flops_saving.map(|saving| saving.value), flops, theme.dim),
            (point.speedup.map(|speedup| speedup.value / top), speed, theme.warn),
            (Some(point.acceptance.value), accepted, theme.good),
        ];
        for (value, symbol, style) in curves {
            if let Some(value) = value.filter(|value| value.is_finite()) {
                frame.buffer_mut().set_string(x, graph::row_of(inside, value), symbol, style);
            }
        }
    }
}

fn numbers(frame: &mut Frame<'_>, area: Rect, server: &ServerState, new: Option<f64>, theme: &Theme) {
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
    if let Some(new) = new {
        lines.push(Line::raw(""));
        let title = format!("at {} (new)", text::threshold(Some(new)));
        lines.push(Line::from(Span::styled(title, theme.warn)));
        lines.extend(prediction_lines(server.predict(new)));
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
