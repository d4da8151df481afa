//! The three models side by side: tokens, seconds and speeds of decode and prefill, and caches; below them the remote
//! engines of those that are not in the server's process.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};
use rsd_protocol::metrics::{self, MetricSpec};

use super::{draw_scrolled, framed, remote_engines, text, theme::Theme};
use crate::state::{app::App, server::ServerState};

type Cell = fn(&ServerState, &str) -> String;

fn latest(server: &ServerState, metric: &MetricSpec, labels: &[(&str, &str)]) -> Option<f64> {
    server.readings.latest(metric, labels)
}

const ROWS: &[(&str, Cell)] = &[
    ("model", |server, role| known(server, role).map_or_else(|| "-".into(), |known| known.model.clone())),
    ("parameters", |server, role| text::count(known(server, role).and_then(|k| k.parameters).map(|p| p as f64))),
    ("context", |server, role| text::count(known(server, role).and_then(|k| k.context_length).map(|c| c as f64))),
    ("last call", |server, role| match latest(server, &metrics::MODEL_UP, &[("role", role)]) {
        Some(up) if up >= 1.0 => "worked".into(),
        Some(_) => "FAILED".into(),
        None => "-".into(),
    }),
    ("failed calls", |server, role| text::count(latest(server, &metrics::MODEL_FAILURES, &[("role", role)]))),
    ("decoded tok", |server, role| text::count(latest(server, &metrics::GENERATED_TOKENS, &[("role", role)]))),
    ("prefilled tok", |server, role| text::count(latest(server, &metrics::PREFILLED_TOKENS, &[("role", role)]))),
    ("cached tok", |server, role| text::count(latest(server, &metrics::CACHED_TOKENS, &[("role", role)]))),
    ("prefill s", |server, role| phase(server, role, "prefill")),
    ("decode s", |server, role| phase(server, role, "decode")),
    ("prefill tok/s", |server, role| speed(server, role, "prefill")),
    ("decode tok/s", |server, role| speed(server, role, "decode")),
    ("cache MB", |server, role| {
        text::count(latest(server, &metrics::CACHE_BYTES, &[("role", role)]).map(|bytes| bytes / 1e6))
    }),
    ("cache emptied", |server, role| text::count(latest(server, &metrics::CACHE_FLUSHES, &[("role", role)]))),
];

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    let reward = server.status.as_ref().map(|status| format!("; reward: {}", status.reward)).unwrap_or_default();
    let title = text::one_line(
        &format!("models, totals since the server's start{reward}"),
        usize::from(area.width) - 6,
        theme.symbols.cut,
    );
    let engines = remote_engines::engines(server, app);
    let below = if engines.is_empty() { 0 } else { remote_engines::height() };
    let [area, bottom] = Layout::vertical([Constraint::Min(5), Constraint::Length(below)]).areas(area);
    let inside = framed(frame, area, &title, theme);
    let wide = (usize::from(inside.width).saturating_sub(15) / 3).clamp(12, 32);
    let cell_text = |value: &str| text::padded_left(&text::one_line(value, wide - 1, theme.symbols.cut), wide, "");
    let mut names = vec![Span::raw(" ".repeat(14))];
    names.extend(metrics::ROLES.iter().map(|role| Span::styled(format!("{role:>wide$}"), theme.accent)));
    let mut lines = vec![Line::from(names)];
    for (name, cell) in ROWS {
        let mut spans = vec![Span::styled(format!("{name:14}"), theme.dim)];
        for role in metrics::ROLES {
            let value = cell(server, role);
            let style = if value == "FAILED" { theme.bad } else { theme.text };
            spans.push(Span::styled(cell_text(&value), style));
        }
        lines.push(Line::from(spans));
    }
    let discarded = text::count(latest(server, &metrics::DISCARDED_TOKENS, &[]));
    let line = format!("discarded draft tokens (lookahead): {discarded}");
    lines.push(Line::from(Span::styled(line, theme.dim)));
    if engines.is_empty() {
        lines.push(Line::from(Span::styled(remote_engines::why_none(server), theme.dim)));
    } else {
        remote_engines::draw(frame, bottom, &engines, app, theme);
    }
    draw_scrolled(frame, inside, lines, app);
}

fn known<'a>(server: &'a ServerState, role: &str) -> Option<&'a rsd_protocol::status::RoleStatus> {
    server.status.as_ref()?.roles.iter().find(|known| known.role == role)
}

fn phase(server: &ServerState, role: &str, phase: &str) -> String {
    text::rate(latest(server, &metrics::MODEL_SECONDS, &[("role", role), ("phase", phase)]))
}

fn speed(server: &ServerState, role: &str, phase: &str) -> String {
    let seconds = latest(server, &metrics::UNIT_SECONDS, &[("role", role), ("phase", phase)]);
    let speed = text::rate(seconds.filter(|seconds| *seconds > 0.0).map(|seconds| 1.0 / seconds));
    if role == "reward" && speed != "-" { format!("{speed} steps") } else { speed }
}
