//! A verdict on an answer that the target wrote alone, for choosing among several.

use tokio::time::Instant;

use crate::{
    pipeline::{
        Finish, Outcome, Rsd,
        roles::{Prompt, RoleError, RunRequest, Score, Step, Trajectory},
        segment::Segmentation,
    },
    reward::features::StepFeatures,
};

/// Judges the last step as if the draft had written the answer, and adds what that took to the answer's account. Where
/// there is no verdict the step stays without one, as in the loop where a verdict decides nothing.
pub(super) async fn judge(rsd: &Rsd, prompt: &Prompt, segmentation: Segmentation, outcome: &mut Outcome) {
    let (began, before) = (Instant::now(), outcome.trace.totals.draft.seconds);
    match last_step(rsd, prompt, segmentation, outcome).await {
        Ok(Some(score)) => {
            outcome.trace.totals.reward.add(0, score.prefilled, score.prompt, score.seconds);
            let reward = Some(score.reward).filter(|reward| (0.0..=1.0).contains(reward));
            outcome.trace.steps.iter_mut().last().into_iter().for_each(|step| step.reward = reward);
        }
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(%error, reward = rsd.reward.name(), "no verdict on an answer of the target");
            // The time is the verdict's all the same.
            let totals = &mut outcome.trace.totals;
            totals.reward.seconds += began.elapsed().as_secs_f64() - (totals.draft.seconds - before);
        }
    }
    let totals = &mut outcome.trace.totals;
    totals.seconds += began.elapsed().as_secs_f64();
    totals.flops = rsd.parameters().map(|parameters| crate::flops::Flops::estimate(totals, parameters));
}

/// The last step's score; nothing for an answer without steps.
async fn last_step(
    rsd: &Rsd,
    prompt: &Prompt,
    segmentation: Segmentation,
    outcome: &mut Outcome,
) -> Result<Option<Score>, RoleError> {
    let steps = if !outcome.trace.steps.is_empty() && rsd.reward.reads_features() {
        read(rsd, prompt, segmentation, outcome).await?
    } else {
        written(outcome)
    };
    let Some((last, before)) = steps.split_last() else { return Ok(None) };
    let texts: Vec<String> = before.iter().map(Step::text).collect();
    let drafted: Vec<StepFeatures> = before.iter().filter_map(|step| step.features.as_deref().cloned()).collect();
    let text = last.text();
    let trajectory = Trajectory { prompt, steps: &texts, step: &text, written: last, drafted: &drafted };
    rsd.reward.score(trajectory).await.map(Some)
}

/// The answer's steps as the draft reads them, which it has to do from the prompt on.
async fn read(
    rsd: &Rsd,
    prompt: &Prompt,
    segmentation: Segmentation,
    outcome: &mut Outcome,
) -> Result<Vec<Step>, RoleError> {
    let shared = rsd.draft.vocabulary() == rsd.target.vocabulary();
    let answer = if shared { outcome.tokens.clone() } else { rsd.draft.encode_text(&outcome.text)? };
    // Reading empties its cache on a CPU, which must not happen within another answer.
    let _turn = rsd.draft.turn().await;
    let began = Instant::now();
    let prefix = rsd.draft.encode_prompt(prompt).await?;
    // As if nothing were read twice: mistral.rs gives out logits in windows, and a long answer's overlap.
    let read = prefix.len() + answer.len();
    // One more than there are leaves room for the end token.
    let max_tokens = answer.len() + usize::from(outcome.finish == Finish::Stop);
    let request = RunRequest { features: true, ..RunRequest::greedy(prefix, segmentation, max_tokens) };
    let steps = rsd.draft.replay(request, answer).await?;
    outcome.trace.totals.draft.add(0, read, read, began.elapsed().as_secs_f64());
    Ok(steps)
}

/// The answer's steps as the target wrote them, for a reward that sees text alone.
fn written(outcome: &Outcome) -> Vec<Step> {
    let step = |step: &crate::pipeline::trace::StepTrace| Step {
        tokens: Vec::new(),
        bytes: step.text.clone().into_bytes(),
        end: step.end,
        features: None,
        logprobs: Vec::new(),
        seconds: 0.0,
    };
    outcome.trace.steps.iter().map(step).collect()
}
