//! What is wrong, the worst first, and who tried what.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::{chrome, empty, framed, text, theme::Theme};
use crate::{
    clock,
    input::Screen,
    state::{alerts, app::App},
};

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    let [top, bottom] = Layout::vertical([Constraint::Min(6), Constraint::Length(8)]).areas(area);
    let inside = framed(frame, top, "alerts", theme);
    let alerts = alerts::of(server, app.data.now_ms);
    let shown = app.lines(Screen::Alerts);
    if alerts.is_empty() {
        empty(frame, inside, "Nothing is wrong.", theme);
    }
    let first = app.cursor(shown.len());
    let lines: Vec<_> = shown
        .iter()
        .skip(first)
        .filter_map(|line| alerts.get(*line))
        .map(|alert| {
            let word = format!("{:<8}", chrome::severity_word(alert.severity));
            let style = chrome::severity_style(alert.severity, theme);
            let rule = Span::styled(format!("{}: ", alert.rule), theme.accent);
            Line::from(vec![Span::styled(word, style), rule, Span::raw(text::harmless(&alert.text))])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), inside);
    let inside = framed(frame, bottom, "attempts to change something, and denied ones", theme);
    if server.audit.is_empty() {
        return empty(frame, inside, "None.", theme);
    }
    let attempts = server.audit.iter().map(|attempt| {
        let outcome = attempt.code.as_deref().unwrap_or("done");
        let style = if attempt.code.is_some() { theme.warn } else { theme.text };
        let line = format!(
            "{} {} {} {} {} token, from {}",
            clock::time_of_day(attempt.at_ms),
            attempt.status,
            outcome,
            attempt.method,
            attempt.token,
            attempt.from
        );
        Line::from(Span::styled(text::one_line(&line, usize::from(inside.width), theme.symbols.cut), style))
    });
    let rows = usize::from(inside.height);
    frame.render_widget(Paragraph::new(attempts.take(rows).collect::<Vec<_>>()), inside);
}
