//! The names of all metrics. They appear here and nowhere else: server, console, documentation, recording rules and
//! their tests read this list.
//!
//! Counters and histograms only ever grow, so that rates over any window are Prometheus' job. What is estimated says
//! so in its name.

/// The kinds of metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets with these upper bounds.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels and their values; an empty list of values means that they are not known beforehand, but few.
    pub labels: &'static [(&'static str, &'static [&'static str])],
    /// What it says.
    pub help: &'static str,
}

/// Upper bounds of the reward histogram: rewards lie in 0 to 1.
pub const REWARD_BUCKETS: &[f64] =
    &[0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0];
/// Upper bounds of seconds until a first token, or until an answer is complete.
pub const SECONDS_BUCKETS: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0];
/// Upper bounds of seconds between tokens.
pub const TOKEN_SECONDS_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0];

/// Values of the label `role`.
pub const ROLES: &[&str] = &["draft", "reward", "target"];
/// Values of the label `source`: who wrote the tokens that stayed.
pub const SOURCES: &[&str] = &["draft", "target"];
/// Values of the label `accounting`.
pub const ACCOUNTINGS: &[&str] = &["generated", "with_prm", "total"];
/// Values of the label `phase`.
pub const PHASES: &[&str] = &["prefill", "decode"];
/// Values of the label `reason` of a fallback.
pub const FALLBACKS: &[&str] = &["reward_failed", "reward_invalid", "reward_timeout", "draft_failed", "draft_context"];
/// Values of the label `outcome` of a request.
pub const OUTCOMES: &[&str] = &["completed", "cancelled", "failed", "refused"];

