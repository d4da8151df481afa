//! What the machinery costs beside the models' own time.
//!
//! Everything is a ratio of two times taken in one process, one after the other, from empty caches (on a CPU; a GPU's
//! are mistral.rs's own) and after a round that warms up; a figure is the median over rounds, with the lowest and the
//! highest. Every round asks another question. Decoding is greedy, so that both sides of a ratio write the same tokens,
//! which is checked.

mod acceptance;
mod clients;
mod cost;
mod lookahead;
mod meter;
mod random;
mod ratios;
mod scaling;
mod scripted;
mod spread;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::{
    acceptance::{Kept, acceptance},
    clients::{Crowd, crowds},
    lookahead::{Ahead, lookahead},
    random::{SHAPES, Shape, deploy_random},
    ratios::{Parts, Ratios, Reuse, Units, ratios},
    scaling::{Length, Prefixes, Scaling, Steps, scaling},
    scripted::Scripted,
    spread::Spread,
};
use crate::{
    pipeline::{Overrides, PipelineError, Request, Rsd, roles::Prompt},
    policy::{Answers, PolicyHandle, Weighting},
    sampling::Sampling,
};
use meter::Meter;

/// Models and what is asked of them.
pub struct Bench {
    /// The pipeline as deployed.
    pub rsd: Rsd,
    /// Questions, one per round, from the first again when all were asked.
    pub prompts: Vec<Prompt>,
    /// Rounds that count.
    pub rounds: usize,
    /// Most tokens of an answer.
    pub max_tokens: usize,
}

/// Who answers, and what becomes of drafted steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Way {
    /// The draft alone.
    Draft,
    /// The target alone.
    Target,
    /// RSD at this threshold, by the deployed reward.
    Delta(f64),
    /// RSD that keeps this share of the drafted steps, other ones in each round. The deployed reward does its work; its
    /// verdict is not heard.
    Keeping(f64, usize),
}

impl Bench {
    /// The question of a round.
    fn prompt(&self, round: usize) -> &Prompt {
        &self.prompts[round % self.prompts.len()]
    }

    /// One answer from empty caches, metered.
    async fn answer(&self, prompt: &Prompt, way: Way, lookahead: usize) -> Result<Meter, PipelineError> {
        self.forget().await?;
        self.metered(prompt, way, lookahead).await
    }

    /// Empties all caches of CPU engines; a GPU's are mistral.rs's own.
    async fn forget(&self) -> Result<(), PipelineError> {
        self.rsd.reward.forget().await?;
        self.rsd.draft.forget().await?;
        Ok(self.rsd.target.forget().await?)
    }

    /// One answer from whatever caches there are.
    async fn metered(&self, prompt: &Prompt, way: Way, lookahead: usize) -> Result<Meter, PipelineError> {
        let meter = Arc::new(meter::Observing::default());
        let mut live = self.rsd.policy.current().live.clone();
        live.steps.lookahead = lookahead;
        let policy =
            PolicyHandle::new(live).map_err(|error| crate::pipeline::roles::RoleError::Invalid(error.to_string()))?;
        let mut rsd = Rsd { policy: Arc::new(policy), observer: meter.clone(), ..self.rsd.clone() };
        let plain = |answers| Overrides { answers: Some(answers), ..Overrides::default() };
        let at = |delta| Overrides { delta: Some(delta), weighting: Some(Weighting::Binary), ..plain(Answers::Rsd) };
        let overrides = match way {
            Way::Draft => plain(Answers::Draft),
            Way::Target => plain(Answers::Target),
            Way::Delta(delta) => at(delta),
            Way::Keeping(share, round) => {
                rsd.reward = Arc::new(Scripted { reward: rsd.reward, round });
                at(scripted::threshold(share))
            }
        };
        let outcome = rsd
            .complete(Request {
                prompt: prompt.clone(),
                sampling: Sampling::default(),
                max_tokens: self.max_tokens,
                stop: Vec::new(),
                model: None,
                overrides,
                logprobs: None,
                deadline: None,
            })
            .await?;
        Ok(meter.read(outcome))
    }
}

/// A part of what was measured, and how.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Where it ran, in words.
    pub machine: String,
    /// The command.
    pub command: String,
    /// Rounds that count.
    pub rounds: usize,
    /// Most tokens of an answer.
    pub max_tokens: usize,
    /// The four ratios.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratios: Option<Ratios>,
    /// Speed against the target alone at several acceptances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acceptance: Vec<Kept>,
    /// Drafting while a verdict is pending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookahead: Vec<Ahead>,
    /// Several clients at a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<Crowd>,
    /// Cost against length, steps and cached prefixes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
}
