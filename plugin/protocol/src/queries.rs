//! What is computed from the metrics: `PromQL`, once for documentation, recording rules, dashboard and their tests.

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Query {
    /// The recording rule's name.
    pub record: &'static str,
    /// `PromQL` with `$window` for the window of its rates.
    pub expr: &'static str,
    /// What it says.
    pub help: &'static str,
}

impl Query {
    /// The expression over one window, such as `5m`.
    #[must_use]
    pub fn over(&self, window: &str) -> String {
        self.expr.replace("$window", window)
    }

    /// The recording rule's name over one window.
    #[must_use]
    pub fn record_over(&self, window: &str) -> String {
        format!("{}_rate{window}", self.record)
    }
}

/// Every figure, in the order of the documentation.
pub const ALL: &[Query] = &[
    Query {
        record: "instance:rsd_step_acceptance:ratio",
        expr: r#"sum without (outcome) (rate(rsd_steps_total{outcome="accepted"}[$window])) / (rate(rsd_judged_steps_total[$window]) > 0)"#,
        help: "Accepted steps of judged steps.",
    },
    Query {
        record: "instance:rsd_token_acceptance:ratio",
        expr: r#"sum without (outcome) (rate(rsd_draft_tokens_total{outcome="accepted"}[$window])) / (sum without (outcome) (rate(rsd_draft_tokens_total[$window])) > 0)"#,
        help: "Accepted drafted tokens of judged ones.",
    },
    Query {
        record: "instance:rsd_speed_up:ratio",
        expr: "rate(rsd_target_only_estimated_seconds_total[$window]) / (rate(rsd_answer_model_seconds_total[$window]) > 0)",
        help: "Seconds of the target alone, estimated from its observed speed, over seconds of RSD. Below 1, RSD costs time.",
    },
    Query {
        record: "instance:rsd_flops_saving:ratio",
        expr: r#"1 - sum without (role, accounting) (rate(rsd_estimated_flops_total{accounting="total"}[$window])) / (sum without (accounting) (rate(rsd_target_only_estimated_flops_total{accounting="total"}[$window])) > 0)"#,
        help: "FLOPs saved against the target alone, every prompt token counted.",
    },
    Query {
        record: "instance:rsd_emitted_tokens:sum",
        expr: "sum without (source) (rate(rsd_emitted_tokens_total[$window]))",
        help: "Throughput: answer tokens per second.",
    },
    Query {
        record: "instance:rsd_draft_share:ratio",
        expr: r#"sum without (source) (rate(rsd_emitted_tokens_total{source="draft"}[$window])) / (sum without (source) (rate(rsd_emitted_tokens_total[$window])) > 0)"#,
        help: "Fraction of answer tokens that the draft wrote.",
    },
    Query {
        record: "instance:rsd_requests:sum",
        expr: "sum without (outcome) (rate(rsd_requests_total[$window]))",
        help: "Requests per second.",
    },
    Query {
        record: "instance:rsd_time_to_first_token_seconds:p50",
        expr: "histogram_quantile(0.5, rate(rsd_time_to_first_token_seconds_bucket[$window]))",
        help: "Median time to the first text.",
    },
    Query {
        record: "instance:rsd_time_to_first_token_seconds:p95",
        expr: "histogram_quantile(0.95, rate(rsd_time_to_first_token_seconds_bucket[$window]))",
        help: "95th percentile of it.",
    },
    Query {
        record: "instance:rsd_inter_token_seconds:p50",
        expr: "histogram_quantile(0.5, rate(rsd_inter_token_seconds_bucket[$window]))",
        help: "Median time between tokens.",
    },
    Query {
        record: "instance:rsd_inter_token_seconds:p95",
        expr: "histogram_quantile(0.95, rate(rsd_inter_token_seconds_bucket[$window]))",
        help: "95th percentile of it.",
    },
    Query {
        record: "instance:rsd_request_seconds:p95",
        expr: "histogram_quantile(0.95, rate(rsd_request_seconds_bucket[$window]))",
        help: "95th percentile of the time to a complete answer.",
    },
    Query {
        record: "instance:rsd_reward:mean",
        expr: "rate(rsd_reward_sum[$window]) / (rate(rsd_reward_count[$window]) > 0)",
        help: "Mean reward.",
    },
];
