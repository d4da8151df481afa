//! The help, from the table of keys.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{draw_scrolled, framed_over, text, theme::Theme};
use crate::{input::BINDINGS, state::app::App};

/// Columns for the keys.
const KEYS: usize = 12;

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let inside = framed_over(frame, area, "keys; Esc back", theme);
    let width = usize::from(inside.width);
    let mut lines: Vec<_> = BINDINGS
        .iter()
        .flat_map(|binding| {
            let about = text::wrapped(binding.help, width.saturating_sub(KEYS), 0);
            about.into_iter().enumerate().map(|(n, line)| {
                let keys = if n == 0 { binding.keys } else { "" };
                Line::from(vec![Span::styled(format!("{keys:<KEYS$}"), theme.accent), Span::raw(line)])
            })
        })
        .collect();
    let marks =
        "In the graphs, a vertical line marks a new revision of the policy and a cross a restart of the server.";
    lines.extend(text::wrapped(marks, width, 0).into_iter().map(|line| Line::from(Span::styled(line, theme.dim))));
    draw_scrolled(frame, inside, lines, app);
}
