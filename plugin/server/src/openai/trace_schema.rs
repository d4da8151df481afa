//! The JSON schema of an answer's trace, which is [`AnswerTrace`](rsd_core::pipeline::trace::AnswerTrace) as JSON.
//!
//! `rsd-core` does without schemas; a test holds these types equal to its own.

use schemars::JsonSchema;

/// The trace of one answer: every step with its source, reward and cost, and the totals.
#[derive(JsonSchema)]
#[schemars(rename = "AnswerTrace")]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[allow(dead_code)]
pub(super) struct TraceSchema {
    /// Every step of the answer, in order.
    steps: Vec<StepSchema>,
    /// Whether draft and target share token ids. If not, the text of a step is tokenized again for the other model.
    shared_vocabulary: bool,
    /// Whether the answer was drafted although the target was expected to cost less (`policy.exploration`); absent if
    /// not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    explored: bool,
    totals: TotalsSchema,
}

/// One step of an answer.
#[derive(JsonSchema)]
#[schemars(rename = "StepTrace")]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[allow(dead_code)]
struct StepSchema {
    /// The position in the answer, from 0.
    index: usize,
    source: SourceSchema,
    text: String,
    /// Number of tokens in the vocabulary of the model that generated the step.
    tokens: usize,
    end: EndSchema,
    /// The score of the draft's step, from 0 to 1; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    reward: Option<f64>,
    /// The threshold that decided.
    delta: f64,
    /// The revision of the policy that decided.
    revision: u64,
    /// The draft's step that this one replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<RejectedSchema>,
    /// Why there was no score.
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<FallbackSchema>,
    /// Why the target decoded this step and all that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    handover: Option<HandoverSchema>,
    /// Milliseconds that the draft worked on this step.
    draft_ms: f64,
    /// Milliseconds that the reward model worked on this step.
    reward_ms: f64,
    /// Milliseconds that the target worked on this step.
    target_ms: f64,
}

/// The model that generated a step.
#[derive(JsonSchema)]
#[schemars(rename = "StepSource", rename_all = "snake_case")]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[allow(dead_code)]
enum SourceSchema {
    Draft,
    Target,
}

/// Why a step ended.
#[derive(JsonSchema)]
#[schemars(rename = "StepEnd", rename_all = "snake_case")]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[allow(dead_code)]
enum EndSchema {
    /// The boundary of the configured unit was reached.
    Boundary,
    /// The limit on tokens per step was reached.
    StepLimit,
    /// The model ended its answer.
    EndOfText,
    /// A stop string of the request appeared.
    StopString,
    /// The token limit of the request, or the context of the model, is used up.
    Length,
}

/// The draft's step that was rejected.
#[derive(JsonSchema)]
#[schemars(rename = "RejectedStep")]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[allow(dead_code)]
struct RejectedSchema {
    text: String,
    /// Tokens of the step and of what the draft generated ahead after it.
    tokens: usize,
    /// What the step states that is false, if that is why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    false_statement: Option<String>,
}

/// Why a step was decided without a score, or why one model answers without the other.
#[derive(JsonSchema)]
#[schemars(rename = "FallbackReason", rename_all = "snake_case")]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[allow(dead_code)]
enum FallbackSchema {
    RewardFailed,
    /// The reward model gave no number from 0 to 1.
    RewardInvalid,
    RewardTimeout,
    RewardNoOpinion,
    DraftFailed,
    /// The context of the draft is full.
    DraftContext,
    /// The target failed, and the draft decoded the rest.
    TargetFailed,
}

/// Why the target went on alone.
#[derive(JsonSchema)]
#[schemars(rename = "HandoverReason", rename_all = "snake_case")]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[allow(dead_code)]
enum HandoverSchema {
    /// A step was rejected, and the target goes on after a rejection.
    Rejection,
    /// The policy accepts no step.
    Threshold,
    /// Drafting on was expected to cost more.
    Price,
    /// Drafting on could have exceeded the bound on regret.
    Regret,
}

