//! The three models side by side: what they did, how fast, what their caches hold.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};
use rsd_protocol::metrics::{self, Metric};

use super::{framed, text, theme::Theme};
use crate::state::{app::App, server::Server};

type Cell = fn(&Server, &str) -> String;

fn now(server: &Server, metric: &Metric, labels: &[(&str, &str)]) -> Option<f64> {
    server.readings.now(metric, labels)
}

const ROWS: &[(&str, Cell)] = &[
    ("model", |server, role| known(server, role).map_or_else(|| "-".into(), |known| known.model.clone())),
    ("parameters", |server, role| text::count(known(server, role).and_then(|k| k.parameters).map(|p| p as f64))),
    ("context", |server, role| text::count(known(server, role).and_then(|k| k.context_length).map(|c| c as f64))),
    ("last call", |server, role| match now(server, &metrics::MODEL_UP, &[("role", role)]) {
        Some(up) if up >= 1.0 => "worked".into(),
        Some(_) => "FAILED".into(),
        None => "-".into(),
    }),
    ("failed calls", |server, role| text::count(now(server, &metrics::MODEL_FAILURES, &[("role", role)]))),
    ("generated", |server, role| text::count(now(server, &metrics::GENERATED_TOKENS, &[("role", role)]))),
    ("read", |server, role| text::count(now(server, &metrics::PREFILLED_TOKENS, &[("role", role)]))),
    ("from cache", |server, role| text::count(now(server, &metrics::CACHED_TOKENS, &[("role", role)]))),
    ("s reading", |server, role| phase(server, role, "prefill")),
    ("s writing", |server, role| phase(server, role, "decode")),
    ("tok/s reading", |server, role| speed(server, role, "prefill")),
    ("tok/s writing", |server, role| speed(server, role, "decode")),
    ("cache MB", |server, role| {
        text::count(now(server, &metrics::CACHE_BYTES, &[("role", role)]).map(|bytes| bytes / 1e6))
    }),
    ("cache emptied", |server, role| text::count(now(server, &metrics::CACHE_FLUSHES, &[("role", role)]))),
];

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(server) = app.server() else { return };
    let reward = server.status.as_ref().map(|status| format!("; reward: {}", status.reward)).unwrap_or_default();
    let title =
        text::one_line(&format!("models, since the start{reward}"), usize::from(area.width) - 6, theme.symbols.cut);
    let inside = framed(frame, area, &title, theme);
    let wide = (usize::from(inside.width).saturating_sub(15) / 3).clamp(12, 32);
    let cut = |value: String| text::one_line(&value, wide - 1, theme.symbols.cut);
    let mut names = vec![Span::raw(" ".repeat(14))];
    names.extend(metrics::ROLES.iter().map(|role| Span::styled(format!("{role:>wide$}"), theme.accent)));
    let mut lines = vec![Line::from(names)];
    for (name, cell) in ROWS {
        let mut spans = vec![Span::styled(format!("{name:14}"), theme.dim)];
        for role in metrics::ROLES {
            let value = cut(cell(server, role));
            let style = if value == "FAILED" { theme.bad } else { theme.text };
            spans.push(Span::styled(format!("{value:>wide$}"), style));
        }
        lines.push(Line::from(spans));
    }
    let wasted = text::count(now(server, &metrics::WASTED_TOKENS, &[]));
    let line = format!("drafted ahead and thrown away: {wasted} tokens");
    lines.push(Line::from(Span::styled(line, theme.dim)));
    frame.render_widget(Paragraph::new(lines), inside);
}

fn known<'a>(server: &'a Server, role: &str) -> Option<&'a rsd_protocol::status::RoleStatus> {
    server.status.as_ref()?.roles.iter().find(|known| known.role == role)
}

fn phase(server: &Server, role: &str, phase: &str) -> String {
    text::rate(now(server, &metrics::MODEL_SECONDS, &[("role", role), ("phase", phase)]))
}

fn speed(server: &Server, role: &str, phase: &str) -> String {
    let seconds = now(server, &metrics::UNIT_SECONDS, &[("role", role), ("phase", phase)]);
    let speed = text::rate(seconds.filter(|seconds| *seconds > 0.0).map(|seconds| 1.0 / seconds));
    if role == "reward" && speed != "-" { format!("{speed} steps") } else { speed }
}
