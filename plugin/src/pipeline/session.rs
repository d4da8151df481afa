//! One request through the loop.

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Answer, Finish, Outcome, PipelineError, Progress, Request, Rsd,
    observe::{Ended, Event, Judged, Role, new_answer},
    roles::{RoleError, Run, RunRequest, Score, Step, StepEnd, TokenLogprob, Trajectory, Turn},
    segment::Segmentation,
    trace::{Fallback, Rejected, Source, StepTrace, Trace},
    transcript::Transcript,
};
use crate::{
    flops::Flops,
    policy::{Answers, Decision, Policy, Snapshot},
    reward::features::StepFeatures,
    sampling::{Stream, uniform},
};

struct Session<'a> {
    rsd: &'a Rsd,
    id: u64,
    request: Request,
    progress: mpsc::UnboundedSender<Progress>,
    cancel: CancellationToken,
    /// Whether steps are judged: not where one model answers alone.
    judging: bool,
    /// Held as long as the model takes part.
    turns: Vec<(Source, Turn)>,
    /// Models that take part; a model that answers alone leaves the other out.
    draft: Option<Transcript>,
    target: Option<Transcript>,
    answer: Answer,
    tokens: Vec<u32>,
    /// Text of each step taken, for the reward model.
    steps: Vec<String>,
    /// What a head reads of the draft's steps that were taken.
    drafted: Vec<StepFeatures>,
    logprobs: Vec<TokenLogprob>,
    trace: Trace,
    judged: u64,
    rejections: u64,
    /// Prompt tokens that the first run had to compute.
    prompt_prefilled: Option<usize>,
}

/// What became of a run.
enum Phase {
    /// The answer is over.
    Done(Finish),
    /// The target must write the next step.
    Rejected(Box<Refusal>),
    /// The target must write the rest.
    DraftIsOut(Fallback),
}

/// A drafted step that does not stay.
struct Refusal {
    step: Step,
    wasted: usize,
    reward: Option<f64>,
    fallback: Option<Fallback>,
    policy: Policy,
    draft_ms: f64,
    reward_ms: f64,
}

pub(super) async fn run(
    rsd: &Rsd,
    request: Request,
    progress: mpsc::UnboundedSender<Progress>,
    cancel: CancellationToken,
) -> Result<Outcome, PipelineError> {
    let began = Instant::now();
    let answers = effective(&request, &rsd.policy.current()).values.answers;
    let mut session = Session {
        rsd,
        id: new_answer(),
        answer: Answer::new(request.stop.clone()),
        request,
        progress,
        cancel,
        judging: answers == Answers::Rsd,
        turns: Vec::new(),
        draft: None,
        target: None,
        tokens: Vec::new(),
        steps: Vec::new(),
        drafted: Vec::new(),
        logprobs: Vec::new(),
        trace: Trace { shared_vocabulary: rsd.draft.vocabulary() == rsd.target.vocabulary(), ..Trace::default() },
        judged: 0,
        rejections: 0,
        prompt_prefilled: None,
    };
    let finish = session.go(answers).await;
    session.total(began);
    session.report_end(finish.as_ref().err());
    Ok(session.outcome(finish?))
}

/// The policy as a request sees it.
fn effective(request: &Request, snapshot: &Snapshot) -> Policy {
    request.overrides.apply(snapshot.policy(request.model.as_deref()))
}

fn ms(seconds: f64) -> f64 {
    seconds * 1e3
}

