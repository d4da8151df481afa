//! The tiles of the overview: three large ones, which say whether RSD pays, and six small ones.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};
use unicode_width::UnicodeWidthStr;

use crate::{
    state::{server::ServerState, summary::MetricSummary},
    view::{
        framed,
        graph::{self, GraphColumn, GraphScale},
        text,
        theme::Theme,
    },
};

type SummaryValue = fn(&MetricSummary) -> Option<f64>;
type ValueFormat = fn(Option<f64>) -> String;

/// One number of a large tile.
pub struct TileFigure {
    /// The word below the number.
    word: &'static str,
    value: SummaryValue,
}

/// A tile with large digits.
pub struct LargeTile {
    title: &'static str,
    /// The title where the tile is too narrow for `title`.
    short_title: &'static str,
    figures: &'static [TileFigure],
    format: ValueFormat,
    /// The note, the longest first.
    note: fn(&MetricSummary, &ServerState) -> Vec<String>,
    /// The value at the top of the graph; the highest one if absent.
    top: Option<f64>,
}

/// A tile with one number on one line.
pub struct SmallTile {
    title: &'static str,
    value: SummaryValue,
    format: ValueFormat,
    note: fn(&MetricSummary) -> String,
    top: Option<f64>,
}

pub const LARGE: &[LargeTile] = &[
    LargeTile {
        title: "acceptance rate (steps, tokens)",
        short_title: "acceptance rate",
        figures: &[
            TileFigure { word: "steps", value: |s| s.step_acceptance },
            TileFigure { word: "tokens", value: |s| s.token_acceptance },
        ],
        format: text::percent,
        note: |s, _| {
            vec![format!("of {} decided", text::count(s.decided_steps)), format!("of {}", text::count(s.decided_steps))]
        },
        top: Some(1.0),
    },
    LargeTile {
        title: "speedup",
        short_title: "speedup",
        figures: &[TileFigure { word: "", value: |s| s.speedup }],
        format: text::factor,
        note: |_, _| vec!["over the target alone".into(), "over target".into()],
        top: None,
    },
    LargeTile {
        title: "FLOP savings",
        short_title: "FLOP savings",
        figures: &[TileFigure { word: "", value: |s| s.flop_savings_total }],
        format: text::percent,
        note: |s, server| {
            let [generated, with_prm] = [s.flop_savings_generated, s.flop_savings_with_prm].map(text::percent);
            let flops = [format!("decoded {generated}, with PRM {with_prm}"), format!("decoded {generated}")];
            match text::money_per_hour(s.money_saved_per_hour, server.currency()) {
                None => flops.into(),
                Some(money) => {
                    let both = flops.map(|flops| format!("{flops}; {money} saved"));
                    both.into_iter().chain([format!("{money} saved"), money]).collect()
                }
            }
        },
        top: Some(1.0),
    },
];

pub const SMALL: &[SmallTile] = &[
    SmallTile {
        title: "tokens/s",
        value: |s| s.throughput,
        format: text::rate,
        note: |s| format!("{} answers", text::count(s.requests)),
        top: None,
    },
    SmallTile {
        title: "draft share",
        value: |s| s.draft_share,
        format: text::percent,
        note: |_| "of tokens".into(),
        top: Some(1.0),
    },
    SmallTile {
        title: "queue (requests)",
        value: |s| s.waiting,
        format: text::count,
        note: |s| format!("{} running", text::count(s.running)),
        top: None,
    },
    SmallTile {
        title: "first token",
        value: |s| s.first_token_p50,
        format: text::seconds,
        note: |s| format!("p95 {}", text::seconds(s.first_token_p95)),
        top: None,
    },
    SmallTile {
        title: "between tokens",
        value: |s| s.inter_token_p50,
        format: text::seconds,
        note: |s| format!("p95 {}", text::seconds(s.inter_token_p95)),
        top: None,
    },
    SmallTile {
        title: "errors (requests)",
        value: |s| s.errors,
        format: text::count,
        note: |s| format!("{} fallbacks", text::count(s.fallbacks)),
        top: None,
    },
];

/// Rows of the large digits.
const DIGITS: u16 = 3;

