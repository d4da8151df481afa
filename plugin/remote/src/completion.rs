//! One completion: what it asks for, and its tokens as they arrive.

use std::collections::VecDeque;

use rsd_core::pipeline::{
    roles::{RunRequest, TokenLogprob},
    segment::StepBoundary,
};

use crate::{
    adapters::{CompletionCall, CompletionDelta, CompletionEnd, CompletionPrefix, PromptUse, ReplyError, ReplyParser},
    remote_core::RemoteCore,
    transport::{EventStream, TransportError},
};

/// Tokens that are asked for at a time where an engine cannot find the end of a step.
const PIECE: usize = 32;

/// Why a completion failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompletionError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Reply(#[from] ReplyError),
    #[error("{0}")]
    Text(String),
}

impl CompletionError {
    /// Whether the rest may be asked for again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transport(error) => error.is_retryable(),
            Self::Reply(ReplyError::Engine { status, .. }) => status.is_none_or(|status| status >= 500),
            Self::Reply(ReplyError::Unexpected(_)) | Self::Text(_) => false,
        }
    }
}

/// A token that the engine decoded.
#[derive(Debug)]
pub(crate) struct DecodedToken {
    pub id: u32,
    pub logprob: Option<TokenLogprob>,
}

/// What comes next in a completion.
#[derive(Debug)]
pub(crate) enum CompletionPart {
    Token(DecodedToken),
    End(CompletionEnd),
}

/// A completion in progress. Dropping it lets the engine stop.
pub(crate) struct Completion<'a> {
    core: &'a RemoteCore,
    parser: Box<dyn ReplyParser>,
    source: CompletionSource,
    ready: VecDeque<DecodedToken>,
    end: Option<CompletionEnd>,
    pub prompt: Option<PromptUse>,
    /// Seconds of prefill, if the engine told them.
    pub prefill_seconds: Option<f64>,
    /// The text of a whole reply.
    pub text: String,
}

enum CompletionSource {
    Stream(EventStream),
    /// The whole reply was received.
    Whole,
}

/// What one completion is asked to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CompletionPlan {
    pub stream: bool,
    pub max_tokens: usize,
    pub stop: Vec<String>,
}

impl CompletionPlan {
    /// A stream lasts for the whole run. Without one a completion ends with the step, as far as the engine can tell:
    /// where it cannot, a piece is asked for.
    ///
    /// `left` are the tokens that the run may still decode, `step_tokens` those of the current step.
    pub fn new(request: &RunRequest, complete_streams: bool, left: usize, step_tokens: usize) -> Self {
        let one_step = request.max_steps == Some(1);
        if complete_streams && !one_step {
            return Self { stream: true, max_tokens: left, stop: Vec::new() };
        }
        let in_step = request.segmentation.max_tokens.saturating_sub(step_tokens).max(1);
        let (max_tokens, stop) = match &request.segmentation.boundary {
            StepBoundary::Delimiter(delimiters) => (in_step, delimiters.iter().chain(&request.stop).cloned().collect()),
            StepBoundary::Sentence => (PIECE.min(in_step), request.stop.clone()),
            StepBoundary::Tokens(tokens) => {
                (tokens.saturating_sub(step_tokens).clamp(1, in_step), request.stop.clone())
            }
        };
        Self { stream: complete_streams, max_tokens: max_tokens.min(left), stop }
    }
}

