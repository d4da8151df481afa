//! The metrics for Prometheus: every metric of `rsd_protocol::metrics`, and no other.
//!
//! Recording is an atomic addition and never takes a lock on the decode path. The current state (queue, policy, caches,
//! speeds) is read when the metrics are rendered.
//!
//! | source | metrics |
//! |---|---|
//! | the RSD loop, through [`PipelineObserver`](rsd_core::pipeline::observe::PipelineObserver) | steps, tokens, rewards, seconds, failures, FLOPs |
//! | the OpenAI API, through `RequestMetrics` | outcomes and latencies of requests |
//! | the admin API, through [`Metrics::record_admin_event`] | changes of the policy, attempts |

mod collector_registry;
mod decisions;
#[cfg(test)]
mod documents;
mod gauges;
mod money;
mod observer;
mod remote;
mod requests;
mod target_only;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use prometheus::{Counter, Gauge, Histogram, IntCounter, Registry, TextEncoder};
use rsd_core::pipeline::{Rsd, flops::ModelParameters};
use rsd_protocol::{event::AdminEvent, metrics as names, preview::UnitCosts, settings::RevisionCause};

pub(crate) use gauges::QueueDepth;
pub(crate) use requests::{RequestMetrics, RequestOutcome};

use self::{
    collector_registry::CollectorRegistry,
    decisions::{DecisionCollector, DecisionCounts},
    gauges::{GaugeSources, StateGauges},
    money::MoneyMetrics,
};

/// Media type of [`Metrics::render`].
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Why metrics could not be set up or rendered.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up or render the metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// All metrics of a server.
pub struct Metrics {
    registry: Registry,
    sources: GaugeSources,
    parameters: Option<ModelParameters>,
    pub(crate) requests: RequestMetrics,
    decisions: Arc<DecisionCounts>,
    reward: Histogram,
    discarded: IntCounter,
    target_tokens: IntCounter,
    emitted: [IntCounter; 2],
    model_seconds: [[Counter; 2]; 3],
    prefilled: [IntCounter; 3],
    cached: [IntCounter; 3],
    generated: [IntCounter; 2],
    flops: [[Counter; 3]; 3],
    target_only_flops: [Counter; 3],
    /// `None` where no model has a price.
    money: Option<MoneyMetrics>,
    rsd_seconds: Counter,
    target_only_seconds: Counter,
    fallbacks: [IntCounter; 7],
    handovers: [IntCounter; 4],
    explored: IntCounter,
    proposed: [IntCounter; 2],
    false_steps: IntCounter,
    fallback_active: Gauge,
    failures: [IntCounter; 3],
    up: [Gauge; 3],
    /// Whether the last call of a model failed.
    failed: [AtomicBool; 3],
    policy_changes: [IntCounter; 4],
    reload_failed: Gauge,
    admin_attempts: [IntCounter; 2],
    /// Locked while the metrics are rendered.
    gauges: Mutex<StateGauges>,
}

impl Metrics {
    /// Metrics of a pipeline. `costs` returns the observed seconds per token and must not wait for a model.
    ///
    /// # Errors
    /// The list of metrics is inconsistent, which its tests rule out.
    pub fn new(rsd: &Rsd, costs: impl Fn() -> UnitCosts + Send + Sync + 'static) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let register = CollectorRegistry(&registry);
        let decisions = Arc::new(DecisionCounts::new()?);
        registry.register(Box::new(DecisionCollector(decisions.clone())))?;
        let metrics = Self {
            sources: GaugeSources::new(rsd, Box::new(costs)),
            parameters: rsd.parameters(),
            requests: RequestMetrics::new(&register)?,
            decisions,
            reward: register.single(&names::REWARD)?,
            discarded: register.single(&names::DISCARDED_TOKENS)?,
            target_tokens: register.single(&names::TARGET_TOKENS)?,
            emitted: register.labeled(&names::EMITTED_TOKENS)?,
            model_seconds: register.labeled_twice(&names::MODEL_SECONDS)?,
            prefilled: register.labeled(&names::PREFILLED_TOKENS)?,
            cached: register.labeled(&names::CACHED_TOKENS)?,
            generated: register.labeled(&names::GENERATED_TOKENS)?,
            flops: register.labeled_twice(&names::FLOPS)?,
            target_only_flops: register.labeled(&names::TARGET_ONLY_FLOPS)?,
            money: rsd.prices().map(|prices| MoneyMetrics::new(&register, prices)).transpose()?,
            rsd_seconds: register.single(&names::RSD_SECONDS)?,
            target_only_seconds: register.single(&names::TARGET_ONLY_SECONDS)?,
            fallbacks: register.labeled(&names::FALLBACKS_TOTAL)?,
            handovers: register.labeled(&names::HANDOVERS_TOTAL)?,
            explored: register.single(&names::EXPLORED)?,
            proposed: register.labeled(&names::PROPOSED_TOKENS)?,
            false_steps: register.single(&names::FALSE_STEPS)?,
            fallback_active: register.single(&names::FALLBACK_ACTIVE)?,
            failures: register.labeled(&names::MODEL_FAILURES)?,
            up: register.labeled(&names::MODEL_UP)?,
            failed: Default::default(),
            policy_changes: register.labeled(&names::POLICY_CHANGES)?,
            reload_failed: register.single(&names::RELOAD_FAILED)?,
            admin_attempts: register.labeled(&names::ADMIN_ATTEMPTS)?,
            gauges: Mutex::new(StateGauges::new(&register)?),
            registry: registry.clone(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
        register.single::<Gauge>(&names::START_TIME)?.set(now);
        register.with_labels::<Gauge>(&names::BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))])?.set(1.0);
        Ok(metrics)
    }

    /// All metrics in the text format of Prometheus.
    pub(crate) fn render(&self, queue: QueueDepth) -> Result<String, MetricsError> {
        let mut gauges = self.gauges.lock();
        gauges.update(&self.sources, queue);
        for (role, health) in self.sources.health().into_iter().enumerate() {
            self.failures[role].inc_by(gauges.new_deaths(role, health.deaths));
            let up = health.running && !self.failed[role].load(Ordering::Relaxed);
            self.up[role].set(f64::from(u8::from(up)));
        }
        let mut families = self.registry.gather();
        drop(gauges);
        for family in &mut families {
            // A missing sample is how Prometheus represents an unknown value.
            family.mut_metric().retain(|metric| !metric.get_gauge().get_value().is_nan());
        }
        families.retain(|family| !family.get_metric().is_empty());
        Ok(TextEncoder::new().encode_to_string(&families)?)
    }

    /// Counts an event of the admin API.
    pub fn record_admin_event(&self, event: &AdminEvent) {
        match event {
            AdminEvent::Policy(revision) => self.record_policy_change(revision.cause),
            AdminEvent::Reload(report) => self.reload_failed.set(f64::from(u8::from(report.failed))),
            AdminEvent::Attempt(attempt) => self.record_admin_attempt(attempt.status >= 400),
            AdminEvent::Hello { .. } | AdminEvent::Lost { .. } => {}
        }
    }

    fn record_policy_change(&self, cause: RevisionCause) {
        let [patch, rollback, expiry, reload] = &self.policy_changes;
        match cause {
            // The start of the server changes nothing.
            RevisionCause::Start => {}
            RevisionCause::Patch => patch.inc(),
            RevisionCause::Rollback { .. } => rollback.inc(),
            RevisionCause::Expiry { .. } => expiry.inc(),
            RevisionCause::Reload => reload.inc(),
        }
    }

    fn record_admin_attempt(&self, denied: bool) {
        self.admin_attempts[usize::from(denied)].inc();
    }
}
