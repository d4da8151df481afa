//! What an operator wants to know, computed from the metrics: over a window, and absent where nothing was measured.

use rsd_protocol::metrics;
use schemars::JsonSchema;
use serde::Serialize;

use super::readings::Readings;

/// Figures of one moment. A figure that could not be computed is absent, never zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct Figures {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Steps judged within the window.
    pub judged: Option<f64>,
    /// Steps kept of steps judged.
    pub step_acceptance: Option<f64>,
    /// Drafted tokens kept of drafted tokens judged.
    pub token_acceptance: Option<f64>,
    /// Seconds the target alone would have taken over seconds taken; the former estimated from the target's own speed.
    pub speed_up: Option<f64>,
    /// Estimated FLOPs saved, generated tokens alone.
    pub saving_generated: Option<f64>,
    /// The same, with what the reward model read.
    pub saving_with_prm: Option<f64>,
    /// The same, with every prompt token computed.
    pub saving_total: Option<f64>,
    /// Answer tokens a second.
    pub throughput: Option<f64>,
    /// Fraction of answer tokens that the draft wrote.
    pub draft_share: Option<f64>,
    /// Seconds to the first token, half of the answers.
    pub first_token_p50: Option<f64>,
    /// Seconds to the first token, 19 of 20 answers.
    pub first_token_p95: Option<f64>,
    /// Seconds between tokens, half of them.
    pub inter_token_p50: Option<f64>,
    /// Seconds between tokens, 19 of 20.
    pub inter_token_p95: Option<f64>,
    /// Requests worked on.
    pub running: Option<f64>,
    /// Requests that wait.
    pub waiting: Option<f64>,
    /// Requests that ended within the window.
    pub requests: Option<f64>,
    /// Requests that failed or were refused within the window.
    pub errors: Option<f64>,
    /// Steps without a verdict within the window.
    pub fallbacks: Option<f64>,
    /// The threshold that judges the next step.
    pub delta: Option<f64>,
    /// The policy's revision.
    pub revision: Option<f64>,
}

impl Figures {
    /// Of the last `window_ms` of these readings.
    #[must_use]
    pub fn of(readings: &Readings, at_ms: u64, window_ms: u64) -> Self {
        let grown =
            |metric: &metrics::Metric, labels: &[(&str, &str)]| readings.increase(metric.name, labels, window_ms);
        let share = |metric, label, value| ratio(grown(metric, &[(label, value)]), grown(metric, &[]));
        let saving = |accounting| {
            let labels = [("accounting", accounting)];
            ratio(grown(&metrics::FLOPS, &labels), grown(&metrics::TARGET_ONLY_FLOPS, &labels)).map(|used| 1.0 - used)
        };
        let quantile = |metric, q| quantile(&readings.buckets(metric, Some(window_ms)), q);
        let outcome = |outcome| grown(&metrics::REQUESTS, &[("outcome", outcome)]);
        Self {
            at_ms,
            judged: grown(&metrics::STEPS, &[]),
            step_acceptance: share(&metrics::STEPS, "outcome", "accepted"),
            token_acceptance: share(&metrics::DRAFT_TOKENS, "outcome", "accepted"),
            speed_up: ratio(grown(&metrics::TARGET_ONLY_SECONDS, &[]), grown(&metrics::RSD_SECONDS, &[])),
            saving_generated: saving("generated"),
            saving_with_prm: saving("with_prm"),
            saving_total: saving("total"),
            throughput: ratio(grown(&metrics::EMITTED_TOKENS, &[]), readings.seconds(window_ms)),
            draft_share: share(&metrics::EMITTED_TOKENS, "source", "draft"),
            first_token_p50: quantile(&metrics::FIRST_TOKEN, 0.5),
            first_token_p95: quantile(&metrics::FIRST_TOKEN, 0.95),
            inter_token_p50: quantile(&metrics::INTER_TOKEN, 0.5),
            inter_token_p95: quantile(&metrics::INTER_TOKEN, 0.95),
            running: readings.now(&metrics::RUNNING, &[]),
            waiting: readings.now(&metrics::WAITING, &[]),
            requests: grown(&metrics::REQUESTS, &[]),
            errors: outcome("failed").map(|failed| failed + outcome("refused").unwrap_or(0.0)),
            fallbacks: grown(&metrics::FALLBACKS_TOTAL, &[]),
            delta: readings.now(&metrics::DELTA, &[]),
            revision: readings.now(&metrics::REVISION, &[]),
        }
    }
}

/// A quotient that is absent where it means nothing.
#[must_use]
pub fn ratio(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    let (part, whole) = (part?, whole?);
    (whole > 0.0).then(|| part / whole).filter(|ratio| ratio.is_finite())
}

/// A quantile of a histogram, linear within its bucket; beyond the last bound it is infinite, which is shown as "more
/// than".
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
        let mut readings = Readings::default();
        readings.take(0, &parse(&scrape(1.0)));
        let first = Figures::of(&readings, 0, 60_000);
        assert_eq!((first.step_acceptance, first.running), (None, Some(2.0)), "one scrape gives no rate");
        readings.take(10_000, &parse(&scrape(3.0)));
        let found = Figures::of(&readings, 10_000, 60_000);
        assert_eq!(found.judged, Some(20.0));
        assert_eq!(found.step_acceptance, Some(0.7));
        assert_eq!(found.speed_up, Some(2.0));
        assert_eq!(found.saving_total, Some(0.5));
        assert_eq!(found.token_acceptance, None, "what was not exposed is absent");
        readings.take(20_000, &parse(&scrape(3.0)));
        readings.take(80_000, &parse(&scrape(3.0)));
        let idle = Figures::of(&readings, 80_000, 60_000);
        assert_eq!((idle.judged, idle.step_acceptance), (Some(0.0), None), "nothing happened, so there is no rate");
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
