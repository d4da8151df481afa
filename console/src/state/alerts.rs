//! Rules that check one server's health and say what is wrong and what to do.

use rsd_protocol::{metrics, policy::AnswerRoute, settings::SettingSource};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    remote_engine::RemoteEngine,
    server::{ServerConnection, ServerState},
};

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertSeverity {
    /// For information.
    Note,
    /// RSD is less useful than it could be.
    Warning,
    /// Requests are affected.
    Problem,
}

/// The finding of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Alert {
    /// The rule's name.
    pub rule: &'static str,
    pub severity: AlertSeverity,
    /// What is wrong, and what to do.
    pub text: String,
}

struct AlertRule {
    name: &'static str,
    severity: AlertSeverity,
    /// Returns the text of the alert, if there is one, at this time in milliseconds since 1970.
    check: fn(&ServerState, u64) -> Option<String>,
}

/// The alerts of a server, the most urgent first.
#[must_use]
pub fn active_alerts(server: &ServerState, now_ms: u64) -> Vec<Alert> {
    let found = |rule: &AlertRule| {
        let text = (rule.check)(server, now_ms)?;
        Some(Alert { rule: rule.name, severity: rule.severity, text })
    };
    let mut alerts: Vec<_> = RULES.iter().filter_map(found).collect();
    alerts.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
    alerts
}

/// Decided steps below which the acceptance rate raises no alert.
const MIN_DECIDED_STEPS: f64 = 20.0;

const RULES: &[AlertRule] = &[
    AlertRule { name: "down", severity: AlertSeverity::Problem, check: down },
    AlertRule { name: "not_ready", severity: AlertSeverity::Problem, check: not_ready },
    AlertRule { name: "model_down", severity: AlertSeverity::Problem, check: model_down },
    AlertRule { name: "fallback_active", severity: AlertSeverity::Problem, check: fallback_active },
    AlertRule { name: "requests_fail", severity: AlertSeverity::Problem, check: requests_fail },
    AlertRule { name: "accepted_but_slower", severity: AlertSeverity::Warning, check: accepted_but_slower },
    AlertRule { name: "rarely_accepted", severity: AlertSeverity::Warning, check: rarely_accepted },
    AlertRule { name: "threshold_without_effect", severity: AlertSeverity::Warning, check: threshold_without_effect },
    AlertRule { name: "remote_address", severity: AlertSeverity::Warning, check: remote_address },
    AlertRule { name: "queue", severity: AlertSeverity::Warning, check: queue },
    AlertRule { name: "budget_saturated", severity: AlertSeverity::Warning, check: budget_saturated },
    AlertRule { name: "reload_failed", severity: AlertSeverity::Warning, check: reload_failed },
    AlertRule { name: "metrics_unreachable", severity: AlertSeverity::Warning, check: metrics_unreachable },
    AlertRule { name: "restart_needed", severity: AlertSeverity::Note, check: restart_needed },
    AlertRule { name: "not_in_file", severity: AlertSeverity::Note, check: not_in_file },
    AlertRule { name: "unreadable_metrics", severity: AlertSeverity::Note, check: unreadable_metrics },
    AlertRule { name: "restarted", severity: AlertSeverity::Note, check: restarted },
    AlertRule { name: "single_model_route", severity: AlertSeverity::Note, check: single_model_route },
    AlertRule { name: "revert_pending", severity: AlertSeverity::Note, check: revert_pending },
];

fn down(server: &ServerState, now_ms: u64) -> Option<String> {
    match server.connection(now_ms) {
        ServerConnection::Down { cause, .. } => Some(cause),
        ServerConnection::Stale(age) => Some(format!("no answer for {} s; the data shown are old", age / 1000)),
        _ => None,
    }
}

fn not_ready(server: &ServerState, _: u64) -> Option<String> {
    let status = server.status.as_ref()?;
    (!status.ready).then(|| "the server accepts no new requests: it is starting or shutting down".into())
}

fn model_down(server: &ServerState, _: u64) -> Option<String> {
    let down: Vec<_> = metrics::ROLES
        .iter()
        .filter(|role| server.readings.latest(&metrics::MODEL_UP, &[("role", role)]) == Some(0.0))
        .copied()
        .collect();
    (!down.is_empty()).then(|| format!("the last call of this model failed: {}; see the server's log", down.join(", ")))
}

