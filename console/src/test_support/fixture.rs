//! Data of a server that are the same at every run.

use crate::{
    source::{SourceMessage, SourceUpdate},
    state::app::{App, AppOptions},
};
use rsd_protocol::{
    event::AdminAttempt,
    preview::{ChangePrediction, ConfidenceInterval, PolicyPreview, PredictedPoint, PredictionBasis, UnitCosts},
    settings::{
        ActiveThreshold, PolicyRevision, PolicyView, RevisionCause, RuntimeSettings, SettingDifference, SettingInfo,
        SettingKind, SettingSource,
    },
    status::{RoleStatus, ServerStatus},
    trace::{RequestTrace, StepView, TraceSummary, UnfinishedText},
};
use serde_json::{Value, json};

/// 2023-11-14 22:13:20 UTC.
pub const START_MS: u64 = 1_700_000_000_000;

pub fn acceptance(delta: f64) -> f64 {
    1.0 / (1.0 + (8.0 * (delta - 0.75)).exp())
}

fn around(value: f64) -> ConfidenceInterval {
    ConfidenceInterval { value, low: value - 0.05, high: value + 0.05 }
}

pub fn point(delta: f64) -> PredictedPoint {
    let accepted = acceptance(delta);
    PredictedPoint {
        delta,
        acceptance: around(accepted),
        token_acceptance: around(accepted),
        speedup: Some(around(0.6 + accepted)),
        flops_saving: Some(around(0.5 * accepted)),
    }
}

pub fn basis() -> PredictionBasis {
    let costs = UnitCosts { draft_decode: Some(0.02), target_decode: Some(0.08), ..UnitCosts::default() };
    PredictionBasis { steps: 420, answers: 36, since_ms: Some(START_MS), costs }
}

pub fn preview(delta: f64) -> PolicyPreview {
    let curve = (0..=50_u8).map(|n| point(f64::from(n) * 0.02)).collect();
    PolicyPreview { basis: basis(), now: Some(point(delta)), curve }
}

pub fn prediction(now: f64, then: f64) -> ChangePrediction {
    ChangePrediction { basis: basis(), now: point(now), then: point(then) }
}

fn setting(path: &str, kind: SettingKind, bounds: Option<(f64, f64)>, description: &str) -> SettingInfo {
    SettingInfo {
        path: path.into(),
        value: Value::Null,
        source: SettingSource::File,
        description: description.into(),
        kind,
        minimum: bounds.map(|b| b.0),
        maximum: bounds.map(|b| b.1),
        choices: Vec::new(),
    }
}

pub fn view(live: &RuntimeSettings, revision: u64) -> PolicyView {
    let values = serde_json::to_value(live).unwrap();
    let choice = |path, choices: &[&str], text| SettingInfo {
        choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
        ..setting(path, SettingKind::Choice, None, text)
    };
    let mut settings = vec![
        choice("policy.route", &["rsd", "draft", "target"], "Which models answer."),
        choice("policy.mode", &["fixed", "budget"], "Where the threshold comes from."),
        setting(
            "policy.delta",
            SettingKind::Number,
            Some((-1.0, 2.0)),
            "The lowest reward with which a draft step is accepted.",
        ),
        setting(
            "policy.target_rate",
            SettingKind::Number,
            Some((0.0, 1.0)),
            "Fraction of steps that the target generates, in budget mode.",
        ),
        setting(
            "policy.warm_up",
            SettingKind::Integer,
            Some((1.0, 10_000.0)),
            "Decisions before the budget chooses the threshold.",
        ),
        choice("policy.after_rejection", &["draft", "target", "auto"], "Which model goes on after a rejected step."),
        setting("presets", SettingKind::List, None, "Policies of single model names."),
        setting("steps.max_tokens", SettingKind::Integer, Some((1.0, 4096.0)), "A step longer than this is cut."),
        setting("limits.max_steps", SettingKind::Integer, Some((1.0, 1000.0)), "Steps in an answer."),
    ];
    for setting in &mut settings {
        let value = |path: &str| values.pointer(&format!("/{}", path.replace('.', "/"))).cloned();
        setting.value = value(&setting.path).unwrap_or_default();
        if setting.path == "policy.delta" && revision > 1 {
            setting.source = SettingSource::Runtime { revision };
        }
    }
    PolicyView {
        revision,
        values: live.clone(),
        settings,
        in_force: ActiveThreshold { delta: live.policy.delta, budget: None },
        reverts: None,
        restart_needed: Vec::new(),
    }
}