/// Totals of one answer.
#[derive(JsonSchema)]
#[schemars(rename = "AnswerTotals")]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[allow(dead_code)]
struct TotalsSchema {
    /// Draft steps that were accepted.
    accepted_steps: usize,
    /// Draft steps that the target replaced, fallbacks included.
    rejected_steps: usize,
    accepted_tokens: usize,
    rejected_tokens: usize,
    /// Tokens that the draft generated ahead of a rejection.
    discarded_lookahead_tokens: usize,
    draft: ModelTotalsSchema,
    reward: ModelTotalsSchema,
    target: ModelTotalsSchema,
    /// Tokens that the draft proposed inside the target's steps; absent where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    speculation: Option<SpeculationSchema>,
    /// Seconds from the first call of a model to the end.
    seconds: f64,
    /// Estimated FLOPs; absent if the size of a model is unknown.
    flops: Option<FlopsSchema>,
    /// What the tokens cost; absent if no model has a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost: Option<CostSchema>,
}

/// Money for the tokens of an answer. A model without a price costs nothing here.
#[derive(JsonSchema)]
#[schemars(rename = "AnswerCost")]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[allow(dead_code)]
struct CostSchema {
    /// The draft's tokens, discarded ones included.
    draft: f64,
    target: f64,
    /// Three capital letters, such as USD.
    currency: String,
}

/// Tokens that the draft proposed while the target decoded steps (`steps.proposals`).
#[derive(JsonSchema)]
#[schemars(rename = "SpeculationTotals")]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[allow(dead_code)]
struct SpeculationSchema {
    /// Verifications by the target.
    rounds: usize,
    /// Tokens that the draft proposed.
    proposed: usize,
    /// Proposed tokens that the target picked itself.
    accepted: usize,
}

/// What one model did for an answer.
#[derive(JsonSchema)]
#[schemars(rename = "ModelTotals")]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[allow(dead_code)]
struct ModelTotalsSchema {
    /// Tokens generated, discarded ones included.
    generated: usize,
    /// Prompt tokens that were in no cache.
    prefilled: usize,
    /// Prompt tokens that were in a cache.
    cached: usize,
    /// Seconds that the model worked.
    seconds: f64,
    /// Number of calls to the model.
    calls: usize,
}

/// Estimated FLOPs in three accountings.
#[derive(JsonSchema)]
#[schemars(rename = "Flops")]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[allow(dead_code)]
struct FlopsSchema {
    /// Tokens that draft and target generated, discarded ones included.
    generated: f64,
    /// In addition, the tokens that the reward model prefilled.
    with_prm: f64,
    /// In addition, every other prompt token that no cache held.
    total: f64,
}

#[cfg(test)]
mod tests {
    use rsd_core::{
        pipeline::{
            price::{CurrencyCode, TokenPrice},
            testing::{World, block_on},
        },
        policy::AfterRejection,
    };

    use super::*;

    #[test]
    fn the_schema_has_the_fields_of_real_traces() {
        let (mut rejected, mut accepted) = (0, 0);
        for seed in 0..20 {
            let mut world = World::new(seed);
            if seed % 2 == 0 {
                world.policy.after_rejection = AfterRejection::Target;
            }
            if seed % 4 == 1 {
                let currency = CurrencyCode::parse("USD").unwrap();
                world.target.price = Some(TokenPrice { input: 3.0, cached_input: 0.5, output: 15.0, currency });
            }
            world.settings.proposals = usize::try_from(seed).unwrap() % 3;
            let outcome = block_on(world.answer_async());
            let trace = serde_json::to_value(outcome.result.unwrap().trace).unwrap();
            rejected += trace["totals"]["rejected_steps"].as_u64().unwrap();
            accepted += trace["totals"]["accepted_steps"].as_u64().unwrap();
            let schema: TraceSchema = serde_json::from_value(trace.clone()).unwrap();
            assert_eq!(serde_json::to_value(schema).unwrap(), trace);
        }
        assert!(rejected > 0 && accepted > 0);
    }
}
