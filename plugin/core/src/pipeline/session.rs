//! One request on its way through the loop: its state, and the phases of draft, reward model and target.

mod alone;
mod draft_phase;
mod ending;
mod handover;
mod model_run;
mod replace;
mod target_down;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    AnswerOutcome, AnswerProgress, AnswerSink, AnswerText, FinishReason, PipelineError, Request, Rsd,
    live_text::LiveText,
    observe::{PipelineEvent, new_answer_id},
    roles::{AnswerPermit, RoleError, Step, StepEnd, TokenLogprob},
    trace::{AnswerTrace, DecidedDraft, FallbackReason, StepSource, StepTrace},
    transcript::Transcript,
};
use crate::{
    features::StepFeatures,
    policy::{
        AnswerRoute, Policy, SettingsSnapshot,
        handover::{AnswerStanding, HandoverReason},
    },
};
use draft_phase::DraftOutcome;

struct AnswerSession<'a> {
    rsd: &'a Rsd,
    id: u64,
    /// When it began; `None` once its end is reported.
    began: Option<Instant>,
    request: Request,
    sink: &'a mut dyn AnswerSink,
    cancel: CancellationToken,
    /// Whether steps are scored; not where one model answers alone.
    steps_scored: bool,
    /// One permit for each model, held as long as the model takes part.
    permits: Vec<(StepSource, AnswerPermit)>,
    /// The models that take part; where one answers alone, the other is `None`.
    draft: Option<Transcript>,
    target: Option<Transcript>,
    answer: AnswerText,
    tokens: Vec<u32>,
    /// The text of each step of the answer, for the reward model.
    steps: Vec<String>,
    /// The features of each accepted draft step, for a resident reward.
    draft_features: Vec<StepFeatures>,
    logprobs: Vec<TokenLogprob>,
    trace: AnswerTrace,
    decisions: u64,
    rejections: u64,
    /// Where the answer stands, for the decision which model goes on.
    standing: AnswerStanding,
    /// Whether the target has failed in this answer.
    target_failed: bool,
    /// Prompt tokens that the first run had to compute.
    prompt_prefilled: Option<usize>,
    /// What the models decode beyond the last step, if an observer watches it.
    live: Option<LiveText>,
}

/// Why the target generates the rest of an answer that began as RSD.
#[derive(Debug, Clone, Copy)]
enum AloneReason {
    /// The draft cannot go on.
    Fallback(FallbackReason),
    /// The policy lets the target go on.
    Handover(HandoverReason),
}

/// A rejected step, and the number of tokens that the draft generated ahead after it.
struct RejectedDraft {
    draft: DecidedDraft,
    discarded: usize,
}

pub(super) async fn run(
    rsd: &Rsd,
    request: Request,
    sink: &mut dyn AnswerSink,
    cancel: CancellationToken,
) -> Result<AnswerOutcome, PipelineError> {
    let route = effective_policy(&request, &rsd.policy.current()).values.route;
    let mut session = AnswerSession {
        rsd,
        id: new_answer_id(),
        began: Some(Instant::now()),
        answer: AnswerText::new(request.stop.clone()),
        request,
        sink,
        cancel,
        steps_scored: route == AnswerRoute::Rsd,
        permits: Vec::new(),
        draft: None,
        target: None,
        tokens: Vec::new(),
        steps: Vec::new(),
        draft_features: Vec::new(),
        logprobs: Vec::new(),
        trace: AnswerTrace {
            shared_vocabulary: rsd.draft.vocabulary() == rsd.target.vocabulary(),
            ..AnswerTrace::default()
        },
        decisions: 0,
        rejections: 0,
        standing: AnswerStanding::default(),
        target_failed: false,
        prompt_prefilled: None,
        live: rsd.observer.watches_text().then(LiveText::default),
    };
    let finish = match session.answer(route).await {
        Err(error) if session.draft_stands_in() => session.continue_without_target(error).await,
        finish => finish,
    };
    session.report_end(finish.as_ref().err());
    Ok(session.outcome(finish?))
}