fn fallback_active(server: &ServerState, _: u64) -> Option<String> {
    (server.readings.latest(&metrics::FALLBACK_ACTIVE, &[])? >= 1.0).then(|| {
        "no score for the newest step, which the target therefore decoded: the reward model fails or hangs".into()
    })
}

fn requests_fail(server: &ServerState, _: u64) -> Option<String> {
    let summary = server.summary();
    let (errors, requests) = (summary.errors?, summary.requests?);
    (errors >= 1.0 && errors / requests.max(1.0) > 0.05)
        .then(|| format!("{errors:.0} of {requests:.0} requests failed or were refused"))
}

fn accepted_but_slower(server: &ServerState, _: u64) -> Option<String> {
    let summary = server.summary();
    let (accepted, speedup) = (summary.step_acceptance?, summary.speedup?);
    (summary.decided_steps? >= MIN_DECIDED_STEPS && accepted > 0.7 && speedup < 1.0).then(|| {
        format!(
            "slower than the target alone (speedup {speedup:.2} x) although {:.0} % of the steps are accepted: the \
             draft or the reward model is too slow on this machine",
            100.0 * accepted
        )
    })
}

fn rarely_accepted(server: &ServerState, _: u64) -> Option<String> {
    let summary = server.summary();
    let accepted = summary.step_acceptance?;
    (summary.decided_steps? >= MIN_DECIDED_STEPS && accepted < 0.2 && summary.delta? <= 1.0).then(|| {
        format!("only {:.0} % of the steps are accepted: lower delta, or set the route to target", 100.0 * accepted)
    })
}

fn threshold_without_effect(server: &ServerState, _: u64) -> Option<String> {
    let summary = server.summary();
    let (decided, accepted, delta) = (summary.decided_steps?, summary.step_acceptance?, summary.delta?);
    (decided >= MIN_DECIDED_STEPS && (accepted >= 0.999 || accepted <= 0.001) && delta > 0.0 && delta <= 1.0).then(
        || {
            let side = if accepted > 0.5 { "above" } else { "below" };
            format!(
                "all {decided:.0} rewards are {side} delta {delta:.2}, so that it has no effect; see the rewards screen"
            )
        },
    )
}

fn remote_address(server: &ServerState, _: u64) -> Option<String> {
    let of = |role: &&str| {
        let engine = RemoteEngine::of(&server.readings, role, 0).filter(|engine| engine.left_alone > 0.0)?;
        Some(format!(
            "{:.0} of {:.0} addresses of the {role}'s remote engine failed too often and are left alone for a while; \
             see the server's log, and screen 3",
            engine.left_alone,
            engine.left_alone + engine.usable
        ))
    };
    metrics::ROLES.iter().find_map(of)
}

fn queue(server: &ServerState, _: u64) -> Option<String> {
    let summary = server.summary();
    let waiting = summary.waiting?;
    (waiting >= 4.0 && waiting > 2.0 * summary.running.unwrap_or(0.0))
        .then(|| format!("{waiting:.0} requests are waiting"))
}

fn budget_saturated(server: &ServerState, _: u64) -> Option<String> {
    let budget = server.policy.as_ref()?.1.in_force.budget?;
    (budget.saturated && !budget.warming_up).then(|| {
        format!(
            "policy.floor or policy.ceiling is active: the target should generate {:.0} % of the steps and generates \
             {:.0} %",
            100.0 * budget.target_rate,
            100.0 * budget.observed_rate
        )
    })
}

fn reload_failed(server: &ServerState, _: u64) -> Option<String> {
    (server.readings.latest(&metrics::RELOAD_FAILED, &[])? >= 1.0).then(|| {
        "the deployment file was invalid when it was last read; the settings in effect are older than the file".into()
    })
}

fn metrics_unreachable(server: &ServerState, now_ms: u64) -> Option<String> {
    server.metrics_problem(now_ms)
}

fn restart_needed(server: &ServerState, _: u64) -> Option<String> {
    let needed = &server.policy.as_ref()?.1.restart_needed;
    (!needed.is_empty())
        .then(|| format!("changed in the deployment file, but only in effect after a restart: {}", needed.join(", ")))
}

