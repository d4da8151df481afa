//! A server on two tiny models with a scripted reward.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mistralrs_rsd::{
    config::LimitsConfig,
    engine::Engine,
    pipeline::{
        Rsd, Settings,
        observe::Unobserved,
        roles::{Reward, RoleError, Score, Trajectory},
        segment::Boundary,
    },
    policy::{PolicyConfig, PolicyHandle},
    server::ApiKey,
};
use rsd_protocol::live::{Live, LiveLimits, LiveSteps};
use rsd_tests::{served::Served, tiny::Tiny};

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

pub(crate) fn limits() -> LimitsConfig {
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

pub(crate) async fn serve_with(limits: LimitsConfig, key: Option<ApiKey>) -> Served {
    let draft = Tiny::qwen2(1).unwrap();
    let target = Tiny::qwen2(2).unwrap();
    let rsd = Rsd {
        draft: Arc::new(Engine::load("draft", draft.spec().unwrap()).await.unwrap()),
        target: Arc::new(Engine::load("target", target.spec().unwrap()).await.unwrap()),
        reward: Arc::new(Scripted),
        policy: Arc::new(PolicyHandle::new(live(&limits)).unwrap()),
        observer: Arc::new(Unobserved),
        settings: Settings { boundary: Boundary::Tokens(5), reward_timeout: Duration::from_secs(5) },
    };
    Served::start(rsd, limits, key).await.unwrap()
}

pub(crate) async fn serve() -> Served {
    serve_with(limits(), None).await
}
