//! Screens as text or as an SVG image.

use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};
use unicode_width::UnicodeWidthStr;

use crate::{
    exit::ExitReason,
    input::Screen,
    state::app::App,
    svg,
    view::{self, theme::Theme},
};

/// The format of a screenshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// Plain text without colors.
    Text,
    /// An SVG image with the theme's colors.
    Svg,
}

/// Draws the screen with this name at a size such as `100x30`.
pub fn take_screenshot(
    mut app: App,
    screen: &str,
    size: &str,
    format: ImageFormat,
    theme: &Theme,
) -> Result<String, ExitReason> {
    let names = || Screen::ALL.map(Screen::name).join(", ");
    let screen = Screen::ALL.into_iter().find(|known| known.name() == screen);
    app.ui.screen = screen.ok_or_else(|| ExitReason::Usage(format!("--screenshot: expected one of {}", names())))?;
    let wrong = || ExitReason::Usage(format!("--size {size}: expected COLUMNSxROWS, such as 100x30, at most 400x200"));
    let (columns, rows) = size.split_once('x').ok_or_else(wrong)?;
    let (columns, rows) = (columns.parse::<u16>().map_err(|_| wrong())?, rows.parse::<u16>().map_err(|_| wrong())?);
    if columns > 400 || rows > 200 {
        return Err(wrong());
    }
    Ok(match format {
        ImageFormat::Text => screenshot_text(&app, theme, columns, rows),
        ImageFormat::Svg => svg::image_of(&draw_buffer(&app, theme, columns, rows)),
    })
}

/// The cells of the current screen at this size.
#[must_use]
pub fn draw_buffer(app: &App, theme: &Theme, columns: u16, rows: u16) -> Buffer {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(columns, rows));
    let Ok(_) = terminal.draw(|frame| view::draw(frame, app, theme));
    terminal.backend().buffer().clone()
}

/// The current screen as text.
#[must_use]
pub fn screenshot_text(app: &App, theme: &Theme, columns: u16, rows: u16) -> String {
    let buffer = draw_buffer(app, theme, columns, rows);
    let mut text = String::new();
    for y in 0..rows {
        let mut line = String::new();
        let mut x = 0;
        while x < columns {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // The cell after a wide character holds a space that is not drawn.
            x += u16::try_from(symbol.width()).unwrap_or(1).max(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
