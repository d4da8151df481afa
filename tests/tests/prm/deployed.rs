//! A reward model in a deployment: the verdicts in the trace are the model's own.

use mistralrs_rsd::{
    config::{Deployment, PrmFormat, RewardConfig},
    deploy::deploy,
    pipeline::{Overrides, Request, roles::Prompt},
    sampling::Sampling,
};
use rsd_tests::tiny::Tiny;
use serde_json::json;

use crate::rig::{Rig, role};

#[tokio::test(flavor = "multi_thread")]
async fn every_drafted_step_carries_the_models_reward_and_only_new_text_is_read() {
    let (draft, target) = (Tiny::qwen2(1).unwrap(), Tiny::qwen2(2).unwrap());
    let mut deployment: Deployment = serde_json::from_value(json!({
        "version": 1,
        "roles": { "draft": draft.role(), "target": target.role() },
        "policy": { "delta": 0.45 },
        "steps": { "unit": "tokens", "tokens": 6 },
    }))
    .unwrap();
    // A family without a head: nothing is written to the cache.
    deployment.reward =
        RewardConfig::Prm { model: Box::new(role("rlhflow")), head: None, format: PrmFormat::Rlhflow, separator: None };
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
        overrides: Overrides::default(),
        logprobs: None,
        deadline: None,
    };
    let outcome = rsd.complete(request).await.unwrap();
    let alone = Rig::load(role("rlhflow"), None).await;
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
    let read = outcome.trace.totals.reward;
    assert!(read.prefilled < read.cached, "{} read anew, {} from the cache", read.prefilled, read.cached);
}
