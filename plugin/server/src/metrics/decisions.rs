//! Counts decided steps. In every scrape `rsd_step_decisions_total` equals the sum of its parts.
//!
//! Separate counters could be read between two additions, so every counter is computed from one reading of the parts.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::{
    IntCounter, Result,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use rsd_core::policy::Decision;
use rsd_protocol::metrics::{
    DRAFT_TOKENS, MetricSpec, SPEC_ACCEPTED_TOKENS, SPEC_DRAFT_TOKENS, SPEC_DRAFTS, STEP_DECISIONS, STEPS,
};

use super::collector_registry::collector;

const ACCEPTED: &[(&str, &str)] = &[("outcome", "accepted")];
const REJECTED: &[(&str, &str)] = &[("outcome", "rejected")];

/// A metric, its labels and its value.
type CounterValue = (&'static MetricSpec, &'static [(&'static str, &'static str)], u64);

/// Steps and tokens with one decision.
#[derive(Debug, Default)]
struct OutcomeCount {
    steps: AtomicU64,
    tokens: AtomicU64,
}

/// Decided steps and their tokens.
#[derive(Debug)]
pub(super) struct DecisionCounts {
    accepted: OutcomeCount,
    rejected: OutcomeCount,
    descriptions: Vec<Desc>,
}

impl DecisionCounts {
    pub fn new() -> Result<Self> {
        let mut counts =
            Self { accepted: OutcomeCount::default(), rejected: OutcomeCount::default(), descriptions: Vec::new() };
        let counters = counts.counters()?;
        counts.descriptions = counters.iter().flat_map(|counter| counter.desc().into_iter().cloned()).collect();
        Ok(counts)
    }

    pub fn record(&self, decision: Decision, tokens: usize) {
        let part = match decision {
            Decision::Accept => &self.accepted,
            Decision::Reject => &self.rejected,
        };
        part.steps.fetch_add(1, Ordering::Relaxed);
        part.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
    }

    /// Every counter, from one reading of the counts.
    fn counters(&self) -> Result<Vec<IntCounter>> {
        let read = |part: &OutcomeCount| (part.steps.load(Ordering::Relaxed), part.tokens.load(Ordering::Relaxed));
        let ((accepted, accepted_tokens), (rejected, rejected_tokens)) = (read(&self.accepted), read(&self.rejected));
        let counters: [CounterValue; 8] = [
            (&STEP_DECISIONS, &[], accepted + rejected),
            (&STEPS, ACCEPTED, accepted),
            (&STEPS, REJECTED, rejected),
            (&DRAFT_TOKENS, ACCEPTED, accepted_tokens),
            (&DRAFT_TOKENS, REJECTED, rejected_tokens),
            (&SPEC_DRAFTS, &[], accepted + rejected),
            (&SPEC_DRAFT_TOKENS, &[], accepted_tokens + rejected_tokens),
            (&SPEC_ACCEPTED_TOKENS, &[], accepted_tokens),
        ];
        let counter = |&(metric, labels, value): &CounterValue| {
            let counter: IntCounter = collector(metric, labels)?;
            counter.inc_by(value);
            Ok(counter)
        };
        counters.iter().map(counter).collect()
    }
}

/// Gives the counts to a registry.
#[derive(Debug, Clone)]
pub(super) struct DecisionCollector(pub std::sync::Arc<DecisionCounts>);

impl Collector for DecisionCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.0.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.counters().unwrap_or_default().iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn the_parts_add_up_in_every_reading_while_steps_are_decided() {
        let counts = Arc::new(DecisionCounts::new().unwrap());
        let writers: Vec<_> = (0..4_usize)
            .map(|tokens| {
                let counts = counts.clone();
                thread::spawn(move || {
                    for n in 0..20_000 {
                        counts.record(if n % 3 == 0 { Decision::Reject } else { Decision::Accept }, tokens);
                    }
                })
            })
            .collect();
        let mut readings = 0;
        while !writers.iter().all(thread::JoinHandle::is_finished) || readings == 0 {
            let values: Vec<u64> = counts.counters().unwrap().iter().map(IntCounter::get).collect();
            let [
                decided,
                accepted,
                rejected,
                accepted_tokens,
                rejected_tokens,
                spec_drafts,
                spec_draft_tokens,
                spec_accepted_tokens,
            ] = values[..]
            else {
                panic!("{values:?}")
            };
            assert_eq!((decided, spec_drafts), (accepted + rejected, decided));
            assert_eq!((spec_draft_tokens, spec_accepted_tokens), (accepted_tokens + rejected_tokens, accepted_tokens));
            readings += 1;
        }
        let last: Vec<u64> = counts.counters().unwrap().iter().map(IntCounter::get).collect();
        assert_eq!(last[0], 80_000);
        for writer in writers {
            writer.join().unwrap();
        }
    }
}
