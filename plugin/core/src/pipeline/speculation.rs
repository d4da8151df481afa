//! Token-level speculative decoding inside a step of the target: the draft proposes a few tokens at a time, and the
//! target verifies them in one forward pass (Leviathan et al., arXiv 2211.17192).
//!
//! A proposed token is accepted if and only if it is the one that the target picks itself, with the request's own
//! sampling and the same randomness. So the step is, token for token, the one that the target decodes alone, at any
//! temperature, as far as the target's prefill and decode compute the same logits. Where they round differently, two
//! tokens that are nearly equally likely can change places.

use std::{sync::Arc, time::Instant};

use super::{
    roles::{Generator, RoleError, RunReport, RunRequest, Step, StepEnd, TokenLogprob, Verification},
    segment::{Segmentation, StepBoundary},
    step_builder::StepBuilder,
    trace::SpeculationTotals,
};

/// What a speculative step cost so far.
#[derive(Debug, Clone, Default)]
pub(super) struct SpeculationReport {
    /// The runs of the draft, one per round.
    pub draft_runs: Vec<RunReport>,
    /// The verifications of the target and what it decoded alone, added up.
    pub target: RunReport,
    /// Rounds, and the tokens in them.
    pub totals: SpeculationTotals,
    /// All tokens that the target computed.
    computed: usize,
}

/// Both models, and the step that they build.
struct SpeculativeStep<'a> {
    draft: &'a dyn Generator,
    target: &'a dyn Generator,
    proposals: usize,
    /// The request for the next token: its prefix holds the tokens picked so far.
    request: RunRequest,
    builder: StepBuilder,
    report: &'a mut SpeculationReport,
}

/// Generates one step of the target. The draft proposes up to `proposals` tokens at a time; both models share their
/// token ids. `report` is complete also if the future is dropped between two calls of a model.
pub(super) async fn speculative_step(
    draft: &Arc<dyn Generator>,
    target: &Arc<dyn Generator>,
    mut request: RunRequest,
    proposals: usize,
    report: &mut SpeculationReport,
) -> Result<Step, RoleError> {
    request.max_tokens = request.max_tokens.min(target.context_length().saturating_sub(request.prefix.len()));
    report.target.prompt = request.prefix.len();
    let builder = StepBuilder::new(&request);
    // The step alone is shown, not what the draft proposes for it.
    request.live = None;
    SpeculativeStep { draft: draft.as_ref(), target: target.as_ref(), proposals, request, builder, report }
        .generate()
        .await
}

