//! What every handler shares.

use std::sync::Arc;

use rsd_protocol::live::Live;
use tokio_util::sync::CancellationToken;

use super::{admission::Admission, auth::ApiKey, log::RequestLog};
use crate::{
    config::LimitsConfig,
    flops::Parameters,
    metrics::{Metrics, Queue},
    pipeline::Rsd,
    policy::Answers,
    prediction::Sizes,
};

/// The names under which models answer.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// RSD's name.
    pub rsd: String,
    /// The target model's own name; RSD too, so that clients of a plain mistral.rs need no change.
    pub target: String,
}

impl Names {
    /// Every name that answers now.
    pub(super) fn all(&self, live: &Live) -> Vec<String> {
        let mut all = vec![self.rsd.clone()];
        let own = [&self.target].into_iter().chain(live.presets.iter().map(|preset| &preset.name)).map(String::as_str);
        for name in own.chain(["draft", "target"]) {
            if !all.iter().any(|known| known == name) {
                all.push(name.to_owned());
            }
        }
        all
    }

    /// Who answers under a name: `None` for no such model, `Some(None)` for whoever the policy says.
    #[allow(clippy::option_option)]
    pub(super) fn answers(&self, name: &str, live: &Live) -> Option<Option<Answers>> {
        match name {
            "draft" => Some(Some(Answers::Draft)),
            "target" => Some(Some(Answers::Target)),
            // mistral.rs answers to "default" whatever its model.
            "default" => Some(None),
            _ if name == self.rsd || name == self.target => Some(None),
            _ if live.presets.iter().any(|preset| preset.name == name) => Some(None),
            _ => None,
        }
    }
}

/// Shared state of the server.
pub struct App {
    pub(super) rsd: Rsd,
    pub(super) names: Names,
    pub(super) limits: LimitsConfig,
    pub(super) admission: Arc<Admission>,
    pub(super) api_key: Option<ApiKey>,
    /// Seed of requests that name none.
    pub(super) seed: Option<u64>,
    /// Where requests and answers are written, if anywhere.
    pub(super) log: Option<RequestLog>,
    /// What is counted, if anything.
    pub(super) metrics: Option<Arc<Metrics>>,
    /// Cancelled when no new request may be taken.
    pub(super) draining: CancellationToken,
    /// Cancelled when running requests must end.
    pub(super) stopping: CancellationToken,
    pub(super) started: u64,
}

impl App {
    /// Serves `rsd` under `model_name` and the target's own name.
    #[must_use]
    pub fn new(rsd: Rsd, model_name: String, target_name: String, limits: LimitsConfig) -> Self {
        let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Self {
            rsd,
            names: Names { rsd: model_name, target: target_name },
            admission: Arc::new(Admission::new(limits.running, limits.waiting)),
            limits,
            api_key: None,
            seed: None,
            log: None,
            metrics: None,
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            started,
        }
    }

    /// Cancelled when no new request is taken any more.
    #[must_use]
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Parameters of the three models, where all are known.
    pub(super) fn sizes(&self) -> Option<Sizes> {
        let Parameters { draft, reward, target } = self.rsd.parameters()?;
        Some(Sizes { draft, reward, target })
    }

    /// Asks every request under `/v1` for this key.
    #[must_use]
    pub fn with_api_key(mut self, key: Option<ApiKey>) -> Self {
        self.api_key = key;
        self
    }

    /// Gives requests without a seed this one.
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

    /// Counts requests in these metrics and answers `/metrics` with them.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Option<Arc<Metrics>>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Requests worked on, and those that wait.
    pub(super) fn queue(&self) -> Queue {
        Queue { running: self.admission.running(), waiting: self.admission.waiting() }
    }
}