macro_rules! metrics {
    ($($id:ident = $kind:expr, $name:literal, [$($label:literal: $values:expr),*], $help:literal;)*) => {
        $(#[doc = $help] pub const $id: Metric = Metric { name: $name, kind: $kind, labels: &[$(($label, $values)),*], help: $help };)*
        /// Every metric, in the order of the documentation.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

metrics! {
    JUDGED_STEPS = Kind::Counter, "rsd_judged_steps_total", [], "Drafted steps that got a verdict: accepted and rejected ones.";
    STEPS = Kind::Counter, "rsd_steps_total", ["outcome": &["accepted", "rejected"]], "Drafted steps by verdict. Without a reward a step is rejected, unless the threshold keeps everything.";
    DRAFT_TOKENS = Kind::Counter, "rsd_draft_tokens_total", ["outcome": &["accepted", "rejected"]], "Tokens of judged steps by verdict.";
    WASTED_TOKENS = Kind::Counter, "rsd_wasted_lookahead_tokens_total", [], "Tokens drafted ahead of a verdict that turned out a rejection.";
    TARGET_TOKENS = Kind::Counter, "rsd_target_tokens_total", [], "Tokens the target generated.";
    EMITTED_TOKENS = Kind::Counter, "rsd_emitted_tokens_total", ["source": SOURCES], "Tokens that became part of an answer, by the model that wrote them.";
    REWARD = Kind::Histogram(REWARD_BUCKETS), "rsd_reward", [], "Rewards of judged steps that got one.";
    MODEL_SECONDS = Kind::Counter, "rsd_model_seconds_total", ["role": ROLES, "phase": PHASES], "Seconds the models worked, the probe at the start included; waiting is no work. A run that a leaving client cut off is not in it.";
    PREFILLED_TOKENS = Kind::Counter, "rsd_prefilled_tokens_total", ["role": ROLES], "Prompt tokens computed because no cache held them.";
    CACHED_TOKENS = Kind::Counter, "rsd_cached_tokens_total", ["role": ROLES], "Prompt tokens a cache held.";
    GENERATED_TOKENS = Kind::Counter, "rsd_generated_tokens_total", ["role": SOURCES], "Tokens generated, thrown-away ones included; those of a run that a leaving client cut off are not.";
    FIRST_TOKEN = Kind::Histogram(SECONDS_BUCKETS), "rsd_time_to_first_token_seconds", [], "Seconds from a request's arrival to the first text of its answer.";
    INTER_TOKEN = Kind::Histogram(TOKEN_SECONDS_BUCKETS), "rsd_inter_token_seconds", [], "Seconds between two tokens of an answer; the tokens of a step share its time.";
    REQUEST_SECONDS = Kind::Histogram(SECONDS_BUCKETS), "rsd_request_seconds", [], "Seconds from a request's arrival to its complete answer.";
    REQUESTS = Kind::Counter, "rsd_requests_total", ["outcome": OUTCOMES], "Requests for an answer by how they ended: cancelled when the client left or the server stopped, refused when the client was at fault or the queue full.";
    RUNNING = Kind::Gauge, "rsd_requests_running", [], "Requests that are worked on.";
    WAITING = Kind::Gauge, "rsd_requests_waiting", [], "Requests that wait for their turn.";
    FLOPS = Kind::Counter, "rsd_estimated_flops_total", ["role": ROLES, "accounting": ACCOUNTINGS], "Estimated FLOPs of complete RSD answers (2 N per token, where all models' sizes are known): generated tokens; with what the reward model read; and with every prompt token computed.";
    TARGET_ONLY_FLOPS = Kind::Counter, "rsd_target_only_estimated_flops_total", ["accounting": ACCOUNTINGS], "Estimated FLOPs that the target alone would have taken for the same answers; it needs no reward model.";
    RSD_SECONDS = Kind::Counter, "rsd_answer_model_seconds_total", [], "Seconds all models together worked on complete RSD answers; only answers that came when the target's speed was known, as in the counter it is compared with.";
    TARGET_ONLY_SECONDS = Kind::Counter, "rsd_target_only_estimated_seconds_total", [], "Estimated seconds that the target alone would have worked on the same answers: the prompt tokens that no cache held and the answer's tokens, at its own observed speed.";
    UNIT_SECONDS = Kind::Gauge, "rsd_observed_seconds_per_token", ["role": ROLES, "phase": PHASES], "Observed seconds per token; of the reward, per step, as prefill. Absent until observed.";
    FALLBACKS_TOTAL = Kind::Counter, "rsd_fallbacks_total", ["reason": FALLBACKS], "Steps without a verdict, and answers that the draft could not go on with, by reason. The target writes them, unless the threshold keeps every step.";
    FALLBACK_ACTIVE = Kind::Gauge, "rsd_fallback_active", [], "1 from a step without a verdict, or a failed draft, to the next verdict.";
    MODEL_FAILURES = Kind::Counter, "rsd_model_failures_total", ["role": ROLES], "Calls that a model did not complete.";
    MODEL_UP = Kind::Gauge, "rsd_model_up", ["role": ROLES], "0 from a model's failed call to its next successful one.";
    CACHE_BYTES = Kind::Gauge, "rsd_cache_bytes", ["role": ROLES], "Estimated bytes in a model's prefix cache. Absent where mistral.rs manages it, as on a GPU.";
    CACHE_FLUSHES = Kind::Counter, "rsd_cache_flushes_total", ["role": ROLES], "Times a model's prefix cache was emptied, by us or by a failure.";
    DELTA = Kind::Gauge, "rsd_policy_delta", [], "The threshold that judges the next step.";
    GAMMA = Kind::Gauge, "rsd_policy_gamma", [], "The fraction of steps for the target that mode budget aims at.";
    REVISION = Kind::Gauge, "rsd_policy_revision", [], "The policy's revision.";
    ANSWERS = Kind::Gauge, "rsd_policy_answers", ["answers": &["rsd", "draft", "target"]], "1 for who answers.";
    MODE = Kind::Gauge, "rsd_policy_mode", ["mode": &["fixed", "budget"]], "1 for where the threshold comes from.";
    POLICY_CHANGES = Kind::Counter, "rsd_policy_changes_total", ["cause": &["patch", "rollback", "expiry", "reload"]], "Changes of the policy since the start.";
    RELOAD_REFUSED = Kind::Gauge, "rsd_reload_refused", [], "1 while the deployment file was refused when it was last read.";
    ADMIN_ATTEMPTS = Kind::Counter, "rsd_admin_attempts_total", ["outcome": &["done", "denied"]], "Attempts to change something over the admin API, and denied ones of any kind.";
    SPEC_DRAFTS = Kind::Counter, "rsd_spec_decode_num_drafts_total", [], "As vLLM's spec_decode_num_drafts: judged steps.";
    SPEC_DRAFT_TOKENS = Kind::Counter, "rsd_spec_decode_num_draft_tokens_total", [], "As vLLM's spec_decode_num_draft_tokens: tokens of judged steps.";
    SPEC_ACCEPTED_TOKENS = Kind::Counter, "rsd_spec_decode_num_accepted_tokens_total", [], "As vLLM's spec_decode_num_accepted_tokens: tokens of accepted steps.";
    START_TIME = Kind::Gauge, "rsd_start_time_seconds", [], "When the server started, in seconds since 1970.";
    BUILD_INFO = Kind::Gauge, "rsd_build_info", ["version": &[]], "1, with the server's version.";
}

/// The list as a Markdown table.
#[must_use]
pub fn markdown() -> String {
    let rows = ALL.iter().map(|metric| {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let label = |(name, values): &(&str, &[&str])| {
            if values.is_empty() { format!("`{name}`") } else { format!("`{name}` ({})", values.join(", ")) }
        };
        let labels: Vec<String> = metric.labels.iter().map(label).collect();
        format!("| `{}` | {kind} | {} | {} |\n", metric.name, labels.join("; "), metric.help)
    });
    let head = "| metric | kind | labels | what it says |\n|---|---|---|---|\n".to_owned();
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
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
