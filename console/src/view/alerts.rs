//! Alerts, the most urgent first, and attempts to change settings.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
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
        draw_empty(frame, inside, "No alerts: nothing to do.", theme);
    }
    let first = app.cursor(shown.len());
    let lines: Vec<_> = shown
        .iter()
        .skip(first)
        .filter_map(|line| alerts.get(*line))
        .flat_map(|alert| {
            let word = format!("{:<8}", frame::severity_word(alert.severity));
            let style = frame::severity_style(alert.severity, theme);
            let rule = Span::styled(alert.rule, theme.accent);
            let indent = word.len();
            let about = text::wrapped(&text::harmless(&alert.text), usize::from(inside.width) - indent, 0);
            let about = about.into_iter().map(move |line| Line::raw(format!("{:indent$}{line}", "")));
            std::iter::once(Line::from(vec![Span::styled(word, style), rule])).chain(about)
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), inside);
    let inside = framed(frame, bottom, "attempts to change settings, and refused requests; times in UTC", theme);
    if server.audit.is_empty() {
        return draw_empty(frame, inside, "None yet. Changes of settings and refused requests are listed here.", theme);
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
