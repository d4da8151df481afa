//! The form of answers, and that an answer does not depend on other requests.

use std::time::Duration;

use futures::StreamExt;
use rsd_config::LimitsConfig;
use rsd_server::ApiKey;
use serde_json::{Value, json};

use crate::support::{limits, serve, serve_with};
use rsd_tests::{test_server::TestServer, tiny_pipeline};

fn body(model: &str, extra: &Value) -> Value {
    let mut body = json!({"model": model, "prompt": "one two three", "max_tokens": 40, "temperature": 0});
    for (key, value) in extra.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

fn events(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_extremes_are_the_models_alone_and_between_them_both_take_part() {
    let server = serve().await;
    let draft = server.complete(&body("draft", &json!({}))).await.unwrap();
    let target = server.complete(&body("target", &json!({}))).await.unwrap();
    assert_ne!(draft, target);
    assert_eq!(server.complete(&body("rsd", &json!({"rsd": {"delta": 0}}))).await.unwrap(), draft);
    assert_eq!(server.complete(&body("tiny", &json!({"rsd": {"delta": 2}}))).await.unwrap(), target);
    assert_eq!(server.complete(&body("rsd", &json!({"rsd": {"enabled": false}}))).await.unwrap(), target);
    let answer = server.ask("/v1/completions", &body("rsd", &json!({"rsd": {"trace": true}}))).await.unwrap();
    let totals = &answer["rsd"]["choices"][0]["totals"];
    assert!(
        totals["accepted_steps"].as_u64().unwrap() > 0 && totals["rejected_steps"].as_u64().unwrap() > 0,
        "{totals}"
    );
    server.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_says_what_the_whole_answer_says() {
    let server = serve().await;
    let whole = server.ask("/v1/completions", &body("rsd", &json!({"n": 2}))).await.unwrap();
    let extra = json!({"n": 2, "stream": true, "stream_options": {"include_usage": true}, "rsd": {"trace": true}});
    let text = server.post("/v1/completions", body("rsd", &extra).to_string()).await.unwrap().text().await.unwrap();
    assert!(text.trim_end().ends_with("data: [DONE]"));
    let events = events(&text);
    for index in 0..2usize {
        let mut choices = events.iter().filter_map(|e| e["choices"].get(0)).filter(|c| c["index"] == index);
        let streamed: String = choices.clone().filter_map(|c| c["text"].as_str()).collect();
        assert_eq!(streamed, whole["choices"][index]["text"].as_str().unwrap());
        assert_eq!(choices.next_back().unwrap()["finish_reason"], whole["choices"][index]["finish_reason"]);
    }
    let last = events.last().unwrap();
    for count in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        assert_eq!(last["usage"][count], whole["usage"][count]);
    }
    assert_eq!(last["rsd"]["choices"].as_array().unwrap().len(), 2);
    server.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_repeats_its_answer_alone_and_in_company() {
    let server = serve().await;
    let seeded = body("rsd", &json!({"temperature": 0.7, "seed": 11}));
    let alone = server.complete(&seeded).await.unwrap();
    let other = |seed: u64| body("rsd", &json!({"temperature": 0.7, "seed": seed, "prompt": "another one"}));
    let others = [1, 2, 3].map(other);
    let others = futures::future::join_all(others.iter().map(|request| server.complete(request)));
    let (again, others) = tokio::join!(server.complete(&seeded), others);
    assert_eq!(again.unwrap(), alone);
    let others: Vec<String> = others.into_iter().map(Result::unwrap).collect();
    assert!(others[0] != others[1] && others[1] != others[2]);
    server.drain().await.unwrap();
}

/// Sends two prompts that begin alike, in both orders, to new servers. With the default cache budget each of these
/// seeds gives another answer in the other order: the shared prefix is computed together with the rest of the first
/// prompt, and the last bits of its values depend on that.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_cache_between_answers_the_order_of_requests_changes_none() {
    const SEEDS: [u64; 7] = [0, 28, 29, 48, 77, 79, 80];
    for seed in SEEDS {
        let mut answers = Vec::new();
        for order in [[0, 1], [1, 0]] {
            let rsd = tiny_pipeline::rsd_with_cache(&limits(), Some(0)).await.unwrap();
            let server = TestServer::start(rsd, limits(), None).await.unwrap();
            let mut both = [String::new(), String::new()];
            for n in order {
                let prompt = format!("prompt number {n}");
                let extra = json!({"prompt": prompt, "temperature": 0.8, "seed": seed, "max_tokens": 100});
                both[n] = server.complete(&body("rsd", &extra)).await.unwrap();
            }
            server.drain().await.unwrap();
            answers.push(both);
        }
        assert_eq!(answers[0], answers[1], "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_the_models() {
    let server = serve_with(LimitsConfig { running: 1, waiting: 0, ..limits() }, None).await;
    let long = body("rsd", &json!({"max_tokens": 400, "logit_bias": {}}));
    for stream in [true, false] {
        let mut request = long.clone();
        request["stream"] = json!(stream);
        if stream {
            let response = server.post("/v1/completions", request.to_string()).await.unwrap();
            let mut bytes = response.bytes_stream();
            bytes.next().await.unwrap().unwrap();
        } else {
            let left =
                tokio::time::timeout(Duration::from_millis(60), server.post("/v1/completions", request.to_string()));
            let _ = left.await;
        }
        // With one place and no queue, an answer means that the earlier request has ended.
        let freed = async {
            loop {
                let response = server.post("/v1/completions", body("rsd", &json!({})).to_string()).await.unwrap();
                if response.status() == 200 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), freed).await.expect("the place was not freed");
    }
    server.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_says_when_to_come_back() {
    let server = serve_with(LimitsConfig { running: 1, waiting: 0, ..limits() }, None).await;
    let long = body("rsd", &json!({"max_tokens": 400, "stream": true}));
    // All are sent at once. One of them gets the only place, so at least one of the others is refused.
    let body = long.to_string();
    let posts = (0..4).map(|_| server.post("/v1/completions", body.clone()));
    let answers: Vec<_> = futures::future::join_all(posts).await.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().any(|answer| answer.status() == 200));
    let refused = answers.into_iter().find(|answer| answer.status() == 429).expect("no request was refused");
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    let error: Value = refused.json().await.unwrap();
    assert_eq!(error["error"]["code"], "queue_full");
    server.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_asked_of_the_api_and_not_of_the_health_check() {
    let server = serve_with(limits(), Some(ApiKey::new("k"))).await;
    let models = format!("{}/v1/models", server.url);
    assert_eq!(server.client.get(&models).send().await.unwrap().status(), 401);
    let listed: Value = server.client.get(&models).bearer_auth("k").send().await.unwrap().json().await.unwrap();
    let names: Vec<&str> = listed["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["rsd", "tiny", "draft", "target"]);
    assert_eq!(server.client.get(format!("{}/health", server.url)).send().await.unwrap().status(), 200);
    server.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn log_probabilities_are_given_by_a_model_alone() {
    let server = serve().await;
    let answer =
        server.ask("/v1/completions", &body("target", &json!({"logprobs": 3, "max_tokens": 4}))).await.unwrap();
    let logprobs = &answer["choices"][0]["logprobs"];
    assert_eq!(logprobs["token_logprobs"].as_array().unwrap().len(), 4);
    assert!(logprobs["token_logprobs"].as_array().unwrap().iter().all(|l| l.as_f64().unwrap() < 0.0));
    assert_eq!(logprobs["top_logprobs"][0].as_object().unwrap().len(), 3);
    server.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echoed_prompt_has_its_log_probabilities_whether_or_not_something_follows() {
    let server = serve().await;
    let ask = async |extra: Value| {
        let answer = server.ask("/v1/completions", &body("target", &extra)).await.unwrap();
        (answer["choices"][0].clone(), answer["usage"]["prompt_tokens"].as_u64().unwrap())
    };
    let (prompt, tokens) = ask(json!({"echo": true, "logprobs": 2, "max_tokens": 0})).await;
    let (both, _) = ask(json!({"echo": true, "logprobs": 2, "max_tokens": 1})).await;
    let scores = |choice: &Value| choice["logprobs"]["token_logprobs"].as_array().unwrap().clone();
    assert_eq!(prompt["text"], "one two three");
    assert_eq!(scores(&prompt).len() as u64, tokens);
    assert!(scores(&prompt)[0].is_null());
    assert!(scores(&prompt)[1..].iter().all(|score| score.as_f64().unwrap() < 0.0));
    // One entry more, whether the model goes on or ends the text.
    assert_eq!(scores(&both).len() as u64, tokens + 1);
    assert_eq!(scores(&both)[..scores(&prompt).len()], scores(&prompt));
    server.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_prompts_is_answered_as_each_prompt_is_alone() {
    let server = serve().await;
    let both = json!({"prompt": ["one two three", "four"]});
    let both = server.ask("/v1/completions", &body("target", &both)).await.unwrap();
    for (index, prompt) in ["one two three", "four"].into_iter().enumerate() {
        let alone = server.complete(&body("target", &json!({"prompt": prompt}))).await.unwrap();
        assert_eq!(both["choices"][index]["text"], alone.as_str());
    }
    let ids = server.ask("/v1/completions", &body("rsd", &json!({"prompt": [[10, 11, 12]]}))).await.unwrap();
    assert_eq!(ids["usage"]["prompt_tokens"], 3);
    server.drain().await.unwrap();
}