pub fn draw_large(frame: &mut Frame<'_>, area: Rect, tile: &LargeTile, server: &ServerState, theme: &Theme) {
    let fits = tile.title.width() + 4 <= usize::from(area.width);
    let inside = framed(frame, area, if fits { tile.title } else { tile.short_title }, theme);
    let summary = server.summary();
    let courses: Vec<_> = tile.figures.iter().map(|figure| course(server, figure.value)).collect();
    let values: Vec<_> = tile.figures.iter().map(|figure| (tile.format)((figure.value)(&summary))).collect();
    let [digits, words] = figures(tile, &values, &courses, theme);
    let width = usize::from(inside.width);
    let used: usize = words.iter().map(|word| word.width()).sum();
    let note = (tile.note)(&summary, server).into_iter().find(|note| used + note.width() < width).unwrap_or_default();
    let large = digits.iter().all(|row| row.width() <= width) && inside.height > DIGITS;
    let mut lines = Vec::new();
    if large {
        lines.extend(digits.into_iter().map(|row| Line::from(Span::styled(row, theme.figure))));
    } else {
        let named = tile.figures.iter().zip(&values).map(|(figure, value)| format!("{value} {}", figure.word));
        lines.push(Line::from(Span::styled(named.collect::<Vec<_>>().join(" ").trim_end().to_owned(), theme.figure)));
    }
    let mut spans: Vec<_> =
        if large { words.into_iter().map(|word| Span::styled(word, theme.text)).collect() } else { Vec::new() };
    spans.push(Span::styled(note, theme.dim));
    lines.push(Line::from(spans));
    let used = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(inside.height);
    frame.render_widget(Paragraph::new(lines), Rect { height: used, ..inside });
    let rest = Rect { y: inside.y + used, height: inside.height - used, ..inside };
    let cells = Layout::horizontal(vec![Constraint::Fill(1); courses.len()]).spacing(1).split(rest);
    for (cell, columns) in cells.iter().zip(&courses) {
        let scale = GraphScale { top: tile.top, label: tile.format, seconds: seconds(server) };
        draw_course(frame, *cell, columns, scale, theme);
    }
}

/// The numbers in large digits side by side, and below each its trend and its word.
fn figures(tile: &LargeTile, values: &[String], courses: &[Vec<GraphColumn>], theme: &Theme) -> [Vec<String>; 2] {
    let mut digits = vec![String::new(); usize::from(DIGITS)];
    let mut words = Vec::new();
    for ((figure, value), columns) in tile.figures.iter().zip(values).zip(courses) {
        let rows = graph::big_digits(value);
        let word = format!("{} {} ", trend(columns, theme), figure.word);
        let width = rows[0].width().max(word.width()) + 1;
        for (line, row) in digits.iter_mut().zip(&rows) {
            line.extend([" ", row.as_str(), " ".repeat(width.saturating_sub(row.width())).as_str()]);
        }
        words.push(if figure.word.is_empty() {
            format!(" {}", word.trim_end()) + " "
        } else {
            format!(" {word:<width$}")
        });
    }
    let digits = digits.into_iter().map(|row| row.trim_end().to_owned()).collect();
    [digits, words]
}

pub fn draw_small(frame: &mut Frame<'_>, area: Rect, tile: &SmallTile, server: &ServerState, theme: &Theme) {
    let inside = framed(frame, area, tile.title, theme);
    if inside.height == 0 {
        return;
    }
    let summary = server.summary();
    let columns = course(server, tile.value);
    let line = Line::from(vec![
        Span::styled(format!("{} ", (tile.format)((tile.value)(&summary))), theme.figure),
        Span::styled(format!("{} {}", trend(&columns, theme), (tile.note)(&summary)), theme.dim),
    ]);
    frame.render_widget(Paragraph::new(line), Rect { height: 1, ..inside });
    let rest = Rect { y: inside.y + 1, height: inside.height - 1, ..inside };
    let scale = GraphScale { top: tile.top, label: tile.format, seconds: seconds(server) };
    draw_course(frame, rest, &columns, scale, theme);
}

fn draw_course(frame: &mut Frame<'_>, area: Rect, columns: &[GraphColumn], scale: GraphScale, theme: &Theme) {
    if area.height > 0 {
        graph::draw_with_axes(frame.buffer_mut(), area, columns, scale, theme);
    }
}

fn course(server: &ServerState, value: SummaryValue) -> Vec<GraphColumn> {
    server.points.iter().map(|point| GraphColumn { value: value(&point.summary), mark: point.mark }).collect()
}

/// Seconds that the graphs cover.
fn seconds(server: &ServerState) -> u64 {
    let at = |point: Option<&crate::state::server::SummaryPoint>| point.map_or(0, |point| point.summary.at_ms);
    at(server.points.back()).saturating_sub(at(server.points.front())) / 1000
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
