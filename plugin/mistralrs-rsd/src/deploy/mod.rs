//! Loads the models of a deployment: draft, reward model and target.

mod generators;
mod remote_reward;
mod reward_plan;
mod tokenizer_files;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rsd_checks::{ArithmeticCheck, PythonCheck, StepCheck};
use rsd_config::{CheckKind, Deployment, ModelFormat, RewardConfig, RoleConfig, StepUnit, StepsConfig};
use rsd_files::read_secret;
use rsd_remote::ConnectError;
use rsd_rewards::CheckedReward;

use crate::{
    engine::{Engine, EngineSpec, LoadError, SpecError},
    reward::{EngineReader, StandalonePrm},
};

use generators::{GeneratorPlan, LocalEngines};
use reward_plan::RewardPlan;
use tokenizer_files::TokenizerFiles;

use rsd_head::{
    exposure::CheckpointError,
    format::{PrmTokenizer, prompt_format},
    gguf,
    models::{self, ModelError},
    prepare::PreparedPrm,
    progress::ProgressReporter,
    state_layout::StateLayout,
    training::TrainingError,
};

use rsd_core::{
    pipeline::{
        PipelineSettings, Rsd,
        observe::NullObserver,
        roles::{RewardModel, RoleError},
        segment::{Segmentation, StepBoundary},
    },
    policy::{PolicyError, PolicyHandle},
};

/// The models of a deployment, loaded and connected.
pub struct LoadedDeployment {
    /// The pipeline that answers requests.
    pub rsd: Rsd,
    /// The engine of the target, for mistral.rs's own routes and for comparisons; `None` if the target is on a remote
    /// engine.
    pub target: Option<Engine>,
}

/// Why a deployment could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A bundled model is not available.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A model could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The checkpoint of the reward model cannot be used.
    #[error("reward.model: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The reward model cannot score steps.
    #[error(transparent)]
    Reward(#[from] RoleError),
    /// The file of the reward head cannot be used.
    #[error("reward.head: {0}")]
    Head(#[from] TrainingError),
    /// The reward head was trained for another draft.
    #[error(
        "reward.head: {} was trained for the draft with sha256 {expected}, but roles.draft has {found}. Name the draft that \
         it was trained for, or train a head for this one (`mistralrs-rsd prm collect`, then `prm train`)",
        path.display()
    )]
    OtherDraft {
        /// The file of the head.
        path: PathBuf,
        /// The SHA-256 of the draft that the head was trained for.
        expected: String,
        /// The SHA-256 of the draft in the deployment.
        found: String,
    },
    /// The hidden states of this kind of draft cannot be exposed.
    #[error(
        "roles.draft: a resident reward needs a draft in one local GGUF file (`bundled`, or `model_id` a folder, \
         `format: gguf` and one `quantized_file`)"
    )]
    NoStates,
    /// The reward model does not score text.
    #[error(
        "reward: a resident head reads the draft's hidden states and cannot score a text; name a deployment with \
         `reward.kind` prm or judge"
    )]
    ReadsStates,
    /// The judge has no model of its own, and the target is on a remote engine.
    #[error(
        "reward: a judge without a model of its own asks the target, which is on a remote engine. Name a `model` for the \
         judge, which can have a `remote`, too, or another reward"
    )]
    JudgeAfar,
    /// A model on a remote engine cannot be used.
    #[error(transparent)]
    Remote(#[from] Box<ConnectError>),
    /// Nothing says which tokens a model on a remote engine has.
    #[error(
        "roles.{0}.tokenizer: both models are on remote engines, so the tokens must come from a file: name the \
         tokenizer.json of the model"
    )]
    NoTokenizer(String),
    /// Nothing says which tokens a reward model on a remote engine has.
    #[error("reward.model.tokenizer: name the tokenizer.json of the model on the remote engine")]
    NoRewardTokenizer,
    /// The format of a reward model on a remote engine is not named.
    #[error("reward.format: name the kind of the model: its files are on a remote engine and cannot show it")]
    NoFormat,
    /// The tokenizer of a model on a remote engine cannot be read.
    #[error("{section}.tokenizer: {}: {reason}", path.display())]
    Tokenizer {
        /// The section of the deployment file.
        section: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A token, a key or a certificate cannot be read.
    #[error("{setting}: {source_name} cannot be read: {reason}")]
    Secret {
        /// The setting that names it.
        setting: String,
        /// The file or variable.
        source_name: String,
        /// Why not.
        reason: String,
    },
    /// A value of the policy is out of range.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The tokens of the draft mean nothing to the target.
    #[error(
        "steps.proposals: draft and target have different vocabularies, so the draft cannot propose tokens to the target. \
         Leave the setting out, or choose a draft with the vocabulary of the target"
    )]
    NoProposals,
    /// Neither the file nor the command line names a target.
    #[error(
        "roles.target: no target model. Name one in the deployment file or on the command line: serve --rsd FILE -m MODEL"
    )]
    NoTarget,
    /// A loading task was stopped.
    #[error("loading was interrupted: {0}")]
    Interrupted(String),
}

