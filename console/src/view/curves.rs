//! The predicted curves over the threshold: one above the other on the same axis, each with its name, its scale, and its
//! value at the threshold that matters now.

use ratatui::{Frame, layout::Rect, style::Style};
use rsd_protocol::preview::PredictedPoint;
use unicode_width::UnicodeWidthStr;

use super::{graph, text, theme::Theme};
use crate::state::server::ServerState;

/// Columns on the left for names and scales.
const GUTTER: u16 = 16;
/// Columns on the left for names only.
const NARROW_GUTTER: u16 = 9;
/// Columns from which on there is room for scales.
const WIDE: u16 = 40;
/// Columns of a name in the gutter.
const NAME: usize = 9;
/// The speed of the target alone.
const SAME_SPEED: f64 = 1.0;

/// One of the predicted figures.
struct PredictedCurve {
    name: &'static str,
    value: fn(&PredictedPoint) -> Option<f64>,
    format: fn(Option<f64>) -> String,
    /// The value at the top; the highest one if absent.
    top: Option<f64>,
    /// Values below this one are a loss, and drawn as such.
    gain_from: f64,
}

const CURVES: [PredictedCurve; 3] = [
    PredictedCurve {
        name: "accepted",
        value: |point| Some(point.acceptance.value),
        format: text::percent,
        top: Some(1.0),
        gain_from: 0.0,
    },
    PredictedCurve {
        name: "speedup",
        value: |point| point.speedup.map(|speedup| speedup.value),
        format: text::factor,
        top: None,
        gain_from: SAME_SPEED,
    },
    PredictedCurve {
        name: "FLOPs",
        value: |point| point.flops_saving.map(|saving| saving.value),
        format: text::percent,
        top: Some(1.0),
        gain_from: 0.0,
    },
];

/// The part of an area in which the thresholds from 0 to 1 lie, right of the gutter.
#[must_use]
pub fn plot(area: Rect) -> Rect {
    let gutter = if area.width >= WIDE { GUTTER } else { NARROW_GUTTER }.min(area.width);
    Rect { x: area.x + gutter, width: area.width - gutter, ..area }
}

/// Draws the curves into the area. `at` is the threshold whose values are written beside them.
pub fn draw(frame: &mut Frame<'_>, area: Rect, server: &ServerState, at: Option<f64>, theme: &Theme) {
    let points = server.preview.as_ref().map(|preview| preview.curve.as_slice()).unwrap_or_default();
    let count = u16::try_from(CURVES.len()).unwrap_or(1);
    // A blank row between the curves, where there is one to spare.
    let gap = u16::from(area.height >= count * 3 - 1);
    let height = ((area.height + gap) / count).saturating_sub(gap).max(1);
    let mut y = area.y;
    for curve in &CURVES {
        if y + height > area.bottom() {
            return;
        }
        draw_curve(frame, Rect { y, height, ..area }, curve, points, (server, at), theme);
        y += height + gap;
    }
}

fn draw_curve(
    frame: &mut Frame<'_>,
    area: Rect,
    curve: &PredictedCurve,
    points: &[PredictedPoint],
    (server, at): (&ServerState, Option<f64>),
    theme: &Theme,
) {
    let highest = points.iter().filter_map(curve.value).filter(|value| value.is_finite()).fold(SAME_SPEED, f64::max);
    let top = curve.top.unwrap_or(highest);
    let bars = plot(area);
    for x in bars.left()..bars.right() {
        let Some(value) = server.predict(graph::value_at(bars, x)).and_then(|point| (curve.value)(&point)) else {
            continue;
        };
        let gain = value >= curve.gain_from;
        let (style, symbols): (Style, &[&str]) =
            if gain { (theme.good, &theme.symbols.bars) } else { (theme.warn, &theme.symbols.under) };
        graph::draw_bar(frame.buffer_mut(), bars, x, value / top, style, symbols);
    }
    let here = at.and_then(|at| server.predict(at)).and_then(|point| (curve.value)(&point));
    let here = (curve.format)(here);
    let scale = [(curve.format)(Some(top)), (curve.format)(Some(0.0))];
    let buffer = frame.buffer_mut();
    if area.height == 1 {
        buffer.set_string(area.x, area.y, format!("{:<NAME$}{here}", curve.name), theme.figure);
        return;
    }
    buffer.set_string(area.x, area.y, curve.name, theme.text);
    buffer.set_string(area.x, area.y + 1, &here, theme.figure);
    if bars.x - area.x < GUTTER {
        return;
    }
    for (label, y) in scale.iter().zip([area.top(), area.bottom() - 1]) {
        let wide = u16::try_from(label.width()).unwrap_or(GUTTER).min(GUTTER - 1);
        buffer.set_string(bars.x - 1 - wide, y, label, theme.dim);
    }
}
