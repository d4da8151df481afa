//! A pipeline of two tiny models and a reward that is computed from each step's text.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mistralrs_rsd::engine::{Engine, EngineSpec};
use rsd_config::{LimitsConfig, RoleConfig};
use rsd_core::{
    pipeline::{
        PipelineSettings, Rsd,
        observe::NullObserver,
        roles::{RewardModel, RoleError, StepScore, Trajectory},
        segment::StepBoundary,
    },
    policy::{AfterRejection, PolicyConfig, PolicyHandle},
};
use rsd_protocol::settings::{RuntimeLimits, RuntimeSettings, RuntimeSteps};

use crate::tiny_model::TinyModel;

/// Scores a step by the sum of its bytes: one of the ten rewards 0.0, 0.1 .. 0.9.
struct ScriptedReward;

#[async_trait]
impl RewardModel for ScriptedReward {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn parameters(&self) -> Option<u64> {
        Some(0)
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let sum: u32 = trajectory.step.bytes().map(u32::from).sum();
        Ok(StepScore { reward: f64::from(sum % 10) / 10.0, ..StepScore::default() })
    }
}

/// The default limits with answers of at most 400 tokens.
#[must_use]
pub fn limits() -> LimitsConfig {
    LimitsConfig { max_tokens: 400, ..LimitsConfig::default() }
}

fn runtime_settings(limits: &LimitsConfig) -> RuntimeSettings {
    RuntimeSettings {
        policy: PolicyConfig { delta: 0.5, after_rejection: AfterRejection::Draft, ..PolicyConfig::default() },
        steps: RuntimeSteps { max_tokens: 64, lookahead: 0 },
        limits: RuntimeLimits { max_tokens: limits.max_tokens, ..RuntimeLimits::default() },
        ..RuntimeSettings::default()
    }
}

/// Loads the pipeline. Its steps have five tokens, and about half of them are accepted.
pub async fn rsd(limits: &LimitsConfig) -> anyhow::Result<Rsd> {
    rsd_with_cache(limits, None).await
}

/// The same with `prefix_cache_mb` megabytes of prefix cache per model between answers.
pub async fn rsd_with_cache(limits: &LimitsConfig, prefix_cache_mb: Option<usize>) -> anyhow::Result<Rsd> {
    let engine = async |role, seed| -> anyhow::Result<Engine> {
        let tiny = TinyModel::qwen2(seed)?;
        let spec = EngineSpec::from_role(&RoleConfig { prefix_cache_mb, ..tiny.role() })?;
        Ok(Engine::load(role, spec).await?)
    };
    Ok(Rsd {
        draft: Arc::new(engine("draft", 1).await?),
        target: Arc::new(engine("target", 2).await?),
        reward: Arc::new(ScriptedReward),
        policy: Arc::new(PolicyHandle::new(runtime_settings(limits))?),
        observer: Arc::new(NullObserver),
        settings: PipelineSettings {
            boundary: StepBoundary::Tokens(5),
            reward_timeout: Duration::from_secs(5),
            proposals: 0,
        },
    })
}
