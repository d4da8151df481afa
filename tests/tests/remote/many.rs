//! Many answers at once on two real llama.cpp servers with tiny models, whose steps a scorer over HTTP scores.

use std::{fs, path::Path};

use axum::{Json, Router, routing::post};
use futures::future::join_all;
use mistralrs_rsd::deploy::deploy;
use rsd_config::TargetRule;
use rsd_core::{
    pipeline::{Request, Rsd, trace::StepSource},
    policy::AfterRejection,
};
use rsd_tests::tiny_model::TinyModel;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{LlamaServer, assert_whole};

/// Answers at the same time.
const ROOM: usize = 64;
const TOKENS: usize = 96;

/// A scorer whose reward depends on every byte of a step, so that some steps are accepted and some are not.
async fn scorer() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/score", listener.local_addr().unwrap());
    let score = |Json(step): Json<Value>| async move {
        let sum: u32 = step["step"].as_str().unwrap().bytes().map(u32::from).sum();
        Json(json!({"reward": f64::from(sum % 100) / 100.0}))
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/score", post(score))).await });
    url
}

async fn deployed(folder: &Path, servers: [&LlamaServer; 2], tokenizer: &Path) -> Rsd {
    let role = |server: &LlamaServer| {
        let remote = json!({
            "engine": "llama_server", "urls": [server.url], "max_concurrency": ROOM,
            "timeouts": {"reply_ms": 3_600_000},
        });
        json!({"remote": remote, "tokenizer": tokenizer})
    };
    let deployment = json!({
        "version": 1,
        "roles": {"draft": role(servers[0]), "target": role(servers[1])},
        "reward": {"kind": "http", "url": scorer().await},
        "steps": {"unit": "tokens", "tokens": 12},
        "limits": {"running": ROOM},
    });
    let file = folder.join("deployment.yaml");
    fs::write(&file, deployment.to_string()).unwrap();
    let loaded = rsd_config::load(Some(&file), std::iter::empty(), &[], TargetRule::Required).unwrap();
    Box::pin(deploy(&loaded.deployment, None)).await.unwrap().rsd
}

fn request(number: usize, delta: f64) -> Request {
    let mut request = Request::text(format!("question {number} of many: what is {number} and {}?", number * 7))
        .max_tokens(TOKENS)
        .delta(delta);
    request.overrides.after_rejection = Some(AfterRejection::Draft);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn many_answers_at_once_are_whole_and_nearly_all_are_the_same_alone() {
    let models = [TinyModel::gguf(1).unwrap(), TinyModel::gguf(2).unwrap()];
    let (tokenizer, folder) = (TinyModel::qwen2(1).unwrap(), tempfile::tempdir().unwrap());
    let slots = ["--slots".to_owned(), ROOM.to_string(), "--context".to_owned(), (ROOM * 512).to_string()];
    let [draft, target] = models.each_ref().map(|model| model.path().join("tiny.gguf"));
    let (draft, target) =
        (LlamaServer::start_with(&draft, &slots).await, LlamaServer::start_with(&target, &slots).await);
    let rsd = deployed(folder.path(), [&draft, &target], &tokenizer.path().join("tokenizer.json")).await;

    let mut alone = Vec::new();
    for number in 0..ROOM {
        alone.push(rsd.complete(request(number, 0.5)).await.unwrap().tokens);
    }
    let together = join_all((0..ROOM).map(|number| rsd.complete(request(number, 0.5)))).await;
    let (mut same, mut sources) = (0, [0, 0]);
    for (alone, answer) in alone.iter().zip(together) {
        let answer = answer.unwrap();
        assert_whole(&rsd, &answer);
        same += usize::from(*alone == answer.tokens);
        for step in &answer.trace.steps {
            sources[usize::from(step.source == StepSource::Target)] += 1;
        }
    }
    println!("{same} of {ROOM} answers are the same alone; steps by draft and target: {sources:?}");
    assert!(sources.iter().all(|steps| *steps > ROOM), "{sources:?}");
    // What llama.cpp computes for many at once differs in its last bits from what it computes for one.
    assert!(same * 10 >= ROOM * 9, "{same} of {ROOM}");
    for model in [&rsd.draft, &rsd.target] {
        let traffic = model.traffic().unwrap();
        assert!(traffic.retries == 0 && traffic.in_flight == 0, "{traffic:?}");
    }
}
