//! The state that the handlers of the OpenAI API share.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rsd_config::{ConnectionLimits, LimitsConfig};
use rsd_core::{pipeline::Rsd, policy::AnswerRoute};
use rsd_protocol::settings::RuntimeSettings;
use tokio_util::sync::CancellationToken;

use crate::{
    admission::Admission,
    auth::ApiKey,
    metrics::{Metrics, QueueDepth},
    request_log::RequestLog,
};

/// The model names that requests may give, besides those of the presets.
#[derive(Debug, Clone)]
pub(crate) struct ModelNames {
    pub rsd: String,
    /// The target's own name. It stands for RSD too, so that clients of a plain mistral.rs need no change.
    pub target: String,
}

/// What decides which models answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamedModel {
    /// The policy, or the preset of this name.
    ByPolicy,
    /// The name itself.
    Fixed(AnswerRoute),
}

impl ModelNames {
    /// Every name that answers under these settings.
    pub fn all(&self, settings: &RuntimeSettings) -> Vec<String> {
        let presets = settings.presets.iter().map(|preset| preset.name.as_str());
        let mut all = vec![self.rsd.clone()];
        for name in [self.target.as_str()].into_iter().chain(presets).chain(["draft", "target"]) {
            if !all.iter().any(|known| known == name) {
                all.push(name.to_owned());
            }
        }
        all
    }

    /// The model of a name; `None` if there is none.
    pub fn find(&self, name: &str, settings: &RuntimeSettings) -> Option<NamedModel> {
        match name {
            "draft" => Some(NamedModel::Fixed(AnswerRoute::Draft)),
            "target" => Some(NamedModel::Fixed(AnswerRoute::Target)),
            // mistral.rs answers to "default", whatever its model is.
            "default" => Some(NamedModel::ByPolicy),
            _ if name == self.rsd || name == self.target => Some(NamedModel::ByPolicy),
            _ if settings.presets.iter().any(|preset| preset.name == name) => Some(NamedModel::ByPolicy),
            _ => None,
        }
    }
}

/// The state that the handlers of the OpenAI API share.
pub struct AppState {
    pub(crate) rsd: Rsd,
    pub(crate) names: ModelNames,
    pub(crate) limits: LimitsConfig,
    pub(crate) admission: Arc<Admission>,
    pub(crate) api_key: Option<ApiKey>,
    /// What clients may hold.
    pub(crate) connection_limits: ConnectionLimits,
    /// Host names under which a server on loopback without a key answers.
    pub(crate) allowed_hosts: Vec<String>,
    /// The seed of requests that have none; random if absent.
    pub(crate) seed: Option<u64>,
    pub(crate) log: Option<RequestLog>,
    pub(crate) metrics: Option<Arc<Metrics>>,
    /// Cancelled when the server accepts no new requests.
    pub(crate) draining: CancellationToken,
    /// Cancelled when running requests must end.
    pub(crate) stopping: CancellationToken,
    /// When the server started, in seconds since 1970.
    pub(crate) started: u64,
}

impl AppState {
    /// Serves `rsd` under `model_name` and under the target's own name.
    #[must_use]
    pub fn new(rsd: Rsd, model_name: String, target_name: String, limits: LimitsConfig) -> Self {
        Self {
            rsd,
            names: ModelNames { rsd: model_name, target: target_name },
            admission: Arc::new(Admission::new(limits.running, limits.waiting)),
            limits,
            api_key: None,
            connection_limits: ConnectionLimits::default(),
            allowed_hosts: Vec::new(),
            seed: None,
            log: None,
            metrics: None,
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            started: now_seconds(),
        }
    }

    /// A token that is cancelled when the server accepts no new requests.
    #[must_use]
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Requires this key for every request under `/v1`.
    #[must_use]
    pub fn with_api_key(mut self, key: Option<ApiKey>) -> Self {
        self.api_key = key;
        self
    }

    /// Bounds connections and bodies.
    #[must_use]
    pub fn with_connection_limits(mut self, limits: ConnectionLimits) -> Self {
        self.connection_limits = limits;
        self
    }

    /// Names that clients may use for this server, besides its address and `localhost`, while it needs no key and
    /// listens on loopback.
    #[must_use]
    pub fn with_allowed_hosts(mut self, hosts: Vec<String>) -> Self {
        self.allowed_hosts = hosts;
        self
    }

    /// Sets the seed of requests that have none.
    #[must_use]
    pub fn with_seed(mut self, seed: Option<u64>) -> Self {
        self.seed = seed;
        self
    }

    /// Writes every request and answer to this log.
    #[must_use]
    pub fn with_log(mut self, log: Option<RequestLog>) -> Self {
        self.log = log;
        self
    }

    /// Counts requests in these metrics and serves them at `/metrics`.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Option<Arc<Metrics>>) -> Self {
        self.metrics = metrics;
        self
    }

    pub(crate) fn queue_depth(&self) -> QueueDepth {
        QueueDepth { running: self.admission.running(), waiting: self.admission.waiting() }
    }
}

/// Seconds since 1970.
pub(crate) fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
