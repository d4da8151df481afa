//! One sentence that says whether RSD pays, and one that says on what it rests and what to do.

use rsd_protocol::{metrics, policy::AnswerRoute, preview::PolicyPreview};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    metric_history::HistorySpan,
    proposal::{PredictedSpeedup, ProposedAction, SAME_SPEED},
    server::{ServerConnection, ServerState},
    summary::MetricSummary,
};

/// Decided steps below which nothing is concluded.
pub const ENOUGH_STEPS: f64 = 20.0;
/// Milliseconds for which a console that was just started takes what the server counted before for the present.
const JUST_STARTED_MS: u64 = 10_000;
/// FLOP savings that differ from 0 by less than this are called none.
const SAME_FLOPS: f64 = 0.005;

/// Whether the news is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeadlineTone {
    /// RSD pays.
    Good,
    /// RSD costs time or FLOPs, or the server does not answer.
    Bad,
    /// It is not known, or RSD is not in use.
    Neutral,
}

/// What a stranger reads first.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerHeadline {
    pub statement: String,
    /// What the statement rests on; may be empty.
    pub basis: String,
    pub proposal: Option<ProposedAction>,
    pub tone: HeadlineTone,
}

impl ServerHeadline {
    /// The headline of a server at this time in milliseconds since 1970, whose numbers cover the last `window_ms`.
    #[must_use]
    pub fn of(server: &ServerState, window_ms: u64, now_ms: u64) -> Self {
        match server.connection(now_ms) {
            ServerConnection::Connecting => neutral(
                format!("Connecting to {}: it has not answered yet", server.name),
                "",
                ProposedAction::StartServer,
            ),
            ServerConnection::Stale(age_ms) => {
                let statement = format!("No answer for {} s: whether RSD pays now is not known", age_ms / 1000);
                bad(statement, before(server), ProposedAction::CheckServer)
            }
            ServerConnection::Down { .. } if server.points.is_empty() => {
                bad("The server does not answer, and nothing is known about it yet", "", ProposedAction::SeeAlerts)
            }
            ServerConnection::Down { .. } => {
                let statement = "No answer from the server: whether RSD pays now is not known";
                bad(statement, before(server), ProposedAction::CheckServer)
            }
            ServerConnection::Live => match server.metrics_problem(now_ms) {
                Some(problem) => Self {
                    proposal: None,
                    ..neutral(
                        "Whether RSD pays is not known: the metrics cannot be read",
                        format!("{problem}."),
                        ProposedAction::Nothing,
                    )
                },
                None => live(server, window_ms),
            },
        }
    }

