//! One sentence that says whether RSD pays, and one that says on what it rests or what to do.

use rsd_protocol::{metrics, policy::AnswerRoute, preview::PolicyPreview};

use super::{
    server::{ServerConnection, ServerState},
    summary::MetricSummary,
};

/// Decided steps within the window below which nothing is concluded.
pub const ENOUGH_STEPS: f64 = 20.0;
/// Speedups that differ from 1 by less than this are called the same speed.
const SAME_SPEED: f64 = 0.03;
/// FLOP savings that differ from 0 by less than this are called none.
const SAME_FLOPS: f64 = 0.005;

/// Whether the news is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadlineTone {
    /// RSD pays.
    Good,
    /// RSD costs time, or the server does not answer.
    Bad,
    /// It is not known, or RSD is not in use.
    Neutral,
}

/// What a stranger reads first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerHeadline {
    pub statement: String,
    /// What the statement rests on, or what to do.
    pub detail: String,
    pub tone: HeadlineTone,
}

impl ServerHeadline {
    /// The headline of a server at this time in milliseconds since 1970, whose numbers cover the last `window_ms`.
    #[must_use]
    pub fn of(server: &ServerState, window_ms: u64, now_ms: u64) -> Self {
        match server.connection(now_ms) {
            ServerConnection::Connecting => neutral(
                format!("Connecting to {}: it has not answered yet", server.name),
                "If this lasts: is the server running (mistralrs-rsd serve), and is this its address?",
            ),
            ServerConnection::Stale(age_ms) => {
                old_numbers(server, window_ms, format!("No answer for {} s: the numbers are old", age_ms / 1000))
            }
            ServerConnection::Down { .. } if server.points.is_empty() => {
                bad("The server does not answer, and nothing is known about it yet", "Alerts (press 7) say why.")
            }
            ServerConnection::Down { .. } => {
                old_numbers(server, window_ms, "The server does not answer: the numbers are old".into())
            }
            ServerConnection::Live => match server.metrics_problem(now_ms) {
                Some(problem) => {
                    neutral("Whether RSD pays is not known: the metrics cannot be read", format!("{problem}."))
                }
                None => live(server, window_ms),
            },
        }
    }
}

/// A shell command that sends a request to the server, in lines that can be pasted as they are.
#[must_use]
pub fn example_request(server: &ServerState) -> Vec<String> {
    let named = || if server.name.contains(':') { format!("http://{}", server.name) } else { LOCAL.into() };
    let endpoint = server.status.as_ref().map_or_else(named, |status| status.endpoint.clone());
    let model = server.status.as_ref().and_then(|status| status.model_names.first()).map_or("rsd", String::as_str);
    vec![
        format!("curl {}/v1/chat/completions \\", endpoint.trim_end_matches('/')),
        "  -H 'Content-Type: application/json' \\".into(),
        format!("  -d '{{\"model\": \"{model}\", \"messages\":"),
        "      [{\"role\": \"user\", \"content\": \"What is 17 * 23?\"}]}'".into(),
    ]
}

/// The address of a server that was not given another one.
const LOCAL: &str = "http://127.0.0.1:1234";

fn old_numbers(server: &ServerState, window_ms: u64, statement: String) -> ServerHeadline {
    let before = live(server, window_ms).statement;
    bad(statement, format!("Before: {before}."))
}

fn live(server: &ServerState, window_ms: u64) -> ServerHeadline {
    if server.status.as_ref().is_some_and(|status| !status.ready) {
        return neutral(
            "The server accepts no requests: it is starting or shutting down",
            "If this lasts, see the server's log.",
        );
    }
    match route(server) {
        AnswerRoute::Target => {
            return neutral(
                "The target answers alone: RSD is off, so it saves nothing",
                "Press s to let RSD answer (route rsd).",
            );
        }
        AnswerRoute::Draft => {
            return neutral(
                "The draft answers alone: no step is scored, and the target is not used",
                "Press s to let RSD answer (route rsd).",
            );
        }
        AnswerRoute::Rsd => {}
    }
    if server.points.len() < 2 {
        return neutral("Measuring: numbers come with the second scrape of the metrics", "Nothing to do.");
    }
    let summary = server.summary();
    let decided = summary.decided_steps.unwrap_or(0.0);
    let seconds = window_ms / 1000;
    if decided <= 0.0 {
        return idle(&summary, seconds);
    }
    if decided < ENOUGH_STEPS {
        return neutral(
            format!("Warming up: {decided:.0} steps decided, {ENOUGH_STEPS:.0} are needed to say whether RSD pays"),
            "Send more requests; the numbers so far are preliminary.",
        );
    }
    if server.policy.as_ref().and_then(|(_, view)| view.in_force.budget).is_some_and(|budget| budget.warming_up) {
        return neutral(
            "Warming up: the budget mode is still looking for its threshold",
            format!("Until then delta {} decides; {decided:.0} steps so far.", decimals(server.delta())),
        );
    }
    paying(&summary, server.delta(), server.preview.as_ref(), seconds)
}

