//! The demo pair, as a newcomer gets it: fetched, loaded, served.

use mistralrs_rsd::{
    config::{self, TargetRule},
    deploy::deploy,
};
use rsd_tests::served::Served;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_pair_answers_and_its_extremes_are_the_models_alone() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/demo.yaml");
    let loaded = config::load(Some(file.as_ref()), std::iter::empty(), &[], TargetRule::Required).unwrap();
    let rsd = deploy(&loaded.deployment, None).await.unwrap().rsd;
    let server = Served::start(rsd, loaded.deployment.limits, None).await.unwrap();
    let ask = async |model: &str, rsd: Value| {
        let body = json!({
            "model": model, "temperature": 0, "max_tokens": 48, "rsd": rsd,
            "messages": [
                {"role": "system", "content": "Please reason step by step, and put your final answer within \\boxed{}."},
                {"role": "user", "content": "A box holds 12 pens. How many pens are in 7 boxes and 5 single pens?"},
            ],
        });
        server.ask("/v1/chat/completions", &body).await.unwrap()
    };
    let text = |answer: &Value| answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    let draft = text(&ask("draft", Value::Null).await);
    let target = text(&ask("target", Value::Null).await);
    assert!(draft.len() > 40 && target.len() > 40 && draft != target, "{draft}\n{target}");
    assert_eq!(text(&ask("rsd", json!({"delta": 0})).await), draft);
    let rejected = ask("rsd", json!({"delta": 2, "trace": true})).await;
    assert_eq!(text(&rejected), target);
    for step in rejected["rsd"]["choices"][0]["steps"].as_array().unwrap() {
        let reward = step["reward"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&reward) && step["source"] == "target", "{step}");
    }
    server.drain().await.unwrap();
}
