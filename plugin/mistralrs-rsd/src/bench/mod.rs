//! Measures what RSD costs beside the models' own time.
//!
//! Every number is a ratio of two times that were taken in one process, one after the other, from empty caches (on a
//! CPU; on a GPU mistral.rs manages its own) and after a warm-up round. It is the median over the rounds, with
//! minimum and maximum. Every round asks another question. Decoding is greedy, so both sides of a ratio generate the
//! same tokens, and this is checked.

mod acceptance;
mod concurrency;
mod forward_cost;
mod lookahead;
mod meter;
mod random_weights;
mod ratios;
mod scaling;
mod scripted_reward;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use meter::MeteredAnswer;
use rsd_core::{
    pipeline::{
        PipelineError, PolicyOverrides, Request, Rsd,
        roles::{Prompt, RoleError},
    },
    policy::{AfterRejection, AnswerRoute, PolicyHandle, WeightingFunction},
};
pub use rsd_evaluation::statistics::MedianRange;
use serde::{Deserialize, Serialize};

pub use self::{
    acceptance::{AcceptanceRow, acceptance},
    concurrency::{ConcurrencyRow, concurrency},
    lookahead::{LookaheadRow, lookahead},
    random_weights::{MODEL_SHAPES, ModelShape, deploy_random_weights},
    ratios::{BenchRatios, PrefixReuse, TimeBreakdown, ratios},
    scaling::{CachedPrefixRow, LengthRow, ScalingTables, StepLengthRow, scaling},
    scripted_reward::ScriptedReward,
};

/// The models, the questions and the size of a benchmark.
pub struct BenchSetup {
    /// The pipeline as deployed.
    pub rsd: Rsd,
    /// Questions, one per round. After the last one the first follows again.
    pub prompts: Vec<Prompt>,
    /// Rounds that count, without the warm-up.
    pub rounds: usize,
    /// Limit on the tokens of an answer.
    pub max_tokens: usize,
}

/// Which models answer, and how drafted steps are decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum BenchMode {
    /// The draft alone.
    Draft,
    /// The target alone.
    Target,
    /// RSD with this threshold and the deployed reward.
    Delta(f64),
    /// RSD that accepts this fraction of the drafted steps, different ones in each round. The deployed reward does its
    /// work, but its scores are replaced by scripted ones.
    Acceptance(f64, usize),
}

impl BenchSetup {
    /// The question of a round.
    fn prompt(&self, round: usize) -> &Prompt {
        &self.prompts[round % self.prompts.len()]
    }

    /// Measures one answer from empty caches.
    async fn answer(&self, prompt: &Prompt, mode: BenchMode, lookahead: usize) -> Result<MeteredAnswer, PipelineError> {
        self.clear_cache().await?;
        self.metered_answer(prompt, mode, lookahead).await
    }

    /// Empties the caches of all CPU engines. On a GPU mistral.rs manages its own.
    async fn clear_cache(&self) -> Result<(), PipelineError> {
        self.rsd.reward.clear_cache().await?;
        self.rsd.draft.clear_cache().await?;
        Ok(self.rsd.target.clear_cache().await?)
    }

    /// Measures one answer with the caches as they are.
    async fn metered_answer(
        &self,
        prompt: &Prompt,
        mode: BenchMode,
        lookahead: usize,
    ) -> Result<MeteredAnswer, PipelineError> {
        let collector = Arc::new(meter::RunCollector::default());
        let mut settings = self.rsd.policy.current().settings.clone();
        settings.steps.lookahead = lookahead;
        // The loop itself is measured: who goes on must not depend on what was measured before.
        settings.policy.after_rejection = AfterRejection::Draft;
        let policy = PolicyHandle::new(settings).map_err(|error| RoleError::Invalid(error.to_string()))?;
        let mut rsd = Rsd { policy: Arc::new(policy), observer: collector.clone(), ..self.rsd.clone() };
        let route = |route| PolicyOverrides { route: Some(route), ..PolicyOverrides::default() };
        let threshold = |delta| PolicyOverrides {
            delta: Some(delta),
            weighting: Some(WeightingFunction::Binary),
            ..route(AnswerRoute::Rsd)
        };
        let overrides = match mode {
            BenchMode::Draft => route(AnswerRoute::Draft),
            BenchMode::Target => route(AnswerRoute::Target),
            BenchMode::Delta(delta) => threshold(delta),
            BenchMode::Acceptance(rate, round) => {
                rsd.reward = Arc::new(ScriptedReward { reward: rsd.reward, round });
                threshold(scripted_reward::threshold(rate))
            }
        };
        let request = Request { overrides, ..Request::new(prompt.clone()).max_tokens(self.max_tokens) };
        Ok(collector.finish(rsd.complete(request).await?))
    }
}

/// The measured parts of a benchmark, and how they were measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BenchReport {
    /// The machine and the version, in words.
    pub machine: String,
    /// The command line.
    pub command: String,
    /// Rounds that count.
    pub rounds: usize,
    /// Limit on the tokens of an answer.
    pub max_tokens: usize,
    /// The part `ratios`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratios: Option<BenchRatios>,
    /// The part `acceptance`: the speedup at several acceptance rates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acceptance: Vec<AcceptanceRow>,
    /// The part `lookahead`: drafting ahead of a pending decision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookahead: Vec<LookaheadRow>,
    /// The part `clients`: several clients at the same time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ConcurrencyRow>,
    /// The part `scaling`: cost against length, steps and cached prefixes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingTables>,
}
