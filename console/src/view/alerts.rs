//! Alerts, the most urgent first, and attempts to change settings.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::{draw_empty, frame, framed, text, theme::Theme};
use crate::{
    clock,
    input::Screen,
    state::{alerts, app::App},
};

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    let [top, bottom] = Layout::vertical([Constraint::Min(6), Constraint::Length(8)]).areas(area);
    let inside = framed(frame, top, "alerts", theme);
    let alerts = alerts::active_alerts(server, app.data.now_ms);
    let shown = app.filtered_lines(Screen::Alerts);
    if alerts.is_empty() {
        draw_empty(frame, inside, "No alerts.", theme);
    }
    let first = app.cursor(shown.len());
    let lines: Vec<_> = shown
        .iter()
        .skip(first)
        .filter_map(|line| alerts.get(*line))
        .map(|alert| {
            let word = format!("{:<8}", frame::severity_word(alert.severity));
            let style = frame::severity_style(alert.severity, theme);
            let rule = Span::styled(format!("{}: ", alert.rule), theme.accent);
            Line::from(vec![Span::styled(word, style), rule, Span::raw(text::harmless(&alert.text))])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), inside);
    let inside = framed(frame, bottom, "attempts to change settings, and refused requests; times in UTC", theme);
    if server.audit.is_empty() {
        return draw_empty(frame, inside, "None.", theme);
    }
    let attempts = server.audit.iter().map(|attempt| {
        let outcome = attempt.code.as_deref().unwrap_or("done");
        let style = if attempt.code.is_some() { theme.warn } else { theme.text };
        let line = format!(
            "{} {} {} {} {} token, from {}",
            clock::utc_time_of_day(attempt.at_ms),
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
