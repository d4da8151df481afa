//! The console's own log, the newest line at the end.

use ratatui::{Frame, layout::Rect, text::Line, widgets::Paragraph};

use super::{empty, framed, text, theme::Theme};
use crate::{input::Screen, state::app::App};

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let inside = framed(frame, area, "this console's own log", theme);
    let shown = app.lines(Screen::Logs);
    if shown.is_empty() {
        return empty(frame, inside, "Nothing was logged.", theme);
    }
    let rows = usize::from(inside.height);
    let chosen = app.ui.cursors[Screen::Logs.index()];
    // The cursor at the top shows the newest lines; going down goes back in time.
    let end = shown.len().saturating_sub(chosen).max(rows.min(shown.len()));
    let lines: Vec<_> = shown[end.saturating_sub(rows)..end]
        .iter()
        .filter_map(|line| app.shown().logs.get(*line))
        .map(|line| Line::raw(text::one_line(line, usize::from(inside.width), theme.symbols.cut)))
        .collect();
    frame.render_widget(Paragraph::new(lines), inside);
}
