//! A deployment with a resident reward, from its YAML file to the trace of an answer, and heads that must not be
//! served.

use std::{fs, path::Path};

use rsd_config::{Deployment, RewardScorer, TargetRule};

use mistralrs_rsd::deploy::{DeployError, deploy, observable_draft};
use rsd_tests::{test_server::TestServer, tiny_head, tiny_model::TinyModel};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A deployment file of two tiny models, and a head beside it that names this SHA-256 as its draft (default: the
/// draft's).
async fn deployment(folder: &TempDir, draft: &TinyModel, target: &TinyModel, draft_sha256: Option<&str>) -> Deployment {
    let head = folder.path().join("head.safetensors");
    let sha256 = match draft_sha256 {
        Some(sha256) => sha256.to_owned(),
        None => observable_draft(&draft.role()).await.unwrap().sha256,
    };
    tiny_head::write(&head, &sha256).unwrap();
    let role = |tiny: &TinyModel| {
        json!({
            "model_id": tiny.path(), "format": "gguf", "quantized_file": "tiny.gguf", "dtype": "f32",
            "token_source": "none", "cpu": true,
        })
    };
    let yaml = json!({
        "version": 1,
        "roles": { "draft": role(draft), "target": role(target) },
        "reward": { "kind": "resident", "head": "head.safetensors" },
        "policy": { "after_rejection": "draft" },
        "steps": { "unit": "tokens", "tokens": 6 },
    });
    let file = folder.path().join("deployment.yaml");
    fs::write(&file, yaml.to_string()).unwrap();
    rsd_config::load(Some(&file), std::iter::empty(), &[], TargetRule::Required).unwrap().deployment
}

fn trace(answer: &Value) -> &Value {
    &answer["rsd"]["choices"][0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resident_reward_scores_steps_without_a_model_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (draft, target) = (TinyModel::gguf(1).unwrap(), TinyModel::gguf(2).unwrap());
    let deployment = deployment(&folder, &draft, &target, None).await;
    let rsd = deploy(&deployment, None).await.unwrap().rsd;
    let server = TestServer::start(rsd, deployment.limits, None).await.unwrap();
    let ask = async |rsd: Value, model: &str| {
        let body = json!({
            "model": model, "prompt": "hello there", "max_tokens": 60, "temperature": 0, "rsd": rsd,
            "logit_bias": draft.ends().iter().map(|id| (id.to_string(), json!(-100))).collect::<serde_json::Map<_, _>>(),
        });
        server.ask("/v1/completions", &body).await.unwrap()
    };
    let text = |answer: &Value| answer["choices"][0]["text"].as_str().unwrap().to_owned();

    let all = ask(json!({"delta": 0, "trace": true}), "rsd").await;
    let steps = trace(&all)["steps"].as_array().unwrap();
    let rewards: Vec<f64> = steps.iter().map(|step| step["reward"].as_f64().unwrap()).collect();
    assert_eq!(rewards.len(), 10);
    assert!(rewards.iter().all(|reward| *reward > 0.0 && *reward < 1.0) && rewards[0] != rewards[1], "{rewards:?}");
    assert_eq!(text(&all), text(&ask(Value::Null, "draft").await));
    assert_eq!(text(&ask(json!({"delta": 2}), "rsd").await), text(&ask(Value::Null, "target").await));

    // At a threshold in the middle of the rewards both models decode, and each accepted step has reached the
    // threshold.
    let mut sorted = rewards.clone();
    sorted.sort_by(f64::total_cmp);
    let delta = f64::midpoint(sorted[4], sorted[5]);
    let mixed = ask(json!({"delta": delta, "trace": true}), "rsd").await;
    let sources: Vec<bool> =
        trace(&mixed)["steps"].as_array().unwrap().iter().map(|step| step["source"] == "draft").collect();
    assert!(sources.contains(&true) && sources.contains(&false), "{sources:?}");
    for step in trace(&mixed)["steps"].as_array().unwrap() {
        assert_eq!(step["source"] == "draft", step["reward"].as_f64().unwrap() >= delta, "{step}");
    }
    let reward = &trace(&mixed)["totals"]["reward"];
    assert_eq!((reward["cached"].as_u64(), reward["prefilled"].as_u64()), (Some(0), Some(0)), "{reward}");
    server.drain().await.unwrap();
}

#[tokio::test]
async fn a_head_that_does_not_belong_here_is_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let (draft, target) = (TinyModel::gguf(1).unwrap(), TinyModel::gguf(2).unwrap());
    let of_another = deployment(&folder, &draft, &target, Some("0123")).await;
    let failure = async |deployment: &Deployment| deploy(deployment, None).await.err().unwrap();
    let error = failure(&of_another).await;
    assert!(matches!(error, DeployError::OtherDraft { .. }), "{error}");
    assert!(error.to_string().contains("0123") && error.to_string().contains("prm train"), "{error}");

    let head = folder.path().join("head.safetensors");
    let whole = fs::read(&head).unwrap();
    fs::write(&head, &whole[..whole.len() - 8]).unwrap();
    assert!(failure(&of_another).await.to_string().contains("head.safetensors"));

    let mut missing = of_another.clone();
    missing.reward.scorer = RewardScorer::Resident { head: Path::new("/no/such.head").into(), states: None };
    assert!(failure(&missing).await.to_string().contains("/no/such.head"));

    let folder_of_safetensors = TinyModel::qwen2(1).unwrap();
    let mut plain = of_another;
    tiny_head::write(&head, "0123").unwrap();
    plain.roles.draft = folder_of_safetensors.role();
    assert!(matches!(failure(&plain).await, DeployError::NoStates));
}
