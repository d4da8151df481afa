//! A deployment with a resident reward, from its YAML to the trace of an answer; and heads that must not be served.

use std::{fs, path::Path};

use mistralrs_rsd::{
    config::{self, Deployment, RewardConfig, TargetRule},
    deploy::{DeployError, deploy, observed_draft},
};
use rsd_tests::{head, served::Served, tiny::Tiny};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A deployment file of two tiny models and a head beside it, written for the draft of this sha256.
async fn deployment(folder: &TempDir, draft: &Tiny, target: &Tiny, head_of: Option<&str>) -> Deployment {
    let head = folder.path().join("head.safetensors");
    let sha256 = match head_of {
        Some(sha256) => sha256.to_owned(),
        None => observed_draft(&draft.role()).await.unwrap().sha256,
    };
    head::write(&head, &sha256).unwrap();
    let role = |tiny: &Tiny| {
        json!({
            "model_id": tiny.path(), "format": "gguf", "quantized_file": "tiny.gguf", "dtype": "f32",
            "token_source": "none", "cpu": true,
        })
    };
    let yaml = json!({
        "version": 1,
        "roles": { "draft": role(draft), "target": role(target) },
        "reward": { "kind": "resident", "head": "head.safetensors" },
        "steps": { "unit": "tokens", "tokens": 6 },
    });
    let file = folder.path().join("deployment.yaml");
    fs::write(&file, yaml.to_string()).unwrap();
    config::load(Some(&file), std::iter::empty(), &[], TargetRule::Required).unwrap().deployment
}

fn trace(answer: &Value) -> &Value {
    &answer["rsd"]["choices"][0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resident_reward_judges_without_a_model_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (draft, target) = (Tiny::gguf(1).unwrap(), Tiny::gguf(2).unwrap());
    let deployment = deployment(&folder, &draft, &target, None).await;
    let rsd = deploy(&deployment, None).await.unwrap().rsd;
    let server = Served::start(rsd, deployment.limits, None).await.unwrap();
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

    // Between the two lowest and the highest both models write, and every kept step has reached the threshold.
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
    let judge = &trace(&mixed)["totals"]["reward"];
    assert_eq!((judge["cached"].as_u64(), judge["prefilled"].as_u64()), (Some(0), Some(0)), "{judge}");
    server.drain().await.unwrap();
}

#[tokio::test]
async fn a_head_that_does_not_belong_here_is_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let (draft, target) = (Tiny::gguf(1).unwrap(), Tiny::gguf(2).unwrap());
    let of_another = deployment(&folder, &draft, &target, Some("0123")).await;
    let refused = async |deployment: &Deployment| deploy(deployment, None).await.err().unwrap();
    let error = refused(&of_another).await;
    assert!(matches!(error, DeployError::OtherDraft { .. }), "{error}");
    assert!(error.to_string().contains("0123") && error.to_string().contains("prm train"), "{error}");

    let head = folder.path().join("head.safetensors");
    let whole = fs::read(&head).unwrap();
    fs::write(&head, &whole[..whole.len() - 8]).unwrap();
    assert!(refused(&of_another).await.to_string().contains("head.safetensors"));

    let missing =
        Deployment { reward: RewardConfig::Resident { head: Path::new("/no/such.head").into() }, ..of_another.clone() };
    assert!(refused(&missing).await.to_string().contains("/no/such.head"));

    let folder_of_safetensors = Tiny::qwen2(1).unwrap();
    let mut plain = of_another;
    head::write(&head, "0123").unwrap();
    plain.roles.draft = folder_of_safetensors.role();
    assert!(matches!(refused(&plain).await, DeployError::NoStates));
}
