//! The remote engines of draft and target: requests, errors and addresses.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};
use rsd_protocol::metrics;

use super::{framed, text, theme::Theme};
use crate::state::{app::App, remote_engine::RemoteEngine, server::ServerState};

/// Columns of the rows' names.
const NAMES: usize = 14;

type EngineText = fn(&RemoteEngine) -> String;

const ROWS: &[(&str, EngineText)] = &[
    ("addresses", |engine| {
        let alone = if engine.left_alone > 0.0 { format!(", {:.0} FAILING", engine.left_alone) } else { String::new() };
        format!("{:.0} usable{alone}", engine.usable)
    }),
    ("requests", |engine| text::count(engine.requests)),
    ("under way", |engine| format!("{}, {} waiting", text::count(engine.in_flight), text::count(engine.waiting))),
    ("first token", |engine| format!("after {}", text::seconds(engine.first_part_seconds))),
    ("retries", |engine| format!("{}, {} elsewhere", text::count(engine.retries), text::count(engine.failovers))),
    ("errors", |engine| {
        let total: f64 = engine.errors.iter().map(|(_, count)| count).sum();
        let kinds: Vec<_> =
            engine.errors.iter().map(|(kind, count)| format!("{kind} {}", text::count(Some(*count)))).collect();
        if kinds.is_empty() { "none".into() } else { format!("{}: {}", text::count(Some(total)), kinds.join(", ")) }
    }),
];

/// The remote engines of draft and target, in this order.
pub type EnginePair = [Option<RemoteEngine>; 2];

/// The engines of a server; `None` if both models are in its process, or nothing is known.
#[must_use]
pub fn engines(server: &ServerState, app: &App) -> Option<EnginePair> {
    let [draft, target] = [metrics::SOURCES[0], metrics::SOURCES[1]]
        .map(|role| RemoteEngine::of(&server.readings, role, app.options.window_ms));
    (draft.is_some() || target.is_some()).then_some([draft, target])
}

/// Why there is nothing to draw about remote engines.
#[must_use]
pub fn why_none(server: &ServerState) -> &'static str {
    if server.readings.latest(&metrics::REMOTE_ENDPOINTS, &[]).is_some() {
        "Remote engines: none; draft and target run in the server's process."
    } else {
        "Remote engines: this server exports nothing about them."
    }
}

/// Rows of the table with its frame.
#[must_use]
pub fn height() -> u16 {
    u16::try_from(ROWS.len()).unwrap_or(u16::MAX).saturating_add(3)
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, engines: &EnginePair, app: &App, theme: &Theme) {
    let title = format!("remote engines; first token: last {} s", app.options.window_ms / 1000);
    let inside = framed(frame, area, &title, theme);
    let wide = (usize::from(inside.width).saturating_sub(NAMES) / 2).clamp(16, 40);
    let cell = |value: &str, style: Style| Span::styled(text::padded_left(value, wide, theme.symbols.cut), style);
    let mut names = vec![Span::raw(" ".repeat(NAMES))];
    names.extend(metrics::SOURCES.iter().map(|role| cell(role, theme.accent)));
    let mut lines = vec![Line::from(names)];
    for (name, value) in ROWS {
        let mut spans = vec![Span::styled(format!("{name:NAMES$}"), theme.dim)];
        for engine in engines {
            let (value, style) = match engine {
                None if *name == ROWS[0].0 => ("not remote".to_owned(), theme.dim),
                None => ("-".to_owned(), theme.dim),
                Some(engine) if *name == ROWS[0].0 && engine.left_alone > 0.0 => (value(engine), theme.bad),
                Some(engine) => (value(engine), theme.text),
            };
            spans.push(cell(&format!(" {value}"), style));
        }
        lines.push(Line::from(spans));
    }
    frame.render_widget(Paragraph::new(lines), inside);
}
