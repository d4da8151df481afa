//! Everything that an answer needs, scripted.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use rsd_protocol::settings::{RuntimeLimits, RuntimeSettings, RuntimeSteps};
use tokio_util::sync::CancellationToken;

use super::{PROMPT, ScriptedModel, ScriptedReward, WaitValve, block_on, hash};
use crate::{
    pipeline::{
        AnswerOutcome, AnswerProgress, PipelineError, PipelineSettings, Request, Rsd, observe::NullObserver,
        segment::StepBoundary,
    },
    policy::{AfterRejection, PolicyConfig, PolicyHandle},
    sampling::Sampling,
};

/// Three scripted models, their settings and a request.
#[derive(Clone)]
pub struct World {
    pub draft: ScriptedModel,
    pub target: ScriptedModel,
    pub critic: ScriptedReward,
    pub settings: PipelineSettings,
    pub policy: PolicyConfig,
    /// The other runtime settings.
    pub runtime: RuntimeSettings,
    pub request: Request,
    pub cancel: CancellationToken,
}

/// The result of a request, and the progress that it reported.
pub struct ScriptedAnswer {
    pub result: Result<AnswerOutcome, PipelineError>,
    pub progress: Vec<AnswerProgress>,
}

impl ScriptedAnswer {
    pub fn outcome(&self) -> &AnswerOutcome {
        self.result.as_ref().expect("an answer")
    }

    /// The text of all progress together.
    pub fn streamed(&self) -> String {
        self.progress.iter().map(|progress| progress.text.as_str()).collect()
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            draft: ScriptedModel::new("draft", hash((seed, "draft"))),
            target: ScriptedModel::new("target", hash((seed, "target"))),
            critic: ScriptedReward::new(seed),
            settings: PipelineSettings {
                boundary: StepBoundary::Delimiter(vec!["|".to_owned()]),
                reward_timeout: Duration::from_secs(30),
                proposals: 0,
            },
            policy: PolicyConfig { delta: 0.5, after_rejection: AfterRejection::Draft, ..PolicyConfig::default() },
            runtime: RuntimeSettings {
                steps: RuntimeSteps { max_tokens: 6, lookahead: 1 },
                limits: RuntimeLimits { max_steps: 20, ..RuntimeLimits::default() },
                ..RuntimeSettings::default()
            },
            request: Request::text(PROMPT)
                .sampling(Sampling { seed, temperature: 1.0, ..Sampling::default() })
                .max_tokens(60),
            cancel: CancellationToken::new(),
        }
    }

    /// The same world with another policy.
    pub fn with(&self, policy: PolicyConfig) -> Self {
        Self { policy, ..self.clone() }
    }

    /// The same world with all waits through this valve.
    pub fn through(&self, valve: WaitValve) -> Self {
        let mut world = self.clone();
        let valve = Arc::new(valve);
        world.draft.valve = valve.clone();
        world.target.valve = valve.clone();
        world.critic.valve = valve;
        world
    }

    pub fn rsd(&self) -> Rsd {
        self.rsd_under(Arc::new(
            PolicyHandle::new(RuntimeSettings { policy: self.policy, ..self.runtime.clone() }).expect("a policy"),
        ))
    }

    pub fn rsd_under(&self, policy: Arc<PolicyHandle>) -> Rsd {
        Rsd {
            draft: Arc::new(self.draft.clone()),
            target: Arc::new(self.target.clone()),
            reward: Arc::new(self.critic.clone()),
            policy,
            observer: Arc::new(NullObserver),
            settings: self.settings.clone(),
        }
    }

    /// Answers the request.
    pub async fn answer_async(&self) -> ScriptedAnswer {
        self.answer_on(&self.rsd()).await
    }

    pub async fn answer_on(&self, rsd: &Rsd) -> ScriptedAnswer {
        let mut progress = Vec::new();
        let result = rsd.answer(self.request.clone(), |part| progress.push(part), self.cancel.clone()).await;
        assert_eq!(self.live_runs(), 0, "a run outlived its request");
        ScriptedAnswer { result, progress }
    }

    /// Answers the request outside of any runtime, on a paused clock that advances while all tasks wait.
    pub fn answer(&self) -> AnswerOutcome {
        self.answer_with_progress().outcome().clone()
    }

    pub fn answer_with_progress(&self) -> ScriptedAnswer {
        block_on(self.answer_async())
    }

    /// Number of runs in progress.
    pub fn live_runs(&self) -> usize {
        self.draft.live.load(SeqCst) + self.target.live.load(SeqCst)
    }
}