impl SpeculativeStep<'_> {
    async fn generate(mut self) -> Result<Step, RoleError> {
        loop {
            let Some(verification) = self.round().await else {
                let end = self.decode_alone().await?;
                return Ok(self.builder.take_step(end, None));
            };
            let mut logprobs = verification.logprobs.into_iter();
            for token in verification.tokens {
                if let Some(end) = self.push(token, logprobs.next()) {
                    return Ok(self.builder.take_step(end, None));
                }
            }
            if verification.ended {
                return Ok(self.builder.take_step(StepEnd::EndOfText, None));
            }
        }
    }

    /// Proposes and verifies; `None` if the target is to decode the rest of the step alone.
    async fn round(&mut self) -> Option<Verification> {
        let room = self.room();
        if room == 0 {
            return None;
        }
        let began = Instant::now();
        let proposal = match self.propose(room).await {
            Ok(proposal) => proposal,
            Err(error) => {
                tracing::warn!(%error, "the draft could not propose tokens; the target decodes the step alone");
                return None;
            }
        };
        let proposed = began.elapsed().as_secs_f64();
        match self.target.verify(&self.request, &proposal).await {
            Ok(verification) => {
                self.record(&proposal, &verification, began.elapsed().as_secs_f64() - proposed);
                Some(verification)
            }
            Err(error) => {
                tracing::debug!(%error, "the target could not verify proposed tokens and decodes the step alone");
                None
            }
        }
    }

    /// How many tokens can be proposed: one less than may follow, because a verification yields one token more.
    fn room(&self) -> usize {
        let draft = self.draft.context_length().saturating_sub(self.request.prefix.len());
        let step = self.request.segmentation.max_tokens.saturating_sub(self.builder.step_tokens() + 1);
        self.proposals.min(draft).min(step).min(self.request.max_tokens.saturating_sub(1))
    }

    async fn propose(&mut self, tokens: usize) -> Result<Vec<u32>, RoleError> {
        let segmentation = Segmentation { boundary: StepBoundary::Tokens(tokens), max_tokens: tokens };
        let request = RunRequest {
            segmentation,
            max_tokens: tokens,
            max_steps: Some(1),
            lookahead: 0,
            stop: Vec::new(),
            tail: Vec::new(),
            logprobs: None,
            features: false,
            ..self.request.clone()
        };
        let mut run = self.draft.start(request).await?;
        let step = run.next().await;
        self.report.draft_runs.push(run.finish().await);
        step.unwrap_or_else(|| Err(ended_early(self.draft))).map(|step| step.tokens)
    }

    fn record(&mut self, proposal: &[u32], verification: &Verification, seconds: f64) {
        let prefix = verification.computed.saturating_sub(proposal.len());
        self.report.totals.rounds += 1;
        self.report.totals.proposed += proposal.len();
        self.report.totals.accepted += verification.accepted();
        self.report.add(prefix, verification.computed, verification.tokens.len(), [seconds, seconds]);
    }

    /// The target decodes token by token, in one run, until the step ends.
    async fn decode_alone(&mut self) -> Result<StepEnd, RoleError> {
        let request = RunRequest {
            segmentation: Segmentation { boundary: StepBoundary::Tokens(1), max_tokens: 1 },
            max_steps: None,
            lookahead: 0,
            stop: Vec::new(),
            tail: Vec::new(),
            ..self.request.clone()
        };
        let mut run = self.target.start(request).await?;
        let end = loop {
            let token = match run.next().await {
                Some(Ok(step)) => step,
                Some(Err(error)) => break Err(error),
                None => break Err(ended_early(self.target)),
            };
            let ended = token.end == StepEnd::EndOfText;
            let mut logprobs = token.logprobs.into_iter();
            if let Some(end) = token.tokens.into_iter().find_map(|id| self.push(id, logprobs.next())) {
                break Ok(end);
            }
            if ended {
                break Ok(StepEnd::EndOfText);
            }
            run.accept();
        };
        let run = run.finish().await;
        self.report.add(
            run.prefilled,
            run.prefilled + run.generated,
            run.generated,
            [run.prefill_seconds, run.seconds],
        );
        end
    }

    /// Adds a token to the step; returns why the step ends with it, if it does.
    fn push(&mut self, token: u32, logprob: Option<TokenLogprob>) -> Option<StepEnd> {
        self.request.prefix.push(token);
        self.request.position += 1;
        self.request.max_tokens = self.request.max_tokens.saturating_sub(1);
        self.builder.push(token, &self.target.token_bytes(token), logprob)
    }
}

impl SpeculationReport {
    /// Adds work of the target. `prefix` of the `computed` tokens were part of the prefix. Only the prefill of the first
    /// call is one that the target would have had alone.
    fn add(&mut self, prefix: usize, computed: usize, generated: usize, [prefill_seconds, seconds]: [f64; 2]) {
        let target = &mut self.target;
        if target.forwards == 0 {
            (target.prefilled, target.prefill_seconds) = (prefix, prefill_seconds);
        }
        self.computed += computed;
        target.forwards += 1;
        target.generated += generated;
        target.seconds += seconds;
        target.verified = self.computed.saturating_sub(target.prefilled + target.generated);
    }
}

fn ended_early(model: &dyn Generator) -> RoleError {
    RoleError::Failed { role: model.role().to_owned(), reason: "its run ended without a final step".to_owned() }
}
