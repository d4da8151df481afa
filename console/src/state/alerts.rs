//! Health rules: each looks at one server and says what is wrong and what to do, or nothing.

use rsd_protocol::{live::Source, metrics, policy::Answers};
use schemars::JsonSchema;
use serde::Serialize;

use super::server::{Connection, Server};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// RSD does less than it could.
    Warning,
    /// Requests suffer.
    Problem,
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Alert {
    /// The rule.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and what to do.
    pub text: String,
}

/// A rule: its name, how bad its finding is, and its check.
struct Rule {
    name: &'static str,
    severity: Severity,
    check: fn(&Server, u64) -> Option<String>,
}

/// Everything that is wrong with a server, the worst first.
#[must_use]
pub fn of(server: &Server, now_ms: u64) -> Vec<Alert> {
    let found = |rule: &Rule| {
        let text = (rule.check)(server, now_ms)?;
        Some(Alert { rule: rule.name, severity: rule.severity, text })
    };
    let mut alerts: Vec<_> = RULES.iter().filter_map(found).collect();
    alerts.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
    alerts
}

/// Fewer judged steps than this say nothing.
const FEW: f64 = 20.0;

const RULES: &[Rule] = &[
    Rule { name: "down", severity: Severity::Problem, check: down },
    Rule { name: "not_ready", severity: Severity::Problem, check: not_ready },
    Rule { name: "model_down", severity: Severity::Problem, check: model_down },
    Rule { name: "fallback_active", severity: Severity::Problem, check: fallback_active },
    Rule { name: "requests_fail", severity: Severity::Problem, check: requests_fail },
    Rule { name: "kept_but_slower", severity: Severity::Warning, check: kept_but_slower },
    Rule { name: "hardly_kept", severity: Severity::Warning, check: hardly_kept },
    Rule { name: "threshold_decides_nothing", severity: Severity::Warning, check: threshold_decides_nothing },
    Rule { name: "queue", severity: Severity::Warning, check: queue },
    Rule { name: "budget_held", severity: Severity::Warning, check: budget_held },
    Rule { name: "reload_refused", severity: Severity::Warning, check: reload_refused },
    Rule { name: "half_connected", severity: Severity::Warning, check: half_connected },
    Rule { name: "restart_needed", severity: Severity::Note, check: restart_needed },
    Rule { name: "not_in_file", severity: Severity::Note, check: not_in_file },
    Rule { name: "unreadable_metrics", severity: Severity::Note, check: unreadable_metrics },
    Rule { name: "restarted", severity: Severity::Note, check: restarted },
    Rule { name: "answers_alone", severity: Severity::Note, check: answers_alone },
    Rule { name: "reverting", severity: Severity::Note, check: reverting },
];

fn down(server: &Server, now_ms: u64) -> Option<String> {
    match server.connection(now_ms) {
        Connection::Down { cause, .. } => Some(cause),
        Connection::Stale(age) => Some(format!("no answer for {} s; what is shown is old", age / 1000)),
        _ => None,
    }
}

fn not_ready(server: &Server, _: u64) -> Option<String> {
    let status = server.status.as_ref()?;
    (!status.ready).then(|| "the server takes no new requests: it is starting or draining".into())
}

fn model_down(server: &Server, _: u64) -> Option<String> {
    let down: Vec<_> = metrics::ROLES
        .iter()
        .filter(|role| server.readings.now(&metrics::MODEL_UP, &[("role", role)]) == Some(0.0))
        .copied()
        .collect();
    (!down.is_empty()).then(|| format!("the last call failed: {}; see the server's log", down.join(", ")))
}

fn fallback_active(server: &Server, _: u64) -> Option<String> {
    (server.readings.now(&metrics::FALLBACK_ACTIVE, &[])? >= 1.0)
        .then(|| "the newest step had no verdict and went to the target: the reward model fails or hangs".into())
}

fn requests_fail(server: &Server, _: u64) -> Option<String> {
    let figures = server.figures();
    let (errors, requests) = (figures.errors?, figures.requests?);
    (errors >= 1.0 && errors / requests.max(1.0) > 0.05)
        .then(|| format!("{errors:.0} of {requests:.0} requests failed or were refused"))
}

fn kept_but_slower(server: &Server, _: u64) -> Option<String> {
    let figures = server.figures();
    let (kept, speed_up) = (figures.step_acceptance?, figures.speed_up?);
    (figures.judged? >= FEW && kept > 0.7 && speed_up < 1.0).then(|| {
        format!(
            "{:.0} % of the steps are kept and yet it is slower than the target alone ({speed_up:.2} x): the draft or \
             the reward model costs too much here",
            100.0 * kept
        )
    })
}

fn hardly_kept(server: &Server, _: u64) -> Option<String> {
    let figures = server.figures();
    let kept = figures.step_acceptance?;
    (figures.judged? >= FEW && kept < 0.2 && figures.delta? <= 1.0).then(|| {
        format!("only {:.0} % of the steps are kept: lower delta, or answer with the target alone", 100.0 * kept)
    })
}

fn threshold_decides_nothing(server: &Server, _: u64) -> Option<String> {
    let figures = server.figures();
    let (judged, kept, delta) = (figures.judged?, figures.step_acceptance?, figures.delta?);
    (judged >= FEW && (kept >= 0.999 || kept <= 0.001) && delta > 0.0 && delta <= 1.0).then(|| {
        let side = if kept > 0.5 { "above" } else { "below" };
        format!("all {judged:.0} rewards lie {side} delta {delta:.2}: it decides nothing; see the rewards screen")
    })
}

