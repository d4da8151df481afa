//! The numbers of the overview, computed from the metrics over a window.

use rsd_protocol::metrics;
use schemars::JsonSchema;
use serde::Serialize;

use super::metric_history::{HistorySpan, MetricHistory};

/// The numbers at one time. A number that cannot be computed is absent, never zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct MetricSummary {
    /// End of the window, in milliseconds since 1970.
    pub at_ms: u64,
    /// Seconds between the first and the last scrape of the window.
    pub window_seconds: Option<f64>,
    /// Draft steps decided within the window.
    pub decided_steps: Option<f64>,
    /// Acceptance rate (steps): accepted steps over decided steps.
    pub step_acceptance: Option<f64>,
    /// Acceptance rate (tokens): tokens of accepted steps over tokens of decided steps.
    pub token_acceptance: Option<f64>,
    /// Seconds of the target alone, estimated from its observed speed, over seconds of RSD.
    pub speedup: Option<f64>,
    /// FLOP savings, counting decoded tokens only; a fraction of the target's FLOPs.
    pub flop_savings_generated: Option<f64>,
    /// FLOP savings, counting the reward model's tokens too.
    pub flop_savings_with_prm: Option<f64>,
    /// FLOP savings, counting every prefilled token too.
    pub flop_savings_total: Option<f64>,
    /// Money that RSD saves over the target alone per hour, negative where it costs more; absent unless the target has a
    /// price.
    pub money_saved_per_hour: Option<f64>,
    /// Answer tokens per second.
    pub throughput: Option<f64>,
    /// Fraction of answer tokens that the draft decoded.
    pub draft_share: Option<f64>,
    /// Median of the seconds to the first token.
    pub first_token_p50: Option<f64>,
    /// 95th percentile of the seconds to the first token.
    pub first_token_p95: Option<f64>,
    /// Median of the seconds between tokens.
    pub inter_token_p50: Option<f64>,
    /// 95th percentile of the seconds between tokens.
    pub inter_token_p95: Option<f64>,
    /// Mean of the seconds from a request's arrival to its complete answer.
    pub answer_seconds: Option<f64>,
    /// Requests in work.
    pub running: Option<f64>,
    /// Waiting requests.
    pub waiting: Option<f64>,
    /// Requests that ended within the window.
    pub requests: Option<f64>,
    /// Requests that failed or were refused within the window.
    pub errors: Option<f64>,
    /// Steps without a score within the window.
    pub fallbacks: Option<f64>,
    /// The active threshold.
    pub delta: Option<f64>,
    /// The policy's revision.
    pub revision: Option<f64>,
}

impl MetricSummary {
    /// The numbers of a span of this history, whose end is `at_ms`.
    #[must_use]
    pub fn from_history(history: &MetricHistory, at_ms: u64, span: HistorySpan) -> Self {
        let grown = |metric: &metrics::MetricSpec, labels: &[(&str, &str)]| history.increase(metric.name, labels, span);
        let part = |part: &str| history.increase(&format!("{}_{part}", metrics::REQUEST_SECONDS.name), &[], span);
        let share = |metric, label, value| ratio(grown(metric, &[(label, value)]), grown(metric, &[]));
        let saving = |accounting| {
            let labels = [("accounting", accounting)];
            ratio(grown(&metrics::FLOPS, &labels), grown(&metrics::TARGET_ONLY_FLOPS, &labels)).map(|used| 1.0 - used)
        };
        let money_saved = || {
            let currency = history.newest_label(&metrics::TARGET_ONLY_COST, "currency")?;
            let spent = |metric| grown(metric, &[("currency", currency)]);
            let saved = spent(&metrics::TARGET_ONLY_COST)? - spent(&metrics::ANSWER_COST)?;
            Some(3600.0 * saved / history.span_seconds(span)?)
        };
        let quantile = |metric, q| quantile(&history.buckets(metric, span), q);
        let outcome = |outcome| grown(&metrics::REQUESTS, &[("outcome", outcome)]);
        Self {
            at_ms,
            window_seconds: history.span_seconds(span),
            decided_steps: grown(&metrics::STEPS, &[]),
            step_acceptance: share(&metrics::STEPS, "outcome", "accepted"),
            token_acceptance: share(&metrics::DRAFT_TOKENS, "outcome", "accepted"),
            speedup: ratio(grown(&metrics::TARGET_ONLY_SECONDS, &[]), grown(&metrics::RSD_SECONDS, &[])),
            flop_savings_generated: saving("generated"),
            flop_savings_with_prm: saving("with_prm"),
            flop_savings_total: saving("total"),
            money_saved_per_hour: money_saved(),
            throughput: ratio(grown(&metrics::EMITTED_TOKENS, &[]), history.span_seconds(span)),
            draft_share: share(&metrics::EMITTED_TOKENS, "source", "draft"),
            first_token_p50: quantile(&metrics::FIRST_TOKEN, 0.5),
            first_token_p95: quantile(&metrics::FIRST_TOKEN, 0.95),
            inter_token_p50: quantile(&metrics::INTER_TOKEN, 0.5),
            inter_token_p95: quantile(&metrics::INTER_TOKEN, 0.95),
            answer_seconds: ratio(part("sum"), part("count")),
            running: history.gauge(&metrics::RUNNING, span),
            waiting: history.gauge(&metrics::WAITING, span),
            requests: grown(&metrics::REQUESTS, &[]),
            errors: outcome("failed").map(|failed| failed + outcome("refused").unwrap_or(0.0)),
            fallbacks: grown(&metrics::FALLBACKS_TOTAL, &[]),
            delta: history.gauge(&metrics::DELTA, span),
            revision: history.gauge(&metrics::REVISION, span),
        }
    }
}

