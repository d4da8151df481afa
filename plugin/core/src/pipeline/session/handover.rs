//! Keeps account of an answer for the decision which model goes on, and teaches what it shows of answers.

use super::{AnswerSession, PipelineEvent, Step, StepEnd, StepSource, Transcript};
use crate::{
    policy::handover::{AnswerExploration, HandoverReason, NextModel},
    sampling::{RandomStream, uniform},
};

impl AnswerSession<'_> {
    /// Begins the account, once the prompt is encoded.
    pub(super) fn begin_standing(&mut self) {
        let behind = |transcript: &Option<Transcript>| transcript.as_ref().map_or(0, Transcript::uncached_prompt);
        self.standing.draft_behind = behind(&self.draft);
        self.standing.target_behind = behind(&self.target);
        self.standing.prompt_tokens = self.standing.target_behind;
        // Not the seed alone: one seed serves many prompts, and they shall not all explore.
        let prompt = self.target.as_ref().map_or(0, |target| digest(target.ids()));
        let draw = uniform(self.request.sampling.seed, RandomStream::Exploration.id(), prompt);
        self.standing.exploration = AnswerExploration::from_draw(draw, self.policy().values.exploration);
    }

    /// Why the target goes on alone from here, if it does.
    pub(super) fn handover(&mut self) -> Option<HandoverReason> {
        let policy = self.policy();
        if self.draft.is_none() && !policy.never_drafts() {
            return None;
        }
        self.standing.steps_left = self.max_steps().saturating_sub(self.steps.len());
        self.standing.tokens_left = self.request.max_tokens.saturating_sub(self.tokens.len());
        match self.rsd.policy.next_model(&policy, &self.standing) {
            NextModel::Target(reason) => Some(reason),
            NextModel::Draft { explores } => {
                if explores && !self.trace.explored {
                    self.trace.explored = true;
                    self.emit(&PipelineEvent::Explored);
                }
                None
            }
        }
    }

    /// A run starts: it prefills what its model has not prefilled yet.
    pub(super) fn record_start(&mut self, source: StepSource) {
        let standing = &mut self.standing;
        match source {
            StepSource::Draft => standing.done.draft_prefilled += std::mem::take(&mut standing.draft_behind),
            StepSource::Target => standing.done.target_prefilled += std::mem::take(&mut standing.target_behind),
        }
    }

    /// The policy decided on a draft step.
    pub(super) fn record_draft_step(&mut self, reward: Option<f64>, tokens: usize) {
        self.rsd.policy.handover().record_draft_step(&self.standing, reward, tokens);
        self.standing.record_reward(reward);
        self.standing.done.draft_decoded += tokens;
        self.standing.done.scored += 1;
    }

    /// The draft step was rejected, and what the draft decoded ahead of that is discarded.
    pub(super) fn record_rejection(&mut self, discarded: usize) {
        self.standing.rejected = true;
        self.standing.done.draft_decoded += discarded;
        self.rsd.policy.handover().record_discarded(discarded);
        if discarded > 0 {
            self.emit(&PipelineEvent::DraftDiscarded { tokens: discarded });
        }
    }

    /// What the draft decoded ahead is discarded because the target goes on, although no step was rejected.
    pub(super) fn discard(&mut self, tokens: usize) {
        self.trace.totals.discarded_lookahead_tokens += tokens;
        if tokens > 0 {
            self.emit(&PipelineEvent::DraftDiscarded { tokens });
        }
    }

    /// A step becomes part of the answer; called before it is added.
    pub(super) fn record_step(&mut self, source: StepSource, step: &Step) {
        if !self.steps_scored {
            return;
        }
        let tokens = step.tokens.len();
        let controller = self.rsd.policy.handover();
        let standing = &mut self.standing;
        match source {
            StepSource::Draft => standing.target_behind += tokens,
            StepSource::Target => {
                standing.draft_behind += tokens;
                standing.done.target_decoded += tokens;
                standing.rejected = false;
                controller.record_target_step(tokens);
            }
        }
        // A limit says nothing about where answers end.
        if step.end != StepEnd::Length {
            controller.record_ending(standing.steps, step.end.is_final());
        }
        standing.steps += 1;
        standing.tokens += tokens;
    }
}

/// A hash of token ids that is the same on every machine (FNV-1a).
fn digest(ids: &[u32]) -> u64 {
    ids.iter().fold(0xcbf2_9ce4_8422_2325, |hash, id| (hash ^ u64::from(*id)).wrapping_mul(0x0100_0000_01b3))
}
