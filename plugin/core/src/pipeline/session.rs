//! One request on its way through the loop: its state, and the phases of draft, reward model and target.

mod handover;
mod replace;
mod target_down;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    AnswerOutcome, AnswerProgress, AnswerSink, AnswerText, FinishReason, PipelineError, Request, Rsd,
    live_text::LiveText,
    observe::{AnswerEnd, ModelRole, PipelineEvent, StepDecision, new_answer_id},
    roles::{AnswerPermit, GeneratorRun, RoleError, RunReport, RunRequest, Step, StepEnd, TokenLogprob, Trajectory},
    segment::Segmentation,
    trace::{AnswerTrace, DecidedDraft, FallbackReason, StepReward, StepSource, StepTrace},
    transcript::Transcript,
};
use crate::{
    features::StepFeatures,
    policy::{
        AnswerRoute, Decision, Policy, SettingsSnapshot,
        handover::{AnswerStanding, HandoverReason},
    },
    sampling::{RandomStream, uniform},
};

struct AnswerSession<'a> {
    rsd: &'a Rsd,
    id: u64,
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

/// How a run of the draft ended.
enum DraftOutcome {
    /// The answer is over.
    Finished(FinishReason),
    /// The target must generate the next step.
    Rejected(Box<RejectedDraft>),
    /// The target must generate the rest.
    TargetAlone(AloneReason),
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

/// Whether a run could start.
enum RunStart {
    Running(Box<dyn GeneratorRun>),
    /// A limit on tokens, steps or time leaves nothing to generate.
    NoRoom,
}

/// What comes next in a run.
enum RunEvent {
    Step(Step),
    Failed(RoleError),
    OutOfTime,
}

impl RunEvent {
    fn into_step(self) -> Option<Step> {
        match self {
            Self::Step(step) => Some(step),
            Self::Failed(_) | Self::OutOfTime => None,
        }
    }
}

pub(super) async fn run(
    rsd: &Rsd,
    request: Request,
    sink: &mut dyn AnswerSink,
    cancel: CancellationToken,
) -> Result<AnswerOutcome, PipelineError> {
    let began = Instant::now();
    let route = effective_policy(&request, &rsd.policy.current()).values.route;
    let mut session = AnswerSession {
        rsd,
        id: new_answer_id(),
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
    session.complete_totals(began);
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

    fn run_request(
        &self,
        source: StepSource,
        max_steps: Option<usize>,
        lookahead: usize,
    ) -> Result<RunRequest, PipelineError> {
        let transcript = self.transcript(source)?;
        let longest = self.request.stop.iter().map(String::len).max().unwrap_or(0);
        let bytes = self.answer.bytes();
        Ok(RunRequest {
            prefix: transcript.ids().to_vec(),
            position: transcript.position(),
            sampling: self.request.sampling.clone(),
            stream: match source {
                StepSource::Draft => RandomStream::Draft { rejections: self.rejections }.id(),
                StepSource::Target => RandomStream::Target.id(),
            },
            segmentation: Segmentation {
                boundary: self.rsd.settings.boundary.clone(),
                max_tokens: self.rsd.policy.current().settings.steps.max_tokens,
            },
            max_tokens: self.request.max_tokens.saturating_sub(self.tokens.len()),
            max_steps,
            lookahead,
            stop: self.request.stop.clone(),
            tail: bytes[bytes.len().saturating_sub(longest)..].to_vec(),
            logprobs: self.request.logprobs,
            features: self.steps_scored && source == StepSource::Draft && self.rsd.reward.reads_features(),
            live: self.live.as_ref().map(|live| live.start_run(source)),
        })
    }

    async fn start(
        &mut self,
        source: StepSource,
        max_steps: Option<usize>,
        lookahead: usize,
    ) -> Result<RunStart, PipelineError> {
        let request = self.run_request(source, max_steps, lookahead)?;
        if self.has_no_room(source)? {
            return Ok(RunStart::NoRoom);
        }
        let model = self.transcript(source)?.model().clone();
        let run = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(PipelineError::Cancelled),
            () = wait_until(self.request.deadline) => return Ok(RunStart::NoRoom),
            run = model.start(request) => run,
        };
        self.record_start(source);
        match run {
            Ok(run) => Ok(RunStart::Running(run)),
            Err(error) if source == StepSource::Target => Err(self.model_failed(source, error)),
            Err(error) => Err(error.into()),
        }
    }

    /// The next step of a run, unless the request is cancelled or out of time first.
    async fn next(&mut self, source: StepSource, run: &mut Box<dyn GeneratorRun>) -> Result<RunEvent, PipelineError> {
        self.in_time(async {
            run.next().await.unwrap_or_else(|| {
                let reason = "its run ended without a final step".to_owned();
                Err(RoleError::Failed { role: source.to_string(), reason })
            })
        })
        .await
    }

    /// A step, unless the request is cancelled or out of time first.
    // Not `&self`, which would have to be `Sync` to be held while waiting; the sink is not.
    async fn in_time(
        &mut self,
        step: impl Future<Output = Result<Step, RoleError>>,
    ) -> Result<RunEvent, PipelineError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(PipelineError::Cancelled),
            () = wait_until(self.request.deadline) => Ok(RunEvent::OutOfTime),
            step = step => Ok(match step {
                Ok(step) => RunEvent::Step(step),
                Err(error) => RunEvent::Failed(error),
            }),
        }
    }

    /// Ends a run, adds its cost to the totals, and returns the number of tokens it generated.
    async fn close(&mut self, source: StepSource, run: Box<dyn GeneratorRun>) -> usize {
        let report = run.finish().await;
        self.end_live_run();
        self.record_run(source, &report);
        report.generated
    }

    /// The same for a run that failed: it says nothing about speeds and caches.
    async fn close_failed(&mut self, source: StepSource, run: Box<dyn GeneratorRun>) {
        let report = run.finish().await;
        self.end_live_run();
        self.record_work(source, &report);
    }

    fn end_live_run(&self) {
        if let Some(live) = &self.live {
            live.end_run();
        }
    }

    /// Adds the cost of a run to the totals, reports it, and learns from it.
    fn record_run(&mut self, source: StepSource, report: &RunReport) {
        self.prompt_prefilled.get_or_insert(report.prefilled);
        self.rsd.record_run(source, report);
        self.record_work(source, report);
    }

    fn record_work(&mut self, source: StepSource, report: &RunReport) {
        let totals = match source {
            StepSource::Draft => &mut self.trace.totals.draft,
            StepSource::Target => &mut self.trace.totals.target,
        };
        totals.add_call(report.generated, report.prefilled + report.verified, report.prompt, report.seconds);
        self.emit(&PipelineEvent::RunFinished { source, report });
    }

    fn model_failed(&mut self, source: StepSource, error: RoleError) -> PipelineError {
        self.target_failed |= source == StepSource::Target && matches!(error, RoleError::Failed { .. });
        self.emit(&PipelineEvent::ModelFailed(source.into()));
        error.into()
    }

    fn draft_failed(&self, error: &RoleError) -> DraftOutcome {
        tracing::error!(%error, "the draft failed; the target generates the rest of the answer alone");
        self.emit(&PipelineEvent::ModelFailed(ModelRole::Draft));
        DraftOutcome::TargetAlone(AloneReason::Fallback(FallbackReason::DraftFailed))
    }

    fn emit(&self, event: &PipelineEvent<'_>) {
        self.rsd.observer.observe(self.id, event);
    }

    /// One model generates to the end of the answer, beginning with the step that replaces a rejected one, if there is
    /// one.
    async fn generate_alone(
        &mut self,
        source: StepSource,
        reason: Option<AloneReason>,
        mut rejected: Option<RejectedDraft>,
    ) -> Result<FinishReason, PipelineError> {
        let (fallback, handover) = match reason {
            Some(AloneReason::Fallback(reason)) => (Some(reason), None),
            Some(AloneReason::Handover(reason)) => (None, Some(reason)),
            None => (None, None),
        };
        if let Some(fallback) = fallback {
            self.emit(&PipelineEvent::FellBack(fallback));
        }
        if let Some(handover) = handover {
            self.emit(&PipelineEvent::HandedOver(handover));
        }
        let RunStart::Running(mut run) = self.start(source, None, usize::MAX).await? else {
            return Ok(FinishReason::Length);
        };
        loop {
            let step = match self.next(source, &mut run).await? {
                RunEvent::Step(step) => step,
                RunEvent::OutOfTime => {
                    self.close(source, run).await;
                    return Ok(FinishReason::Length);
                }
                RunEvent::Failed(error) => {
                    self.close_failed(source, run).await;
                    return Err(self.model_failed(source, error));
                }
            };
            let mut entry = match rejected.take() {
                Some(rejected) => self.replacement(&step, rejected),
                None => StepTrace::unscored(self.steps.len(), source, &step, self.policy(), fallback),
            };
            if handover.is_some() {
                entry.handover = handover;
                if entry.rejected.is_none() {
                    self.emit(&PipelineEvent::StepAlone { tokens: step.tokens.len() });
                }
            }
            if let Some(finish) = self.append(step, entry)? {
                self.close(source, run).await;
                return Ok(finish);
            }
        }
    }

    /// The draft generates until a step is rejected or the answer is over.
    async fn draft_phase(&mut self) -> Result<DraftOutcome, PipelineError> {
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
            step: &text,
            generated_step: step,
            draft_features: &self.draft_features,
        };
        let timeout = self.rsd.settings.reward_timeout;
        let scored = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(PipelineError::Cancelled),
            () = wait_until(self.request.deadline) => return Ok(None),
            scored = tokio::time::timeout(timeout, self.rsd.reward.score(trajectory)) => scored,
        };
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
        let (decision, policy) = self.rsd.policy.decide_step(self.policy(), reward.decisive(), draw);
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

    fn complete_totals(&mut self, began: Instant) {
        let totals = &mut self.trace.totals;
        totals.seconds = began.elapsed().as_secs_f64();
        totals.flops = self.rsd.parameters().map(|parameters| totals.flops(parameters));
        totals.cost = self.rsd.prices().map(|prices| totals.cost(&prices));
    }

    fn report_end(&self, error: Option<&PipelineError>) {
        self.emit(&PipelineEvent::AnswerEnded(&AnswerEnd {
            request: &self.request,
            steps_scored: self.steps_scored,
            error,
            trace: &self.trace,
            prompt_tokens: self.prompt_tokens(),
            prompt_prefilled: self.prompt_prefilled.unwrap_or(0),
            completion_tokens: self.tokens.len(),
        }));
    }

    fn prompt_tokens(&self) -> usize {
        self.target.as_ref().or(self.draft.as_ref()).map_or(0, Transcript::prompt_len)
    }

    fn outcome(mut self, finish: FinishReason) -> AnswerOutcome {
        let rest = self.answer.finish();
        if !rest.is_empty() {
            self.sink.progress(AnswerProgress { text: rest, step: None, logprobs: Vec::new() });
        }
        let prompt_tokens = self.prompt_tokens();
        let cached = self.prompt_prefilled.map(|prefilled| prompt_tokens.saturating_sub(prefilled));
        let text = AnswerText::new(self.request.stop.clone()).push_all(self.answer.bytes());
        AnswerOutcome {
            text,
            completion_tokens: self.tokens.len(),
            tokens: self.tokens,
            finish,
            prompt_tokens,
            cached_prompt_tokens: cached,
            trace: self.trace,
            logprobs: self.logprobs,
        }
    }
}