impl<'a> Completion<'a> {
    /// Sends the request.
    pub async fn start(
        core: &'a RemoteCore,
        prefix: &[u32],
        request: &RunRequest,
        plan: &CompletionPlan,
        seed: u64,
        session: u64,
    ) -> Result<Completion<'a>, CompletionError> {
        let text = (!core.adapter.abilities().token_ids).then(|| core.vocabulary.spelled(prefix));
        let call = CompletionCall {
            model: &core.model,
            prefix: text.as_deref().map_or(CompletionPrefix::Ids(prefix), CompletionPrefix::Text),
            max_tokens: plan.max_tokens,
            sampling: &request.sampling,
            seed,
            stop: &plan.stop,
            stream: plan.stream,
            logprobs: request.logprobs,
        };
        let mut sent = core.adapter.completion(&call);
        sent.headers.extend(session_headers(session));
        let mut completion = Self {
            core,
            parser: core.adapter.parser(&call),
            source: CompletionSource::Whole,
            ready: VecDeque::new(),
            end: None,
            prompt: None,
            prefill_seconds: None,
            text: String::new(),
        };
        if plan.stream {
            completion.source = CompletionSource::Stream(core.client.events(&sent).await?);
        } else {
            let reply = core.client.json(&sent).await?;
            let delta = completion.parser.parse(&reply)?;
            completion.text.clone_from(&delta.text);
            completion.add(delta)?;
            completion.end.get_or_insert(CompletionEnd::Unknown);
        }
        Ok(completion)
    }

    /// The next token, or the end.
    pub async fn next(&mut self) -> Result<CompletionPart, CompletionError> {
        loop {
            if let Some(token) = self.ready.pop_front() {
                return Ok(CompletionPart::Token(token));
            }
            if let Some(end) = self.end {
                return Ok(CompletionPart::End(end));
            }
            let CompletionSource::Stream(stream) = &mut self.source else {
                return Ok(CompletionPart::End(CompletionEnd::Unknown));
            };
            match stream.next().await {
                Some(event) => {
                    let delta = self.parser.parse(&event?)?;
                    self.add(delta)?;
                }
                None if stream.is_complete() => self.end = Some(CompletionEnd::Unknown),
                None => return Err(stream.ended_early().into()),
            }
        }
    }

    /// Receives what follows the end: some engines tell there what their cache held, and a connection whose reply came
    /// to its end is used again. Does nothing before the end.
    pub async fn receive_usage(&mut self) {
        let CompletionSource::Stream(stream) = &mut self.source else { return };
        while self.end.is_some() {
            let Some(Ok(event)) = stream.next().await else { return };
            if let Ok(delta) = self.parser.parse(&event) {
                self.prompt = delta.prompt.or(self.prompt);
            }
        }
    }

    fn add(&mut self, delta: CompletionDelta) -> Result<(), CompletionError> {
        let CompletionDelta { tokens, text, logprobs, end, prompt, prefill_seconds } = delta;
        self.prefill_seconds = prefill_seconds.or(self.prefill_seconds);
        self.prompt = prompt.or(self.prompt);
        self.end = end.or(self.end);
        let tokens = if self.core.adapter.abilities().token_ids {
            tokens
        } else {
            self.core.vocabulary.encode_plain(&text).map_err(CompletionError::Text)?
        };
        self.core.vocabulary.check(&tokens).map_err(|error| {
            CompletionError::Text(format!("{error}: the role's tokenizer is not that of the model"))
        })?;
        let mut logprobs = logprobs.into_iter();
        self.ready.extend(tokens.into_iter().map(|id| DecodedToken { id, logprob: logprobs.next() }));
        Ok(())
    }
}

/// Headers by which the routers of vLLM, SGLang and Dynamo send all requests of a conversation to one worker, whose
/// cache then holds the prefix. Other servers ignore them.
pub(crate) fn session_headers(session: u64) -> impl Iterator<Item = (&'static str, String)> {
    let session = format!("{session:016x}");
    ["x-session-id", "x-smg-routing-key", "x-dynamo-session-id"].into_iter().map(move |name| (name, session.clone()))
}

#[cfg(test)]
mod tests {
    use rsd_core::pipeline::segment::Segmentation;

    use super::*;

    fn request(boundary: StepBoundary, max_steps: Option<usize>) -> RunRequest {
        let segmentation = Segmentation { boundary, max_tokens: 100 };
        let request = RunRequest::greedy(vec![1], segmentation, 1000);
        RunRequest { max_steps, stop: vec!["END".to_owned()], ..request }
    }

    #[test]
    fn a_stream_lasts_for_the_run_and_looks_for_steps_by_itself() {
        let lines = || StepBoundary::Delimiter(vec!["\n\n".to_owned()]);
        let plan = CompletionPlan::new(&request(lines(), None), true, 500, 3);
        assert_eq!(plan, CompletionPlan { stream: true, max_tokens: 500, stop: Vec::new() });
        let one = CompletionPlan::new(&request(lines(), Some(1)), true, 500, 3);
        let stop = vec!["\n\n".to_owned(), "END".to_owned()];
        assert_eq!(one, CompletionPlan { stream: true, max_tokens: 97, stop });
    }

    #[test]
    fn without_a_stream_a_completion_ends_with_its_step() {
        let plan = |boundary, left, step| CompletionPlan::new(&request(boundary, None), false, left, step);
        assert_eq!(plan(StepBoundary::Delimiter(vec!["\n".to_owned()]), 10, 0).max_tokens, 10);
        assert_eq!(plan(StepBoundary::Tokens(8), 500, 3).max_tokens, 5);
        assert_eq!(plan(StepBoundary::Tokens(8), 500, 9).max_tokens, 1, "a step of white space goes on");
        assert_eq!(plan(StepBoundary::Sentence, 500, 0).max_tokens, PIECE);
    }
}
