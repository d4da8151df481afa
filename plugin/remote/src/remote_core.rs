//! What all runs of a model on a remote engine share.

use std::{
    fmt::Display,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use parking_lot::Mutex;
use rsd_core::pipeline::{
    price::TokenPrice,
    roles::{Generator, RoleError, RunRequest},
};
use rsd_vocabulary::{ChatTemplate, Vocabulary};

use crate::{adapters::EngineAdapter, sent_prefixes::SentPrefixes, transport::EngineClient};

pub(crate) struct RemoteCore {
    pub role: String,
    /// The name of the model, as the engine knows it.
    pub model: String,
    pub adapter: Box<dyn EngineAdapter>,
    pub client: EngineClient,
    pub vocabulary: Arc<Vocabulary>,
    /// Renders chat messages where the engine does not.
    pub renderer: Option<Arc<dyn Generator>>,
    /// Renders them where neither the engine nor another model does.
    pub template: Result<Option<ChatTemplate>, String>,
    /// Tokens of prompt and answer together.
    pub context: usize,
    pub parameters: Option<u64>,
    pub price: Option<TokenPrice>,
    /// For engines that do not say what their cache held.
    pub sent: Mutex<SentPrefixes>,
}

impl RemoteCore {
    pub fn failed(&self, error: &impl Display) -> RoleError {
        let reason = format!("{}: {error}", self.client.address());
        RoleError::Failed { role: self.role.clone(), reason }
    }

    /// The same for all runs of an answer: a digest of its prompt.
    pub fn session(request: &RunRequest) -> u64 {
        let mut hasher = DefaultHasher::new();
        request.prefix[..request.prefix.len().saturating_sub(request.position)].hash(&mut hasher);
        hasher.finish()
    }
}
