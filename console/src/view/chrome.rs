//! What is around every screen: which server and how it is, the screens, the worst alert, the keys.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{text, theme::Theme};
use crate::{
    clock,
    input::{self, Mode, Screen},
    state::{
        alerts::{self, Severity},
        app::App,
        server::Connection,
    },
};

/// The connection in words, with its style.
#[must_use]
pub fn connection(connection: &Connection, theme: &Theme) -> (String, Style) {
    match connection {
        Connection::Connecting => ("CONNECTING".into(), theme.warn),
        Connection::Live => ("LIVE".into(), theme.good),
        Connection::Stale(age) => (format!("STALE {}", clock::span(age / 1000)), theme.warn),
        Connection::Down { retry_ms, .. } => (format!("DOWN, next try in {} s", retry_ms.div_ceil(1000)), theme.bad),
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
            spans.push(Span::raw(format!("  {}", answers_word(status.answers))));
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

/// Who answers, in a word.
pub fn answers_word(answers: rsd_protocol::policy::Answers) -> &'static str {
    match answers {
        rsd_protocol::policy::Answers::Rsd => "RSD",
        rsd_protocol::policy::Answers::Draft => "DRAFT ONLY",
        rsd_protocol::policy::Answers::Target => "TARGET ONLY",
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
    let alerts = alerts::of(server, app.data.now_ms);
    let width = usize::from(area.width).saturating_sub(2);
    let reverts = app.data.servers.get(app.ui.server).and_then(|server| server.reverts(app.data.now_ms));
    if let Some((revision, left)) = reverts {
        let line = format!(" keep it? revision {revision} is taken back in {left} s; K keeps it");
        frame.render_widget(Paragraph::new(line).style(theme.warn), area);
        return;
    }
    let (line, style) = match alerts.first() {
        Some(alert) => {
            let word = severity_word(alert.severity);
            let more = if alerts.len() > 1 { format!(" (7: {} more)", alerts.len() - 1) } else { String::new() };
            let room = width.saturating_sub(word.len() + 2 + more.len());
            (
                format!(" {word}: {}{more}", text::one_line(&alert.text, room, theme.symbols.cut)),
                severity_style(alert.severity, theme),
            )
        }
        None if server.connection(app.data.now_ms) == Connection::Connecting => {
            (" waiting for the server's first answer".into(), theme.dim)
        }
        None => (" nothing is wrong".into(), theme.dim),
    };
    frame.render_widget(Paragraph::new(line).style(style), area);
}

/// A severity in a word.
#[must_use]
pub fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Problem => "PROBLEM",
    }
}

/// A severity's style.
#[must_use]
pub fn severity_style(severity: Severity, theme: &Theme) -> Style {
    match severity {
        Severity::Note => theme.dim,
        Severity::Warning => theme.warn,
        Severity::Problem => theme.bad,
    }
}

pub fn foot(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let width = usize::from(area.width).saturating_sub(2);
    let mode = app.mode();
    if let Some(note) = app.ui.note.as_ref().filter(|_| mode != Mode::Filter) {
        let style = if note.bad { theme.bad } else { theme.accent };
        let line = format!(" {}", text::one_line(&note.text, width, theme.symbols.cut));
        frame.render_widget(Paragraph::new(line).style(style), area);
        return;
    }
    let mut spans = Vec::new();
    if mode == Mode::Filter || (mode == Mode::Screen && !app.ui.filter.is_empty()) {
        spans.push(Span::styled(format!(" /{}", app.ui.filter), theme.accent));
        spans.push(Span::raw(if mode == Mode::Filter { "_ " } else { " " }));
    }
    let mut used: usize = spans.iter().map(Span::width).sum();
    for (keys, hint) in input::hints(mode) {
        let wide = keys.chars().count() + hint.len() + 3;
        if used + wide > width {
            break;
        }
        used += wide;
        spans.push(Span::styled(format!(" {keys} "), theme.accent));
        spans.push(Span::styled(format!("{hint} "), theme.dim));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}