pub fn live(delta: f64) -> RuntimeSettings {
    let mut live = RuntimeSettings::default();
    live.policy.delta = delta;
    live
}

pub fn history() -> Vec<PolicyRevision> {
    let entry = |revision, cause, old: f64, new: f64, by: Option<&str>, why: Option<&str>| PolicyRevision {
        revision,
        at_ms: START_MS + revision * 60_000,
        cause,
        from: by.map(|_| "127.0.0.1".into()),
        by: by.map(str::to_owned),
        why: why.map(str::to_owned),
        differences: vec![SettingDifference { path: "policy.delta".into(), old: json!(old), new: json!(new) }],
        reverts_at_ms: None,
        values: live(new),
    };
    let mut start = entry(1, RevisionCause::Start, 0.7, 0.7, None, None);
    start.differences.clear();
    vec![
        entry(3, RevisionCause::Rollback { to: 1 }, 0.5, 0.7, Some("ben"), Some("too many wrong answers")),
        entry(2, RevisionCause::Patch, 0.7, 0.5, Some("ana"), Some("faster at night")),
        start,
    ]
}

pub fn status(endpoint: &str, live: &RuntimeSettings, revision: u64, may_write: bool) -> ServerStatus {
    let role = |role: &str, model: &str, parameters| RoleStatus {
        role: role.into(),
        model: model.into(),
        parameters,
        context_length: (role != "reward").then_some(32_768),
    };
    ServerStatus {
        version: "0.1.0".into(),
        instance: "one".into(),
        started_ms: START_MS,
        now_ms: START_MS + 89_000,
        ready: true,
        model_names: vec!["rsd".into()],
        roles: vec![
            role("draft", "Qwen2.5-Coder-0.5B-Instruct", Some(358_000_000)),
            role("target", "Qwen2.5-Coder-1.5B-Instruct", Some(1_310_000_000)),
            role("reward", "demo head", None),
        ],
        reward: "resident".into(),
        endpoint: endpoint.into(),
        may_write,
        running: 1,
        waiting: 2,
        route: live.policy.route,
        revision,
        in_force: ActiveThreshold { delta: live.policy.delta, budget: None },
        costs: basis().costs,
        file: Some("config/demo.yaml".into()),
    }
}

pub fn traces() -> Vec<TraceSummary> {
    let sources = ["dddtdd", "ddtdfddtdd", "dddd", "tttttttt", "d\u{1b}[31m"];
    let of = |(n, sources): (usize, &&str)| {
        let count = |letter| sources.chars().filter(|c| *c == letter).count();
        TraceSummary {
            id: format!("req-{n}"),
            at_ms: START_MS + 80_000 - n as u64 * 9_000,
            model: "rsd".into(),
            outcome: if n == 3 { "failed" } else { "completed" }.into(),
            prompt_tokens: 40,
            completion_tokens: 30 * sources.len(),
            steps: sources.len(),
            accepted_steps: count('d'),
            rejected_steps: count('t'),
            seconds: 3.0 + n as f64,
            sources: (*sources).to_owned(),
        }
    };
    sources.iter().enumerate().map(of).collect()
}

