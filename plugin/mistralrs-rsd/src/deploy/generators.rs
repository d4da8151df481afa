//! Draft and target of a deployment: loaded into this process, or reached on a remote engine.

use std::{sync::Arc, time::Duration};

use rsd_config::{PriceConfig, RemoteConfig, RemoteEngine, RemoteHeader, RoleConfig};
use rsd_core::pipeline::roles::Generator;
use rsd_remote::{
    RemoteModel, RemoteSettings,
    adapters::{EngineAdapter, LlamaServerAdapter, OpenAiAdapter, SglangAdapter, VllmAdapter},
    transport::TransportSettings,
};
use rsd_vocabulary::{ChatTemplate, Vocabulary};

use super::{DeployError, load, secret, spec, tokenizer_files::TokenizerFiles};
use crate::engine::{Engine, EngineSpec};

/// A model that generates, before it is loaded or reached.
pub(super) enum GeneratorPlan {
    Local(Box<EngineSpec>),
    Remote { role: Box<RoleConfig>, remote: Box<RemoteConfig> },
}

/// A model that generates.
pub(super) enum LoadedGenerator {
    Local(Engine),
    Remote(RemoteModel),
}

/// The models that run in this process.
#[derive(Default)]
pub(super) struct LocalEngines {
    pub draft: Option<Engine>,
    pub target: Option<Engine>,
}

impl GeneratorPlan {
    /// The plan for a role. A bundled model is fetched first.
    pub(super) async fn of_role(name: &str, role: &RoleConfig) -> Result<Self, DeployError> {
        Ok(match &role.remote {
            Some(remote) => Self::Remote { role: Box::new(role.clone()), remote: Box::new(remote.clone()) },
            None => Self::Local(Box::new(spec(name, role).await?)),
        })
    }

    /// Loads the model, or connects to its engine. A remote engine can use the tokens and the chat template of the
    /// other model, if that runs in this process.
    async fn start(
        self,
        name: &str,
        other: Option<&LoadedGenerator>,
        tokenizers: &mut TokenizerFiles,
    ) -> Result<LoadedGenerator, DeployError> {
        Ok(match self {
            Self::Local(spec) => LoadedGenerator::Local(load(name, *spec).await?),
            Self::Remote { role, remote } => {
                let section = format!("roles.{name}");
                let vocabulary = match &role.tokenizer {
                    Some(path) => tokenizers.read(&section, path)?,
                    None => other.ok_or_else(|| DeployError::NoTokenizer(name.to_owned()))?.tokens(),
                };
                let engine = other.and_then(LoadedGenerator::engine).cloned();
                let renderer = engine.map(|engine| Arc::new(engine) as Arc<dyn Generator>);
                let settings = remote_settings(name, &section, &role, &remote, vocabulary, renderer)?;
                let model = Box::pin(RemoteModel::connect(settings)).await.map_err(Box::new)?;
                tracing::info!(role = name, model = model.name(), context = model.context_length(), "connected");
                LoadedGenerator::Remote(model)
            }
        })
    }
}

/// Starts both models. One in this process comes first, because its tokenizer can serve the other.
pub(super) async fn start_both(
    draft: GeneratorPlan,
    target: GeneratorPlan,
    tokenizers: &mut TokenizerFiles,
) -> Result<(LoadedGenerator, LoadedGenerator), DeployError> {
    if matches!(draft, GeneratorPlan::Remote { .. }) {
        let target = target.start("target", None, tokenizers).await?;
        let draft = draft.start("draft", Some(&target), tokenizers).await?;
        return Ok((draft, target));
    }
    let draft = draft.start("draft", None, tokenizers).await?;
    let target = target.start("target", Some(&draft), tokenizers).await?;
    Ok((draft, target))
}

impl LoadedGenerator {
    pub(super) fn engine(&self) -> Option<&Engine> {
        match self {
            Self::Local(engine) => Some(engine),
            Self::Remote(_) => None,
        }
    }

    fn tokens(&self) -> Arc<Vocabulary> {
        match self {
            Self::Local(engine) => engine.tokens(),
            Self::Remote(model) => model.tokens(),
        }
    }

    pub(super) fn into_generator(self) -> Arc<dyn Generator> {
        match self {
            Self::Local(engine) => Arc::new(engine),
            Self::Remote(model) => Arc::new(model),
        }
    }
}

/// What a client of an engine needs to know of a model, which `section` of the deployment file describes.
pub(super) fn remote_settings(
    name: &str,
    section: &str,
    role: &RoleConfig,
    remote: &RemoteConfig,
    vocabulary: Arc<Vocabulary>,
    renderer: Option<Arc<dyn Generator>>,
) -> Result<RemoteSettings, DeployError> {
    let adapter: Option<Box<dyn EngineAdapter>> = match remote.engine {
        RemoteEngine::Vllm => Some(Box::new(VllmAdapter)),
        RemoteEngine::Sglang => Some(Box::new(SglangAdapter)),
        RemoteEngine::LlamaServer => Some(Box::new(LlamaServerAdapter)),
        RemoteEngine::Openai => Some(Box::new(OpenAiAdapter)),
        RemoteEngine::Auto => None,
    };
    let at = format!("{section}.remote");
    let key = secret(&at, remote.api_key_env.as_deref(), remote.api_key_file.as_deref())?;
    let roots = remote.ca_file.as_deref().map(|path| {
        std::fs::read(path).map_err(|error| DeployError::Secret {
            setting: format!("{at}.ca_file"),
            source_name: path.display().to_string(),
            reason: error.to_string(),
        })
    });
    let headers: Result<Vec<_>, DeployError> = remote.headers.iter().map(|header| header_value(&at, header)).collect();
    let timeouts = &remote.timeouts;
    let transport = TransportSettings {
        urls: remote.urls.clone(),
        key,
        headers: headers?,
        roots: roots.transpose()?,
        max_concurrency: remote.max_concurrency,
        retries: remote.retries,
        connect: Duration::from_millis(timeouts.connect_ms),
        first_event: Duration::from_millis(timeouts.first_token_ms),
        between_events: Duration::from_millis(timeouts.between_tokens_ms),
        reply: Duration::from_millis(timeouts.reply_ms),
        ..TransportSettings::default()
    };
    Ok(RemoteSettings {
        role: name.to_owned(),
        section: section.to_owned(),
        adapter,
        model: remote.model.clone(),
        vocabulary,
        renderer,
        template: role.tokenizer.as_deref().map_or(Ok(None), ChatTemplate::beside),
        context_length: role.context_length,
        parameters: role.parameters,
        price: remote.price.as_ref().and_then(PriceConfig::token_price),
        transport,
    })
}

/// The name of a header, and its value from where the settings say.
fn header_value(at: &str, header: &RemoteHeader) -> Result<(String, String), DeployError> {
    let RemoteHeader { name, value, value_env, value_file } = header;
    let stored = secret(&format!("{at}.headers ({name})"), value_env.as_deref(), value_file.as_deref())?;
    Ok((name.clone(), stored.or_else(|| value.as_deref().map(str::to_owned)).unwrap_or_default()))
}
