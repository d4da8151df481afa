//! The names of all metrics. Server, console, documentation, recording rules and their tests read this list.
//!
//! Rates over a window are left to Prometheus: the server only exposes counters and histograms, which never decrease,
//! and gauges. A metric that is estimated has `estimated` in its name.

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricKind {
    /// Never decreases while the server runs.
    Counter,
    /// Can increase and decrease.
    Gauge,
    /// Counts observations in buckets with these upper bounds.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricSpec {
    /// The name in `/metrics`.
    pub name: &'static str,
    pub kind: MetricKind,
    /// The labels with their values. An empty list of values means that they are not known beforehand, but few.
    pub labels: &'static [(&'static str, &'static [&'static str])],
    /// The text after `# HELP`.
    pub help: &'static str,
}

/// Upper bounds of the reward histogram; rewards lie between 0 and 1.
pub const REWARD_BUCKETS: &[f64] =
    &[0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0];
/// Upper bounds, in seconds, of the times to the first token and to the complete answer.
pub const SECONDS_BUCKETS: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0];
/// Upper bounds, in seconds, of the time between two tokens.
pub const TOKEN_SECONDS_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0];

/// Values of the label `role`.
pub const ROLES: &[&str] = &["draft", "reward", "target"];
/// Values of the label `source`: the model that decoded the tokens of the answer.
pub const SOURCES: &[&str] = &["draft", "target"];
/// Values of the label `kind` of an error of a remote engine.
pub const REMOTE_ERRORS: &[&str] =
    &["setup", "connect", "timeout", "reset", "status", "event", "malformed", "too_large", "unavailable"];
/// Values of the label `state` of an address of a remote engine.
pub const ENDPOINT_STATES: &[&str] = &["usable", "left_alone"];
/// Values of the label `accounting`.
pub const ACCOUNTINGS: &[&str] = &["generated", "with_prm", "total"];
/// Values of the label `phase`.
pub const PHASES: &[&str] = &["prefill", "decode"];
/// Values of the label `reason` of a fallback.
pub const FALLBACKS: &[&str] = &[
    "reward_failed",
    "reward_invalid",
    "reward_timeout",
    "reward_no_opinion",
    "draft_failed",
    "draft_context",
    "target_failed",
];
/// Values of the label `reason` of a handover.
pub const HANDOVERS: &[&str] = &["rejection", "threshold", "price", "regret"];
/// Values of the label `outcome` of a request.
pub const OUTCOMES: &[&str] = &["completed", "cancelled", "failed", "refused"];

/// Former and current names of renamed series. A reader takes the former name for the current one, so that it
/// understands servers and recordings of the release before.
pub const RENAMED: &[(&str, &str)] = &[
    ("rsd_judged_steps_total", STEP_DECISIONS.name),
    ("rsd_wasted_lookahead_tokens_total", DISCARDED_TOKENS.name),
    ("rsd_policy_gamma", TARGET_RATE.name),
    ("rsd_reload_refused", RELOAD_FAILED.name),
    // Not `rsd_policy_answers`: its label has another name too, and no reader here uses it.
];

