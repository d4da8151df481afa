//! All servers, one per line: first those that the console is connected to, then those that only Prometheus knows.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{draw_empty, draw_list, frame, framed, header_line, text, theme::Theme};
use crate::{
    input::Screen,
    source::FleetRow,
    state::{alerts, app::App, server::ServerState},
};

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let problem = app.shown().fleet_problem.as_ref().map(|why| format!("; Prometheus: {why}")).unwrap_or_default();
    let title = text::one_line(&format!("fleet{problem}"), usize::from(area.width) - 6, theme.symbols.cut);
    let inside = framed(frame, area, &title, theme);
    let lines = app.filtered_lines(Screen::Fleet);
    if lines.is_empty() {
        return draw_empty(frame, inside, "No server contains this text. Esc clears the filter.", theme);
    }
    let header = header_line(Screen::Fleet, &[22, 11, 9, 8, 7, 6, 7, 7], 2, app, theme);
    let data = app.shown();
    let rows = lines
        .iter()
        .filter_map(|&line| match data.servers.get(line) {
            Some(server) => Some(own(server, app, theme)),
            None => data.fleet.get(line - data.servers.len()).map(|row| other(row, theme)),
        })
        .collect();
    draw_list(frame, inside, header, rows, app.cursor(lines.len()), theme);
}

fn own(server: &ServerState, app: &App, theme: &Theme) -> Line<'static> {
    let summary = server.summary();
    let (word, style) = frame::connection(&server.connection(app.data.now_ms), theme);
    let word = word.split(',').next().unwrap_or_default().to_owned();
    let alerts = alerts::active_alerts(server, app.data.now_ms);
    let urgent = alerts.iter().filter(|alert| alert.severity > alerts::AlertSeverity::Note).count();
    Line::from(vec![
        Span::raw(name(&server.name, theme)),
        Span::styled(format!("{word:<11}"), style),
        Span::raw(numbers(
            (summary.step_acceptance, summary.speedup, summary.throughput, summary.waiting, server.delta()),
            &urgent.to_string(),
        )),
    ])
}

fn other(row: &FleetRow, theme: &Theme) -> Line<'static> {
    let (word, style) = if row.up { ("up", theme.good) } else { ("not up", theme.bad) };
    Line::from(vec![
        Span::raw(name(&row.instance, theme)),
        Span::styled(format!("{word:<11}"), style),
        Span::raw(numbers((row.acceptance, row.speedup, row.throughput, row.waiting, row.delta), "-")),
    ])
}

fn name(name: &str, theme: &Theme) -> String {
    text::padded(name, 21, theme.symbols.cut) + " "
}

type FleetNumbers = (Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>);

fn numbers((accepted, speedup, throughput, waiting, delta): FleetNumbers, alerts: &str) -> String {
    format!(
        "{:>9}{:>8}{:>7}{:>6}{:>7}{alerts:>7}",
        text::percent(accepted),
        text::factor(speedup),
        text::rate(throughput),
        text::count(waiting),
        text::threshold(delta)
    )
}
