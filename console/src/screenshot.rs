//! A screen as text.

use ratatui::{Terminal, backend::TestBackend};

use crate::{
    exit::Stop,
    input::Screen,
    state::app::App,
    view::{self, theme::Theme},
};

/// A named screen at a size such as `100x30`.
pub fn screenshot(mut app: App, screen: &str, size: &str, theme: &Theme) -> Result<String, Stop> {
    let names = || Screen::ALL.map(Screen::name).join(", ");
    let screen = Screen::ALL.into_iter().find(|known| known.name() == screen);
    app.ui.screen = screen.ok_or_else(|| Stop::Usage(format!("--screenshot: expected one of {}", names())))?;
    let wrong = || Stop::Usage(format!("--size {size}: expected columns x rows, such as 100x30, at most 400x200"));
    let (columns, rows) = size.split_once('x').ok_or_else(wrong)?;
    let (columns, rows) = (columns.parse::<u16>().map_err(|_| wrong())?, rows.parse::<u16>().map_err(|_| wrong())?);
    if columns > 400 || rows > 200 {
        return Err(wrong());
    }
    Ok(drawn(&app, theme, columns, rows))
}

/// The screen as text.
#[must_use]
pub fn drawn(app: &App, theme: &Theme, columns: u16, rows: u16) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(columns, rows));
    let Ok(_) = terminal.draw(|frame| view::draw(frame, app, theme));
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..rows {
        let line: String = (0..columns).map(|x| buffer[(x, y)].symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
