//! The rewards with the threshold drawn in them, and under it, on the same axis, what other thresholds would do.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};
use rsd_protocol::{metrics, preview::Point};

use super::{empty, framed, graph, text, theme::Theme};
use crate::state::{app::App, edit::Edit, server::Server};

/// Rows without which nothing can be read.
pub const LEAST_ROWS: u16 = 6;
/// Rows from which on there is room for the histogram too.
const BOTH_ROWS: u16 = 14;

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    let drafted = drafted(app);
    let side = if area.width >= 100 { 38 } else { 29 };
    let [left, right] = Layout::horizontal([Constraint::Min(20), Constraint::Length(side)]).areas(area);
    if left.height < BOTH_ROWS {
        preview(frame, left, server, drafted, theme);
    } else {
        let [top, bottom] = Layout::vertical([Constraint::Ratio(1, 2); 2]).areas(left);
        histogram(frame, top, app, server, drafted, theme);
        preview(frame, bottom, server, drafted, theme);
    }
    numbers(frame, right, server, drafted, theme);
}

/// The threshold that is being drafted or reviewed.
fn drafted(app: &App) -> Option<f64> {
    match &app.ui.edit {
        Edit::Draft(draft) => draft.delta(),
        Edit::Review(review) => review.change.set.pointer("/policy/delta").and_then(serde_json::Value::as_f64),
        _ => None,
    }
}

fn histogram(frame: &mut Frame<'_>, area: Rect, app: &App, server: &Server, drafted: Option<f64>, theme: &Theme) {
    let recent = server.readings.buckets(&metrics::REWARD, Some(app.options.window_ms));
    let judged = |buckets: &[(f64, f64)]| buckets.iter().map(|(_, count)| count).sum::<f64>();
    let (buckets, since) = if judged(&recent) > 0.0 {
        (recent, format!("last {} s", app.options.window_ms / 1000))
    } else {
        (server.readings.buckets(&metrics::REWARD, None), "since the start".into())
    };
    let title = format!("rewards of {} steps, {since}", text::count(Some(judged(&buckets))));
    let inside = framed(frame, area, &title, theme);
    if judged(&buckets) <= 0.0 {
        return empty(frame, inside, "No step has been judged yet.", theme);
    }
    let [bars, axis] = Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(inside);
    let highest = buckets.iter().map(|(_, count)| *count).fold(0.0, f64::max);
    let delta = server.delta();
    for x in bars.left()..bars.right() {
        let reward = graph::value_at(bars, x);
        let Some((_, count)) = buckets.iter().find(|(bound, _)| reward <= *bound) else { continue };
        let kept = delta.is_none_or(|delta| reward >= delta);
        let (style, steps): (Style, &[&str]) =
            if kept { (theme.good, &theme.symbols.bars) } else { (theme.dim, &theme.symbols.under) };
        graph::bar(frame.buffer_mut(), bars, x, count / highest, style, steps);
    }
    threshold_line(frame, bars, delta, drafted, theme);
    axis_line(frame, axis, delta, theme);
}

fn threshold_line(frame: &mut Frame<'_>, area: Rect, delta: Option<f64>, drafted: Option<f64>, theme: &Theme) {
    let lines = [(delta, theme.symbols.line, theme.accent), (drafted, theme.symbols.draft_line, theme.warn)];
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

fn preview(frame: &mut Frame<'_>, area: Rect, server: &Server, drafted: Option<f64>, theme: &Theme) {
    let fastest = |curve: &[Point]| curve.iter().filter_map(|p| p.speed_up).map(|s| s.value).fold(1.0, f64::max);
    let curve = server.preview.as_ref().map(|preview| preview.curve.as_slice()).unwrap_or_default();
    let top = fastest(curve);
    let [kept, speed, flops] = theme.symbols.points;
    let title = format!("{kept} kept {speed} speed-up (top {top:.1} x) {flops} FLOPs saved");
    let inside = framed(frame, area, &title, theme);
    if curve.is_empty() {
        let why = if server.has_admin { "until steps were judged" } else { "without the admin API" };
        return empty(frame, inside, &format!("No preview {why}."), theme);
    }
    threshold_line(frame, inside, server.delta(), drafted, theme);
    for x in inside.left()..inside.right() {
        let Some(point) = server.expected(graph::value_at(inside, x)) else { continue };
        let curves = [
            (point.flops_saving.map(|saving| saving.value), flops, theme.dim),
            (point.speed_up.map(|speed_up| speed_up.value / top), speed, theme.warn),
            (Some(point.acceptance.value), kept, theme.good),
        ];
        for (value, symbol, style) in curves {
            if let Some(value) = value.filter(|value| value.is_finite()) {
                frame.buffer_mut().set_string(x, graph::row_of(inside, value), symbol, style);
            }
        }
    }
}

fn numbers(frame: &mut Frame<'_>, area: Rect, server: &Server, drafted: Option<f64>, theme: &Theme) {
    let inside = framed(frame, area, "expected", theme);
    let figures = server.figures();
    let now = server.preview.as_ref().and_then(|preview| preview.now);
    let mut lines = vec![Line::from(Span::styled("measured now", theme.accent))];
    lines.push(row("kept", &text::percent(figures.step_acceptance)));
    lines.push(row("speed", &text::factor(figures.speed_up)));
    lines.push(row("FLOPs", &text::percent(figures.saving_total)));
    lines.push(Line::raw(""));
    lines.push(Line::from(Span::styled(format!("at {} (in force)", text::threshold(server.delta())), theme.accent)));
    lines.extend(point(now));
    if let Some(drafted) = drafted {
        lines.push(Line::raw(""));
        let title = format!("at {} (drafted)", text::threshold(Some(drafted)));
        lines.push(Line::from(Span::styled(title, theme.warn)));
        lines.extend(point(server.expected(drafted)));
    }
    if let Some(preview) = &server.preview {
        lines.push(Line::raw(""));
        let basis = format!("of {} steps, {} answers", preview.basis.steps, preview.basis.answers);
        lines.push(Line::from(Span::styled(basis, theme.dim)));
    }
    frame.render_widget(Paragraph::new(lines), inside);
}

/// What is expected, line by line.
pub fn point(point: Option<Point>) -> Vec<Line<'static>> {
    vec![
        row("kept", &text::percent_interval(point.map(|p| p.acceptance))),
        row("speed", &text::factor_interval(point.and_then(|p| p.speed_up))),
        row("FLOPs", &text::percent_interval(point.and_then(|p| p.flops_saving))),
    ]
}

fn row(name: &str, value: &str) -> Line<'static> {
    Line::raw(format!("{name:<6}{value}"))
}