/// Loads draft, target and reward model. Bundled models are fetched first. `target` replaces `roles.target`.
///
/// # Errors
/// A model is missing or does not load; the message says what to do.
pub async fn deploy(deployment: &Deployment, target: Option<EngineSpec>) -> Result<LoadedDeployment, DeployError> {
    let policy = PolicyHandle::new(deployment.runtime_settings())?;
    // Everything is fetched and checked before the first model is loaded, so that a mistake shows at once.
    let (draft, reward_plan) = RewardPlan::prepare(deployment).await?;
    let target = match (target, &deployment.roles.target) {
        (Some(spec), _) => GeneratorPlan::Local(Box::new(spec)),
        (None, Some(role)) => GeneratorPlan::of_role("target", role).await?,
        (None, None) => return Err(DeployError::NoTarget),
    };
    let mut tokenizers = TokenizerFiles::default();
    let (draft, target) = Box::pin(generators::start_both(draft, target, &mut tokenizers)).await?;
    let engines = LocalEngines { draft: draft.engine().cloned(), target: target.engine().cloned() };
    let reward = checked(&deployment.reward, Box::pin(reward_plan.load(&engines, &mut tokenizers)).await?);
    let (draft, target) = (draft.into_generator(), target.into_generator());
    if draft.vocabulary() != target.vocabulary() {
        if deployment.steps.proposals > 0 {
            return Err(DeployError::NoProposals);
        }
        tracing::warn!("draft and target have different vocabularies, so text is tokenized again at step boundaries");
    }
    let rsd = Rsd {
        draft,
        target,
        reward,
        policy: Arc::new(policy),
        observer: Arc::new(NullObserver),
        settings: settings(deployment),
    };
    Ok(LoadedDeployment { rsd, target: engines.target })
}

/// Loads the reward model of a deployment and none of its other models. It must score steps by their text.
///
/// # Errors
/// The reward is a head on the draft, or its model does not load.
pub async fn text_reward(deployment: &Deployment) -> Result<Arc<dyn RewardModel>, DeployError> {
    let mut plan = RewardPlan::prepare_text_reward(&deployment.reward.scorer).await?;
    if let RewardPlan::Judge(model @ None) = &mut plan {
        let target = deployment.roles.target.as_ref().ok_or(DeployError::NoTarget)?;
        if target.remote.is_some() {
            return Err(DeployError::JudgeAfar);
        }
        *model = Some(Box::new(spec("target", target).await?));
    }
    Box::pin(plan.load(&LocalEngines::default(), &mut TokenizerFiles::default())).await
}

/// Loads a process reward model that [`rsd_head::prepare::prepare`] has prepared.
///
/// # Errors
/// The model does not load, or its tokenizer is not one of its family.
pub async fn load_prm(published: PreparedPrm, separator: Option<&str>) -> Result<StandalonePrm, DeployError> {
    let PreparedPrm { family, role, head, special_tokens, states } = published;
    let wrong = |source: SpecError| LoadError::Spec { role: "reward".to_owned(), source };
    let spec = EngineSpec { states, ..EngineSpec::from_role(&role).map_err(wrong)? };
    let engine = load("reward", spec).await?;
    tracing::info!(format = family.name(), usual_delta = family.default_delta(), "reward model loaded");
    let tokenizer = PrmTokenizer::new(engine.tokenizer(), special_tokens);
    let format = prompt_format(family, tokenizer, separator)
        .map_err(|error| RoleError::Invalid(format!("reward: {} as {}: {error}", engine.model(), family.name())))?;
    let reader = match format.score_tokens() {
        Some(tokens) => EngineReader::of_tokens(engine, tokens.to_vec()),
        None => EngineReader::of_head(engine, head)?,
    };
    Ok(StandalonePrm::new(Arc::new(reader), family, format))
}

/// The reward with the checks that reject false steps before it.
fn checked(config: &RewardConfig, reward: Arc<dyn RewardModel>) -> Arc<dyn RewardModel> {
    if !config.reject_false {
        return reward;
    }
    let check = |kind: &CheckKind| -> Box<dyn StepCheck> {
        match kind {
            CheckKind::Arithmetic => Box::new(ArithmeticCheck),
            CheckKind::Python => Box::new(PythonCheck),
        }
    };
    Arc::new(CheckedReward::new(reward, config.checks.iter().map(check).collect()))
}

/// A secret from an environment variable or a file, without white space around it.
fn secret(at: &str, variable: Option<&str>, file: Option<&Path>) -> Result<Option<String>, DeployError> {
    let read = match (variable, file) {
        (Some(name), _) => std::env::var(name).map_err(|error| (format!("the variable {name}"), error.to_string())),
        (None, Some(file)) => read_secret(file).map_err(|error| (file.display().to_string(), error.to_string())),
        (None, None) => return Ok(None),
    };
    let text =
        read.map_err(|(source_name, reason)| DeployError::Secret { setting: at.to_owned(), source_name, reason })?;
    Ok(Some(text.trim().to_owned()))
}

fn settings(deployment: &Deployment) -> PipelineSettings {
    PipelineSettings {
        boundary: segmentation(&deployment.steps).boundary,
        reward_timeout: Duration::from_secs(deployment.limits.reward_seconds),
        proposals: deployment.steps.proposals,
    }
}

