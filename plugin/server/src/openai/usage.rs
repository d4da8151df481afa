//! The token counts of an answer, as OpenAI names them.

use rsd_core::pipeline::AnswerOutcome;
use schemars::JsonSchema;
use serde::Serialize;

/// Token counts. Each prompt counts once, whatever the number of its choices.
#[allow(clippy::struct_field_names)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub(super) struct TokenUsage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

/// What was known of the prompts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
struct PromptDetails {
    /// Prompt tokens that a prefix cache held, for the first choice of each prompt.
    cached_tokens: usize,
}

/// What became of the draft's tokens. A model that answers alone has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
struct CompletionDetails {
    /// Tokens of the draft's accepted steps.
    accepted_prediction_tokens: usize,
    /// Tokens of the draft's rejected steps, and those that it decoded ahead of a rejection. Unlike at OpenAI they are
    /// not part of `completion_tokens`.
    rejected_prediction_tokens: usize,
}

impl TokenUsage {
    /// `choices` is the number of choices of each prompt.
    pub fn new(outcomes: &[AnswerOutcome], choices: usize) -> Self {
        let prompts = || outcomes.iter().step_by(choices.max(1));
        let prompt_tokens = prompts().map(|outcome| outcome.prompt_tokens).sum();
        let completion_tokens = outcomes.iter().map(|outcome| outcome.completion_tokens).sum();
        let totals = || outcomes.iter().map(|outcome| &outcome.trace.totals);
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            prompt_tokens_details: PromptDetails {
                cached_tokens: prompts().filter_map(|outcome| outcome.cached_prompt_tokens).sum(),
            },
            completion_tokens_details: CompletionDetails {
                accepted_prediction_tokens: totals().map(|totals| totals.accepted_tokens).sum(),
                rejected_prediction_tokens: totals()
                    .map(|totals| totals.rejected_tokens + totals.discarded_lookahead_tokens)
                    .sum(),
            },
        }
    }
}