macro_rules! metrics {
    ($($id:ident = $kind:expr, $name:literal, [$($label:literal: $values:expr),*], $help:literal;)*) => {
        $(#[doc = $help] #[allow(clippy::doc_markdown)] pub const $id: MetricSpec = MetricSpec { name: $name, kind: $kind, labels: &[$(($label, $values)),*], help: $help };)*
        /// Every metric, in the order of the documentation.
        pub const ALL: &[MetricSpec] = &[$($id),*];
    };
}

metrics! {
    STEP_DECISIONS = MetricKind::Counter, "rsd_step_decisions_total", [], "Draft steps that were accepted or rejected.";
    STEPS = MetricKind::Counter, "rsd_steps_total", ["outcome": &["accepted", "rejected"]], "Draft steps by decision. A step without a score is rejected, unless the threshold accepts every step.";
    DRAFT_TOKENS = MetricKind::Counter, "rsd_draft_tokens_total", ["outcome": &["accepted", "rejected"]], "Tokens of decided draft steps, by decision.";
    DISCARDED_TOKENS = MetricKind::Counter, "rsd_discarded_lookahead_tokens_total", [], "Discarded draft tokens: tokens that were drafted ahead of a decision and discarded because the step was rejected.";
    TARGET_TOKENS = MetricKind::Counter, "rsd_target_tokens_total", [], "Tokens that the target decoded.";
    EMITTED_TOKENS = MetricKind::Counter, "rsd_emitted_tokens_total", ["source": SOURCES], "Tokens of answers, by the model that decoded them.";
    REWARD = MetricKind::Histogram(REWARD_BUCKETS), "rsd_reward", [], "Scores of draft steps.";
    MODEL_SECONDS = MetricKind::Counter, "rsd_model_seconds_total", ["role": ROLES, "phase": PHASES], "Seconds that the models worked, the warm-up at the start included, waiting excluded. Work for a client that disconnected is not counted.";
    PREFILLED_TOKENS = MetricKind::Counter, "rsd_prefilled_tokens_total", ["role": ROLES], "Prefilled tokens: prompt tokens that were in no cache.";
    CACHED_TOKENS = MetricKind::Counter, "rsd_cached_tokens_total", ["role": ROLES], "Prompt tokens that were in a prefix cache.";
    GENERATED_TOKENS = MetricKind::Counter, "rsd_generated_tokens_total", ["role": SOURCES], "Decoded tokens, discarded ones included. Tokens for a client that disconnected are not counted.";
    FIRST_TOKEN = MetricKind::Histogram(SECONDS_BUCKETS), "rsd_time_to_first_token_seconds", [], "Seconds from a request's arrival to the first token of its answer.";
    INTER_TOKEN = MetricKind::Histogram(TOKEN_SECONDS_BUCKETS), "rsd_inter_token_seconds", [], "Seconds between two tokens of an answer. The time of a step is divided evenly among its tokens.";
    REQUEST_SECONDS = MetricKind::Histogram(SECONDS_BUCKETS), "rsd_request_seconds", [], "Seconds from a request's arrival to its complete answer.";
    REQUESTS = MetricKind::Counter, "rsd_requests_total", ["outcome": OUTCOMES], "Requests for an answer, by outcome: cancelled if the client disconnected or the server stopped, refused if the request was invalid or the queue was full.";
    RUNNING = MetricKind::Gauge, "rsd_requests_running", [], "Requests in work.";
    WAITING = MetricKind::Gauge, "rsd_requests_waiting", [], "Requests waiting for the models.";
    FLOPS = MetricKind::Counter, "rsd_estimated_flops_total", ["role": ROLES, "accounting": ACCOUNTINGS], "Estimated FLOPs of complete RSD answers (2 N per token; absent if the size of a model is unknown). generated: decoded tokens; with_prm: the reward model's tokens too; total: every prefilled token too.";
    TARGET_ONLY_FLOPS = MetricKind::Counter, "rsd_target_only_estimated_flops_total", ["accounting": ACCOUNTINGS], "Estimated FLOPs of the target alone for the same answers.";
    COST = MetricKind::Counter, "rsd_cost_total", ["role": SOURCES, "currency": &[]], "Money for the tokens of a model with a price (roles.*.remote.price), discarded ones included. Absent for a model without one.";
    ANSWER_COST = MetricKind::Counter, "rsd_answer_cost_total", ["currency": &[]], "Money for complete RSD answers, both models together; a model without a price costs nothing. Absent unless the target has a price.";
    TARGET_ONLY_COST = MetricKind::Counter, "rsd_target_only_estimated_cost_total", ["currency": &[]], "Estimated money for the target alone for the same answers: the prompt as far as it was in no cache, the rest of it at the price of cached input, and the answer's tokens.";
    RSD_SECONDS = MetricKind::Counter, "rsd_answer_model_seconds_total", [], "Seconds that all models together worked on complete RSD answers. Only answers since the target's speed is known are counted, as in rsd_target_only_estimated_seconds_total.";
    TARGET_ONLY_SECONDS = MetricKind::Counter, "rsd_target_only_estimated_seconds_total", [], "Estimated seconds of the target alone for the same answers: prefill of the prompt tokens that were in no cache and decode of the answer's tokens, at the target's observed speed.";
    UNIT_SECONDS = MetricKind::Gauge, "rsd_observed_seconds_per_token", ["role": ROLES, "phase": PHASES], "Observed seconds per token; for the reward model seconds per step, as prefill. Absent until observed.";
    FALLBACKS_TOTAL = MetricKind::Counter, "rsd_fallbacks_total", ["reason": FALLBACKS], "Steps without a score, and answers that one model could not continue, by reason. The target decodes them, unless the threshold accepts every step; after target_failed the draft does (limits.on_target_down).";
    HANDOVERS_TOTAL = MetricKind::Counter, "rsd_handover_total", ["reason": HANDOVERS], "Answers that the target finished alone by policy.after_rejection or policy.max_regret: after a rejection, because the threshold accepts no step, because drafting on was expected to cost more, or because it could have exceeded the bound on regret.";
    EXPLORED = MetricKind::Counter, "rsd_explored_answers_total", [], "Answers that were drafted although the target was expected to cost less, by policy.exploration.";
    PROPOSED_TOKENS = MetricKind::Counter, "rsd_proposed_tokens_total", ["outcome": &["accepted", "rejected"]], "Tokens that the draft proposed inside steps of the target (steps.proposals), by what the target picked itself.";
    FALSE_STEPS = MetricKind::Counter, "rsd_false_steps_total", [], "Draft steps in which a check found a false statement. They are rejected, unless the threshold accepts every step.";
    FALLBACK_ACTIVE = MetricKind::Gauge, "rsd_fallback_active", [], "1 from a step without a score, or a failed draft or target that the other model stands in for, until the next score.";
    MODEL_FAILURES = MetricKind::Counter, "rsd_model_failures_total", ["role": ROLES], "Calls of a model that failed, and deaths of its engine.";
    MODEL_UP = MetricKind::Gauge, "rsd_model_up", ["role": ROLES], "0 from a failed call of the model until its next successful one, and while its engine does not run.";
    REMOTE_REQUESTS = MetricKind::Counter, "rsd_remote_requests_total", ["role": ROLES], "Requests to the model's remote engine, retries not counted.";
    REMOTE_RETRIES = MetricKind::Counter, "rsd_remote_retries_total", ["role": ROLES], "Requests to the remote engine that were repeated.";
    REMOTE_FAILOVERS = MetricKind::Counter, "rsd_remote_failovers_total", ["role": ROLES], "Retries at another address of the remote engine.";
    REMOTE_FAILURES = MetricKind::Counter, "rsd_remote_errors_total", ["role": ROLES, "kind": REMOTE_ERRORS], "Failed attempts at the remote engine.";
    REMOTE_FIRST_PARTS = MetricKind::Counter, "rsd_remote_first_parts_total", ["role": ROLES], "Replies of the remote engine that began.";
    REMOTE_FIRST_PART_SECONDS = MetricKind::Counter, "rsd_remote_first_part_seconds_total", ["role": ROLES], "Seconds until replies of the remote engine began: of a stream its first event.";
    REMOTE_IN_FLIGHT = MetricKind::Gauge, "rsd_remote_requests_in_flight", ["role": ROLES], "Requests under way to the remote engine.";
    REMOTE_WAITING = MetricKind::Gauge, "rsd_remote_requests_waiting", ["role": ROLES], "Requests that wait because max_concurrency is reached.";
    REMOTE_ENDPOINTS = MetricKind::Gauge, "rsd_remote_endpoints", ["role": ROLES, "state": ENDPOINT_STATES], "Addresses of the remote engine; one is left alone for a while after it failed too often.";
    REMOTE_ADDRESS_USABLE = MetricKind::Gauge, "rsd_remote_address_usable", ["role": ROLES, "url": &[]], "1 while an address of the remote engine is used, 0 while it is left alone. Absent for a model in the server's process.";
    REMOTE_ADDRESS_LEFT_ALONE = MetricKind::Counter, "rsd_remote_address_left_alone_total", ["role": ROLES, "url": &[]], "How often an address of the remote engine failed too often and was left alone. Absent for a model in the server's process.";
    CACHE_BYTES = MetricKind::Gauge, "rsd_cache_bytes", ["role": ROLES], "Estimated bytes in the model's prefix cache. Absent if mistral.rs manages it, as on a GPU.";
    CACHE_FLUSHES = MetricKind::Counter, "rsd_cache_flushes_total", ["role": ROLES], "How often the model's prefix cache was emptied, on purpose or by a failure.";
    DELTA = MetricKind::Gauge, "rsd_policy_delta", [], "The active threshold.";
    TARGET_RATE = MetricKind::Gauge, "rsd_policy_target_rate", [], "The fraction of steps that the target should generate, in mode budget.";
    REVISION = MetricKind::Gauge, "rsd_policy_revision", [], "The policy's revision in effect.";
    ROUTE = MetricKind::Gauge, "rsd_policy_route", ["route": &["rsd", "draft", "target"]], "1 for the models that answer.";
    MODE = MetricKind::Gauge, "rsd_policy_mode", ["mode": &["fixed", "budget"]], "1 for the source of the threshold.";
    POLICY_CHANGES = MetricKind::Counter, "rsd_policy_changes_total", ["cause": &["patch", "rollback", "expiry", "reload"]], "Changes of the policy since the server started.";
    RELOAD_FAILED = MetricKind::Gauge, "rsd_reload_failed", [], "1 if the deployment file was invalid when it was last read.";
    ADMIN_ATTEMPTS = MetricKind::Counter, "rsd_admin_attempts_total", ["outcome": &["done", "denied"]], "Attempts to change something over the admin API, and refused requests of any kind.";
    SPEC_DRAFTS = MetricKind::Counter, "rsd_spec_decode_num_drafts_total", [], "As vLLM's spec_decode_num_drafts: decided steps.";
    SPEC_DRAFT_TOKENS = MetricKind::Counter, "rsd_spec_decode_num_draft_tokens_total", [], "As vLLM's spec_decode_num_draft_tokens: tokens of decided steps.";
    SPEC_ACCEPTED_TOKENS = MetricKind::Counter, "rsd_spec_decode_num_accepted_tokens_total", [], "As vLLM's spec_decode_num_accepted_tokens: tokens of accepted steps.";
    START_TIME = MetricKind::Gauge, "rsd_start_time_seconds", [], "When the server started, in seconds since 1970.";
    BUILD_INFO = MetricKind::Gauge, "rsd_build_info", ["version": &[]], "1, with the server's version as a label.";
}

/// The list as a Markdown table.
#[must_use]
pub fn markdown() -> String {
    let rows = ALL.iter().map(|metric| {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram(_) => "histogram",
        };
        let label = |(name, values): &(&str, &[&str])| {
            if values.is_empty() { format!("`{name}`") } else { format!("`{name}` ({})", values.join(", ")) }
        };
        let labels: Vec<String> = metric.labels.iter().map(label).collect();
        format!("| `{}` | {kind} | {} | {} |\n", metric.name, labels.join("; "), metric.help)
    });
    let head = "| metric | kind | labels | meaning |\n|---|---|---|---|\n".to_owned();
    std::iter::once(head).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        for metric in ALL {
            assert!(metric.name.starts_with("rsd_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == MetricKind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