/// `part / whole`; `None` if a number is absent or the quotient is not finite.
#[must_use]
pub fn ratio(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    let (part, whole) = (part?, whole?);
    (whole > 0.0).then(|| part / whole).filter(|ratio| ratio.is_finite())
}

/// A quantile of a histogram given as (upper bound, count), linear within its bucket. It is infinite if it lies beyond
/// the last finite bound.
#[must_use]
pub fn quantile(buckets: &[(f64, f64)], q: f64) -> Option<f64> {
    let total: f64 = buckets.iter().map(|(_, count)| count).sum();
    if total <= 0.0 {
        return None;
    }
    let rank = q * total;
    let (mut seen, mut low) = (0.0, 0.0);
    for &(high, count) in buckets {
        if count > 0.0 && seen + count >= rank {
            return Some(if high.is_finite() { low + (high - low) * (rank - seen) / count } else { f64::INFINITY });
        }
        seen += count;
        low = high;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exposition::parse;

    fn scrape(n: f64) -> String {
        format!(
            "rsd_steps_total{{outcome=\"accepted\"}} {}\nrsd_steps_total{{outcome=\"rejected\"}} {}\n\
             rsd_target_only_estimated_seconds_total {}\nrsd_answer_model_seconds_total {}\n\
             rsd_estimated_flops_total{{role=\"draft\",accounting=\"total\"}} {}\n\
             rsd_estimated_flops_total{{role=\"target\",accounting=\"total\"}} {}\n\
             rsd_target_only_estimated_flops_total{{accounting=\"total\"}} {}\n\
             rsd_requests_running 2\nrsd_policy_delta 0.7",
            7.0 * n,
            3.0 * n,
            4.0 * n,
            2.0 * n,
            10.0 * n,
            20.0 * n,
            60.0 * n
        )
    }

    #[test]
    fn figures_are_what_the_counters_say() {
        let mut history = MetricHistory::default();
        history.record_scrape(0, &parse(&scrape(1.0)));
        let first = MetricSummary::from_history(&history, 0, HistorySpan::Newest(60_000));
        assert_eq!((first.step_acceptance, first.running), (None, Some(2.0)), "one scrape gives no rate");
        history.record_scrape(10_000, &parse(&scrape(3.0)));
        let found = MetricSummary::from_history(&history, 10_000, HistorySpan::Newest(60_000));
        assert_eq!(found.decided_steps, Some(20.0));
        assert_eq!(found.step_acceptance, Some(0.7));
        assert_eq!(found.speedup, Some(2.0));
        assert_eq!(found.flop_savings_total, Some(0.5));
        assert_eq!(found.token_acceptance, None, "what was not exposed is absent");
        history.record_scrape(20_000, &parse(&scrape(3.0)));
        history.record_scrape(80_000, &parse(&scrape(3.0)));
        let idle = MetricSummary::from_history(&history, 80_000, HistorySpan::Newest(60_000));
        assert_eq!(
            (idle.decided_steps, idle.step_acceptance),
            (Some(0.0), None),
            "nothing happened, so there is no rate"
        );
    }

    #[test]
    fn quantiles_are_linear_within_a_bucket() {
        let buckets = [(1.0, 10.0), (2.0, 10.0), (f64::INFINITY, 0.0)];
        assert_eq!(quantile(&buckets, 0.5), Some(1.0));
        assert_eq!(quantile(&buckets, 0.75), Some(1.5));
        assert_eq!(quantile(&[(1.0, 1.0), (f64::INFINITY, 9.0)], 0.95), Some(f64::INFINITY));
        assert_eq!(quantile(&[(1.0, 0.0)], 0.5), None);
    }

    proptest! {
        #[test]
        fn quantiles_grow_with_q(counts in proptest::collection::vec(0.0..100.0_f64, 1..12), a in 0.0..1.0_f64, b in 0.0..1.0_f64) {
            let buckets: Vec<_> = counts.iter().enumerate().map(|(n, count)| (n as f64 + 1.0, *count)).collect();
            let (low, high) = (quantile(&buckets, a.min(b)), quantile(&buckets, a.max(b)));
            if let (Some(low), Some(high)) = (low, high) {
                prop_assert!(low <= high + 1e-9);
            }
        }
    }
}
