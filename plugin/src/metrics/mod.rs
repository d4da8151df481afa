//! The metrics, for Prometheus: every name of `rsd_protocol::metrics`, and no other.
//!
//! Counting is an atomic addition on the task of the request that has something to tell; what is true *now* (queue,
//! policy, caches, speeds) is read when somebody asks. An answer takes no lock that a token waits for.
//!
//! | who tells | what |
//! |---|---|
//! | the loop, through [`Observer`](crate::pipeline::observe::Observer) | steps, tokens, rewards, seconds, failures, FLOPs |
//! | the server, through [`Requests`] | outcomes and latencies |
//! | the operator's side, through [`Metrics::heard`] | changes of the policy |

#[cfg(test)]
mod documents;
mod estimate;
mod mirror;
mod observer;
mod register;
mod requests;
#[cfg(test)]
mod tests;
mod verdicts;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use prometheus::{Counter, Gauge, Histogram, IntCounter, Registry, TextEncoder};
use rsd_protocol::{event as operator, live::Cause, metrics as names, preview::UnitCosts};

pub use mirror::{Costs, Queue};
pub use requests::{Outcome, Requests};

use self::{
    mirror::{Mirror, Sources},
    register::Register,
    verdicts::{Collected, Verdicts},
};
use crate::{flops::Parameters, pipeline::Rsd};

/// Media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
#[error("the metrics could not be set up: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// All metrics of a server.
pub struct Metrics {
    registry: Registry,
    sources: Sources,
    parameters: Option<Parameters>,
    /// Requests as their clients see them.
    pub requests: Requests,
    verdicts: Arc<Verdicts>,
    reward: Histogram,
    wasted: IntCounter,
    target_tokens: IntCounter,
    emitted: [IntCounter; 2],
    model_seconds: [[Counter; 2]; 3],
    prefilled: [IntCounter; 3],
    cached: [IntCounter; 3],
    generated: [IntCounter; 2],
    flops: [[Counter; 3]; 3],
    target_only_flops: [Counter; 3],
    rsd_seconds: Counter,
    target_only_seconds: Counter,
    fallbacks: [IntCounter; 5],
    fallback_active: Gauge,
    failures: [IntCounter; 3],
    up: [Gauge; 3],
    policy_changes: [IntCounter; 4],
    reload_refused: Gauge,
    admin_attempts: [IntCounter; 2],
    /// Held by whoever renders.
    mirror: Mutex<Mirror>,
}

impl Metrics {
    /// Metrics of a pipeline; `costs` tells the observed seconds per token and must not wait for a model.
    ///
    /// # Errors
    /// The list of metrics contradicts itself, which its tests rule out.
    pub fn new(rsd: &Rsd, costs: impl Fn() -> UnitCosts + Send + Sync + 'static) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let register = Register(&registry);
        let verdicts = Arc::new(Verdicts::new()?);
        registry.register(Box::new(Collected(verdicts.clone())))?;
        let metrics = Self {
            sources: Sources::new(rsd, Box::new(costs)),
            parameters: rsd.parameters(),
            requests: Requests::new(&register)?,
            verdicts,
            reward: register.one(&names::REWARD)?,
            wasted: register.one(&names::WASTED_TOKENS)?,
            target_tokens: register.one(&names::TARGET_TOKENS)?,
            emitted: register.by(&names::EMITTED_TOKENS)?,
            model_seconds: register.by_two(&names::MODEL_SECONDS)?,
            prefilled: register.by(&names::PREFILLED_TOKENS)?,
            cached: register.by(&names::CACHED_TOKENS)?,
            generated: register.by(&names::GENERATED_TOKENS)?,
            flops: register.by_two(&names::FLOPS)?,
            target_only_flops: register.by(&names::TARGET_ONLY_FLOPS)?,
            rsd_seconds: register.one(&names::RSD_SECONDS)?,
            target_only_seconds: register.one(&names::TARGET_ONLY_SECONDS)?,
            fallbacks: register.by(&names::FALLBACKS_TOTAL)?,
            fallback_active: register.one(&names::FALLBACK_ACTIVE)?,
            failures: register.by(&names::MODEL_FAILURES)?,
            up: register.by(&names::MODEL_UP)?,
            policy_changes: register.by(&names::POLICY_CHANGES)?,
            reload_refused: register.one(&names::RELOAD_REFUSED)?,
            admin_attempts: register.by(&names::ADMIN_ATTEMPTS)?,
            mirror: Mutex::new(Mirror::new(&register)?),
            registry: registry.clone(),
        };
        for up in &metrics.up {
            up.set(1.0);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
        register.one::<Gauge>(&names::START_TIME)?.set(now);
        register.with::<Gauge>(&names::BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))])?.set(1.0);
        Ok(metrics)
    }

    /// Everything, in Prometheus' text format.
    ///
    /// # Errors
    /// The registry cannot be written as text.
    pub fn render(&self, queue: Queue) -> Result<String, MetricsError> {
        let mirror = self.mirror.lock();
        mirror.read(&self.sources, queue);
        let mut families = self.registry.gather();
        drop(mirror);
        for family in &mut families {
            // What is not known is left out, which is what Prometheus takes for unknown.
            family.mut_metric().retain(|metric| !metric.get_gauge().get_value().is_nan());
        }
        families.retain(|family| !family.get_metric().is_empty());
        Ok(TextEncoder::new().encode_to_string(&families)?)
    }

    /// Something happened on the operator's side.
    pub fn heard(&self, event: &operator::Event) {
        match event {
            operator::Event::Policy(revision) => self.policy_changed(revision.cause),
            operator::Event::Reload(report) => self.reloaded(report.refused),
            operator::Event::Attempt(attempt) => self.admin_attempt(attempt.status >= 400),
            operator::Event::Hello { .. } | operator::Event::Lost { .. } => {}
        }
    }

    /// The policy was changed. The server's start is no change.
    pub fn policy_changed(&self, cause: Cause) {
        let [patch, rollback, expiry, reload] = &self.policy_changes;
        match cause {
            Cause::Start => {}
            Cause::Patch => patch.inc(),
            Cause::Rollback { .. } => rollback.inc(),
            Cause::Expiry { .. } => expiry.inc(),
            Cause::Reload => reload.inc(),
        }
    }

    /// The deployment file was read again, and refused or not.
    pub fn reloaded(&self, refused: bool) {
        self.reload_refused.set(f64::from(u8::from(refused)));
    }

    /// Somebody tried to change something over the admin API, or was denied anything.
    pub fn admin_attempt(&self, denied: bool) {
        self.admin_attempts[usize::from(denied)].inc();
    }
}
