//! Scores an answer that the target generated alone, so that best-of-n can choose among several.

use tokio::time::Instant;

use rsd_core::{
    features::StepFeatures,
    pipeline::{
        AnswerOutcome, FinishReason, Rsd,
        roles::{Prompt, RoleError, RunRequest, Step, StepScore, Trajectory},
        segment::Segmentation,
    },
};

/// Scores the last step as if the draft had generated the answer, and adds this work to the answer's trace. If scoring
/// fails, the step has no score, as in the pipeline where a score decides nothing.
pub(super) async fn score_last_step(
    rsd: &Rsd,
    prompt: &Prompt,
    segmentation: Segmentation,
    outcome: &mut AnswerOutcome,
) {
    let (began, before) = (Instant::now(), outcome.trace.totals.draft.seconds);
    match last_step(rsd, prompt, segmentation, outcome).await {
        Ok(Some(score)) => {
            outcome.trace.totals.reward.add_call(0, score.prefilled, score.prompt, score.seconds);
            let reward = Some(score.reward).filter(|reward| (0.0..=1.0).contains(reward));
            outcome.trace.steps.iter_mut().last().into_iter().for_each(|step| step.reward = reward);
        }
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(%error, reward = rsd.reward.name(), "an answer of the target could not be scored");
            // The time counts as time for scoring all the same.
            let totals = &mut outcome.trace.totals;
            totals.reward.seconds += began.elapsed().as_secs_f64() - (totals.draft.seconds - before);
        }
    }
    let totals = &mut outcome.trace.totals;
    totals.seconds += began.elapsed().as_secs_f64();
    totals.flops = rsd.parameters().map(|parameters| totals.flops(parameters));
}

/// The score of the last step; `None` for an answer without steps, or if the reward has no opinion on it.
async fn last_step(
    rsd: &Rsd,
    prompt: &Prompt,
    segmentation: Segmentation,
    outcome: &mut AnswerOutcome,
) -> Result<Option<StepScore>, RoleError> {
    let steps = if !outcome.trace.steps.is_empty() && rsd.reward.reads_features() {
        replay(rsd, prompt, segmentation, outcome).await?
    } else {
        steps_as_text(outcome)
    };
    let Some((last, before)) = steps.split_last() else { return Ok(None) };
    let texts: Vec<String> = before.iter().map(Step::text).collect();
    let drafted: Vec<StepFeatures> = before.iter().filter_map(|step| step.features.as_deref().cloned()).collect();
    let text = last.text();
    let trajectory =
        Trajectory { prompt, steps: &texts, prefix: &[], step: &text, generated_step: last, draft_features: &drafted };
    match rsd.reward.score(trajectory).await {
        Ok(score) => Ok(Some(score)),
        Err(RoleError::NoOpinion(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The answer's steps with the draft's features, which it has to compute from the prompt on.
async fn replay(
    rsd: &Rsd,
    prompt: &Prompt,
    segmentation: Segmentation,
    outcome: &mut AnswerOutcome,
) -> Result<Vec<Step>, RoleError> {
    let shared = rsd.draft.vocabulary() == rsd.target.vocabulary();
    let answer = if shared { outcome.tokens.clone() } else { rsd.draft.encode_text(&outcome.text)? };
    // A replay empties the draft's cache on a CPU, which must not happen within another answer.
    let _permit = rsd.draft.answer_permit().await;
    let began = Instant::now();
    let prefix = rsd.draft.encode_prompt(prompt).await?;
    // Each token counts once, though mistral.rs returns logits in windows that overlap for a long answer.
    let prefilled = prefix.len() + answer.len();
    // One more token for the end token.
    let max_tokens = answer.len() + usize::from(outcome.finish == FinishReason::Stop);
    let request = RunRequest { features: true, ..RunRequest::greedy(prefix, segmentation, max_tokens) };
    let steps = rsd.draft.replay(request, answer).await?;
    outcome.trace.totals.draft.add_call(0, prefilled, prefilled, began.elapsed().as_secs_f64());
    Ok(steps)
}

/// The target's steps as text, for a reward model that reads text alone.
fn steps_as_text(outcome: &AnswerOutcome) -> Vec<Step> {
    let step = |step: &rsd_core::pipeline::trace::StepTrace| Step {
        tokens: Vec::new(),
        bytes: step.text.clone().into_bytes(),
        end: step.end,
        features: None,
        logprobs: Vec::new(),
        seconds: 0.0,
    };
    outcome.trace.steps.iter().map(step).collect()
}
