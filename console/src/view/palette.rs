//! The commands that match what is typed after `:`.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{framed_over, text, theme::Theme};
use crate::palette::CommandPalette;

/// Commands that are visible at once.
const VISIBLE: u16 = 8;

pub fn draw(frame: &mut Frame<'_>, area: Rect, palette: &CommandPalette, theme: &Theme) {
    let height = (VISIBLE + 3).min(area.height);
    let panel = Rect { y: area.bottom() - height, height, ..area };
    let inside = framed_over(frame, panel, "commands; Tab completes, Enter runs, Esc back", theme);
    let width = usize::from(inside.width);
    let typed = text::end_of_line(&palette.typed, width.saturating_sub(2), theme.symbols.cut);
    let mut lines = vec![Line::from(Span::styled(format!(":{typed}_"), theme.accent))];
    let matches = palette.matches();
    if matches.is_empty() {
        lines.push(Line::from(Span::styled("No command contains this. Backspace deletes a character.", theme.warn)));
    }
    let rows = usize::from(inside.height.saturating_sub(1)).max(1);
    let first = (palette.cursor + 1).saturating_sub(rows);
    for (index, command) in matches.into_iter().enumerate().skip(first).take(rows) {
        let chosen = index == palette.cursor;
        let (keys, help) = command.binding().map_or(("", ""), |binding| (binding.keys, binding.help));
        let cursor = if chosen { theme.symbols.cursor } else { " " };
        let line = format!("{cursor} {:<16} {keys:<12} {help}", command.name);
        let line = Line::raw(text::one_line(&line, width, theme.symbols.cut));
        lines.push(if chosen { line.style(theme.chosen) } else { line });
    }
    frame.render_widget(Paragraph::new(lines), inside);
}
