//! Draws the state.

mod alerts;
mod change_dialog;
mod comparison;
pub mod contrast;
mod curves;
mod fleet;
mod fleet_change;
mod frame;
pub mod graph;
mod help;
pub mod history;
mod logs;
mod models;
mod overview;
mod palette;
mod remote_engines;
mod requests;
mod rewards;
pub mod text;
pub mod theme;
pub mod theme_file;
mod waterfall;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Block, BorderType, Clear, Paragraph, Wrap},
};
use unicode_width::UnicodeWidthStr;

use crate::{
    input::Screen,
    state::{
        app::App,
        headline::example_request,
        server::{ServerConnection, ServerState},
    },
};
use theme::Theme;

/// Columns and rows of the smallest terminal in which the console works.
pub const SMALLEST: (u16, u16) = (60, 20);

/// Draws the current screen.
pub fn draw(frame: &mut Frame<'_>, app: &App, theme: &Theme) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!(
            "rsd-console needs {} x {} cells, and this terminal has {} x {}. `rsd-console watch` works in any terminal.",
            SMALLEST.0, SMALLEST.1, area.width, area.height
        );
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    frame.buffer_mut().set_style(area, theme.text);
    let [head, tabs, notice, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame::head(frame, head, app, theme);
    frame::tabs(frame, tabs, app, theme);
    frame::notice(frame, notice, app, theme);
    if app.ui.help {
        // It covers the screen, whose text has the same scroll position.
        help::draw(frame, body, app, theme);
        frame::foot(frame, foot, app, theme);
        return;
    }
    let panel = change_dialog::panel(body, app, theme);
    match app.ui.screen {
        Screen::Overview => overview::draw(frame, body, app, theme),
        // Drawn above the dialog, because its prediction follows the value that is being entered.
        Screen::Rewards => {
            let above = body.height.saturating_sub(panel.as_ref().map_or(0, |panel| panel.area.height));
            let room = if above >= rewards::LEAST_ROWS { Rect { height: above, ..body } } else { body };
            rewards::draw(frame, room, app, theme);
        }
        Screen::Models => models::draw(frame, body, app, theme),
        Screen::Requests => requests::draw(frame, body, app, theme),
        Screen::Fleet => fleet::draw(frame, body, app, theme),
        Screen::History => history::draw(frame, body, app, theme),
        Screen::Alerts => alerts::draw(frame, body, app, theme),
        Screen::Logs => logs::draw(frame, body, app, theme),
    }
    let of_one_server = !matches!(app.ui.screen, Screen::Fleet | Screen::Alerts | Screen::Logs);
    if of_one_server && !is_live(app) {
        frame.buffer_mut().set_style(body, theme.dim);
    }
    if let Some(panel) = panel {
        change_dialog::draw(frame, panel, theme);
    }
    if let Some(palette) = &app.ui.palette {
        palette::draw(frame, body, palette, theme);
    }
    frame::foot(frame, foot, app, theme);
}

fn is_live(app: &App) -> bool {
    app.server().is_some_and(|server| server.connection(app.data.now_ms) == ServerConnection::Live)
}

/// Draws a border with a title, cut to the width; returns the area inside.
fn framed(frame: &mut Frame<'_>, area: Rect, title: &str, theme: &Theme) -> Rect {
    let set = if theme.symbols.ascii { ASCII_BORDER } else { BorderType::Plain.to_border_set() };
    // A space behind the title, too, where there is room for it.
    let room = usize::from(area.width.saturating_sub(3));
    let title = text::one_line(title, room, theme.symbols.cut);
    let title = if title.width() < room { format!(" {title} ") } else { format!(" {title}") };
    let block = Block::bordered().border_set(set).border_style(theme.dim).title(Span::styled(title, theme.accent));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    inside
}

/// Clears the area and draws a border with a title; returns the area inside.
fn framed_over(frame: &mut Frame<'_>, area: Rect, title: &str, theme: &Theme) -> Rect {
    frame.render_widget(Clear, area);
    frame.buffer_mut().set_style(area, theme.text);
    framed(frame, area, title, theme)
}

const ASCII_BORDER: ratatui::symbols::border::Set<'static> = ratatui::symbols::border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// A header's columns with their widths, of which those from `right` on are aligned to the right; the one by which the
/// list is sorted is marked.
fn header_line(screen: Screen, widths: &[usize], right: usize, app: &App, theme: &Theme) -> Line<'static> {
    let order = app.sort_order(screen);
    let mut line = String::from(" ");
    for (column, (name, width)) in App::sort_columns(screen).iter().zip(widths).enumerate() {
        let mark = order
            .filter(|order| order.column == column)
            .map_or("", |order| theme.symbols.orders[usize::from(order.descending)]);
        let name = format!("{name}{mark}");
        line += &if column < right {
            text::padded(&name, *width, theme.symbols.cut)
        } else {
            text::padded_left(&name, *width, theme.symbols.cut)
        };
    }
    Line::raw(line)
}

/// Draws a list with a header, scrolled so that the selected line is visible.
fn draw_list(
    frame: &mut Frame<'_>,
    area: Rect,
    header: Line<'static>,
    lines: Vec<Line<'static>>,
    cursor: usize,
    theme: &Theme,
) {
    let rows = usize::from(area.height.saturating_sub(1)).max(1);
    let first = (cursor + 1).saturating_sub(rows);
    let mut shown = vec![header.style(theme.dim)];
    for (index, line) in lines.into_iter().enumerate().skip(first).take(rows) {
        let chosen = index == cursor;
        let mut spans = vec![Span::raw(if chosen { theme.symbols.cursor } else { " " })];
        spans.extend(line.spans);
        let line = Line::from(spans);
        shown.push(if chosen { line.style(theme.chosen) } else { line });
    }
    frame.render_widget(Paragraph::new(shown), area);
}

/// Draws a long text at its scroll position, which is corrected if it is too large.
fn draw_scrolled(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>, app: &App) {
    let last = lines.len().saturating_sub(usize::from(area.height));
    let at = app.ui.scroll.get().min(last);
    app.ui.scroll.set(at);
    let seen: Vec<_> = lines.into_iter().skip(at).take(usize::from(area.height)).collect();
    frame.render_widget(Paragraph::new(seen), area);
}

/// Draws why there is nothing to show, and the request that would change it.
fn draw_first_request(frame: &mut Frame<'_>, area: Rect, why: &str, server: &ServerState, theme: &Theme) {
    let mut lines: Vec<_> = text::wrapped(why, usize::from(area.width), 0).into_iter().map(Line::raw).collect();
    let command = example_request(server).into_iter().map(|line| Line::raw(text::harmless(&line)));
    lines.extend(command);
    frame.render_widget(Paragraph::new(lines).style(theme.dim), area);
}

/// Draws a text that says why there is nothing to show.
fn draw_empty(frame: &mut Frame<'_>, area: Rect, text: &str, theme: &Theme) {
    let lines = text::fitted(vec![Line::raw(text.to_owned())], usize::from(area.width));
    frame.render_widget(Paragraph::new(lines).style(theme.dim), area);
}