impl Session<'_> {
    async fn go(&mut self, answers: Answers) -> Result<Finish, PipelineError> {
        if answers != Answers::Target {
            match self.open(Source::Draft).await {
                Ok(Some(draft)) => self.draft = Some(draft),
                Ok(None) => return Ok(Finish::Length),
                // Too long for the draft: left to the target, unless the draft is to decide alone.
                Err(PipelineError::Role(RoleError::ContextExceeded { .. }))
                    if answers == Answers::Rsd && !self.policy().keeps_all() => {}
                Err(error) => return Err(error),
            }
        }
        if answers != Answers::Draft {
            let Some(target) = self.open(Source::Target).await? else { return Ok(Finish::Length) };
            self.target = Some(target);
        }
        match answers {
            Answers::Draft => self.alone(Source::Draft, None).await,
            Answers::Target => self.alone(Source::Target, None).await,
            Answers::Rsd => loop {
                match self.draft_phase().await? {
                    Phase::Done(finish) => return Ok(finish),
                    Phase::DraftIsOut(fallback) => {
                        // Another answer may have the draft meanwhile.
                        self.turns.retain(|(source, _)| *source != Source::Draft);
                        return self.alone(Source::Target, Some(fallback)).await;
                    }
                    Phase::Rejected(refusal) => {
                        if let Some(finish) = self.target_step(*refusal).await? {
                            return Ok(finish);
                        }
                    }
                }
            },
        }
    }

    /// The prompt in a model's ids once it is this answer's turn, unless the request is out of time first. Turns are
    /// taken draft first, so that no two answers wait for each other. Waiting for one's turn is not the request's time:
    /// every answer before it has a deadline of its own.
    async fn open(&mut self, source: Source) -> Result<Option<Transcript>, PipelineError> {
        let rsd = self.rsd;
        let model = if source == Source::Draft { &rsd.draft } else { &rsd.target };
        let began = Instant::now();
        let identity = model.identity().filter(|_| source == Source::Target && self.draft.is_some());
        let turn = if identity.is_some() && identity == rsd.draft.identity() {
            // One model in both roles has one turn, which is held already.
            self.turns.pop().map(|(_, turn)| turn).unwrap_or_default()
        } else {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(PipelineError::Cancelled),
                turn = model.turn() => turn,
            }
        };
        self.request.deadline = self.request.deadline.map(|deadline| deadline + began.elapsed());
        let transcript = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(PipelineError::Cancelled),
            () = self.deadline() => return Ok(None),
            transcript = Transcript::new(model.clone(), &self.request.prompt) => transcript?,
        };
        self.turns.push((source, turn));
        Ok(Some(transcript))
    }

    fn transcript(&self, source: Source) -> Result<&Transcript, PipelineError> {
        let transcript = match source {
            Source::Draft => self.draft.as_ref(),
            Source::Target => self.target.as_ref(),
        };
        transcript.ok_or_else(|| RoleError::Invalid("this model takes no part in the request".to_owned()).into())
    }

    fn policy(&self) -> Policy {
        effective(&self.request, &self.rsd.policy.current())
    }

    fn run_request(
        &self,
        source: Source,
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
                Source::Draft => Stream::Draft { rejections: self.rejections }.id(),
                Source::Target => Stream::Target.id(),
            },
            segmentation: Segmentation {
                boundary: self.rsd.settings.boundary.clone(),
                max_tokens: self.rsd.policy.current().live.steps.max_tokens,
            },
            max_tokens: self.request.max_tokens.saturating_sub(self.tokens.len()),
            max_steps,
            lookahead,
            stop: self.request.stop.clone(),
            tail: bytes[bytes.len().saturating_sub(longest)..].to_vec(),
            logprobs: self.request.logprobs,
            features: self.judging && source == Source::Draft && self.rsd.reward.reads_features(),
        })
    }

    /// Starts a run, or says that a limit leaves nothing to write.
    async fn start(
        &self,
        source: Source,
        max_steps: Option<usize>,
        lookahead: usize,
    ) -> Result<Result<Box<dyn Run>, Finish>, PipelineError> {
        let request = self.run_request(source, max_steps, lookahead)?;
        if self.is_at_a_limit() || self.transcript(source)?.is_full() {
            return Ok(Err(Finish::Length));
        }
        let model = self.transcript(source)?.model().clone();
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(PipelineError::Cancelled),
            () = self.deadline() => Ok(Err(Finish::Length)),
            run = model.start(request) => match run {
                Ok(run) => Ok(Ok(run)),
                Err(error) if source == Source::Target => Err(self.failed(source, error)),
                Err(error) => Err(error.into()),
            },
        }
    }

    async fn deadline(&self) {
        match self.request.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    /// The run's next event, unless the request is cancelled or out of time first.
    async fn next(&self, run: &mut Box<dyn Run>) -> Result<Next, PipelineError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(PipelineError::Cancelled),
            () = self.deadline() => Ok(Next::OutOfTime),
            event = run.next() => Ok(match event {
                Some(Ok(step)) => Next::Step(step),
                Some(Err(error)) => Next::Failed(error),
                None => Next::Failed(RoleError::Failed {
                    role: "generating".to_owned(),
                    reason: "its run ended without saying why".to_owned(),
                }),
            }),
        }
    }

    async fn close(&mut self, source: Source, run: Box<dyn Run>) -> usize {
        let report = run.finish().await;
        let totals = match source {
            Source::Draft => &mut self.trace.totals.draft,
            Source::Target => &mut self.trace.totals.target,
        };
        totals.add(report.generated, report.prefilled, report.prompt, report.seconds);
        self.prompt_prefilled.get_or_insert(report.prefilled);
        self.tell(&Event::Ran { source, report: &report });
        report.generated
    }

    fn failed(&self, source: Source, error: RoleError) -> PipelineError {
        self.tell(&Event::Failed(source.into()));
        error.into()
    }

    fn draft_failed(&self, error: &RoleError) -> Phase {
        tracing::error!(%error, "the draft failed; the target answers the rest alone");
        self.tell(&Event::Failed(Role::Draft));
        Phase::DraftIsOut(Fallback::DraftFailed)
    }

    fn tell(&self, event: &Event<'_>) {
        self.rsd.observer.observe(self.id, event);
    }

    /// One model writes to the end.
    async fn alone(&mut self, source: Source, fallback: Option<Fallback>) -> Result<Finish, PipelineError> {
        if let Some(fallback) = fallback {
            self.tell(&Event::Fallback(fallback));
        }
        let mut run = match self.start(source, None, usize::MAX).await? {
            Ok(run) => run,
            Err(finish) => return Ok(finish),
        };
        loop {
            let step = match self.next(&mut run).await? {
                Next::Step(step) => step,
                Next::OutOfTime => {
                    self.close(source, run).await;
                    return Ok(Finish::Length);
                }
                Next::Failed(error) => return Err(self.failed(source, error)),
            };
            let milliseconds = ms(step.seconds);
            let mut entry = self.entry(source, &step);
            entry.fallback = fallback;
            match source {
                Source::Draft => entry.draft_ms = milliseconds,
                Source::Target => entry.target_ms = milliseconds,
            }
            if let Some(finish) = self.take(step, entry)? {
                self.close(source, run).await;
                return Ok(finish);
            }
        }
    }

    /// The draft writes until a step is rejected or the answer is over.
    async fn draft_phase(&mut self) -> Result<Phase, PipelineError> {
        let full = self.draft.as_ref().is_none_or(Transcript::is_full);
        if full && !self.policy().keeps_all() {
            return Ok(Phase::DraftIsOut(Fallback::DraftContext));
        }
        let mut run = match self.start(Source::Draft, None, self.rsd.policy.current().live.steps.lookahead).await {
            Ok(Ok(run)) => run,
            Ok(Err(finish)) => return Ok(Phase::Done(finish)),
            Err(PipelineError::Role(error)) => return Ok(self.draft_failed(&error)),
            Err(error) => return Err(error),
        };
        let mut kept = 0;
        loop {
            let step = match self.next(&mut run).await? {
                Next::Step(step) => step,
                Next::OutOfTime => {
                    self.close(Source::Draft, run).await;
                    return Ok(Phase::Done(Finish::Length));
                }
                Next::Failed(error) => {
                    self.close(Source::Draft, run).await;
                    return Ok(self.draft_failed(&error));
                }
            };
            let Some(scored) = self.score(&step).await? else {
                self.close(Source::Draft, run).await;
                return Ok(Phase::Done(Finish::Length));
            };
            let policy = self.policy();
            let draw = uniform(self.request.sampling.seed, Stream::Accept.id(), self.judged);
            self.judged += 1;
            // Where the verdict decides nothing, its failure does not either.
            let reward = scored.as_ref().map_or(f64::NAN, |score| score.reward);
            let (fallback, reward_ms) = match &scored {
                Ok(score) => (None, ms(score.seconds)),
                Err(fallback) => (Some(*fallback), 0.0),
            };
            let reward = reward.is_finite().then_some(reward);
            let (decision, policy) = self.rsd.policy.judge(policy, reward, draw);
            self.tell(&Event::Judged(&Judged { tokens: step.tokens.len(), reward, policy, decision }));
            if let Some(fallback) = fallback {
                self.tell(&Event::Fallback(fallback));
            }
            if decision == Decision::Accept {
                kept += step.tokens.len();
                let mut step = step;
                self.drafted.extend(step.features.take().map(|features| *features));
                let mut entry = self.entry(Source::Draft, &step);
                entry.draft_ms = ms(step.seconds);
                (entry.reward, entry.fallback, entry.reward_ms) = (reward, fallback, reward_ms);
                (entry.delta, entry.revision) = (policy.values.delta, policy.revision);
                self.trace.totals.accepted_steps += 1;
                self.trace.totals.accepted_tokens += step.tokens.len();
                if let Some(finish) = self.take(step, entry)? {
                    self.close(Source::Draft, run).await;
                    // Full is the draft's context, not the answer: the target's may have room.
                    let goes_on = finish == Finish::Length && !self.is_at_a_limit() && !policy.keeps_all();
                    return Ok(if goes_on { Phase::DraftIsOut(Fallback::DraftContext) } else { Phase::Done(finish) });
                }
                run.accept();
                continue;
            }
            let generated = self.close(Source::Draft, run).await;
            let wasted = generated.saturating_sub(kept + step.tokens.len());
            self.rejections += 1;
            if wasted > 0 {
                self.tell(&Event::Wasted { tokens: wasted });
            }
            let draft_ms = ms(step.seconds);
            return Ok(Phase::Rejected(Box::new(Refusal {
                step,
                wasted,
                reward,
                fallback,
                policy,
                draft_ms,
                reward_ms,
            })));
        }
    }

    /// The verdict, or why there is none; nothing when the request is out of time first.
    async fn score(&mut self, step: &Step) -> Result<Option<Result<Score, Fallback>>, PipelineError> {
        let text = step.text();
        let trajectory = Trajectory {
            prompt: &self.request.prompt,
            steps: &self.steps,
            step: &text,
            written: step,
            drafted: &self.drafted,
        };
        let scored = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(PipelineError::Cancelled),
            () = self.deadline() => return Ok(None),
            scored = tokio::time::timeout(self.rsd.settings.reward_timeout, self.rsd.reward.score(trajectory)) => scored,
        };
        Ok(Some(match scored {
            Err(_) => {
                self.tell(&Event::Failed(Role::Reward));
                Err(Fallback::RewardTimeout)
            }
            Ok(Err(error)) => {
                self.tell(&Event::Failed(Role::Reward));
                tracing::warn!(%error, reward = self.rsd.reward.name(), "no verdict; the step goes to the target");
                Err(Fallback::RewardFailed)
            }
            Ok(Ok(score)) => {
                self.trace.totals.reward.add(0, score.prefilled, score.prompt, score.seconds);
                self.tell(&Event::Scored(&score));
                if (0.0..=1.0).contains(&score.reward) { Ok(score) } else { Err(Fallback::RewardInvalid) }
            }
        }))
    }

    /// The target writes the step that was refused.
    async fn target_step(&mut self, refusal: Refusal) -> Result<Option<Finish>, PipelineError> {
        let mut run = match self.start(Source::Target, Some(1), usize::MAX).await? {
            Ok(run) => run,
            Err(finish) => return Ok(Some(finish)),
        };
        let step = match self.next(&mut run).await? {
            Next::Step(step) => step,
            Next::OutOfTime => {
                self.close(Source::Target, run).await;
                return Ok(Some(Finish::Length));
            }
            Next::Failed(error) => return Err(self.failed(Source::Target, error)),
        };
        self.close(Source::Target, run).await;
        let mut entry = self.entry(Source::Target, &step);
        entry.target_ms = ms(step.seconds);
        (entry.draft_ms, entry.reward_ms) = (refusal.draft_ms, refusal.reward_ms);
        (entry.reward, entry.fallback) = (refusal.reward, refusal.fallback);
        (entry.delta, entry.revision) = (refusal.policy.values.delta, refusal.policy.revision);
        let rejected = refusal.step;
        self.trace.totals.rejected_steps += 1;
        self.trace.totals.rejected_tokens += rejected.tokens.len();
        self.trace.totals.wasted_lookahead_tokens += refusal.wasted;
        self.tell(&Event::Replaced { tokens: step.tokens.len() });
        entry.rejected = Some(Rejected { text: rejected.text(), tokens: rejected.tokens.len() + refusal.wasted });
        self.take(step, entry)
    }

    fn entry(&self, source: Source, step: &Step) -> StepTrace {
        let policy = self.policy();
        StepTrace {
            index: self.steps.len(),
            source,
            text: step.text(),
            tokens: step.tokens.len(),
            end: step.end,
            reward: None,
            delta: policy.values.delta,
            revision: policy.revision,
            rejected: None,
            fallback: None,
            draft_ms: 0.0,
            reward_ms: 0.0,
            target_ms: 0.0,
        }
    }

    /// Adds a step to the answer; says when the answer is over.
    fn take(&mut self, step: Step, entry: StepTrace) -> Result<Option<Finish>, PipelineError> {
        let shared = self.trace.shared_vocabulary;
        if let Some(draft) = &mut self.draft {
            draft.push(&step, shared || entry.source == Source::Draft)?;
        }
        if let Some(target) = &mut self.target {
            target.push(&step, shared || entry.source == Source::Target)?;
        }
        self.tokens.extend_from_slice(&step.tokens);
        self.tell(&Event::Emitted { source: entry.source, tokens: step.tokens.len() });
        self.steps.push(step.text());
        let text = self.answer.push(&step.bytes);
        self.logprobs.extend_from_slice(&step.logprobs);
        self.trace.steps.push(entry.clone());
        // A client that has gone is noticed by its cancellation, not here.
        let _ = self.progress.send(Progress { text, step: Some(entry), logprobs: step.logprobs });
        Ok(match step.end {
            _ if self.answer.is_stopped() => Some(Finish::Stop),
            StepEnd::EndOfText | StepEnd::StopString => Some(Finish::Stop),
            StepEnd::Length => Some(Finish::Length),
            StepEnd::Boundary | StepEnd::StepLimit => self.has_all_steps().then_some(Finish::Length),
        })
    }

    fn has_all_steps(&self) -> bool {
        self.steps.len() >= self.rsd.policy.current().live.limits.max_steps
    }

    /// Whether nothing may be added, whoever writes it.
    fn is_at_a_limit(&self) -> bool {
        self.has_all_steps() || self.tokens.len() >= self.request.max_tokens
    }

    /// Completes the account.
    fn total(&mut self, began: Instant) {
        let totals = &mut self.trace.totals;
        totals.seconds = began.elapsed().as_secs_f64();
        totals.flops = self.rsd.parameters().map(|parameters| Flops::estimate(totals, parameters));
    }

    fn report_end(&self, error: Option<&PipelineError>) {
        self.tell(&Event::Ended(&Ended {
            request: &self.request,
            judging: self.judging,
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

    fn outcome(mut self, finish: Finish) -> Outcome {
        let rest = self.answer.finish();
        if !rest.is_empty() {
            let _ = self.progress.send(Progress { text: rest, step: None, logprobs: Vec::new() });
        }
        let prompt_tokens = self.prompt_tokens();
        let stopped = Answer::new(self.request.stop.clone()).push_all(self.answer.bytes());
        Outcome {
            text: stopped,
            completion_tokens: self.tokens.len(),
            tokens: self.tokens,
            finish,
            prompt_tokens,
            trace: self.trace,
            logprobs: self.logprobs,
        }
    }
}

/// What comes next in a run.
enum Next {
    Step(Step),
    Failed(RoleError),
    OutOfTime,
}
