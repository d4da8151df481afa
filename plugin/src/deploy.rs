//! From a deployment file to three loaded roles.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    config::{Deployment, Format, RewardConfig, RoleConfig, StepsConfig, Unit},
    engine::{Engine, EngineSpec, LoadError, SpecError},
    models::{self, ModelError},
    pipeline::{
        Rsd, Settings,
        roles::{Generator, Reward, RoleError},
        segment::{Boundary, Segmentation},
    },
    policy::{PolicyError, PolicyHandle},
    reward::{self, Judge, Published, SeparatePrm, graft::GraftError},
};

/// A deployment, loaded.
pub struct Deployed {
    /// The pipeline.
    pub rsd: Rsd,
    /// The target's engine.
    pub target: Engine,
}

/// Why a deployment could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A bundled model is not to be had.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A model could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The reward model's checkpoint cannot be used.
    #[error("reward.model: {0}")]
    Graft(#[from] GraftError),
    /// The reward model cannot do its work.
    #[error(transparent)]
    Reward(#[from] RoleError),
    /// The policy is out of range.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Neither the file nor the command line names a target.
    #[error(
        "roles.target: no target model. Name one in the deployment file, or on the line: serve --rsd FILE -m MODEL"
    )]
    NoTarget,
    /// A task of ours was stopped.
    #[error("loading was interrupted: {0}")]
    Interrupted(String),
}

/// Loads draft, target and reward model, fetching bundled models first. `target` replaces the file's.
///
/// # Errors
/// What is missing or does not load, and what to do.
pub async fn deploy(deployment: &Deployment, target: Option<EngineSpec>) -> Result<Deployed, DeployError> {
    let policy = PolicyHandle::new(deployment.policy)?;
    // Everything is fetched before anything is loaded: a missing file shows before minutes have gone by.
    let draft = spec("draft", &deployment.roles.draft).await?;
    let target = match (target, &deployment.roles.target) {
        (Some(spec), _) => spec,
        (None, Some(role)) => spec("target", role).await?,
        (None, None) => return Err(DeployError::NoTarget),
    };
    let reward = Verdicts::prepare(&deployment.reward).await?;
    let draft = load("draft", draft).await?;
    let target = load("target", target).await?;
    let reward = Box::pin(reward.load(&target)).await?;
    if draft.vocabulary() != target.vocabulary() {
        tracing::warn!("draft and target have different vocabularies: text is tokenised anew at step boundaries");
    }
    let rsd = Rsd {
        draft: Arc::new(draft),
        target: Arc::new(target.clone()),
        reward,
        policy: Arc::new(policy),
        settings: settings(deployment),
    };
    Ok(Deployed { rsd, target })
}

/// A reward model whose files are there.
enum Verdicts {
    Judge(Option<EngineSpec>),
    Prm { published: Published, separator: Option<String> },
}

impl Verdicts {
    async fn prepare(config: &RewardConfig) -> Result<Self, DeployError> {
        match config {
            RewardConfig::Judge { model: None } => Ok(Self::Judge(None)),
            RewardConfig::Judge { model: Some(role) } => Ok(Self::Judge(Some(spec("reward", role).await?))),
            RewardConfig::Prm { model, format, separator } => {
                let (role, wanted) = ((**model).clone(), format.family());
                let prepared = tokio::task::spawn_blocking(move || -> Result<_, DeployError> {
                    let (cache, progress) = (models::cache_dir()?, models::on_stderr());
                    Ok(reward::prepare(&resolve(role)?, wanted, &cache, progress.as_ref())?)
                });
                let published = prepared.await.map_err(|error| DeployError::Interrupted(error.to_string()))??;
                Ok(Self::Prm { published, separator: separator.clone() })
            }
        }
    }

    async fn load(self, target: &Engine) -> Result<Arc<dyn Reward>, DeployError> {
        Ok(match self {
            Self::Judge(None) => Arc::new(Judge::new(target.clone())?),
            Self::Judge(Some(spec)) => Arc::new(Judge::new(load("reward", spec).await?)?),
            Self::Prm { published, separator } => Arc::new(load_prm(published, separator.as_deref()).await?),
        })
    }
}