pub fn trace(id: &str) -> Option<RequestTrace> {
    let summary = traces().into_iter().find(|trace| trace.id == id)?;
    let step = |n: usize, letter: char| StepView {
        source: if letter == 'd' { "draft" } else { "target" }.into(),
        tokens: 30,
        text: Some(format!("Step {n}: 17 * 23 = 391.\nThat is all.")),
        reward: (letter != 'f').then_some(if letter == 'd' { 0.875 } else { 0.25 }),
        delta: 0.7,
        revision: 3,
        rejected_tokens: (letter == 't').then_some(28),
        rejected_text: (letter == 't').then(|| "17 * 23 = 400?\u{1b}[2J".into()),
        handover: None,
        false_statement: (letter == 't').then(|| "17 * 23 = 400 (it is 391)".into()),
        fallback: (letter == 'f').then(|| "reward_timeout".into()),
        draft_ms: 600.0,
        reward_ms: 12.0,
        target_ms: if letter == 'd' { 0.0 } else { 1900.0 },
    };
    let steps = summary.sources.clone().chars().enumerate().map(|(n, letter)| step(n + 1, letter)).collect();
    Some(RequestTrace { summary, question: Some("What is 17 * 23?".into()), steps, unfinished: None })
}

/// The newest request while it is in work, after this number of steps.
pub fn running(steps: usize) -> RequestTrace {
    let mut trace = trace("req-0").unwrap();
    trace.steps.truncate(steps);
    let summary = &mut trace.summary;
    (summary.outcome, summary.steps) = ("running".into(), steps);
    summary.sources.truncate(steps);
    let text = "So 391 is\u{1b}[2J the answer, and".into();
    trace.unfinished = Some(UnfinishedText { source: "draft".into(), text });
    trace
}

pub fn audit() -> Vec<AdminAttempt> {
    let attempt = |at_ms, status, code: Option<&str>, token: &str| AdminAttempt {
        at_ms,
        from: "127.0.0.1".into(),
        method: "PATCH".into(),
        path: "/admin/v1/policy".into(),
        token: token.into(),
        status,
        code: code.map(str::to_owned),
        dry_run: false,
        by: None,
        why: None,
        revision: 3,
    };
    vec![
        attempt(START_MS + 180_000, 200, None, "write"),
        attempt(START_MS + 60_000, 403, Some("write_token_required"), "read"),
    ]
}