fn queue(server: &Server, _: u64) -> Option<String> {
    let figures = server.figures();
    let waiting = figures.waiting?;
    (waiting >= 4.0 && waiting > 2.0 * figures.running.unwrap_or(0.0))
        .then(|| format!("{waiting:.0} requests wait for their turn"))
}

fn budget_held(server: &Server, _: u64) -> Option<String> {
    let budget = server.policy.as_ref()?.1.in_force.budget?;
    (budget.held && !budget.warming_up).then(|| {
        format!(
            "the budget aims at {:.0} % of the steps for the target and is held at {:.0} % by policy.floor or \
             policy.ceiling",
            100.0 * budget.gamma,
            100.0 * budget.realised
        )
    })
}

fn reload_refused(server: &Server, _: u64) -> Option<String> {
    (server.readings.now(&metrics::RELOAD_REFUSED, &[])? >= 1.0)
        .then(|| "the deployment file was refused when it was last read: what runs is older than the file".into())
}

fn half_connected(server: &Server, now_ms: u64) -> Option<String> {
    server.half(now_ms)
}

fn restart_needed(server: &Server, _: u64) -> Option<String> {
    let needed = &server.policy.as_ref()?.1.restart_needed;
    (!needed.is_empty())
        .then(|| format!("changed in the file and not in effect until a restart: {}", needed.join(", ")))
}

fn not_in_file(server: &Server, _: u64) -> Option<String> {
    let settings = &server.policy.as_ref()?.1.settings;
    let changed: Vec<_> =
        settings.iter().filter(|s| matches!(s.source, Source::Runtime { .. })).map(|s| s.path.as_str()).collect();
    (!changed.is_empty()).then(|| format!("changed while running; a restart may not have it: {}", changed.join(", ")))
}

fn unreadable_metrics(server: &Server, _: u64) -> Option<String> {
    let (bad, ignored) = (server.bad_lines, server.readings.ignored);
    (bad + ignored > 0).then(|| format!("{bad} lines of /metrics were unreadable and {ignored} series too many"))
}

fn restarted(server: &Server, _: u64) -> Option<String> {
    (server.restarts > 0).then(|| format!("the server was restarted {} times since this console runs", server.restarts))
}

fn answers_alone(server: &Server, _: u64) -> Option<String> {
    match server.status.as_ref()?.answers {
        Answers::Rsd => None,
        Answers::Draft => Some("the draft answers alone: nothing is judged".into()),
        Answers::Target => Some("the target answers alone: nothing is drafted".into()),
    }
}

fn reverting(server: &Server, now_ms: u64) -> Option<String> {
    let (revision, left) = server.reverts(now_ms)?;
    Some(format!("revision {revision} will be taken back in {left} s unless it is kept"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Update;

    fn rules(scrapes: &[&str]) -> Vec<&'static str> {
        let mut server = Server::new("a", false);
        for (n, text) in scrapes.iter().enumerate() {
            server.take(n as u64 * 1000, Update::Metrics((*text).to_owned()), 60_000);
        }
        of(&server, 2_000).iter().map(|alert| alert.rule).collect()
    }

    fn steps(accepted: u32, rejected: u32) -> String {
        format!(
            "rsd_steps_total{{outcome=\"accepted\"}} {accepted}\nrsd_steps_total{{outcome=\"rejected\"}} {rejected}\n"
        )
    }

    fn judged(accepted: u32, rejected: u32, more: &str) -> Vec<&'static str> {
        let seconds = "rsd_target_only_estimated_seconds_total 0\nrsd_answer_model_seconds_total 0";
        rules(&[&(steps(0, 0) + seconds), &(steps(accepted, rejected) + more)])
    }

    #[test]
    fn keeping_most_steps_and_being_slower_is_said() {
        let slower = "rsd_target_only_estimated_seconds_total 8\nrsd_answer_model_seconds_total 10";
        assert_eq!(judged(80, 20, slower), ["kept_but_slower"]);
        assert!(judged(80, 20, &slower.replace(" 8", " 12")).is_empty());
        assert!(judged(8, 2, slower).is_empty(), "ten steps say nothing");
    }

    #[test]
    fn a_threshold_beside_all_rewards_is_said_but_not_the_extremes() {
        assert_eq!(judged(0, 50, "rsd_policy_delta 0.9"), ["hardly_kept", "threshold_decides_nothing"]);
        assert_eq!(judged(50, 0, "rsd_policy_delta 0.1"), ["threshold_decides_nothing"]);
        assert!(judged(0, 50, "rsd_policy_delta 2").is_empty());
    }

    #[test]
    fn what_fails_comes_first() {
        let text = "rsd_model_up{role=\"reward\"} 0\nrsd_fallback_active 1\nrsd_reload_refused 1\nrsd_requests_waiting 9\nbroken";
        assert_eq!(rules(&[text]), ["model_down", "fallback_active", "queue", "reload_refused", "unreadable_metrics"]);
        assert_eq!(rules(&["rsd_fallback_active 0\nrsd_model_up{role=\"draft\"} 1"]), Vec::<&str>::new());
    }
}