pub(crate) fn segmentation(steps: &StepsConfig) -> Segmentation {
    let boundary = match steps.unit {
        StepUnit::Delimiter => StepBoundary::Delimiter(steps.delimiters.clone()),
        StepUnit::Sentence => StepBoundary::Sentence,
        StepUnit::Tokens => StepBoundary::Tokens(steps.tokens),
        StepUnit::Token => StepBoundary::Tokens(1),
    };
    Segmentation { boundary, max_tokens: steps.max_tokens }
}

pub(crate) async fn load(role: &str, spec: EngineSpec) -> Result<Engine, LoadError> {
    let began = std::time::Instant::now();
    let engine = Box::pin(Engine::load(role, spec)).await?;
    tracing::info!(role, model = engine.model(), seconds = began.elapsed().as_secs_f32(), "loaded");
    Ok(engine)
}

/// A draft whose hidden states can be read.
pub struct ObservableDraft {
    /// The model to load.
    pub spec: EngineSpec,
    /// The SHA-256 of the GGUF as it was published. A head is trained for this file, requantized or not.
    pub sha256: String,
}

/// Prepares the draft of a deployment so that its hidden states can be read: fetches it and exposes its hidden states,
/// unless that was done before.
///
/// # Errors
/// The files are not available, or are not one local GGUF.
pub async fn observable_draft(role: &RoleConfig) -> Result<ObservableDraft, DeployError> {
    if role.remote.is_some() {
        return Err(DeployError::NoStates);
    }
    let requested = role.clone();
    tokio::task::spawn_blocking(move || {
        let progress = ProgressReporter::on_stderr();
        let bundled = requested.bundled.is_some();
        let (role, source) = local_gguf(requested, &progress)?.ok_or(DeployError::NoStates)?;
        let plain = if role.requantize.unwrap_or(bundled && on_cpu(&role)) {
            gguf::requantized(&source, &progress)?
        } else {
            source.clone()
        };
        let exposed = gguf::expose_states(&plain, &progress)?;
        let sha256 = gguf::source_sha256(&plain).filter(|_| plain != source).unwrap_or(exposed.source_sha256);
        let wrong = |source: SpecError| LoadError::Spec { role: "draft".to_owned(), source };
        let mut spec = EngineSpec::from_role(&role.with_gguf(&exposed.path)).map_err(wrong)?;
        spec.states = StateLayout::Last(exposed.hidden_size);
        Ok(ObservableDraft { spec, sha256 })
    })
    .await
    .map_err(|error| DeployError::Interrupted(error.to_string()))?
}

/// The engine spec of a role. A bundled model is fetched first.
async fn spec(name: &str, role: &RoleConfig) -> Result<EngineSpec, DeployError> {
    let wrong = |source: SpecError| LoadError::Spec { role: name.to_owned(), source };
    let requested = role.clone();
    let resolved = tokio::task::spawn_blocking(move || resolve(requested))
        .await
        .map_err(|error| DeployError::Interrupted(error.to_string()))??;
    Ok(EngineSpec::from_role(&resolved).map_err(wrong)?)
}

fn resolve(role: RoleConfig) -> Result<RoleConfig, ModelError> {
    let progress = ProgressReporter::on_stderr();
    let bundled = role.bundled.is_some();
    let Some((role, path)) = local_gguf(role.clone(), &progress)? else { return Ok(role) };
    // A user's own model is requantized on request only.
    if role.requantize.unwrap_or(bundled && on_cpu(&role)) {
        let path = gguf::requantized(&path, &progress)?;
        return Ok(role.with_gguf(&path));
    }
    Ok(role)
}

/// The role with its file, if that is one GGUF on this machine. A bundled model is fetched first.
fn local_gguf(role: RoleConfig, progress: &ProgressReporter) -> Result<Option<(RoleConfig, PathBuf)>, ModelError> {
    let path = match (&role.bundled, &role.model_id, &role.quantized_file) {
        (Some(name), ..) => models::ensure(name, progress)?,
        (None, Some(folder), Some(file)) if role.format == Some(ModelFormat::Gguf) => Path::new(folder).join(file),
        _ => return Ok(None),
    };
    if !path.is_file() {
        return Ok(None);
    }
    Ok(Some((role.with_gguf(&path), path)))
}

fn on_cpu(role: &RoleConfig) -> bool {
    role.cpu || !cfg!(any(feature = "cuda", feature = "metal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_has_its_boundary() {
        let boundary = |unit| segmentation(&StepsConfig { unit, tokens: 7, ..StepsConfig::default() }).boundary;
        assert_eq!(boundary(StepUnit::Delimiter), StepBoundary::Delimiter(vec!["\n\n".to_owned()]));
        assert_eq!(boundary(StepUnit::Sentence), StepBoundary::Sentence);
        assert_eq!(boundary(StepUnit::Tokens), StepBoundary::Tokens(7));
        assert_eq!(boundary(StepUnit::Token), StepBoundary::Tokens(1));
    }
}