/// The text of `/metrics` after this number of steps, of which `accepted` were accepted.
pub fn metrics(steps: f64, accepted: f64, delta: f64, revision: u64) -> String {
    let rejected = steps - accepted;
    let mut text = format!(
        "# HELP rsd_steps_total Draft steps by decision.\n# TYPE rsd_steps_total counter\n\
         rsd_steps_total{{outcome=\"accepted\"}} {accepted}\nrsd_steps_total{{outcome=\"rejected\"}} {rejected}\n\
         rsd_draft_tokens_total{{outcome=\"accepted\"}} {}\nrsd_draft_tokens_total{{outcome=\"rejected\"}} {}\n\
         rsd_emitted_tokens_total{{source=\"draft\"}} {}\nrsd_emitted_tokens_total{{source=\"target\"}} {}\n\
         rsd_answer_model_seconds_total {}\nrsd_target_only_estimated_seconds_total {}\n\
         rsd_policy_delta {delta}\nrsd_policy_revision {revision}\nrsd_requests_running 1\nrsd_requests_waiting 2\n\
         rsd_requests_total{{outcome=\"completed\"}} {}\nrsd_requests_total{{outcome=\"failed\"}} 0\n\
         rsd_requests_total{{outcome=\"refused\"}} 0\nrsd_request_seconds_sum {}\nrsd_request_seconds_count {}\n\
         rsd_fallbacks_total{{reason=\"reward_timeout\"}} 1\n\
         rsd_discarded_lookahead_tokens_total 0\nrsd_start_time_seconds 1699999000\n",
        30.0 * accepted,
        30.0 * rejected,
        30.0 * accepted,
        30.0 * rejected,
        steps,
        steps * (0.6 + accepted / steps.max(1.0)),
        (steps / 6.0).floor(),
        0.4 * accepted + 1.2 * rejected,
        (steps / 6.0).floor(),
    );
    for accounting in ["generated", "with_prm", "total"] {
        text += &format!(
            "rsd_estimated_flops_total{{role=\"draft\",accounting=\"{accounting}\"}} {:e}\n\
             rsd_estimated_flops_total{{role=\"target\",accounting=\"{accounting}\"}} {:e}\n\
             rsd_target_only_estimated_flops_total{{accounting=\"{accounting}\"}} {:e}\n",
            steps * 2e10,
            rejected * 8e10,
            steps * 8e10
        );
    }
    for (role, speed) in [("draft", 0.02), ("target", 0.08), ("reward", 0.01)] {
        text += &format!(
            "rsd_model_up{{role=\"{role}\"}} 1\nrsd_model_failures_total{{role=\"{role}\"}} 0\n\
             rsd_model_seconds_total{{role=\"{role}\",phase=\"decode\"}} {}\n\
             rsd_model_seconds_total{{role=\"{role}\",phase=\"prefill\"}} {}\n\
             rsd_generated_tokens_total{{role=\"{role}\"}} {}\nrsd_prefilled_tokens_total{{role=\"{role}\"}} {}\n\
             rsd_cached_tokens_total{{role=\"{role}\"}} {}\nrsd_cache_bytes{{role=\"{role}\"}} 48000000\n\
             rsd_cache_flushes_total{{role=\"{role}\"}} 2\n\
             rsd_observed_seconds_per_token{{role=\"{role}\",phase=\"decode\"}} {speed}\n",
            steps * speed,
            steps * speed / 4.0,
            steps * 30.0,
            steps * 12.0,
            steps * 300.0
        );
    }
    let bounds = rsd_protocol::metrics::REWARD_BUCKETS;
    for bound in bounds {
        text += &format!("rsd_reward_bucket{{le=\"{bound}\"}} {}\n", (steps * (1.0 - acceptance(*bound))).floor());
    }
    text += &format!(
        "rsd_reward_bucket{{le=\"+Inf\"}} {steps}\nrsd_reward_sum {}\nrsd_reward_count {steps}\n",
        steps * 0.7
    );
    for (name, middle) in [("rsd_time_to_first_token_seconds", 0.5), ("rsd_inter_token_seconds", 0.06)] {
        text += &format!(
            "{name}_bucket{{le=\"{middle}\"}} {}\n{name}_bucket{{le=\"{}\"}} {steps}\n{name}_bucket{{le=\"+Inf\"}} {steps}\n",
            (steps / 2.0 + 6.0 * (steps / 18.0).sin()).clamp(0.0, steps),
            middle * 4.0
        );
    }
    text
}

/// A console that has been connected to one server for a minute and a half and may change its settings.
pub fn app() -> App {
    let mut app =
        App::new(&[("127.0.0.1:1235".into(), true)], AppOptions { by: Some("ana".into()), ..AppOptions::default() });
    feed(&mut app, 0);
    app
}

/// A console that has been connected to one server for this number of minutes. After 40 of them the threshold was raised.
pub fn app_after(minutes: u32) -> App {
    let mut app = App::new(&[("127.0.0.1:1235".into(), true)], AppOptions::default());
    let (mut steps, mut accepted) = (0.0_f64, 0.0_f64);
    let start_ms = START_MS + 90_000 - u64::from(minutes) * 60_000;
    for second in (0..=60 * minutes).step_by(5) {
        let (delta, revision) = if second < 2_400 { (0.5, 2) } else { (0.7, 3) };
        steps += 20.0;
        accepted += 20.0 * acceptance(delta);
        let text = metrics(steps, accepted.floor(), delta, revision);
        let at_ms = start_ms + u64::from(second) * 1000;
        app.receive(SourceMessage { at_ms, target: 0, update: SourceUpdate::Metrics(text) });
    }
    let live = live(0.7);
    let mut say = |update| app.receive(SourceMessage { at_ms: START_MS + 90_000, target: 0, update });
    say(SourceUpdate::Status(Box::new(status("http://127.0.0.1:1234", &live, 3, true))));
    say(SourceUpdate::Policy { etag: "\"one-3\"".into(), view: Box::new(view(&live, 3)) });
    app
}

