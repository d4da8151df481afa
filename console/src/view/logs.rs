//! The console's own log, the newest line last.

use ratatui::{Frame, layout::Rect, text::Line, widgets::Paragraph};

use super::{draw_empty, framed, text, theme::Theme};
use crate::{input::Screen, state::app::App};

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let inside = framed(frame, area, "the console's own log", theme);
    let shown = app.filtered_lines(Screen::Logs);
    if shown.is_empty() {
        return draw_empty(frame, inside, "Nothing was logged yet. RSD_CONSOLE_LOG=debug logs more.", theme);
    }
    let rows = usize::from(inside.height);
    let chosen = app.ui.cursors[Screen::Logs.index()];
    // With the cursor at the top the newest lines are visible; further down come older ones.
    let end = shown.len().saturating_sub(chosen).max(rows.min(shown.len()));
    let lines: Vec<_> = shown[end.saturating_sub(rows)..end]
        .iter()
        .filter_map(|line| app.shown().logs.get(*line))
        .map(|line| Line::raw(text::one_line(line, usize::from(inside.width), theme.symbols.cut)))
        .collect();
    frame.render_widget(Paragraph::new(lines), inside);
}
