//! The lines around every screen: the server and its state, the screens' names, the most urgent alert, the keys.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};
use rsd_protocol::policy::AnswerRoute;

use unicode_width::UnicodeWidthStr;

use super::{text, theme::Theme};
use crate::{
    clock,
    input::{self, InputMode, Screen},
    state::{
        alerts::{self, AlertSeverity},
        app::App,
        server::ServerConnection,
    },
};

/// The connection in words, with the style to draw it in.
#[must_use]
pub fn connection(connection: &ServerConnection, theme: &Theme) -> (String, Style) {
    match connection {
        ServerConnection::Connecting => ("CONNECTING".into(), theme.warn),
        ServerConnection::Live => ("LIVE".into(), theme.good),
        ServerConnection::Stale(age) => (format!("STALE {}", clock::short_duration(age / 1000)), theme.warn),
        ServerConnection::Down { retry_ms, .. } => {
            (format!("DOWN, next try in {} s", retry_ms.div_ceil(1000)), theme.bad)
        }
    }
}

pub fn head(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let mut spans = vec![Span::styled(" rsd ", theme.accent)];
    if let Some(server) = app.server() {
        let (word, style) = connection(&server.connection(app.data.now_ms), theme);
        let name = text::one_line(&server.name, 30, theme.symbols.cut);
        let place = if app.data.servers.len() > 1 {
            format!(" [{}/{}]", app.ui.server + 1, app.data.servers.len())
        } else {
            String::new()
        };
        spans.push(Span::raw(format!("{name}{place}  ")));
        spans.push(Span::styled(format!("{} {word}", theme.symbols.lamp), style));
        spans.push(Span::raw(format!("  delta {}", text::threshold(server.delta()))));
        let revision = server.policy.as_ref().map(|(_, view)| view.revision);
        if let Some(revision) = revision {
            spans.push(Span::raw(format!("  rev {revision}")));
        }
        if let Some(status) = &server.status {
            spans.push(Span::raw(format!("  {}", route_text(status.route))));
        }
    }
    if app.frozen.is_some() {
        spans.push(Span::styled("  FROZEN", theme.warn));
    }
    if app.why_readonly().is_some_and(|why| why.starts_with("read-only")) {
        spans.push(Span::styled("  READ-ONLY", theme.dim));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

/// The models that answer, in words.
pub fn route_text(route: AnswerRoute) -> &'static str {
    match route {
        AnswerRoute::Rsd => "RSD",
        AnswerRoute::Draft => "DRAFT ONLY",
        AnswerRoute::Target => "TARGET ONLY",
    }
}

pub fn tabs(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let short = area.width < 78;
    let mut spans = Vec::new();
    for (n, screen) in Screen::ALL.into_iter().enumerate() {
        let chosen = screen == app.ui.screen;
        let name = if chosen || !short { screen.name() } else { &screen.name()[..3] };
        let label = if chosen { format!("[{} {name}]", n + 1) } else { format!(" {} {name}", n + 1) };
        spans.push(Span::styled(label, if chosen { theme.accent } else { theme.dim }));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

pub fn notice(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    let alerts = alerts::active_alerts(server, app.data.now_ms);
    let width = usize::from(area.width).saturating_sub(2);
    let reverts = app.data.servers.get(app.ui.server).and_then(|server| server.pending_revert(app.data.now_ms));
    if let Some((revision, left)) = reverts {
        let line = format!(" confirm? revision {revision} will be reverted in {left} s; press c to confirm");
        frame.render_widget(Paragraph::new(line).style(theme.warn), area);
        return;
    }
    let (line, style) = match alerts.first() {
        Some(alert) => {
            let word = severity_word(alert.severity);
            let more = if alerts.len() > 1 { format!(" (7: {} more)", alerts.len() - 1) } else { String::new() };
            let room = width.saturating_sub(word.width() + 2 + more.width());
            (
                format!(" {word}: {}{more}", text::one_line(&alert.text, room, theme.symbols.cut)),
                severity_style(alert.severity, theme),
            )
        }
        None if server.connection(app.data.now_ms) == ServerConnection::Connecting => {
            (" waiting for the server's first answer".into(), theme.dim)
        }
        None => (" no alerts".into(), theme.dim),
    };
    frame.render_widget(Paragraph::new(line).style(style), area);
}

#[must_use]
pub fn severity_word(severity: AlertSeverity) -> &'static str {
    match severity {
        AlertSeverity::Note => "note",
        AlertSeverity::Warning => "warning",
        AlertSeverity::Problem => "PROBLEM",
    }
}

#[must_use]
pub fn severity_style(severity: AlertSeverity, theme: &Theme) -> Style {
    match severity {
        AlertSeverity::Note => theme.dim,
        AlertSeverity::Warning => theme.warn,
        AlertSeverity::Problem => theme.bad,
    }
}

pub fn foot(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let width = usize::from(area.width).saturating_sub(2);
    let mode = app.mode();
    if let Some(note) = app.ui.note.as_ref().filter(|_| mode != InputMode::Filter) {
        let style = if note.bad { theme.bad } else { theme.accent };
        let line = format!(" {}", text::one_line(&note.text, width, theme.symbols.cut));
        frame.render_widget(Paragraph::new(line).style(style), area);
        return;
    }
    let mut spans = Vec::new();
    if mode == InputMode::Filter || (mode == InputMode::Screen && !app.ui.filter.is_empty()) {
        let filter = text::end_of_line(&app.ui.filter, width.saturating_sub(4), theme.symbols.cut);
        spans.push(Span::styled(format!(" /{filter}"), theme.accent));
        spans.push(Span::raw(if mode == InputMode::Filter { "_ " } else { " " }));
    }
    let mut used: usize = spans.iter().map(Span::width).sum();
    for (keys, hint) in input::hints(mode) {
        let wide = keys.width() + hint.width() + 3;
        if used + wide > width {
            break;
        }
        used += wide;
        spans.push(Span::styled(format!(" {keys} "), theme.accent));
        spans.push(Span::styled(format!("{hint} "), theme.dim));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}