/// What a server adds to its metrics whose target has a price, when it has answered for this much alone.
pub fn prices(alone: f64) -> String {
    let spent = 0.58 * alone;
    format!(
        "rsd_cost_total{{role=\"target\",currency=\"USD\"}} {spent}\nrsd_answer_cost_total{{currency=\"USD\"}} {spent}\n\
         rsd_target_only_estimated_cost_total{{currency=\"USD\"}} {alone}\n"
    )
}

/// What a server adds to its metrics whose models of these roles are on remote engines with two addresses each, one of
/// which fails.
pub fn remote_models(remote: &[&str]) -> String {
    let mut text = String::new();
    for role in rsd_protocol::metrics::ROLES {
        let count = |count: u32| if remote.contains(role) { count } else { 0 };
        text += &format!(
            "rsd_remote_endpoints{{role=\"{role}\",state=\"usable\"}} {}\n\
             rsd_remote_endpoints{{role=\"{role}\",state=\"left_alone\"}} {}\n\
             rsd_remote_requests_total{{role=\"{role}\"}} {}\nrsd_remote_retries_total{{role=\"{role}\"}} {}\n\
             rsd_remote_failovers_total{{role=\"{role}\"}} {}\nrsd_remote_requests_in_flight{{role=\"{role}\"}} {}\n\
             rsd_remote_requests_waiting{{role=\"{role}\"}} {}\nrsd_remote_first_parts_total{{role=\"{role}\"}} {}\n\
             rsd_remote_first_part_seconds_total{{role=\"{role}\"}} {}\n",
            count(1),
            count(1),
            count(12_345),
            count(31),
            count(5),
            count(16),
            count(4),
            count(12_300),
            count(3_075)
        );
        for (kind, errors) in [("connect", 29), ("timeout", 2), ("status", 0)] {
            text += &format!("rsd_remote_errors_total{{role=\"{role}\",kind=\"{kind}\"}} {}\n", count(errors));
        }
    }
    text
}

/// Feeds the data of one server for a minute and a half.
pub fn feed(app: &mut App, target: usize) {
    let say = |app: &mut App, at_ms, update| app.receive(SourceMessage { at_ms, target, update });
    // Four steps per second, with three waves that cancel out at the end.
    let steps_at = |second: f64| 4.0 * second + 12.0 * (std::f64::consts::TAU * 3.0 * (second - 1.0) / 89.0).sin();
    let (mut steps, mut accepted) = (0.0_f64, 0.0_f64);
    for second in 0..90_u32 {
        let (delta, revision) = if second < 60 { (0.5, 2) } else { (0.7, 3) };
        let before = steps;
        steps = steps_at(f64::from(second) + 1.0).round();
        accepted += (steps - before) * (acceptance(delta) * (0.9 + 0.03 * f64::from(second % 7))).min(1.0);
        let waiting = [2, 3, 1, 0, 1, 4, 3, 2][second as usize / 6 % 8];
        let text = metrics(steps, accepted.floor(), delta, revision)
            .replace("rsd_requests_waiting 2", &format!("rsd_requests_waiting {waiting}"));
        say(app, START_MS + u64::from(second) * 1000, SourceUpdate::Metrics(text));
    }
    let now = START_MS + 89_000;
    let live = live(0.7);
    say(app, now, SourceUpdate::Status(Box::new(status("http://127.0.0.1:1234", &live, 3, true))));
    say(app, now, SourceUpdate::Policy { etag: "\"one-3\"".into(), view: Box::new(view(&live, 3)) });
    say(app, now, SourceUpdate::History(history()));
    say(app, now, SourceUpdate::Preview(Box::new(preview(0.7))));
    say(app, now, SourceUpdate::Traces(traces()));
    say(app, now, SourceUpdate::Audit(audit()));
    app.add_log_line("22:14:00 INFO the stream of events has ended".into());
    app.add_log_line("22:14:02 WARN next try in 500 ms".into());
}