/// Loads a process reward model that [`reward::prepare`] made ready.
///
/// # Errors
/// It does not load, or its tokenizer is not its family's.
pub async fn load_prm(published: Published, separator: Option<&str>) -> Result<SeparatePrm, DeployError> {
    let Published { family, role, head, specials } = published;
    let wrong = |source: SpecError| LoadError::Spec { role: "reward".to_owned(), source };
    let engine = load("reward", EngineSpec::from_role(&role).map_err(wrong)?).await?;
    tracing::info!(format = family.name(), usual_delta = family.default_delta(), "reward model");
    Ok(SeparatePrm::new(engine, family, specials, head, separator)?)
}

fn settings(deployment: &Deployment) -> Settings {
    Settings {
        segmentation: segmentation(&deployment.steps),
        lookahead: deployment.steps.lookahead,
        max_steps: deployment.limits.max_steps,
        reward_timeout: Duration::from_secs(deployment.limits.reward_seconds),
    }
}

fn segmentation(steps: &StepsConfig) -> Segmentation {
    let boundary = match steps.unit {
        Unit::Delimiter => Boundary::Delimiter(steps.delimiters.clone()),
        Unit::Sentence => Boundary::Sentence,
        Unit::Tokens => Boundary::Tokens(steps.tokens),
        Unit::Token => Boundary::Tokens(1),
    };
    Segmentation { boundary, max_tokens: steps.max_tokens }
}

async fn load(role: &str, spec: EngineSpec) -> Result<Engine, LoadError> {
    let began = std::time::Instant::now();
    let engine = Engine::load(role, spec).await?;
    tracing::info!(role, model = engine.model(), seconds = began.elapsed().as_secs_f32(), "loaded");
    Ok(engine)
}

/// Files of a bundled model, or the role as it is.
async fn spec(name: &str, role: &RoleConfig) -> Result<EngineSpec, DeployError> {
    let wrong = |source: SpecError| LoadError::Spec { role: name.to_owned(), source };
    let requested = role.clone();
    let resolved = tokio::task::spawn_blocking(move || resolve(requested))
        .await
        .map_err(|error| DeployError::Interrupted(error.to_string()))??;
    Ok(EngineSpec::from_role(&resolved).map_err(wrong)?)
}

fn resolve(role: RoleConfig) -> Result<RoleConfig, ModelError> {
    let progress = models::on_stderr();
    let on_cpu = role.cpu || !cfg!(any(feature = "cuda", feature = "metal"));
    if let Some(name) = &role.bundled {
        let mut path = models::ensure(name, progress.as_ref())?;
        if role.requantize.unwrap_or(on_cpu) {
            path = models::requantized(&path, progress.as_ref())?;
        }
        return Ok(with_file(role, &path));
    }
    match (role.requantize, &role.model_id, &role.quantized_file) {
        (Some(true), Some(folder), Some(file)) if role.format == Some(Format::Gguf) => {
            let path = models::requantized(&Path::new(folder).join(file), progress.as_ref())?;
            Ok(with_file(role, &path))
        }
        _ => Ok(role),
    }
}

fn with_file(role: RoleConfig, path: &Path) -> RoleConfig {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    RoleConfig {
        model_id: text(path.parent().map(Path::as_os_str)),
        quantized_file: text(path.file_name()),
        format: Some(Format::Gguf),
        ..role
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_has_its_boundary() {
        let of = |unit| segmentation(&StepsConfig { unit, tokens: 7, ..StepsConfig::default() }).boundary;
        assert_eq!(of(Unit::Delimiter), Boundary::Delimiter(vec!["\n\n".to_owned()]));
        assert_eq!(of(Unit::Sentence), Boundary::Sentence);
        assert_eq!(of(Unit::Tokens), Boundary::Tokens(7));
        assert_eq!(of(Unit::Token), Boundary::Tokens(1));
    }

    #[test]
    fn a_file_becomes_folder_and_name() {
        let role = with_file(RoleConfig { cpu: true, ..RoleConfig::default() }, Path::new("/a/b.gguf"));
        assert_eq!(role.model_id.as_deref(), Some("/a"));
        assert_eq!(role.quantized_file.as_deref(), Some("b.gguf"));
        assert!(role.cpu);
    }
}
