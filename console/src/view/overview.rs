//! The overview: nine numbers, each with its course over time.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};

use unicode_width::UnicodeWidthStr;

use super::{
    framed,
    graph::{self, GraphColumn},
    text,
    theme::Theme,
};
use crate::state::{app::App, server::ServerState, summary::MetricSummary};

/// One number with its course.
struct OverviewTile {
    title: &'static str,
    /// The title where the tile is too narrow for `title`.
    short_title: &'static str,
    value: fn(&MetricSummary) -> String,
    note: fn(&MetricSummary) -> String,
    course: fn(&MetricSummary) -> Option<f64>,
    /// The value at the top of the graph; the highest one if absent.
    top: Option<f64>,
}

const TILES: [OverviewTile; 9] = [
    OverviewTile {
        title: "acceptance rate, steps",
        short_title: "accepted steps",
        value: |f| text::percent(f.step_acceptance),
        note: |f| format!("of {} decided", text::count(f.decided_steps)),
        course: |f| f.step_acceptance,
        top: Some(1.0),
    },
    OverviewTile {
        title: "acceptance rate, tokens",
        short_title: "accepted tokens",
        value: |f| text::percent(f.token_acceptance),
        note: |f| format!("draft share {}", text::percent(f.draft_share)),
        course: |f| f.token_acceptance,
        top: Some(1.0),
    },
    OverviewTile {
        title: "speedup",
        short_title: "speedup",
        value: |f| text::factor(f.speedup),
        note: |_| "over target, est.".into(),
        course: |f| f.speedup,
        top: None,
    },
    OverviewTile {
        title: "FLOP savings",
        short_title: "FLOP savings",
        value: |f| text::percent(f.flop_savings_total),
        note: |f| {
            let (generated, with_prm) =
                (text::percent(f.flop_savings_generated), text::percent(f.flop_savings_with_prm));
            format!("gen {generated} prm {with_prm}")
        },
        course: |f| f.flop_savings_total,
        top: Some(1.0),
    },
    OverviewTile {
        title: "tokens/s",
        short_title: "tokens/s",
        value: |f| text::rate(f.throughput),
        note: |f| format!("{} answers", text::count(f.requests)),
        course: |f| f.throughput,
        top: None,
    },
    OverviewTile {
        title: "queue",
        short_title: "queue",
        value: |f| text::count(f.waiting),
        note: |f| format!("waiting, {} running", text::count(f.running)),
        course: |f| f.waiting,
        top: None,
    },
    OverviewTile {
        title: "first token",
        short_title: "first token",
        value: |f| text::seconds(f.first_token_p50),
        note: |f| format!("p95 {}", text::seconds(f.first_token_p95)),
        course: |f| f.first_token_p50,
        top: None,
    },
    OverviewTile {
        title: "between tokens",
        short_title: "between tokens",
        value: |f| text::seconds(f.inter_token_p50),
        note: |f| format!("p95 {}", text::seconds(f.inter_token_p95)),
        course: |f| f.inter_token_p50,
        top: None,
    },
    OverviewTile {
        title: "errors",
        short_title: "errors",
        value: |f| text::count(f.errors),
        note: |f| format!("{} fallbacks", text::count(f.fallbacks)),
        course: |f| f.errors.map(|errors| errors + f.fallbacks.unwrap_or(0.0)),
        top: None,
    },
];

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    let rows = Layout::vertical([Constraint::Ratio(1, 3); 3]).areas::<3>(area);
    for (row, tiles) in rows.into_iter().zip(TILES.chunks(3)) {
        let cells = Layout::horizontal([Constraint::Ratio(1, 3); 3]).areas::<3>(row);
        for (cell, tile) in cells.into_iter().zip(tiles) {
            draw_tile(frame, cell, tile, server, theme);
        }
    }
    if let Some(line) = footing(app, server) {
        let width = area.width.saturating_sub(4).min(u16::try_from(line.width()).unwrap_or(u16::MAX));
        let at = Rect::new(area.x + 2, area.bottom().saturating_sub(1), width, 1);
        frame.render_widget(Paragraph::new(line).style(theme.dim), at);
    }
}

/// The window of the numbers, and the acceptance rate before the console was started.
fn footing(app: &App, server: &ServerState) -> Option<String> {
    let seconds = app.options.window_ms / 1000;
    let before = match server.past.as_slice() {
        [] => String::new(),
        past => {
            let rates = past.iter().map(|(_, rate)| rate).filter(|rate| rate.is_finite());
            let (sum, count) = rates.fold((0.0, 0.0), |(sum, count), rate| (sum + rate, count + 1.0));
            format!(
                "; acceptance rate of the hour before (Prometheus): {}",
                text::percent((count > 0.0).then(|| sum / count))
            )
        }
    };
    (!server.points.is_empty()).then(|| format!(" last {seconds} s{before} "))
}

fn draw_tile(frame: &mut Frame<'_>, area: Rect, tile: &OverviewTile, server: &ServerState, theme: &Theme) {
    let fits = tile.title.len() + 3 <= usize::from(area.width);
    let inside = framed(frame, area, if fits { tile.title } else { tile.short_title }, theme);
    if inside.height == 0 {
        return;
    }
    let summary = server.summary();
    let columns: Vec<GraphColumn> = server
        .points
        .iter()
        .map(|point| GraphColumn { value: (tile.course)(&point.summary), mark: point.mark })
        .collect();
    let value = (tile.value)(&summary);
    let note = (tile.note)(&summary);
    let trend = trend(&columns, theme);
    let mut lines = Vec::new();
    if inside.height >= 8 {
        lines.extend(graph::big_digits(&value).map(|row| Line::from(Span::styled(format!(" {row}"), theme.figure))));
        lines.push(Line::from(Span::styled(format!(" {trend} {note}"), theme.dim)));
    } else if usize::from(inside.width) > value.width() + note.width() + 5 || inside.height < 3 {
        lines.push(Line::from(vec![
            Span::styled(format!("{value} "), theme.figure),
            Span::styled(format!("{trend} {note}"), theme.dim),
        ]));
    } else {
        lines.push(Line::from(Span::styled(format!("{value} {trend}"), theme.figure)));
        lines.push(Line::from(Span::styled(note, theme.dim)));
    }
    let used = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(inside.height);
    frame.render_widget(Paragraph::new(lines), Rect { height: used, ..inside });
    let rest = Rect { y: inside.y + used, height: inside.height - used, ..inside };
    if rest.height > 0 {
        graph::draw_over_time(frame.buffer_mut(), rest, &columns, tile.top, theme);
    }
}

/// An arrow for the mean of the last 15 points against the mean of the 60 points before them.
fn trend(columns: &[GraphColumn], theme: &Theme) -> &'static str {
    let mean = |part: &[GraphColumn]| {
        let values: Vec<f64> = part.iter().filter_map(|c| c.value).filter(|v| v.is_finite()).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let split = columns.len().saturating_sub(15);
    let before = &columns[split.saturating_sub(60)..split];
    match (mean(before), mean(&columns[split..])) {
        (Some(before), Some(now)) if now > before * 1.05 + f64::EPSILON => theme.symbols.trends[0],
        (Some(before), Some(now)) if now < before * 0.95 - f64::EPSILON => theme.symbols.trends[2],
        (Some(_), Some(_)) => theme.symbols.trends[1],
        _ => " ",
    }
}
