//! All servers, a line each: those the console talks to, then those that only Prometheus knows.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{chrome, empty, framed, list, text, theme::Theme};
use crate::{
    input::Screen,
    source::FleetRow,
    state::{alerts, app::App, server::Server},
};

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let problem = app.shown().fleet_problem.as_ref().map(|why| format!("; Prometheus: {why}")).unwrap_or_default();
    let title = text::one_line(&format!("fleet{problem}"), usize::from(area.width) - 6, theme.symbols.cut);
    let inside = framed(frame, area, &title, theme);
    let lines = app.lines(Screen::Fleet);
    if lines.is_empty() {
        return empty(frame, inside, "No server has this text. Esc forgets the filter.", theme);
    }
    let header = Line::raw(format!(
        " {:<22}{:<11}{:>6}{:>9}{:>7}{:>6}{:>8}{:>5}",
        "server", "state", "kept", "speed-up", "tok/s", "wait", "delta", "bad"
    ));
    let data = app.shown();
    let rows = lines
        .iter()
        .filter_map(|&line| match data.servers.get(line) {
            Some(server) => Some(own(server, app, theme)),
            None => data.fleet.get(line - data.servers.len()).map(|row| other(row, theme)),
        })
        .collect();
    list(frame, inside, header, rows, app.cursor(lines.len()), theme);
}

fn own(server: &Server, app: &App, theme: &Theme) -> Line<'static> {
    let figures = server.figures();
    let (word, style) = chrome::connection(&server.connection(app.data.now_ms), theme);
    let word = word.split(',').next().unwrap_or_default().to_owned();
    let alerts = alerts::of(server, app.data.now_ms);
    let bad = alerts.iter().filter(|alert| alert.severity > alerts::Severity::Note).count();
    Line::from(vec![
        Span::raw(format!("{:<22}", text::one_line(&server.name, 21, theme.symbols.cut))),
        Span::styled(format!("{word:<11}"), style),
        Span::raw(numbers(
            (figures.step_acceptance, figures.speed_up, figures.throughput, figures.waiting, server.delta()),
            &bad.to_string(),
        )),
    ])
}

fn other(row: &FleetRow, theme: &Theme) -> Line<'static> {
    let (word, style) = if row.up { ("up", theme.good) } else { ("not up", theme.bad) };
    Line::from(vec![
        Span::raw(format!("{:<22}", text::one_line(&row.instance, 21, theme.symbols.cut))),
        Span::styled(format!("{word:<11}"), style),
        Span::raw(numbers((row.acceptance, row.speed_up, row.throughput, row.waiting, row.delta), "-")),
    ])
}

type Figures = (Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>);

fn numbers((kept, speed_up, throughput, waiting, delta): Figures, bad: &str) -> String {
    format!(
        "{:>6}{:>9}{:>7}{:>6}{:>8}{bad:>5}",
        text::percent(kept),
        text::factor(speed_up),
        text::rate(throughput),
        text::count(waiting),
        text::threshold(delta)
    )
}
