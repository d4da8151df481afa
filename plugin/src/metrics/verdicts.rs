//! Counts of judged steps that agree with each other in every scrape.
//!
//! Whoever reads `rsd_judged_steps_total` and its parts in one answer finds that the parts add up. Counters of their
//! own could be read between two additions, so all of them are made from one reading of the parts.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::{
    IntCounter, Result,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use rsd_protocol::metrics::{
    DRAFT_TOKENS, JUDGED_STEPS, Metric, SPEC_ACCEPTED_TOKENS, SPEC_DRAFT_TOKENS, SPEC_DRAFTS, STEPS,
};

use super::register::child;
use crate::policy::Decision;

const ACCEPTED: &[(&str, &str)] = &[("outcome", "accepted")];
const REJECTED: &[(&str, &str)] = &[("outcome", "rejected")];

/// A metric, its labels and its count.
type Count = (&'static Metric, &'static [(&'static str, &'static str)], u64);

/// Steps and tokens of one verdict.
#[derive(Debug, Default)]
struct Part {
    steps: AtomicU64,
    tokens: AtomicU64,
}

/// What was judged.
#[derive(Debug)]
pub(super) struct Verdicts {
    accepted: Part,
    rejected: Part,
    descriptions: Vec<Desc>,
}

impl Verdicts {
    pub fn new() -> Result<Self> {
        let mut verdicts = Self { accepted: Part::default(), rejected: Part::default(), descriptions: Vec::new() };
        let counters = verdicts.counters()?;
        verdicts.descriptions = counters.iter().flat_map(|counter| counter.desc().into_iter().cloned()).collect();
        Ok(verdicts)
    }

    pub fn judged(&self, decision: Decision, tokens: usize) {
        let part = match decision {
            Decision::Accept => &self.accepted,
            Decision::Reject => &self.rejected,
        };
        part.steps.fetch_add(1, Ordering::Relaxed);
        part.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
    }

    /// Every count, from one reading.
    fn counters(&self) -> Result<Vec<IntCounter>> {
        let read = |part: &Part| (part.steps.load(Ordering::Relaxed), part.tokens.load(Ordering::Relaxed));
        let ((accepted, accepted_tokens), (rejected, rejected_tokens)) = (read(&self.accepted), read(&self.rejected));
        let counters: [Count; 8] = [
            (&JUDGED_STEPS, &[], accepted + rejected),
            (&STEPS, ACCEPTED, accepted),
            (&STEPS, REJECTED, rejected),
            (&DRAFT_TOKENS, ACCEPTED, accepted_tokens),
            (&DRAFT_TOKENS, REJECTED, rejected_tokens),
            (&SPEC_DRAFTS, &[], accepted + rejected),
            (&SPEC_DRAFT_TOKENS, &[], accepted_tokens + rejected_tokens),
            (&SPEC_ACCEPTED_TOKENS, &[], accepted_tokens),
        ];
        let counter = |&(metric, labels, value): &Count| {
            let counter: IntCounter = child(metric, labels)?;
            counter.inc_by(value);
            Ok(counter)
        };
        counters.iter().map(counter).collect()
    }
}

/// The same counts, as the registry holds them.
#[derive(Debug, Clone)]
pub(super) struct Collected(pub std::sync::Arc<Verdicts>);

impl Collector for Collected {
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
    fn the_parts_add_up_in_every_reading_while_steps_are_judged() {
        let verdicts = Arc::new(Verdicts::new().unwrap());
        let judging: Vec<_> = (0..4_usize)
            .map(|tokens| {
                let verdicts = verdicts.clone();
                thread::spawn(move || {
                    for n in 0..20_000 {
                        verdicts.judged(if n % 3 == 0 { Decision::Reject } else { Decision::Accept }, tokens);
                    }
                })
            })
            .collect();
        let mut readings = 0;
        while !judging.iter().all(thread::JoinHandle::is_finished) || readings == 0 {
            let read: Vec<u64> = verdicts.counters().unwrap().iter().map(IntCounter::get).collect();
            let [judged, accepted, rejected, accepted_tokens, rejected_tokens, drafts, tokens, kept] = read[..] else {
                panic!("{read:?}")
            };
            assert_eq!((judged, drafts), (accepted + rejected, judged));
            assert_eq!((tokens, kept), (accepted_tokens + rejected_tokens, accepted_tokens));
            readings += 1;
        }
        let last: Vec<u64> = verdicts.counters().unwrap().iter().map(IntCounter::get).collect();
        assert_eq!(last[0], 80_000);
        for judging in judging {
            judging.join().unwrap();
        }
    }
}
