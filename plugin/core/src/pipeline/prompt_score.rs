//! What can be said of a prompt without an answer: whether the models take it, and how likely its tokens are.

use tokio_util::sync::CancellationToken;

use super::{
    PipelineError, Rsd,
    roles::{Generator, Prompt, RoleError, RunRequest, TokenLogprob},
    segment::Segmentation,
    trace::StepSource,
    transcript::Transcript,
};
use crate::policy::AnswerRoute;

/// The log-probabilities of a prompt's tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptScore {
    /// The first token, before which there is nothing that could predict it.
    pub first: u32,
    /// All other tokens.
    pub rest: Vec<TokenLogprob>,
}

impl Rsd {
    /// Checks that the models of a route take a prompt, without any generation.
    ///
    /// # Errors
    /// The prompt is invalid, or it exceeds the context of the model that must have room for it.
    pub async fn check_prompt(&self, prompt: &Prompt, route: AnswerRoute) -> Result<(), PipelineError> {
        // Under RSD the target answers a prompt that is too long for the draft.
        let model = if route == AnswerRoute::Draft { &self.draft } else { &self.target };
        let stands_in = route == AnswerRoute::Rsd && self.draft_stands_in();
        match Transcript::new(model.clone(), prompt).await {
            Err(RoleError::Failed { .. }) if stands_in => Transcript::new(self.draft.clone(), prompt).await?,
            checked => checked?,
        };
        Ok(())
    }

    /// Log-probabilities of a prompt's tokens by one model, with `top` alternatives for each.
    ///
    /// On a CPU this empties the prefix cache of the model, so it waits until no other answer uses the model.
    ///
    /// # Errors
    /// The prompt is invalid or holds an end token, the request was cancelled, or the model failed.
    pub async fn score_prompt(
        &self,
        source: StepSource,
        prompt: &Prompt,
        top: usize,
        cancel: &CancellationToken,
    ) -> Result<PromptScore, PipelineError> {
        let model = if source == StepSource::Draft { &self.draft } else { &self.target };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(PipelineError::Cancelled),
            score = self.replay_prompt(model.as_ref(), prompt, top) => Ok(score?),
        }
    }

    async fn replay_prompt(
        &self,
        model: &dyn Generator,
        prompt: &Prompt,
        top: usize,
    ) -> Result<PromptScore, RoleError> {
        let _permit = model.answer_permit().await;
        let mut ids = model.encode_prompt(prompt).await?;
        let invalid = |message: &str| RoleError::Invalid(message.to_owned());
        let rest = if ids.is_empty() { Vec::new() } else { ids.split_off(1) };
        let &[first] = ids.as_slice() else { return Err(invalid("prompt: it has no tokens")) };
        if rest.is_empty() {
            return Ok(PromptScore { first, rest: Vec::new() });
        }
        let segmentation = Segmentation { boundary: self.settings.boundary.clone(), max_tokens: rest.len() };
        let request = RunRequest { logprobs: Some(top), ..RunRequest::greedy(vec![first], segmentation, rest.len()) };
        let steps = model.replay(request, rest.clone()).await?;
        let scored: Vec<TokenLogprob> = steps.into_iter().flat_map(|step| step.logprobs).collect();
        if scored.len() != rest.len() {
            return Err(invalid(
                "prompt: it holds an end token of the model, so the log-probabilities behind it cannot be computed; \
                 leave the token out, or `echo` or `logprobs`",
            ));
        }
        Ok(PromptScore { first, rest: scored })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{
        roles::TokenPrompt,
        testing::{World, block_on},
    };

    #[test]
    fn every_token_of_a_prompt_but_the_first_has_a_log_probability() {
        let rsd = World::new(1).rsd();
        let prompt = Prompt::Text("Q: abc".to_owned());
        let cancel = CancellationToken::new();
        let score = block_on(rsd.score_prompt(StepSource::Target, &prompt, 2, &cancel)).unwrap();
        let ids: Vec<u32> = [score.first].into_iter().chain(score.rest.iter().map(|token| token.id)).collect();
        assert_eq!(ids, "Q: abc".bytes().map(u32::from).collect::<Vec<_>>());
        cancel.cancel();
        let cancelled = block_on(rsd.score_prompt(StepSource::Target, &prompt, 2, &cancel));
        assert_eq!(cancelled, Err(PipelineError::Cancelled));
    }

    #[test]
    fn a_prompt_of_tokens_is_continued_as_its_text_is() {
        for shift in [0, 1000] {
            let mut world = World::new(2);
            world.draft.shift = shift;
            let text = world.answer();
            let ids = "Q: ".bytes().map(u32::from).collect();
            world.request.prompt = Prompt::Tokens(TokenPrompt::new(&world.target, ids));
            assert_eq!(world.request.prompt.question(), "Q: ");
            assert_eq!(world.answer().text, text.text, "shift {shift}");
        }
    }

    #[test]
    fn a_token_that_the_vocabulary_lacks_is_named() {
        let world = World::new(2);
        let prompt = Prompt::Tokens(TokenPrompt::new(&world.target, vec![81, 70_000]));
        let error = block_on(world.rsd().check_prompt(&prompt, AnswerRoute::Rsd)).unwrap_err();
        assert!(error.to_string().contains("no token 70000"), "{error}");
    }
}
