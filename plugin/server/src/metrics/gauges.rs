//! Gauges of the current state. They are read when the metrics are rendered, not when the state changes.

use std::sync::Arc;

use prometheus::{Gauge, IntCounter, Result};
use rsd_core::{
    pipeline::{
        Rsd,
        roles::{CacheUse, Generator, ModelHealth, RewardModel},
    },
    policy::PolicyHandle,
};
use rsd_protocol::{
    metrics::{CACHE_BYTES, CACHE_FLUSHES, DELTA, MODE, REVISION, ROUTE, RUNNING, TARGET_RATE, UNIT_SECONDS, WAITING},
    preview::UnitCosts,
};

use super::{collector_registry::CollectorRegistry, remote::RemoteMetrics};

/// The number of requests in the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QueueDepth {
    /// Requests that run.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
}

/// Returns the observed seconds per token.
pub(super) type CostSource = dyn Fn() -> UnitCosts + Send + Sync;

/// What the gauges show the state of.
pub(super) struct GaugeSources {
    draft: Arc<dyn Generator>,
    target: Arc<dyn Generator>,
    reward: Arc<dyn RewardModel>,
    policy: Arc<PolicyHandle>,
    pub costs: Box<CostSource>,
}

impl GaugeSources {
    pub fn new(rsd: &Rsd, costs: Box<CostSource>) -> Self {
        Self {
            draft: rsd.draft.clone(),
            target: rsd.target.clone(),
            reward: rsd.reward.clone(),
            policy: rsd.policy.clone(),
            costs,
        }
    }

    /// Whether the engines of draft, reward model and target run.
    pub fn health(&self) -> [ModelHealth; 3] {
        [self.draft.health(), self.reward.health(), self.target.health()]
    }
}

/// The gauges. One whose value is unknown is NaN and is not rendered.
pub(super) struct StateGauges {
    running: Gauge,
    waiting: Gauge,
    delta: Gauge,
    target_rate: Gauge,
    revision: Gauge,
    route: [Gauge; 3],
    mode: [Gauge; 2],
    unit_seconds: [[Gauge; 2]; 3],
    cache_bytes: [Gauge; 3],
    cache_flushes: [IntCounter; 3],
    remote: RemoteMetrics,
    /// Deaths of the engines that are counted already.
    deaths: [u64; 3],
}

impl StateGauges {
    pub fn new(register: &CollectorRegistry<'_>) -> Result<Self> {
        Ok(Self {
            running: register.single(&RUNNING)?,
            waiting: register.single(&WAITING)?,
            delta: register.single(&DELTA)?,
            target_rate: register.single(&TARGET_RATE)?,
            revision: register.single(&REVISION)?,
            route: register.labeled(&ROUTE)?,
            mode: register.labeled(&MODE)?,
            unit_seconds: register.labeled_twice(&UNIT_SECONDS)?,
            cache_bytes: register.labeled(&CACHE_BYTES)?,
            cache_flushes: register.labeled(&CACHE_FLUSHES)?,
            remote: RemoteMetrics::new(register)?,
            deaths: [0; 3],
        })
    }

    /// How often the engine of a role has died since the last call, if it has died `deaths` times in all.
    pub fn new_deaths(&mut self, role: usize, deaths: u64) -> u64 {
        deaths.saturating_sub(std::mem::replace(&mut self.deaths[role], deaths))
    }

    /// Reads the state into the gauges. Only one caller at a time: the flushes are counted elsewhere, and this adds
    /// those since the last call.
    pub fn update(&self, sources: &GaugeSources, queue: QueueDepth) {
        self.running.set(queue.running as f64);
        self.waiting.set(queue.waiting as f64);

        let snapshot = sources.policy.current();
        let policy = &snapshot.settings.policy;
        self.delta.set(sources.policy.active_threshold().delta);
        self.target_rate.set(policy.target_rate);
        self.revision.set(snapshot.revision as f64);
        set_choice(&self.route, policy.route as usize);
        set_choice(&self.mode, policy.mode as usize);

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
        let traffic = [sources.draft.traffic(), sources.reward.traffic(), sources.target.traffic()];
        for (role, traffic) in traffic.iter().enumerate() {
            if let Some(traffic) = traffic {
                self.remote.update(role, traffic);
            }
        }
    }
}

/// Sets one gauge to 1 and the others to 0.
fn set_choice(gauges: &[Gauge], which: usize) {
    for (index, gauge) in gauges.iter().enumerate() {
        gauge.set(f64::from(u8::from(index == which)));
    }
}
