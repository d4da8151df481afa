//! The draft decodes step after step; each is scored, and accepted or rejected.

use std::time::Instant;

use super::{
    AloneReason, AnswerSession, DecidedDraft, FallbackReason, FinishReason, PipelineError, PipelineEvent,
    RejectedDraft, RoleError, Step, StepSource, StepTrace, Transcript,
    model_run::{RunEvent, RunStart},
    wait_until,
};
use crate::{
    pipeline::{
        observe::{ModelRole, StepDecision},
        roles::Trajectory,
        trace::StepReward,
    },
    policy::Decision,
    sampling::{RandomStream, uniform},
};

/// How a run of the draft ended.
pub(super) enum DraftOutcome {
    /// The answer is over.
    Finished(FinishReason),
    /// The target must generate the next step.
    Rejected(Box<RejectedDraft>),
    /// The target must generate the rest.
    TargetAlone(AloneReason),
}

impl AnswerSession<'_> {
    /// The draft generates until a step is rejected or the answer is over.
    pub(super) async fn draft_phase(&mut self) -> Result<DraftOutcome, PipelineError> {
        let full = self.draft.as_ref().is_none_or(Transcript::is_full);
        if full && !self.policy().accepts_all() {
            return Ok(DraftOutcome::TargetAlone(AloneReason::Fallback(FallbackReason::DraftContext)));
        }
        let lookahead = self.rsd.policy.current().settings.steps.lookahead;
        let mut run = match self.start(StepSource::Draft, None, lookahead).await {
            Ok(RunStart::Running(run)) => run,
            Ok(RunStart::NoRoom) => return Ok(DraftOutcome::Finished(FinishReason::Length)),
            Err(PipelineError::Role(error)) => return Ok(self.draft_failed(&error)),
            Err(error) => return Err(error),
        };
        let mut accepted_tokens = 0;
        loop {
            let step = match self.next(StepSource::Draft, &mut run).await? {
                RunEvent::Step(step) => step,
                RunEvent::OutOfTime => {
                    self.close(StepSource::Draft, run).await;
                    return Ok(DraftOutcome::Finished(FinishReason::Length));
                }
                RunEvent::Failed(error) => {
                    self.close_failed(StepSource::Draft, run).await;
                    return Ok(self.draft_failed(&error));
                }
            };
            let Some(reward) = self.score(&step).await? else {
                self.close(StepSource::Draft, run).await;
                return Ok(DraftOutcome::Finished(FinishReason::Length));
            };
            let tokens = step.tokens.len();
            let (decision, draft) = self.decide(step, reward);
            if decision == Decision::Reject {
                let generated = self.close(StepSource::Draft, run).await;
                let discarded = generated.saturating_sub(accepted_tokens + tokens);
                self.rejections += 1;
                self.record_rejection(discarded);
                return Ok(DraftOutcome::Rejected(Box::new(RejectedDraft { draft, discarded })));
            }
            accepted_tokens += tokens;
            let accepts_all = draft.policy.accepts_all();
            if let Some(finish) = self.accept(draft)? {
                self.close(StepSource::Draft, run).await;
                // The draft's context may be full while the answer is not over: the target may have room.
                let resumes = finish == FinishReason::Length && !self.is_at_a_limit() && !accepts_all;
                return Ok(if resumes {
                    DraftOutcome::TargetAlone(AloneReason::Fallback(FallbackReason::DraftContext))
                } else {
                    DraftOutcome::Finished(finish)
                });
            }
            if let Some(reason) = self.handover() {
                let generated = self.close(StepSource::Draft, run).await;
                self.discard(generated.saturating_sub(accepted_tokens));
                return Ok(DraftOutcome::TargetAlone(AloneReason::Handover(reason)));
            }
            run.accept();
        }
    }

    /// Scores a draft step; `None` if the request is out of time first.
    async fn score(&mut self, step: &Step) -> Result<Option<StepReward>, PipelineError> {
        let text = step.text();
        let trajectory = Trajectory {
            prompt: &self.request.prompt,
            steps: &self.steps,
            prefix: self.draft.as_ref().map(Transcript::ids).unwrap_or_default(),
            step: &text,
            generated_step: step,
            draft_features: &self.draft_features,
        };
        let timeout = self.rsd.settings.reward_timeout;
        let began = Instant::now();
        let scored = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(PipelineError::Cancelled),
            () = wait_until(self.request.deadline) => return Ok(None),
            scored = tokio::time::timeout(timeout, self.rsd.reward.score(trajectory)) => scored,
        };
        // A reward that fails, or has no opinion, takes time too. A score says itself how long it took.
        if !matches!(scored, Ok(Ok(_))) {
            self.rsd.policy.handover().record_score(began.elapsed().as_secs_f64());
        }
        Ok(Some(match scored {
            Err(_) => {
                self.emit(&PipelineEvent::ModelFailed(ModelRole::Reward));
                StepReward::Unavailable(FallbackReason::RewardTimeout)
            }
            Ok(Err(RoleError::NoOpinion(_))) => StepReward::Unavailable(FallbackReason::RewardNoOpinion),
            Ok(Err(error)) => {
                self.emit(&PipelineEvent::ModelFailed(ModelRole::Reward));
                tracing::warn!(%error, reward = self.rsd.reward.name(), "the reward model could not score a step");
                StepReward::Unavailable(FallbackReason::RewardFailed)
            }
            Ok(Ok(score)) => {
                self.trace.totals.reward.add_call(0, score.prefilled, score.prompt, score.seconds);
                self.rsd.policy.handover().record_score(score.seconds);
                self.emit(&PipelineEvent::StepScored(&score));
                if let Some(statement) = score.false_statement {
                    StepReward::False { statement, seconds: score.seconds }
                } else if (0.0..=1.0).contains(&score.reward) {
                    StepReward::Scored { reward: score.reward, seconds: score.seconds }
                } else {
                    StepReward::Unavailable(FallbackReason::RewardInvalid)
                }
            }
        }))
    }

    /// The policy accepts or rejects a draft step. Where it accepts every step, one without a reward is accepted too.
    fn decide(&mut self, step: Step, reward: StepReward) -> (Decision, DecidedDraft) {
        let draw = uniform(self.request.sampling.seed, RandomStream::Accept.id(), self.decisions);
        self.decisions += 1;
        let tokens = self.tokens.len() + step.tokens.len();
        let (decision, policy) = self.rsd.policy.decide_step(self.policy(), tokens, reward.decisive(), draw);
        self.record_draft_step(reward.decisive(), step.tokens.len());
        let decided = StepDecision { tokens: step.tokens.len(), reward: reward.value(), policy, decision };
        self.emit(&PipelineEvent::StepDecided(&decided));
        if reward.false_statement().is_some() {
            self.emit(&PipelineEvent::FalseStatement);
        }
        if let Some(fallback) = reward.fallback() {
            self.emit(&PipelineEvent::FellBack(fallback));
        }
        (decision, DecidedDraft { step, reward, policy })
    }

    /// Adds an accepted draft step to the answer; returns why the answer is over, if it is.
    fn accept(&mut self, mut draft: DecidedDraft) -> Result<Option<FinishReason>, PipelineError> {
        self.draft_features.extend(draft.step.features.take().map(|features| *features));
        self.trace.totals.accepted_steps += 1;
        self.trace.totals.accepted_tokens += draft.step.tokens.len();
        let entry = StepTrace::accepted(self.steps.len(), &draft);
        self.append(draft.step, entry)
    }

    fn draft_failed(&self, error: &RoleError) -> DraftOutcome {
        tracing::error!(%error, "the draft failed; the target generates the rest of the answer alone");
        self.emit(&PipelineEvent::ModelFailed(ModelRole::Draft));
        DraftOutcome::TargetAlone(AloneReason::Fallback(FallbackReason::DraftFailed))
    }
}
