//! The models on remote engines, of any role: requests, errors and addresses.

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
        // What fails comes first: the end of a cell is cut where there is no room.
        let alone = if engine.left_alone > 0.0 { format!("{:.0} FAILING, ", engine.left_alone) } else { String::new() };
        format!("{alone}{:.0} usable", engine.usable)
    }),
    ("requests", |engine| text::count(engine.requests)),
    ("under way", |engine| format!("{}, {} waiting", text::count(engine.in_flight), text::count(engine.waiting))),
    ("reply begins", |engine| format!("after {}", text::seconds(engine.first_part_seconds))),
    ("retries", |engine| format!("{}, {} elsewhere", text::count(engine.retries), text::count(engine.failovers))),
    ("errors", |engine| {
        let total: f64 = engine.errors.iter().map(|(_, count)| count).sum();
        let kinds: Vec<_> =
            engine.errors.iter().map(|(kind, count)| format!("{kind} {}", text::count(Some(*count)))).collect();
        if kinds.is_empty() { "none".into() } else { format!("{}: {}", text::count(Some(total)), kinds.join(", ")) }
    }),
];

/// The models of a server that are on remote engines, with their roles; empty if none is, or nothing is known.
#[must_use]
pub fn engines(server: &ServerState, app: &App) -> Vec<(&'static str, RemoteEngine)> {
    let of_role = |role: &&'static str| Some((*role, RemoteEngine::of(&server.readings, role, app.options.window_ms)?));
    metrics::ROLES.iter().filter_map(of_role).collect()
}

/// Why there is nothing to draw about remote engines.
#[must_use]
pub fn why_none(server: &ServerState) -> &'static str {
    if server.readings.latest(&metrics::REMOTE_ENDPOINTS, &[]).is_some() {
        "Remote engines: none; the models run in the server's process."
    } else {
        "Remote engines: this server exports nothing about them."
    }
}

/// Rows of the table with its frame.
#[must_use]
pub fn height() -> u16 {
    u16::try_from(ROWS.len()).unwrap_or(u16::MAX).saturating_add(3)
}

/// Draws one column for each engine, of which there is at least one.
pub fn draw(frame: &mut Frame<'_>, area: Rect, engines: &[(&str, RemoteEngine)], app: &App, theme: &Theme) {
    let title = format!("remote engines; reply begins: last {} s", app.options.window_ms / 1000);
    let inside = framed(frame, area, &title, theme);
    let wide = (usize::from(inside.width).saturating_sub(NAMES) / engines.len().max(1)).clamp(12, 40);
    let cell = |value: &str, style: Style| Span::styled(text::padded_left(value, wide, theme.symbols.cut), style);
    let mut names = vec![Span::raw(" ".repeat(NAMES))];
    names.extend(engines.iter().map(|(role, _)| cell(role, theme.accent)));
    let mut lines = vec![Line::from(names)];
    for (name, value) in ROWS {
        let mut spans = vec![Span::styled(format!("{name:NAMES$}"), theme.dim)];
        spans.extend(engines.iter().map(|(_, engine)| {
            let fails = *name == ROWS[0].0 && engine.left_alone > 0.0;
            cell(&format!(" {}", value(engine)), if fails { theme.bad } else { theme.text })
        }));
        lines.push(Line::from(spans));
    }
    frame.render_widget(Paragraph::new(lines), inside);
}
