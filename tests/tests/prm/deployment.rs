//! A reward model in a deployment: the rewards in the trace are the model's scores.

use rsd_config::{Deployment, PrmFormat, RewardScorer};

use mistralrs_rsd::deploy::deploy;

use rsd_core::{
    pipeline::{PolicyOverrides, Request, roles::Prompt},
    sampling::Sampling,
};
use rsd_tests::tiny_model::TinyModel;
use serde_json::json;

use crate::loaded::{LoadedPrm, role};

#[tokio::test(flavor = "multi_thread")]
async fn every_draft_step_has_the_models_reward_and_only_new_text_is_prefilled() {
    let (draft, target) = (TinyModel::qwen2(1).unwrap(), TinyModel::qwen2(2).unwrap());
    let mut deployment: Deployment = serde_json::from_value(json!({
        "version": 1,
        "roles": { "draft": draft.role(), "target": target.role() },
        "policy": { "delta": 0.45, "after_rejection": "draft" },
        "steps": { "unit": "tokens", "tokens": 6 },
    }))
    .unwrap();
    // A family without a head, so that no prepared model is written to the user's cache folder.
    deployment.reward.scorer =
        RewardScorer::Prm { model: Box::new(role("rlhflow")), head: None, format: PrmFormat::Rlhflow, separator: None };
    let rsd = deploy(&deployment, None).await.unwrap().rsd;
    assert_eq!(rsd.reward.name(), "rlhflow");

    let question = "how much is that";
    let request = Request {
        prompt: Prompt::Text(question.to_owned()),
        sampling: Sampling {
            logit_bias: draft.ends().into_iter().map(|id| (id, -1e9)).collect(),
            ..Sampling::default()
        },
        max_tokens: 48,
        stop: Vec::new(),
        model: None,
        overrides: PolicyOverrides::default(),
        logprobs: None,
        deadline: None,
    };
    let outcome = rsd.complete(request).await.unwrap();
    let alone = LoadedPrm::load(role("rlhflow"), None).await;
    let mut before: Vec<&str> = Vec::new();
    let (mut scored, mut rejected) = (0, 0);
    for step in &outcome.trace.steps {
        if let Some(reward) = step.reward {
            let drafted = step.rejected.as_ref().map_or(step.text.as_str(), |rejected| rejected.text.as_str());
            let steps: Vec<&str> = before.iter().copied().chain([drafted]).collect();
            let expected = alone.prm.score_newest(question, &steps).await.unwrap().reward;
            assert!((reward - expected).abs() < 1e-4, "step {}: {reward}, alone {expected}", step.index);
            assert_eq!(reward < 0.45, step.rejected.is_some());
            scored += 1;
            rejected += usize::from(step.rejected.is_some());
        }
        before.push(&step.text);
    }
    assert!(scored >= 6, "{scored}");
    println!("{rejected} of {scored} steps rejected");
    let work = outcome.trace.totals.reward;
    assert!(work.prefilled < work.cached, "{} prefilled, {} from the cache", work.prefilled, work.cached);
}
