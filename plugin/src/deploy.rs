//! From a deployment file to three loaded roles.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    config::{Deployment, Format, RewardConfig, RoleConfig, StepsConfig, Unit},
    engine::{Engine, EngineSpec, LoadError, SpecError, States},
    models::{self, ModelError, Progress},
    pipeline::{
        Rsd, Settings,
        observe::Unobserved,
        roles::{Generator, Reward, RoleError},
        segment::{Boundary, Segmentation},
    },
    policy::{PolicyError, PolicyHandle},
    reward::{
        self, Head, Judge, Published, Resident, SeparatePrm,
        graft::{self, GraftError},
        training::TrainingError,
    },
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
    /// The reward head cannot be used.
    #[error("reward.head: {0}")]
    Head(#[from] TrainingError),
    /// The reward head was trained for another draft.
    #[error(
        "reward.head: {} was trained for the draft with sha256 {expected}; roles.draft is {found}. Name the draft it \
         was trained for, or train a head for this one (`mistralrs-rsd prm collect`, then `prm train`)",
        path.display()
    )]
    OtherDraft {
        /// The head.
        path: PathBuf,
        /// Its draft.
        expected: String,
        /// The deployment's.
        found: String,
    },
    /// The draft is of a kind whose states cannot be seen.
    #[error(
        "roles.draft: a resident reward needs a draft in one local GGUF file (`bundled`, or `model_id` a folder, \
         `format: gguf` and one `quantized_file`)"
    )]
    NoStates,
    /// The reward is no model that judges text.
    #[error(
        "reward: a resident head reads the draft's own states and has no opinion of a text; name a deployment with \
         `reward.kind` prm or judge"
    )]
    ReadsStates,
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
    let policy = PolicyHandle::new(deployment.live())?;
    // Everything is fetched and checked before anything is loaded: a mistake shows before minutes have gone by.
    let (draft, verdicts) = Verdicts::prepare(deployment).await?;
    let target = match (target, &deployment.roles.target) {
        (Some(spec), _) => spec,
        (None, Some(role)) => spec("target", role).await?,
        (None, None) => return Err(DeployError::NoTarget),
    };
    let draft = load("draft", draft).await?;
    let target = load("target", target).await?;
    let reward = Box::pin(verdicts.load(Some(&target))).await?;
    if draft.vocabulary() != target.vocabulary() {
        tracing::warn!("draft and target have different vocabularies: text is tokenised anew at step boundaries");
    }
    let rsd = Rsd {
        draft: Arc::new(draft),
        target: Arc::new(target.clone()),
        reward,
        policy: Arc::new(policy),
        observer: Arc::new(Unobserved),
        settings: settings(deployment),
    };
    Ok(Deployed { rsd, target })
}

/// How steps will be judged: files there and checked, nothing loaded.
enum Verdicts {
    Judge(Option<Box<EngineSpec>>),
    Prm { published: Box<Published>, separator: Option<String> },
    Resident(Head),
}

impl Verdicts {
    /// What judges by the text alone.
    async fn of_text(reward: &RewardConfig) -> Result<Self, DeployError> {
        Ok(match reward {
            RewardConfig::Judge { model: None } => Self::Judge(None),
            RewardConfig::Judge { model: Some(judge) } => Self::Judge(Some(Box::new(spec("reward", judge).await?))),
            RewardConfig::Resident { .. } => return Err(DeployError::ReadsStates),
            RewardConfig::Prm { model, head, format, separator } => {
                let (role, wanted, head) = ((**model).clone(), format.family(), head.clone());
                let prepared = tokio::task::spawn_blocking(move || -> Result<_, DeployError> {
                    let (cache, progress) = (models::cache_dir()?, models::on_stderr());
                    Ok(reward::prepare(&resolve(role)?, wanted, head.as_deref(), &cache, progress.as_ref())?)
                });
                let published = prepared.await.map_err(|error| DeployError::Interrupted(error.to_string()))??;
                Self::Prm { published: Box::new(published), separator: separator.clone() }
            }
        })
    }

    /// The draft, and what judges it.
    async fn prepare(deployment: &Deployment) -> Result<(EngineSpec, Self), DeployError> {
        let role = &deployment.roles.draft;
        Ok(match &deployment.reward {
            RewardConfig::Resident { head: path } => {
                let head = Head::load(path)?;
                let Observed { spec, sha256 } = observed_draft(role).await?;
                if head.draft() != sha256 {
                    let expected = head.draft().to_owned();
                    return Err(DeployError::OtherDraft { path: path.clone(), expected, found: sha256 });
                }
                head.check_width(path, spec.states.width())?;
                (spec, Self::Resident(head))
            }
            reward => (spec("draft", role).await?, Self::of_text(reward).await?),
        })
    }

    async fn load(self, target: Option<&Engine>) -> Result<Arc<dyn Reward>, DeployError> {
        Ok(match self {
            Self::Judge(None) => Arc::new(Judge::new(target.ok_or(DeployError::NoTarget)?.clone())?),
            Self::Judge(Some(spec)) => Arc::new(Judge::new(load("reward", *spec).await?)?),
            Self::Prm { published, separator } => Arc::new(load_prm(*published, separator.as_deref()).await?),
            Self::Resident(head) => Arc::new(Resident::new(head)),
        })
    }
}