fn not_in_file(server: &ServerState, _: u64) -> Option<String> {
    let settings = &server.policy.as_ref()?.1.settings;
    let changed: Vec<_> = settings
        .iter()
        .filter(|s| matches!(s.source, SettingSource::Runtime { .. }))
        .map(|s| s.path.as_str())
        .collect();
    (!changed.is_empty()).then(|| format!("changed at run time; a restart may lose it: {}", changed.join(", ")))
}

fn unreadable_metrics(server: &ServerState, _: u64) -> Option<String> {
    let (bad, ignored) = (server.bad_lines, server.readings.ignored);
    (bad + ignored > 0).then(|| format!("/metrics has {bad} invalid lines and {ignored} series beyond the limit"))
}

fn restarted(server: &ServerState, _: u64) -> Option<String> {
    (server.restarts > 0)
        .then(|| format!("the server was restarted {} times since the console was started", server.restarts))
}

fn single_model_route(server: &ServerState, _: u64) -> Option<String> {
    match server.status.as_ref()?.route {
        AnswerRoute::Rsd => None,
        AnswerRoute::Draft => Some("the draft answers alone; no step is scored".into()),
        AnswerRoute::Target => Some("the target answers alone; no step is drafted".into()),
    }
}

fn revert_pending(server: &ServerState, now_ms: u64) -> Option<String> {
    let (revision, left) = server.pending_revert(now_ms)?;
    Some(format!("revision {revision} will be reverted in {left} s unless it is confirmed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceUpdate;

    fn rules(scrapes: &[&str]) -> Vec<&'static str> {
        let mut server = ServerState::new("a", false);
        for (n, text) in scrapes.iter().enumerate() {
            server.receive(n as u64 * 1000, SourceUpdate::Metrics((*text).to_owned()), 60_000);
        }
        active_alerts(&server, 2_000).iter().map(|alert| alert.rule).collect()
    }

    fn steps(accepted: u32, rejected: u32) -> String {
        format!(
            "rsd_steps_total{{outcome=\"accepted\"}} {accepted}\nrsd_steps_total{{outcome=\"rejected\"}} {rejected}\n"
        )
    }

    fn after_steps(accepted: u32, rejected: u32, more: &str) -> Vec<&'static str> {
        let seconds = "rsd_target_only_estimated_seconds_total 0\nrsd_answer_model_seconds_total 0";
        rules(&[&(steps(0, 0) + seconds), &(steps(accepted, rejected) + more)])
    }

    #[test]
    fn accepting_most_steps_and_being_slower_is_said() {
        let slower = "rsd_target_only_estimated_seconds_total 8\nrsd_answer_model_seconds_total 10";
        assert_eq!(after_steps(80, 20, slower), ["accepted_but_slower"]);
        assert!(after_steps(80, 20, &slower.replace(" 8", " 12")).is_empty());
        assert!(after_steps(8, 2, slower).is_empty(), "ten steps say nothing");
    }

    #[test]
    fn a_threshold_beside_all_rewards_is_said_but_not_the_extremes() {
        assert_eq!(after_steps(0, 50, "rsd_policy_delta 0.9"), ["rarely_accepted", "threshold_without_effect"]);
        assert_eq!(after_steps(50, 0, "rsd_policy_delta 0.1"), ["threshold_without_effect"]);
        assert!(after_steps(0, 50, "rsd_policy_delta 2").is_empty());
    }

    #[test]
    fn an_address_that_is_left_alone_is_said() {
        for role in metrics::ROLES {
            let text = |usable: u32, alone: u32| {
                let state =
                    |state, count| format!("rsd_remote_endpoints{{role=\"{role}\",state=\"{state}\"}} {count}\n");
                state("usable", usable) + &state("left_alone", alone)
            };
            assert_eq!(rules(&[&text(1, 1)]), ["remote_address"]);
            assert!(rules(&[&text(2, 0)]).is_empty() && rules(&[&text(0, 0)]).is_empty());
        }
    }

    #[test]
    fn what_fails_comes_first() {
        let text = "rsd_model_up{role=\"reward\"} 0\nrsd_fallback_active 1\nrsd_reload_failed 1\nrsd_requests_waiting 9\nbroken";
        assert_eq!(rules(&[text]), ["model_down", "fallback_active", "queue", "reload_failed", "unreadable_metrics"]);
        assert_eq!(rules(&["rsd_fallback_active 0\nrsd_model_up{role=\"draft\"} 1"]), Vec::<&str>::new());
    }
}
