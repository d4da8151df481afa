//! Whether it pays: the figures, how they went, and how they go.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    framed,
    graph::{self, Column},
    text,
    theme::Theme,
};
use crate::state::{app::App, figures::Figures, server::Server};

/// One figure: its title, its value, what belongs to it, and its course.
struct Tile {
    title: &'static str,
    value: fn(&Figures) -> String,
    note: fn(&Figures) -> String,
    course: fn(&Figures) -> Option<f64>,
    top: Option<f64>,
}

const TILES: [Tile; 9] = [
    Tile {
        title: "steps kept",
        value: |f| text::percent(f.step_acceptance),
        note: |f| format!("of {} judged", text::count(f.judged)),
        course: |f| f.step_acceptance,
        top: Some(1.0),
    },
    Tile {
        title: "tokens kept",
        value: |f| text::percent(f.token_acceptance),
        note: |f| format!("draft writes {}", text::percent(f.draft_share)),
        course: |f| f.token_acceptance,
        top: Some(1.0),
    },
    Tile {
        title: "speed-up",
        value: |f| text::factor(f.speed_up),
        note: |_| "of target, est.".into(),
        course: |f| f.speed_up,
        top: None,
    },
    Tile {
        title: "FLOPs saved",
        value: |f| text::percent(f.saving_total),
        note: |f| {
            let (generated, with_prm) = (text::percent(f.saving_generated), text::percent(f.saving_with_prm));
            format!("gen {generated} prm {with_prm}")
        },
        course: |f| f.saving_total,
        top: Some(1.0),
    },
    Tile {
        title: "tokens/s",
        value: |f| text::rate(f.throughput),
        note: |f| format!("{} answers", text::count(f.requests)),
        course: |f| f.throughput,
        top: None,
    },
    Tile {
        title: "queue",
        value: |f| text::count(f.waiting),
        note: |f| format!("wait; {} run", text::count(f.running)),
        course: |f| f.waiting,
        top: None,
    },
    Tile {
        title: "first token",
        value: |f| text::seconds(f.first_token_p50),
        note: |f| format!("p95 {}", text::seconds(f.first_token_p95)),
        course: |f| f.first_token_p50,
        top: None,
    },
    Tile {
        title: "between tokens",
        value: |f| text::seconds(f.inter_token_p50),
        note: |f| format!("p95 {}", text::seconds(f.inter_token_p95)),
        course: |f| f.inter_token_p50,
        top: None,
    },
    Tile {
        title: "errors",
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
        let width = area.width.saturating_sub(4).min(u16::try_from(line.chars().count()).unwrap_or(u16::MAX));
        let at = Rect::new(area.x + 2, area.bottom().saturating_sub(1), width, 1);
        frame.render_widget(Paragraph::new(line).style(theme.dim), at);
    }
}

/// What the figures are of.
fn footing(app: &App, server: &Server) -> Option<String> {
    let seconds = app.options.window_ms / 1000;
    let before = match server.past.as_slice() {
        [] => String::new(),
        past => {
            let kept = past.iter().map(|(_, kept)| kept).filter(|kept| kept.is_finite());
            let (sum, count) = kept.fold((0.0, 0.0), |(sum, count), kept| (sum + kept, count + 1.0));
            format!(
                "; the hour before, by Prometheus: {} of steps kept",
                text::percent((count > 0.0).then(|| sum / count))
            )
        }
    };
    (!server.moments.is_empty()).then(|| format!(" last {seconds} s{before} "))
}

fn draw_tile(frame: &mut Frame<'_>, area: Rect, tile: &Tile, server: &Server, theme: &Theme) {
    let inside = framed(frame, area, tile.title, theme);
    if inside.height == 0 {
        return;
    }
    let figures = server.figures();
    let columns: Vec<Column> = server
        .moments
        .iter()
        .map(|moment| Column { value: (tile.course)(&moment.figures), mark: moment.mark })
        .collect();
    let value = (tile.value)(&figures);
    let note = (tile.note)(&figures);
    let trend = trend(&columns, theme);
    let mut lines = Vec::new();
    if inside.height >= 8 {
        lines.extend(graph::big(&value).map(|row| Line::from(Span::styled(format!(" {row}"), theme.figure))));
        lines.push(Line::from(Span::styled(format!(" {trend} {note}"), theme.dim)));
    } else if usize::from(inside.width) > value.len() + note.len() + 5 || inside.height < 3 {
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
        graph::over_time(frame.buffer_mut(), rest, &columns, tile.top, theme);
    }
}

/// Whether the last quarter of a minute lies above or below the minute before it.
fn trend(columns: &[Column], theme: &Theme) -> &'static str {
    let mean = |part: &[Column]| {
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