/// Loads what judges a deployment's steps by their text, and nothing else of it.
///
/// # Errors
/// The reward is a head in the draft, or its model does not load.
pub async fn text_reward(deployment: &Deployment) -> Result<Arc<dyn Reward>, DeployError> {
    let mut verdicts = Verdicts::of_text(&deployment.reward).await?;
    if let Verdicts::Judge(model @ None) = &mut verdicts {
        let target = deployment.roles.target.as_ref().ok_or(DeployError::NoTarget)?;
        *model = Some(Box::new(spec("target", target).await?));
    }
    Box::pin(verdicts.load(None)).await
}

/// Loads a process reward model that [`reward::prepare`] made ready.
///
/// # Errors
/// It does not load, or its tokenizer is not its family's.
pub async fn load_prm(published: Published, separator: Option<&str>) -> Result<SeparatePrm, DeployError> {
    let Published { family, role, head, specials, states } = published;
    let wrong = |source: SpecError| LoadError::Spec { role: "reward".to_owned(), source };
    let spec = EngineSpec { states, ..EngineSpec::from_role(&role).map_err(wrong)? };
    let engine = load("reward", spec).await?;
    tracing::info!(format = family.name(), usual_delta = family.default_delta(), "reward model");
    Ok(SeparatePrm::new(engine, family, specials, head, separator)?)
}

fn settings(deployment: &Deployment) -> Settings {
    Settings {
        boundary: segmentation(&deployment.steps).boundary,
        reward_timeout: Duration::from_secs(deployment.limits.reward_seconds),
    }
}

pub(crate) fn segmentation(steps: &StepsConfig) -> Segmentation {
    let boundary = match steps.unit {
        Unit::Delimiter => Boundary::Delimiter(steps.delimiters.clone()),
        Unit::Sentence => Boundary::Sentence,
        Unit::Tokens => Boundary::Tokens(steps.tokens),
        Unit::Token => Boundary::Tokens(1),
    };
    Segmentation { boundary, max_tokens: steps.max_tokens }
}

pub(crate) async fn load(role: &str, spec: EngineSpec) -> Result<Engine, LoadError> {
    let began = std::time::Instant::now();
    let engine = Engine::load(role, spec).await?;
    tracing::info!(role, model = engine.model(), seconds = began.elapsed().as_secs_f32(), "loaded");
    Ok(engine)
}

/// A draft whose states can be seen, and which draft it is.
pub struct Observed {
    /// What to load.
    pub spec: EngineSpec,
    /// sha256 of the GGUF as it was published: what a head is trained for, requantised or not.
    pub sha256: String,
}

/// The draft of a deployment with its states to be seen, fetched and grafted where that is still to be done.
///
/// # Errors
/// Its files cannot be had, or are not one local GGUF.
pub async fn observed_draft(role: &RoleConfig) -> Result<Observed, DeployError> {
    let requested = role.clone();
    tokio::task::spawn_blocking(move || {
        let progress = models::on_stderr();
        let bundled = requested.bundled.is_some();
        let (role, source) = local_gguf(requested, progress.as_ref())?.ok_or(DeployError::NoStates)?;
        let plain = if role.requantize.unwrap_or(bundled && on_cpu(&role)) {
            models::requantized(&source, progress.as_ref())?
        } else {
            source.clone()
        };
        let grafted = graft::with_state_rows(&plain, progress.as_ref())?;
        let sha256 = models::source_sha256(&plain).filter(|_| plain != source).unwrap_or(grafted.source_sha256);
        let wrong = |source: SpecError| LoadError::Spec { role: "draft".to_owned(), source };
        let mut spec = EngineSpec::from_role(&with_file(role, &grafted.path)).map_err(wrong)?;
        spec.states = States::Last(grafted.hidden_size);
        Ok(Observed { spec, sha256 })
    })
    .await
    .map_err(|error| DeployError::Interrupted(error.to_string()))?
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
    let bundled = role.bundled.is_some();
    let Some((role, path)) = local_gguf(role.clone(), progress.as_ref())? else { return Ok(role) };
    // What somebody else chose to run is changed only on request.
    if role.requantize.unwrap_or(bundled && on_cpu(&role)) {
        let path = models::requantized(&path, progress.as_ref())?;
        return Ok(with_file(role, &path));
    }
    Ok(role)
}

/// The role and its file, where that is one GGUF on this machine; a bundled model is fetched first.
fn local_gguf(role: RoleConfig, progress: &dyn Progress) -> Result<Option<(RoleConfig, PathBuf)>, ModelError> {
    let path = match (&role.bundled, &role.model_id, &role.quantized_file) {
        (Some(name), ..) => models::ensure(name, progress)?,
        (None, Some(folder), Some(file)) if role.format == Some(Format::Gguf) => Path::new(folder).join(file),
        _ => return Ok(None),
    };
    if !path.is_file() {
        return Ok(None);
    }
    Ok(Some((with_file(role, &path), path)))
}

fn on_cpu(role: &RoleConfig) -> bool {
    role.cpu || !cfg!(any(feature = "cuda", feature = "metal"))
}

/// The role with its model in one GGUF file.
pub(crate) fn with_file(role: RoleConfig, path: &Path) -> RoleConfig {
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
