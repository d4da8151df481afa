//! The reward of a deployment: prepared before the first model is loaded, and then loaded or reached.

use std::{sync::Arc, time::Duration};

use rsd_config::{Deployment, HttpScorerConfig, ResidentScorer, RewardScorer};
use rsd_core::pipeline::roles::{RewardModel, RoleError};
use rsd_head::{
    head::RewardHead,
    models,
    prepare::{self, PreparedPrm},
    progress::ProgressReporter,
    resident::ResidentReward,
};
use rsd_rewards::{HttpReward, HttpScorer, JudgeReward, WeightedReward};

use super::{
    DeployError, ObservableDraft,
    generators::{GeneratorPlan, LocalEngines},
    load, load_prm, observable_draft,
    remote_reward::RemoteReward,
    resolve, secret, spec,
    tokenizer_files::TokenizerFiles,
};
use crate::{
    engine::{Engine, EngineSpec},
    reward::EngineReader,
};

/// How steps will be scored. The files exist and are checked; nothing is loaded yet.
pub(super) enum RewardPlan {
    Judge(Option<Box<EngineSpec>>),
    Remote(RemoteReward),
    Prm { published: Box<PreparedPrm>, separator: Option<String> },
    Resident(RewardHead),
    Http(HttpScorer),
    Weighted(Vec<(f64, RewardPlan)>),
}

impl RewardPlan {
    /// Prepares a reward model that scores by the text alone.
    pub(super) async fn prepare_text_reward(reward: &RewardScorer) -> Result<Self, DeployError> {
        Box::pin(Self::prepare_scorer("reward", reward, &mut None)).await
    }

    /// Prepares the scorer that stands in the deployment file at `at`; `resident` is the plan for the head that reads the
    /// draft's states, if there is one, which one part takes.
    async fn prepare_scorer(at: &str, reward: &RewardScorer, resident: &mut Option<Self>) -> Result<Self, DeployError> {
        if let Some(remote) = RemoteReward::of_scorer(at, reward)? {
            return Ok(Self::Remote(remote));
        }
        Ok(match reward {
            RewardScorer::Judge { model: None } => Self::Judge(None),
            RewardScorer::Judge { model: Some(judge) } => Self::Judge(Some(Box::new(spec("reward", judge).await?))),
            RewardScorer::Resident { .. } => resident.take().ok_or(DeployError::ReadsStates)?,
            RewardScorer::Prm { model, head, format, separator } => {
                let (role, family, head) = ((**model).clone(), format.family(), head.clone());
                let prepared = tokio::task::spawn_blocking(move || -> Result<_, DeployError> {
                    let (cache, progress) = (models::cache_dir()?, ProgressReporter::on_stderr());
                    Ok(prepare::prepare(&resolve(role)?, family, head.as_deref(), &cache, &progress)?)
                });
                let published = prepared.await.map_err(|error| DeployError::Interrupted(error.to_string()))??;
                Self::Prm { published: Box::new(published), separator: separator.clone() }
            }
            RewardScorer::Http(http) => Self::Http(http_scorer(http)?),
            RewardScorer::Weighted { parts } => {
                let mut plans = Vec::with_capacity(parts.len());
                for (index, part) in parts.iter().enumerate() {
                    let at = format!("{at}.parts[{index}].reward");
                    plans.push((part.weight, Box::pin(Self::prepare_scorer(&at, &part.reward, resident)).await?));
                }
                Self::Weighted(plans)
            }
        })
    }

    /// Prepares the draft and its reward model.
    pub(super) async fn prepare(deployment: &Deployment) -> Result<(GeneratorPlan, Self), DeployError> {
        let role = &deployment.roles.draft;
        let scorer = &deployment.reward.scorer;
        Ok(match scorer.resident() {
            Some(ResidentScorer { head: path, states: Some(states) }) => {
                let head = RewardHead::load(path)?;
                head.check_last_state_suffices(path)?;
                let resident = Self::Remote(RemoteReward::of_states(head, role, states));
                let plan = Box::pin(Self::prepare_scorer("reward", scorer, &mut Some(resident))).await?;
                (GeneratorPlan::of_role("draft", role).await?, plan)
            }
            Some(ResidentScorer { head: path, states: None }) => {
                let head = RewardHead::load(path)?;
                let ObservableDraft { spec, sha256 } = observable_draft(role).await?;
                if head.draft() != sha256 {
                    let expected = head.draft().to_owned();
                    return Err(DeployError::OtherDraft { path: path.to_owned(), expected, found: sha256 });
                }
                head.check_width(path, spec.states.width())?;
                let plan = Box::pin(Self::prepare_scorer("reward", scorer, &mut Some(Self::Resident(head)))).await?;
                (GeneratorPlan::Local(Box::new(spec)), plan)
            }
            None => (GeneratorPlan::of_role("draft", role).await?, Self::prepare_text_reward(scorer).await?),
        })
    }

    pub(super) async fn load(
        self,
        engines: &LocalEngines,
        tokenizers: &mut TokenizerFiles,
    ) -> Result<Arc<dyn RewardModel>, DeployError> {
        Ok(match self {
            Self::Judge(None) => Arc::new(judge(engines.target.clone().ok_or(DeployError::JudgeAfar)?)?),
            Self::Judge(Some(spec)) => Arc::new(judge(load("reward", *spec).await?)?),
            Self::Remote(remote) => Box::pin(remote.connect(engines, tokenizers)).await?,
            Self::Prm { published, separator } => Arc::new(load_prm(*published, separator.as_deref()).await?),
            Self::Resident(head) => Arc::new(ResidentReward::new(head)),
            Self::Http(scorer) => {
                let reward = HttpReward::new(scorer);
                reward.check_health().await?;
                Arc::new(reward)
            }
            Self::Weighted(plans) => {
                let mut parts = Vec::with_capacity(plans.len());
                for (weight, plan) in plans {
                    parts.push((weight, Box::pin(plan.load(engines, tokenizers)).await?));
                }
                Arc::new(WeightedReward::new(parts))
            }
        })
    }
}

/// An engine as a judge. It may be the target's.
fn judge(engine: Engine) -> Result<JudgeReward, RoleError> {
    let grades = JudgeReward::grade_tokens(engine.model(), |digit| engine.single_token(digit))?;
    Ok(JudgeReward::new(Arc::new(EngineReader::of_tokens(engine, grades))))
}

fn http_scorer(config: &HttpScorerConfig) -> Result<HttpScorer, DeployError> {
    let token = secret("reward", config.token_env.as_deref(), config.token_file.as_deref())?;
    Ok(HttpScorer {
        url: config.url.clone(),
        token,
        timeout: Duration::from_millis(config.timeout_ms),
        retries: config.retries,
        max_batch: config.max_batch,
    })
}
