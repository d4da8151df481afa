//! Reward models on remote engines.

use std::{path::Path, sync::Arc};

use rsd_config::{PrmFamily, RemoteConfig, RewardScorer, RoleConfig, StatesConfig};
use rsd_core::pipeline::roles::{Generator, RewardModel, RoleError};
use rsd_head::{
    exposure::special_tokens,
    format::{PrmTokenizer, prompt_format},
    head::RewardHead,
    remote_resident::RemoteResidentReward,
    standalone_prm::StandalonePrm,
};
use rsd_remote::{ReaderTask, RemoteReader};
use rsd_rewards::JudgeReward;
use rsd_vocabulary::Vocabulary;

use super::{
    DeployError,
    generators::{LocalEngines, remote_settings},
    tokenizer_files::TokenizerFiles,
};

/// A reward model on a remote engine, before it is reached.
pub(super) struct RemoteReward {
    /// The section of the deployment file that describes the model.
    section: String,
    role: Box<RoleConfig>,
    remote: Box<RemoteConfig>,
    kind: RemoteRewardKind,
}

/// How it scores.
enum RemoteRewardKind {
    Judge,
    Prm {
        family: PrmFamily,
        separator: Option<String>,
    },
    /// A head on the states of the draft's model.
    States(Box<RewardHead>),
}

impl RemoteReward {
    /// The model of the scorer that stands at `at` in the deployment file; `None` if it is on no remote engine.
    pub(super) fn of_scorer(at: &str, scorer: &RewardScorer) -> Result<Option<Self>, DeployError> {
        let (role, kind) = match scorer {
            RewardScorer::Judge { model: Some(role) } => (role, RemoteRewardKind::Judge),
            RewardScorer::Prm { model, format, separator, .. } if model.remote.is_some() => {
                let family = format.family().ok_or(DeployError::NoFormat)?;
                (model, RemoteRewardKind::Prm { family, separator: separator.clone() })
            }
            _ => return Ok(None),
        };
        let of_remote = |remote: &RemoteConfig| Self {
            section: format!("{at}.model"),
            role: role.clone(),
            remote: Box::new(remote.clone()),
            kind,
        };
        Ok(role.remote.as_ref().map(of_remote))
    }

    /// A head that reads the states of a draft with this role.
    pub(super) fn of_states(head: RewardHead, draft: &RoleConfig, states: &StatesConfig) -> Self {
        Self {
            section: "reward.states".to_owned(),
            role: Box::new(draft.clone()),
            remote: Box::new(states.remote.clone()),
            kind: RemoteRewardKind::States(Box::new(head)),
        }
    }

    /// Reaches the engine and scores a known step.
    pub(super) async fn connect(
        self,
        engines: &LocalEngines,
        tokenizers: &mut TokenizerFiles,
    ) -> Result<Arc<dyn RewardModel>, DeployError> {
        let reward: Arc<dyn RewardModel> = match &self.kind {
            RemoteRewardKind::Judge => Arc::new(self.judge(self.vocabulary(tokenizers)?, engines).await?),
            RemoteRewardKind::Prm { family, separator } => {
                Arc::new(self.prm(*family, separator.as_deref(), self.vocabulary(tokenizers)?).await?)
            }
            RemoteRewardKind::States(head) => Arc::new(self.states((**head).clone(), engines, tokenizers).await?),
        };
        tracing::info!(reward = reward.name(), section = self.section, "connected; a known step was scored");
        Ok(reward)
    }

    fn tokenizer(&self) -> Result<&Path, DeployError> {
        self.role.tokenizer.as_deref().ok_or(DeployError::NoRewardTokenizer)
    }

    fn vocabulary(&self, tokenizers: &mut TokenizerFiles) -> Result<Arc<Vocabulary>, DeployError> {
        tokenizers.read(&self.section, self.tokenizer()?)
    }

    /// The tokens are the draft's, which come from a file or from a target in this process.
    async fn states(
        &self,
        head: RewardHead,
        engines: &LocalEngines,
        tokenizers: &mut TokenizerFiles,
    ) -> Result<RemoteResidentReward, DeployError> {
        let vocabulary = match (&self.role.tokenizer, &engines.target) {
            (Some(path), _) => tokenizers.read("roles.draft", path)?,
            (None, Some(target)) => target.tokens(),
            (None, None) => return Err(DeployError::NoTokenizer("draft".to_owned())),
        };
        let renderer = engines.target.clone().map(|engine| Arc::new(engine) as Arc<dyn Generator>);
        let reader = self.reader(vocabulary, renderer, ReaderTask::State { width: head.hidden_size() }).await?;
        let reward = RemoteResidentReward::new(head, Arc::new(reader));
        reward.check().await?;
        Ok(reward)
    }

    async fn judge(&self, vocabulary: Arc<Vocabulary>, engines: &LocalEngines) -> Result<JudgeReward, DeployError> {
        let grades = JudgeReward::grade_tokens(&self.section, |digit| {
            let ids = vocabulary.encode(digit, false).ok()?;
            if let [token] = ids.as_slice() { Some(*token) } else { None }
        })?;
        // Renders the messages where the engine does not.
        let mut local = [&engines.target, &engines.draft].into_iter().flatten();
        let renderer = local.find(|engine| engine.vocabulary() == vocabulary.fingerprint());
        let renderer = renderer.map(|engine| Arc::new(engine.clone()) as Arc<dyn Generator>);
        let reader = self.reader(vocabulary, renderer, ReaderTask::Tokens(grades)).await?;
        let judge = JudgeReward::new(Arc::new(reader));
        judge.check().await?;
        Ok(judge)
    }

    async fn prm(
        &self,
        family: PrmFamily,
        separator: Option<&str>,
        vocabulary: Arc<Vocabulary>,
    ) -> Result<StandalonePrm, DeployError> {
        let path = self.tokenizer()?;
        // tokenizer_config.json is published beside tokenizer.json.
        let specials = special_tokens(path.parent().unwrap_or(Path::new(".")));
        let tokenizer = PrmTokenizer::new(vocabulary.tokenizer(), specials);
        let format = prompt_format(family, tokenizer, separator).map_err(|error| {
            RoleError::Invalid(format!("{}.tokenizer: {} as {}: {error}", self.section, path.display(), family.name()))
        })?;
        let task = match format.score_tokens() {
            Some(tokens) => ReaderTask::Tokens(tokens.to_vec()),
            None => ReaderTask::Head { outputs: family.head_outputs() },
        };
        let reader = self.reader(vocabulary, None, task).await?;
        let prm = StandalonePrm::new(Arc::new(reader), family, format);
        prm.check().await?;
        Ok(prm)
    }

    async fn reader(
        &self,
        vocabulary: Arc<Vocabulary>,
        renderer: Option<Arc<dyn Generator>>,
        task: ReaderTask,
    ) -> Result<RemoteReader, DeployError> {
        let settings = remote_settings("reward", &self.section, &self.role, &self.remote, vocabulary, renderer)?;
        Ok(Box::pin(RemoteReader::connect(settings, task)).await.map_err(Box::new)?)
    }
}