    /// What the statement rests on, and what to do by which key.
    #[must_use]
    pub fn detail(&self) -> String {
        let parts = [Some(self.basis.clone()), self.proposal.map(|proposal| proposal.by_key())];
        let parts: Vec<_> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        parts.join(" ")
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

/// The last numbers of a server that does not answer any more.
fn before(server: &ServerState) -> String {
    format!("Before: {}.", in_short(&server.summary()))
}

/// Speedup and FLOP savings in a few words.
fn in_short(summary: &MetricSummary) -> String {
    let speedup = summary.speedup.map(|speedup| format!("{speedup:.2}x"));
    let flops = summary.flop_savings_total.map(|saved| {
        if saved < 0.0 { format!("{} more FLOPs", percent(-saved)) } else { format!("{} FLOPs saved", percent(saved)) }
    });
    let known: Vec<_> = [speedup, flops].into_iter().flatten().collect();
    if known.is_empty() { "nothing measured".into() } else { known.join(", ") }
}

fn live(server: &ServerState, window_ms: u64) -> ServerHeadline {
    if server.status.as_ref().is_some_and(|status| !status.ready) {
        return neutral(
            "The server accepts no requests: it is starting or shutting down",
            "",
            ProposedAction::CheckServer,
        );
    }
    match route(server) {
        AnswerRoute::Target => {
            let delta = server.delta();
            let point = delta.and_then(|delta| server.predict(delta));
            let speedup = point.and_then(|point| point.speedup).map(|speedup| speedup.value);
            let predicted = delta.zip(speedup).map(|(delta, speedup)| PredictedSpeedup { delta, speedup });
            return neutral(
                "RSD is off: the target answers alone, so nothing is saved",
                "",
                ProposedAction::LetRsdAnswer(predicted),
            );
        }
        AnswerRoute::Draft => {
            return neutral(
                "RSD is off: the draft answers alone, no step is scored",
                "",
                ProposedAction::LetRsdAnswer(None),
            );
        }
        AnswerRoute::Rsd => {}
    }
    let summary = server.summary();
    let decided = summary.decided_steps.unwrap_or(0.0);
    let observed_ms = server.readings.observed_ms();
    let seconds = window_ms.min(observed_ms).div_ceil(1000);
    let warming_up =
        server.policy.as_ref().and_then(|(_, view)| view.in_force.budget).is_some_and(|budget| budget.warming_up);
    if decided >= ENOUGH_STEPS && !warming_up {
        return paying(&summary, server.delta(), server.preview.as_ref(), &format!("last {seconds} s"));
    }
    let total = MetricSummary::from_history(&server.readings, summary.at_ms, HistorySpan::SinceStart);
    let total_decided = total.decided_steps.unwrap_or(0.0);
    // A console that was just started has not seen a whole window, but the server has counted before.
    let just_started = observed_ms < JUST_STARTED_MS || decided > 0.0;
    if observed_ms < window_ms && just_started && total_decided >= ENOUGH_STEPS && !warming_up {
        return paying(&total, server.delta(), server.preview.as_ref(), "since the server's start");
    }
    if server.points.len() < 2 {
        return neutral("Measuring: numbers come with the second scrape of the metrics", "", ProposedAction::Nothing);
    }
    if decided <= 0.0 {
        return idle(&summary, &total, seconds);
    }
    if decided < ENOUGH_STEPS {
        return neutral(
            format!(
                "Warming up: {decided:.0} of {ENOUGH_STEPS:.0} steps decided that are needed to say whether RSD pays"
            ),
            "",
            ProposedAction::SendMore,
        );
    }
    neutral(
        "Warming up: the budget mode is still looking for its threshold",
        format!("Until then delta {} decides; {decided:.0} steps so far.", decimals(server.delta())),
        ProposedAction::Nothing,
    )
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

fn idle(summary: &MetricSummary, total: &MetricSummary, seconds: u64) -> ServerHeadline {
    let basis = if total.decided_steps.unwrap_or(0.0) >= ENOUGH_STEPS {
        format!("Since its start: {}.", in_short(total))
    } else {
        String::new()
    };
    if summary.running.unwrap_or(0.0) > 0.0 {
        return neutral(
            "A request is being answered: numbers come with its first steps",
            basis,
            ProposedAction::Nothing,
        );
    }
    let failed = summary.errors.unwrap_or(0.0);
    if failed > 0.0 {
        return bad(
            format!("No step was decided in the last {seconds} s, and {failed:.0} requests failed or were refused"),
            "",
            ProposedAction::SeeAlerts,
        );
    }
    neutral(
        format!("No traffic in the last {seconds} s: whether RSD pays is not known"),
        basis,
        ProposedAction::SendRequest,
    )
}

/// The headline where enough steps were decided; `period` says when.
fn paying(
    summary: &MetricSummary,
    delta: Option<f64>,
    preview: Option<&PolicyPreview>,
    period: &str,
) -> ServerHeadline {
    let flops = summary.flop_savings_total;
    let accepted = summary.step_acceptance.map_or_else(|| "-".into(), percent);
    let decided = summary.decided_steps.unwrap_or(0.0);
    let basis = format!("Acceptance {accepted} of {decided:.0} steps, {period}.");
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
        return ServerHeadline { statement, basis, proposal: None, tone: HeadlineTone::Neutral };
    };
    let against_slowness = || ProposedAction::against_slowness(delta, preview);
    if speedup < 1.0 - SAME_SPEED {
        let saves = flops.filter(|saved| *saved > SAME_FLOPS).map(percent);
        let saves = saves.map_or_else(String::new, |saved| format!(", saves {saved} of FLOPs"));
        let statement = format!("RSD costs time: {speedup:.2}x the speed of the target alone{saves}");
        return bad(statement, format!("Acceptance {accepted}."), against_slowness());
    }
    let faster = speedup > 1.0 + SAME_SPEED;
    let speed = if faster {
        format!("{speedup:.2}x as fast as the target alone")
    } else {
        format!("as fast as the target alone ({speedup:.2}x)")
    };
    let (statement, tone) = match flops {
        Some(saved) if saved > SAME_FLOPS => {
            (format!("RSD pays: it saves {} of FLOPs and is {speed}", percent(saved)), HeadlineTone::Good)
        }
        Some(saved) if saved < -SAME_FLOPS && faster => {
            (format!("RSD pays in time: it is {speed}, with {} more FLOPs", percent(-saved)), HeadlineTone::Good)
        }
        Some(saved) if saved < -SAME_FLOPS => {
            (format!("RSD costs FLOPs: it is {speed}, with {} more FLOPs", percent(-saved)), HeadlineTone::Bad)
        }
        _ if faster => (format!("RSD pays: it is {speed}"), HeadlineTone::Good),
        _ => (format!("RSD makes no difference: it is {speed}"), HeadlineTone::Neutral),
    };
    let proposal = if tone == HeadlineTone::Good { ProposedAction::Nothing } else { against_slowness() };
    ServerHeadline { statement, basis, proposal: Some(proposal), tone }
}

fn neutral(statement: impl Into<String>, basis: impl Into<String>, proposal: ProposedAction) -> ServerHeadline {
    let (statement, basis) = (statement.into(), basis.into());
    ServerHeadline { statement, basis, proposal: Some(proposal), tone: HeadlineTone::Neutral }
}

fn bad(statement: impl Into<String>, basis: impl Into<String>, proposal: ProposedAction) -> ServerHeadline {
    ServerHeadline { tone: HeadlineTone::Bad, ..neutral(statement, basis, proposal) }
}

fn percent(fraction: f64) -> String {
    format!("{:.0} %", 100.0 * fraction)
}

fn decimals(delta: Option<f64>) -> String {
    delta.map_or_else(|| "-".into(), |delta| format!("{delta:.2}"))
}
