//! The help, from the same table as the hints.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::{over, theme::Theme};
use crate::{input::BINDINGS, state::app::App};

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let inside = over(frame, area, "keys; Esc back", theme);
    let mut lines: Vec<_> = BINDINGS
        .iter()
        .map(|binding| Line::from(vec![Span::styled(format!("{:<12}", binding.keys), theme.accent), Span::raw(binding.help)]))
        .collect();
    lines.push(Line::raw(""));
    lines.push(Line::from(Span::styled("On the graphs a bar marks a new revision and a cross a restart of the server.", theme.dim)));
    let last = lines.len().saturating_sub(usize::from(inside.height));
    let scroll = u16::try_from(app.ui.scroll.min(last)).unwrap_or(u16::MAX);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }).scroll((scroll, 0)), inside);
}