/// The models that answer: by the admin API, or else by the metrics.
fn route(server: &ServerState) -> AnswerRoute {
    if let Some(status) = &server.status {
        return status.route;
    }
    let on = |name: &str| server.readings.latest(&metrics::ROUTE, &[("route", name)]) == Some(1.0);
    match (on("target"), on("draft")) {
        (true, _) => AnswerRoute::Target,
        (_, true) => AnswerRoute::Draft,
        _ => AnswerRoute::Rsd,
    }
}

fn idle(summary: &MetricSummary, seconds: u64) -> ServerHeadline {
    if summary.running.unwrap_or(0.0) > 0.0 {
        return neutral(
            "A request is being answered: numbers come with its first steps",
            format!("No step was decided in the last {seconds} s."),
        );
    }
    let failed = summary.errors.unwrap_or(0.0);
    if failed > 0.0 {
        return bad(
            format!("No step was decided in the last {seconds} s, and {failed:.0} requests failed or were refused"),
            "See the alerts (press 7) and the server's log.",
        );
    }
    neutral(
        format!("No traffic in the last {seconds} s: whether RSD pays is not known"),
        "Send a request; screen 4 proposes one.",
    )
}

/// The headline where enough steps were decided.
fn paying(
    summary: &MetricSummary,
    delta: Option<f64>,
    preview: Option<&PolicyPreview>,
    seconds: u64,
) -> ServerHeadline {
    let flops = summary.flop_savings_total;
    let accepted = summary.step_acceptance.map_or_else(|| "-".into(), percent);
    let decided = summary.decided_steps.unwrap_or(0.0);
    let basis = format!("Acceptance {accepted} of {decided:.0} steps, last {seconds} s.");
    let Some(speedup) = summary.speedup else {
        let statement = match flops {
            Some(saved) if saved > SAME_FLOPS => {
                format!("RSD saves {} of FLOPs; its speedup is not known yet", percent(saved))
            }
            Some(saved) if saved < -SAME_FLOPS => {
                format!("RSD costs {} more FLOPs; its speedup is not known yet", percent(-saved))
            }
            Some(_) => "RSD needs as many FLOPs as the target alone; its speedup is not known yet".into(),
            None => "Whether RSD pays is not known yet: the target's speed has not been measured".into(),
        };
        return neutral(statement, basis);
    };
    if speedup < 1.0 - SAME_SPEED {
        let saves = flops.filter(|saved| *saved > SAME_FLOPS).map(percent);
        let saves = saves.map_or_else(String::new, |saved| format!(" It saves {saved} of FLOPs."));
        let statement = format!("RSD costs time: {speedup:.2}x the speed of the target alone");
        return bad(statement, format!("Acceptance {accepted}. {}{saves}", advice(delta, preview)));
    }
    let speed = if speedup > 1.0 + SAME_SPEED {
        format!("{speedup:.2}x as fast as the target alone")
    } else {
        format!("as fast as the target alone ({speedup:.2}x)")
    };
    let (statement, tone) = match flops {
        Some(saved) if saved > SAME_FLOPS => {
            (format!("RSD saves {} of FLOPs and is {speed}", percent(saved)), HeadlineTone::Good)
        }
        Some(saved) if saved < -SAME_FLOPS => {
            let tone = if speedup > 1.0 + SAME_SPEED { HeadlineTone::Good } else { HeadlineTone::Bad };
            (format!("RSD is {speed}, and needs {} more FLOPs", percent(-saved)), tone)
        }
        _ if speedup > 1.0 + SAME_SPEED => (format!("RSD is {speed}"), HeadlineTone::Good),
        _ => (format!("RSD makes no difference: it is {speed}"), HeadlineTone::Neutral),
    };
    ServerHeadline { statement, detail: basis, tone }
}

/// What to do about a server that RSD makes slower: the highest threshold for which the server predicts a speedup, or
/// else the target alone.
fn advice(delta: Option<f64>, preview: Option<&PolicyPreview>) -> String {
    let curve = preview.map(|preview| preview.curve.as_slice()).unwrap_or_default();
    let faster = curve.iter().rev().find_map(|point| {
        let speedup = point.speedup.map(|speedup| speedup.value).filter(|value| *value > 1.0 + SAME_SPEED)?;
        Some((point.delta, speedup)).filter(|(at, _)| delta.is_none_or(|delta| *at < delta))
    });
    match faster {
        Some((at, speedup)) => format!("Press d: delta {at:.2} (predicted {speedup:.2}x); s: target alone."),
        None if curve.is_empty() => "Press d: lower delta; s: target alone.".into(),
        None => "No delta is predicted to be faster; press s: target alone.".into(),
    }
}

fn neutral(statement: impl Into<String>, detail: impl Into<String>) -> ServerHeadline {
    ServerHeadline { statement: statement.into(), detail: detail.into(), tone: HeadlineTone::Neutral }
}

fn bad(statement: impl Into<String>, detail: impl Into<String>) -> ServerHeadline {
    ServerHeadline { statement: statement.into(), detail: detail.into(), tone: HeadlineTone::Bad }
}

fn percent(fraction: f64) -> String {
    format!("{:.0} %", 100.0 * fraction)
}

fn decimals(delta: Option<f64>) -> String {
    delta.map_or_else(|| "-".into(), |delta| format!("{delta:.2}"))
}