/// The policy with the overrides of the request.
fn effective_policy(request: &Request, snapshot: &SettingsSnapshot) -> Policy {
    request.overrides.apply(snapshot.policy(request.model.as_deref()))
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl AnswerSession<'_> {
    async fn answer(&mut self, route: AnswerRoute) -> Result<FinishReason, PipelineError> {
        let drafts = route == AnswerRoute::Draft || route == AnswerRoute::Rsd && !self.policy().never_drafts();
        if drafts {
            match self.open(StepSource::Draft).await {
                Ok(Some(draft)) => self.draft = Some(draft),
                Ok(None) => return Ok(FinishReason::Length),
                // The prompt is too long for the draft: the target answers, unless the draft is to decide alone.
                Err(PipelineError::Role(RoleError::ContextExceeded { .. }))
                    if route == AnswerRoute::Rsd && !self.policy().accepts_all() => {}
                Err(error) => return Err(error),
            }
        }
        if route != AnswerRoute::Draft {
            let Some(target) = self.open(StepSource::Target).await? else { return Ok(FinishReason::Length) };
            self.target = Some(target);
        }
        self.begin();
        match route {
            AnswerRoute::Draft => self.generate_alone(StepSource::Draft, None, None).await,
            AnswerRoute::Target => self.generate_alone(StepSource::Target, None, None).await,
            AnswerRoute::Rsd => self.alternate().await,
        }
    }

    /// The models have accepted the prompt.
    fn begin(&mut self) {
        self.sink.prompt_accepted();
        self.emit(&PipelineEvent::AnswerStarted {
            request: &self.request,
            prompt_tokens: self.prompt_tokens(),
            live: self.live.as_ref(),
        });
    }

    /// Draft and target take turns until the answer is over or the target goes on alone.
    async fn alternate(&mut self) -> Result<FinishReason, PipelineError> {
        self.begin_standing();
        loop {
            let (alone, rejected) = match self.handover() {
                Some(reason) => (AloneReason::Handover(reason), None),
                None => match self.draft_phase().await? {
                    DraftOutcome::Finished(finish) => return Ok(finish),
                    DraftOutcome::TargetAlone(reason) => (reason, None),
                    DraftOutcome::Rejected(rejected) => match self.handover() {
                        Some(reason) => (AloneReason::Handover(reason), Some(*rejected)),
                        None => match self.replace(*rejected).await? {
                            Some(finish) => return Ok(finish),
                            None => continue,
                        },
                    },
                },
            };
            // Another answer may use the draft meanwhile.
            self.permits.retain(|(source, _)| *source != StepSource::Draft);
            return self.generate_alone(StepSource::Target, Some(alone), rejected).await;
        }
    }

    /// Waits for the permit of a model and encodes the prompt for it; `None` if the request is out of time first.
    ///
    /// Permits are taken draft first, so that no two answers wait for each other. The wait for a permit does not count
    /// towards the deadline: every answer before this one has a deadline of its own.
    async fn open(&mut self, source: StepSource) -> Result<Option<Transcript>, PipelineError> {
        let rsd = self.rsd;
        let model = if source == StepSource::Draft { &rsd.draft } else { &rsd.target };
        let engine = model.engine_id().filter(|_| source == StepSource::Target && self.draft.is_some());
        let permit = if engine.is_some() && engine == rsd.draft.engine_id() {
            // One engine in both roles has one permit, which this answer holds already.
            self.permits.pop().map(|(_, permit)| permit).unwrap_or_default()
        } else {
            self.wait_for_permit(source).await?
        };
        let transcript = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(PipelineError::Cancelled),
            () = wait_until(self.request.deadline) => return Ok(None),
            transcript = Transcript::new(model.clone(), &self.request.prompt) => transcript,
        };
        let transcript = match transcript {
            Ok(transcript) => transcript,
            Err(error @ RoleError::Failed { .. }) => return Err(self.model_failed(source, error)),
            Err(error) => return Err(error.into()),
        };
        self.permits.push((source, permit));
        Ok(Some(transcript))
    }

    /// Waits for the permit of a model, which moves the deadline.
    async fn wait_for_permit(&mut self, source: StepSource) -> Result<AnswerPermit, PipelineError> {
        let model = if source == StepSource::Draft { &self.rsd.draft } else { &self.rsd.target };
        let began = Instant::now();
        let permit = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(PipelineError::Cancelled),
            permit = model.answer_permit() => permit,
        };
        self.request.deadline = self.request.deadline.map(|deadline| deadline + began.elapsed());
        Ok(permit)
    }

    fn transcript(&self, source: StepSource) -> Result<&Transcript, PipelineError> {
        let transcript = match source {
            StepSource::Draft => self.draft.as_ref(),
            StepSource::Target => self.target.as_ref(),
        };
        transcript.ok_or_else(|| RoleError::Invalid(format!("the {source} model takes no part in this request")).into())
    }

    fn policy(&self) -> Policy {
        effective_policy(&self.request, &self.rsd.policy.current())
    }

    fn model_failed(&mut self, source: StepSource, error: RoleError) -> PipelineError {
        self.target_failed |= source == StepSource::Target && matches!(error, RoleError::Failed { .. });
        self.emit(&PipelineEvent::ModelFailed(source.into()));
        error.into()
    }

    fn emit(&self, event: &PipelineEvent<'_>) {
        self.rsd.observer.observe(self.id, event);
    }

    /// Adds a step to the answer; returns why the answer is over, if it is.
    fn append(&mut self, step: Step, entry: StepTrace) -> Result<Option<FinishReason>, PipelineError> {
        let shared = self.trace.shared_vocabulary;
        if let Some(draft) = &mut self.draft {
            draft.push(&step, shared || entry.source == StepSource::Draft)?;
        }
        if let Some(target) = &mut self.target {
            target.push(&step, shared || entry.source == StepSource::Target)?;
        }
        self.record_step(entry.source, &step);
        self.tokens.extend_from_slice(&step.tokens);
        self.emit(&PipelineEvent::TokensEmitted { source: entry.source, tokens: step.tokens.len() });
        self.steps.push(step.text());
        let text = self.answer.push(&step.bytes);
        self.logprobs.extend_from_slice(&step.logprobs);
        if let Some(live) = &self.live {
            live.step_appended();
        }
        self.emit(&PipelineEvent::StepAppended(&entry));
        self.trace.steps.push(entry.clone());
        self.sink.progress(AnswerProgress { text, step: Some(entry), logprobs: step.logprobs });
        Ok(match step.end {
            _ if self.answer.is_stopped() => Some(FinishReason::Stop),
            StepEnd::EndOfText | StepEnd::StopString => Some(FinishReason::Stop),
            StepEnd::Length => Some(FinishReason::Length),
            StepEnd::Boundary | StepEnd::StepLimit => self.has_all_steps().then_some(FinishReason::Length),
        })
    }

    fn max_steps(&self) -> usize {
        self.rsd.policy.current().settings.limits.max_steps
    }

    fn has_all_steps(&self) -> bool {
        self.steps.len() >= self.max_steps()
    }

    /// Whether no model may add anything to the answer.
    fn is_at_a_limit(&self) -> bool {
        self.has_all_steps() || self.tokens.len() >= self.request.max_tokens
    }

    /// Whether a model may add nothing to the answer.
    fn has_no_room(&self, source: StepSource) -> Result<bool, PipelineError> {
        Ok(self.is_at_a_limit() || self.transcript(source)?.is_full())
    }
}
