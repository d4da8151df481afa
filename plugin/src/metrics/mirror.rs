//! Gauges of what is true now, read when somebody asks and not before.

use std::sync::Arc;

use prometheus::{Gauge, IntCounter, Result};
use rsd_protocol::{
    metrics::{ANSWERS, CACHE_BYTES, CACHE_FLUSHES, DELTA, GAMMA, MODE, REVISION, RUNNING, UNIT_SECONDS, WAITING},
    preview::UnitCosts,
};

use super::register::Register;
use crate::{
    pipeline::{
        Rsd,
        roles::{CacheUse, Generator, Reward},
    },
    policy::PolicyHandle,
};

/// The server's queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// Requests worked on.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
}

/// Tells the observed seconds per token.
pub type Costs = dyn Fn() -> UnitCosts + Send + Sync;

/// Where the truth is.
pub(super) struct Sources {
    draft: Arc<dyn Generator>,
    target: Arc<dyn Generator>,
    reward: Arc<dyn Reward>,
    policy: Arc<PolicyHandle>,
    pub costs: Box<Costs>,
}

impl Sources {
    pub fn new(rsd: &Rsd, costs: Box<Costs>) -> Self {
        Self {
            draft: rsd.draft.clone(),
            target: rsd.target.clone(),
            reward: rsd.reward.clone(),
            policy: rsd.policy.clone(),
            costs,
        }
    }
}

/// The gauges. One without a value is not a number and is left out of the answer.
pub(super) struct Mirror {
    running: Gauge,
    waiting: Gauge,
    delta: Gauge,
    gamma: Gauge,
    revision: Gauge,
    answers: [Gauge; 3],
    mode: [Gauge; 2],
    unit_seconds: [[Gauge; 2]; 3],
    cache_bytes: [Gauge; 3],
    cache_flushes: [IntCounter; 3],
}

impl Mirror {
    pub fn new(register: &Register<'_>) -> Result<Self> {
        Ok(Self {
            running: register.one(&RUNNING)?,
            waiting: register.one(&WAITING)?,
            delta: register.one(&DELTA)?,
            gamma: register.one(&GAMMA)?,
            revision: register.one(&REVISION)?,
            answers: register.by(&ANSWERS)?,
            mode: register.by(&MODE)?,
            unit_seconds: register.by_two(&UNIT_SECONDS)?,
            cache_bytes: register.by(&CACHE_BYTES)?,
            cache_flushes: register.by(&CACHE_FLUSHES)?,
        })
    }

    /// Reads everything. One reader at a time: the flushes are counted elsewhere and only brought up to date here.
    pub fn read(&self, sources: &Sources, queue: Queue) {
        self.running.set(queue.running as f64);
        self.waiting.set(queue.waiting as f64);

        let snapshot = sources.policy.current();
        let policy = &snapshot.live.policy;
        self.delta.set(sources.policy.in_force().delta);
        self.gamma.set(policy.gamma);
        self.revision.set(snapshot.revision as f64);
        mark(&self.answers, policy.answers as usize);
        mark(&self.mode, policy.mode as usize);

        let costs = (sources.costs)();
        let seconds = [
            [costs.draft_prefill, costs.draft_decode],
            [costs.reward_step, None],
            [costs.target_prefill, costs.target_decode],
        ];
        for (gauge, seconds) in self.unit_seconds.iter().flatten().zip(seconds.into_iter().flatten()) {
            gauge.set(seconds.unwrap_or(f64::NAN));
        }

        let caches: [CacheUse; 3] = [sources.draft.cache(), sources.reward.cache(), sources.target.cache()];
        for ((bytes, flushes), cache) in self.cache_bytes.iter().zip(&self.cache_flushes).zip(caches) {
            bytes.set(cache.bytes.map_or(f64::NAN, |bytes| bytes as f64));
            flushes.inc_by(cache.flushes.saturating_sub(flushes.get()));
        }
    }
}

fn mark(gauges: &[Gauge], which: usize) {
    for (index, gauge) in gauges.iter().enumerate() {
        gauge.set(f64::from(u8::from(index == which)));
    }
}
