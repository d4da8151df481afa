//! The overview: in a sentence whether RSD pays, then the numbers, each with its course over time.

mod tiles;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};
use unicode_width::UnicodeWidthStr;

use super::{text, theme::Theme};
use crate::state::{
    app::{App, opened::OpenedPage},
    headline::{HeadlineTone, ServerHeadline},
    server::ServerState,
};

/// Rows of the headline.
const HEADLINE: u16 = 2;
/// Rows that the three large tiles need for their digits and a note.
const LARGE_TILES: u16 = 6;

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    if app.ui.opened == Some(OpenedPage::Comparison) {
        let [head, rest] = Layout::vertical([Constraint::Length(HEADLINE), Constraint::Min(1)]).areas(area);
        let headline = ServerHeadline::of(server, app.options.window_ms, app.data.now_ms);
        draw_headline(frame, head, &headline, theme);
        return super::comparison::draw(frame, rest, app, server, theme);
    }
    let large = ((area.height - HEADLINE) * 2 / 5).max(LARGE_TILES);
    let rows = [Constraint::Length(HEADLINE), Constraint::Length(large), Constraint::Min(1)];
    let [head, top, rest] = Layout::vertical(rows).areas(area);
    let headline = ServerHeadline::of(server, app.options.window_ms, app.data.now_ms);
    draw_headline(frame, head, &headline, theme);
    let shares = [Constraint::Percentage(45), Constraint::Percentage(29), Constraint::Percentage(26)];
    let cells = Layout::horizontal(shares).areas::<3>(top);
    for (cell, tile) in cells.into_iter().zip(tiles::LARGE) {
        tiles::draw_large(frame, cell, tile, server, theme);
    }
    if server.points.len() >= 2 && server.is_unused() {
        return draw_unused(frame, rest, server, theme);
    }
    let rows = Layout::vertical([Constraint::Ratio(1, 2); 2]).areas::<2>(rest);
    for (row, tiles) in rows.into_iter().zip(tiles::SMALL.chunks(3)) {
        let cells = Layout::horizontal([Constraint::Ratio(1, 3); 3]).areas::<3>(row);
        for (cell, tile) in cells.into_iter().zip(tiles) {
            tiles::draw_small(frame, cell, tile, server, theme);
        }
    }
    if let Some(line) = footing(app, server) {
        let width = area.width.saturating_sub(4).min(u16::try_from(line.width()).unwrap_or(u16::MAX));
        let at = Rect::new(area.x + 2, area.bottom().saturating_sub(1), width, 1);
        frame.render_widget(Paragraph::new(line).style(theme.dim), at);
    }
}

/// The statement on the first row and its detail on the second; a statement that is too long goes on there.
fn draw_headline(frame: &mut Frame<'_>, area: Rect, headline: &ServerHeadline, theme: &Theme) {
    let style = match headline.tone {
        HeadlineTone::Good => theme.headline(theme.good),
        HeadlineTone::Bad => theme.bad,
        HeadlineTone::Neutral => theme.headline(theme.accent),
    };
    let width = usize::from(area.width).saturating_sub(2);
    let detail = headline.detail();
    let mut statement = text::wrapped(&text::harmless(&headline.statement), width, 0);
    let second = if statement.len() > 1 {
        // The rest of the statement, then as much of the detail as there is room for.
        let rest = statement.split_off(1).join(" ");
        let room = width.saturating_sub(rest.width() + 2);
        let shown =
            if room > 20 { format!(". {}", text::one_line(&detail, room, theme.symbols.cut)) } else { String::new() };
        vec![Span::styled(text::one_line(&rest, width, theme.symbols.cut), style), Span::styled(shown, theme.text)]
    } else {
        vec![Span::styled(text::one_line(&detail, width, theme.symbols.cut), theme.text)]
    };
    let first = vec![Span::styled(statement.concat(), style)];
    let line = |spans: Vec<Span<'static>>| Line::from([vec![Span::styled(" ", Style::new())], spans].concat());
    frame.render_widget(Paragraph::new(vec![line(first), line(second)]), area);
}

/// What to do at a server that nobody has used yet.
fn draw_unused(frame: &mut Frame<'_>, area: Rect, server: &ServerState, theme: &Theme) {
    let room = Rect { x: area.x + 1, width: area.width - 1, ..area };
    super::draw_first_request(
        frame,
        room,
        "No traffic since this console was started. Send a request, and the numbers appear here:",
        server,
        theme,
    );
}

/// The window of the numbers, and the acceptance rate before the console was started.
fn footing(app: &App, server: &ServerState) -> Option<String> {
    let seconds = app.options.window_ms / 1000;
    let before = match server.past.as_slice() {
        [] => String::new(),
        past => {
            let rates = past.iter().map(|(_, rate)| rate).filter(|rate| rate.is_finite());
            let (sum, count) = rates.fold((0.0, 0.0), |(sum, count), rate| (sum + rate, count + 1.0));
            format!(
                "; acceptance rate of the hour before (Prometheus): {}",
                text::percent((count > 0.0).then(|| sum / count))
            )
        }
    };
    (!server.points.is_empty()).then(|| format!(" last {seconds} s{before}; v: against an hour ago "))
}
