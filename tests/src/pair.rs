//! Two tiny models with a scripted reward.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mistralrs_rsd::{
    config::{LimitsConfig, RoleConfig},
    engine::{Engine, EngineSpec},
    pipeline::{
        Rsd, Settings,
        observe::Unobserved,
        roles::{Reward, RoleError, Score, Trajectory},
        segment::Boundary,
    },
    policy::{PolicyConfig, PolicyHandle},
};
use rsd_protocol::live::{Live, LiveLimits, LiveSteps};

use crate::tiny::Tiny;

/// A reward that is a function of the step's text.
struct Scripted;

#[async_trait]
impl Reward for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn parameters(&self) -> Option<u64> {
        Some(0)
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<Score, RoleError> {
        let sum: u32 = trajectory.step.bytes().map(u32::from).sum();
        Ok(Score { reward: f64::from(sum % 10) / 10.0, ..Score::default() })
    }
}

/// Limits that suit tiny models.
#[must_use]
pub fn limits() -> LimitsConfig {
    LimitsConfig { max_tokens: 400, ..LimitsConfig::default() }
}

fn live(limits: &LimitsConfig) -> Live {
    Live {
        policy: PolicyConfig { delta: 0.5, ..PolicyConfig::default() },
        steps: LiveSteps { max_tokens: 64, lookahead: 0 },
        limits: LiveLimits { max_steps: 100, max_tokens: limits.max_tokens },
        ..Live::default()
    }
}

/// The pipeline: steps of five tokens, about half of them kept.
pub async fn rsd(limits: &LimitsConfig) -> anyhow::Result<Rsd> {
    rsd_keeping(limits, None).await
}

/// The same, with so many megabytes of prefix cache kept between answers.
pub async fn rsd_keeping(limits: &LimitsConfig, prefix_cache_mb: Option<usize>) -> anyhow::Result<Rsd> {
    let engine = async |role, seed| -> anyhow::Result<Engine> {
        let tiny = Tiny::qwen2(seed)?;
        let spec = EngineSpec::from_role(&RoleConfig { prefix_cache_mb, ..tiny.role() })?;
        Ok(Engine::load(role, spec).await?)
    };
    Ok(Rsd {
        draft: Arc::new(engine("draft", 1).await?),
        target: Arc::new(engine("target", 2).await?),
        reward: Arc::new(Scripted),
        policy: Arc::new(PolicyHandle::new(live(limits))?),
        observer: Arc::new(Unobserved),
        settings: Settings { boundary: Boundary::Tokens(5), reward_timeout: Duration::from_secs(5) },
    })
}
