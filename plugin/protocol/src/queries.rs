//! `PromQL` for the numbers that are computed from the metrics. Documentation, recording rules, dashboard and their
//! tests all use this list.

/// One recording rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecordedQuery {
    /// The rule's name without its window.
    pub record: &'static str,
    /// `PromQL`, with `$window` in place of the window of its rates.
    pub expr: &'static str,
    /// What it computes.
    pub help: &'static str,
}

impl RecordedQuery {
    /// The expression for one window, such as `5m`.
    #[must_use]
    pub fn over(&self, window: &str) -> String {
        self.expr.replace("$window", window)
    }

    /// The rule's name for one window.
    #[must_use]
    pub fn record_over(&self, window: &str) -> String {
        format!("{}_rate{window}", self.record)
    }
}

/// Every rule, in the order of the documentation.
pub const ALL: &[RecordedQuery] = &[
    RecordedQuery {
        record: "instance:rsd_step_acceptance:ratio",
        expr: r#"sum without (outcome) (rate(rsd_steps_total{outcome="accepted"}[$window])) / (rate(rsd_step_decisions_total[$window]) > 0)"#,
        help: "Acceptance rate (steps): accepted steps over decided steps.",
    },
    RecordedQuery {
        record: "instance:rsd_token_acceptance:ratio",
        expr: r#"sum without (outcome) (rate(rsd_draft_tokens_total{outcome="accepted"}[$window])) / (sum without (outcome) (rate(rsd_draft_tokens_total[$window])) > 0)"#,
        help: "Acceptance rate (tokens): tokens of accepted steps over tokens of decided steps.",
    },
    RecordedQuery {
        record: "instance:rsd_speedup:ratio",
        expr: "rate(rsd_target_only_estimated_seconds_total[$window]) / (rate(rsd_answer_model_seconds_total[$window]) > 0)",
        help: "Speedup: seconds of the target alone, estimated from its observed speed, over seconds of RSD. Below 1, RSD is slower.",
    },
    RecordedQuery {
        record: "instance:rsd_flops_saving:ratio",
        expr: r#"1 - sum without (role, accounting) (rate(rsd_estimated_flops_total{accounting="total"}[$window])) / (sum without (accounting) (rate(rsd_target_only_estimated_flops_total{accounting="total"}[$window])) > 0)"#,
        help: "FLOP savings over the target alone, with every prefilled token counted.",
    },
    RecordedQuery {
        record: "instance:rsd_cost_saving:ratio",
        expr: "1 - rate(rsd_answer_cost_total[$window]) / (rate(rsd_target_only_estimated_cost_total[$window]) > 0)",
        help: "Money saved over the target alone, as a fraction; where the target has a price. A model without a price costs nothing here.",
    },
    RecordedQuery {
        record: "instance:rsd_emitted_tokens:sum",
        expr: "sum without (source) (rate(rsd_emitted_tokens_total[$window]))",
        help: "Throughput: answer tokens per second.",
    },
    RecordedQuery {
        record: "instance:rsd_draft_share:ratio",
        expr: r#"sum without (source) (rate(rsd_emitted_tokens_total{source="draft"}[$window])) / (sum without (source) (rate(rsd_emitted_tokens_total[$window])) > 0)"#,
        help: "Fraction of answer tokens that the draft decoded.",
    },
    RecordedQuery {
        record: "instance:rsd_requests:sum",
        expr: "sum without (outcome) (rate(rsd_requests_total[$window]))",
        help: "Requests per second.",
    },
    RecordedQuery {
        record: "instance:rsd_time_to_first_token_seconds:p50",
        expr: "histogram_quantile(0.5, rate(rsd_time_to_first_token_seconds_bucket[$window]))",
        help: "Median time to the first token.",
    },
    RecordedQuery {
        record: "instance:rsd_time_to_first_token_seconds:p95",
        expr: "histogram_quantile(0.95, rate(rsd_time_to_first_token_seconds_bucket[$window]))",
        help: "95th percentile of the same.",
    },
    RecordedQuery {
        record: "instance:rsd_inter_token_seconds:p50",
        expr: "histogram_quantile(0.5, rate(rsd_inter_token_seconds_bucket[$window]))",
        help: "Median time between tokens.",
    },
    RecordedQuery {
        record: "instance:rsd_inter_token_seconds:p95",
        expr: "histogram_quantile(0.95, rate(rsd_inter_token_seconds_bucket[$window]))",
        help: "95th percentile of the same.",
    },
    RecordedQuery {
        record: "instance:rsd_request_seconds:p95",
        expr: "histogram_quantile(0.95, rate(rsd_request_seconds_bucket[$window]))",
        help: "95th percentile of the time to a complete answer.",
    },
    RecordedQuery {
        record: "instance:rsd_reward:mean",
        expr: "rate(rsd_reward_sum[$window]) / (rate(rsd_reward_count[$window]) > 0)",
        help: "Mean reward.",
    },
];
