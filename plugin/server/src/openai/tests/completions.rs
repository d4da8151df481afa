//! Plain completions: several prompts, echo, usage, limits, and when a stream has its status.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, header},
};
use rsd_config::LimitsConfig;
use rsd_core::pipeline::testing::World;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{app, send, serve};
use crate::{AppState, openai::router};

/// The answer to a plain completion: headers and body.
async fn complete(router: &Router, body: &Value) -> (HeaderMap, Value) {
    let request = Request::post("/v1/completions").header(header::CONTENT_TYPE, "application/json");
    let response = router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let headers = response.headers().clone();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (headers, serde_json::from_slice(&bytes).unwrap())
}

/// The events of a stream, without `[DONE]`.
async fn events(router: &Router, body: &Value) -> Vec<Value> {
    let request = Request::post("/v1/completions").header(header::CONTENT_TYPE, "application/json");
    let response = router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn several_prompts_are_answered_as_each_would_be_alone() {
    let router = serve(app(&World::new(3)));
    let body = |prompt: Value| json!({"prompt": prompt, "seed": 5, "temperature": 1, "n": 2, "max_tokens": 20});
    let texts = |answer: &Value| -> Vec<String> {
        let choices = answer["choices"].as_array().unwrap();
        assert!(choices.iter().enumerate().all(|(index, choice)| choice["index"] == index));
        choices.iter().map(|choice| choice["text"].as_str().unwrap().to_owned()).collect()
    };
    let (_, hi) = complete(&router, &body(json!("hi"))).await;
    let (_, more) = complete(&router, &body(json!("more"))).await;
    let alone = [texts(&hi), texts(&more)].concat();
    let ids = json!([[104, 105], [109, 111, 114, 101]]);
    for prompt in [json!(["hi", "more"]), ids] {
        let (_, both) = complete(&router, &body(prompt.clone())).await;
        assert_eq!(texts(&both), alone);
        assert_eq!(both["usage"]["prompt_tokens"], 6);
        for count in ["completion_tokens", "total_tokens"] {
            let sum = hi["usage"][count].as_u64().unwrap() + more["usage"][count].as_u64().unwrap();
            assert_eq!(both["usage"][count], sum);
        }
        let mut streamed = vec![String::new(); 4];
        let mut request = body(prompt);
        request["stream"] = json!(true);
        for event in events(&router, &request).await {
            let choice = &event["choices"][0];
            streamed[usize::try_from(choice["index"].as_u64().unwrap()).unwrap()] += choice["text"].as_str().unwrap();
        }
        assert_eq!(streamed, alone);
    }
}

#[tokio::test]
async fn without_a_seed_a_prompt_that_is_sent_twice_gets_two_answers() {
    let router = serve(app(&World::new(3)));
    let (_, answer) = complete(&router, &json!({"prompt": vec!["hi"; 8], "max_tokens": 20})).await;
    let choices = answer["choices"].as_array().unwrap();
    assert!(choices.iter().any(|choice| choice["text"] != choices[0]["text"]), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_prompt_has_its_status_in_a_stream_too_and_before_any_wait() {
    let mut world = World::new(3);
    (world.draft.context, world.target.context) = (100, 100);
    let app = Arc::new(app(&world).holding_every_place().await);
    let router = router(app, Router::new(), &[], 1 << 20).unwrap();
    let long = "x".repeat(200);
    for (path, mut body, param, code) in [
        ("/v1/completions", json!({"prompt": long}), "prompt", "context_length_exceeded"),
        ("/v1/completions", json!({"prompt": ["hi", long]}), "prompt[1]", "context_length_exceeded"),
        ("/v1/completions", json!({"prompt": [81, 300]}), "prompt", "invalid_prompt"),
        (
            "/v1/chat/completions",
            json!({"messages": [{"role": "user", "content": long}]}),
            "messages",
            "context_length_exceeded",
        ),
    ] {
        for stream in [false, true] {
            body["stream"] = json!(stream);
            let (status, answer) = send(&router, "POST", path, &body).await;
            let error = &answer["error"];
            assert_eq!((status.as_u16(), &error["param"], &error["code"]), (400, &json!(param), &json!(code)));
        }
    }
}

#[tokio::test]
async fn a_bias_of_a_token_that_there_is_not_is_refused_by_name() {
    let router = serve(app(&World::new(3)));
    let body = json!({"prompt": "hi", "model": "draft", "logit_bias": {"6": 1, "70000": 1, "70001": 1}});
    let (status, answer) = send(&router, "POST", "/v1/completions", &body).await;
    assert_eq!(status, 400);
    assert_eq!(answer["error"]["param"], "logit_bias");
    assert_eq!(answer["error"]["message"], "logit_bias: the draft model has no token 70000");
}

#[tokio::test]
async fn a_stream_has_its_status_when_the_prompt_is_accepted() {
    let mut world = World::new(3);
    world.draft.delay = Duration::from_secs(3600);
    let router = serve(app(&world));
    let request = Request::post("/v1/completions").header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(r#"{"prompt": "hi", "model": "draft", "stream": true}"#)).unwrap();
    let response = tokio::time::timeout(Duration::from_secs(5), router.oneshot(request)).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_limit_above_that_of_the_server_is_lowered_and_the_answer_says_so() {
    let mut world = World::new(3);
    world.runtime.limits.max_tokens = 5;
    let router = serve(app(&world));
    for (asked, lowered) in [(1_000_000, true), (6, true), (5, false)] {
        let mut body = json!({"prompt": "hi", "max_tokens": asked, "seed": 1, "logit_bias": {"6": -100}});
        let (headers, answer) = complete(&router, &body).await;
        assert_eq!(answer["usage"]["completion_tokens"], 5, "{answer}");
        let limit =
            |headers: &HeaderMap| headers.get("x-rsd-max-tokens").map(|limit| limit.to_str().unwrap().to_owned());
        assert_eq!(limit(&headers), lowered.then(|| "5".to_owned()));
        body["stream"] = json!(true);
        let request = Request::post("/v1/completions").header(header::CONTENT_TYPE, "application/json");
        let response = router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
        assert_eq!(limit(response.headers()), lowered.then(|| "5".to_owned()));
    }
}

#[tokio::test]
async fn an_echoed_prompt_comes_first_with_its_log_probabilities() {
    let router = serve(app(&World::new(3)));
    let plain = json!({"prompt": "Q: é", "model": "target", "logprobs": 2, "max_tokens": 4, "temperature": 0});
    let with = |extra: Value| {
        let mut body = plain.clone();
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let (_, answer) = complete(&router, &plain).await;
    let (_, echoed) = complete(&router, &with(json!({"echo": true}))).await;
    let (_, prompt) = complete(&router, &with(json!({"echo": true, "max_tokens": 0}))).await;
    let lists = |answer: &Value, list: &str| answer["choices"][0]["logprobs"][list].as_array().unwrap().clone();
    assert_eq!(lists(&answer, "text_offset"), [4, 5, 6, 7]);
    // One token for each byte of the prompt, of which the first has nothing before it.
    assert_eq!(lists(&prompt, "tokens"), ["Q", ":", " ", r"bytes:\xc3", r"bytes:\xa9"]);
    assert_eq!(lists(&prompt, "text_offset"), [0, 1, 2, 3, 3]);
    assert!(lists(&prompt, "token_logprobs")[0].is_null() && lists(&prompt, "top_logprobs")[0].is_null());
    assert!(lists(&prompt, "token_logprobs")[1..].iter().all(Value::is_number));
    assert_eq!(prompt["choices"][0]["text"], "Q: é");
    assert_eq!(
        (&prompt["choices"][0]["finish_reason"], &prompt["usage"]["prompt_tokens"]),
        (&json!("length"), &json!(5))
    );
    assert_eq!(prompt["usage"]["completion_tokens"], 0);
    for list in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(lists(&echoed, list), [lists(&prompt, list), lists(&answer, list)].concat(), "{list}");
    }
    let text = format!("Q: é{}", answer["choices"][0]["text"].as_str().unwrap());
    assert_eq!(echoed["choices"][0]["text"], text);

    let (mut streamed, mut offsets) = (String::new(), Vec::new());
    for event in events(&router, &with(json!({"echo": true, "stream": true}))).await {
        streamed += event["choices"][0]["text"].as_str().unwrap();
        offsets.extend(event["choices"][0]["logprobs"]["text_offset"].as_array().into_iter().flatten().cloned());
    }
    assert_eq!((streamed, offsets), (text.clone(), lists(&echoed, "text_offset")));

    let (_, unscored) = complete(&router, &with(json!({"echo": true, "logprobs": null}))).await;
    assert_eq!((&unscored["choices"][0]["text"], &unscored["choices"][0]["logprobs"]), (&json!(text), &Value::Null));
    let (_, nothing) = complete(&router, &json!({"prompt": ["a", "b"], "echo": true, "max_tokens": 0})).await;
    assert_eq!([&nothing["choices"][0]["text"], &nothing["choices"][1]["text"]], ["a", "b"]);
}

/// Programs that score a prompt ask for one token more, and leave out the last entry of the lists.
#[tokio::test]
async fn an_end_token_after_an_echoed_prompt_has_an_entry_of_its_own() {
    let router = serve(app(&World::new(3)));
    // The scripted models end a long text at once.
    let prompt = "abcd".repeat(100);
    let body = json!({"prompt": prompt, "model": "target", "logprobs": 1, "max_tokens": 1, "echo": true,
        "temperature": 0});
    let (_, answer) = complete(&router, &body).await;
    let choice = &answer["choices"][0];
    assert_eq!((&choice["finish_reason"], &answer["usage"]["completion_tokens"]), (&json!("stop"), &json!(0)));
    assert_eq!(choice["logprobs"]["tokens"].as_array().unwrap().len(), prompt.len() + 1);
    let mut body = body;
    body["stream"] = json!(true);
    let events = events(&router, &body).await;
    let tokens = events.iter().filter_map(|event| event["choices"][0]["logprobs"]["tokens"].as_array()).flatten();
    assert_eq!(tokens.count(), prompt.len() + 1);
}

/// A list that lacks its last entry would be read as one that has it.
#[tokio::test(start_paused = true)]
async fn scored_prompts_that_run_out_of_time_are_an_error() {
    let mut world = World::new(3);
    world.target.delay = Duration::from_secs(4);
    let limits = LimitsConfig { request_seconds: 6, ..LimitsConfig::default() };
    let router = serve(AppState::new(world.rsd(), "rsd".to_owned(), "big".to_owned(), limits));
    let scored =
        |prompts: Value| json!({"prompt": prompts, "model": "target", "logprobs": 1, "max_tokens": 1, "echo": true});
    for (prompts, status) in [(json!("one"), 200), (json!(["one", "two"]), 503), (json!(["one", "two", "three"]), 503)]
    {
        let (found, answer) = send(&router, "POST", "/v1/completions", &scored(prompts)).await;
        assert_eq!(found, status, "{answer}");
        if status == 503 {
            assert!(answer["error"]["message"].as_str().unwrap().contains("limits.request_seconds"), "{answer}");
        }
    }
}

#[tokio::test]
async fn usage_says_what_a_cache_held_and_what_became_of_the_draft() {
    let router = serve(app(&World::new(3)));
    let mut body = json!({"prompt": "hi there", "temperature": 0, "n": 2, "rsd": {"trace": true}});
    let (_, first) = complete(&router, &body).await;
    let (_, again) = complete(&router, &body).await;
    let details = |answer: &Value, place: &str| answer["usage"][place].clone();
    assert_eq!(details(&first, "prompt_tokens_details")["cached_tokens"], 0);
    assert_eq!(details(&again, "prompt_tokens_details")["cached_tokens"], 7);
    let sum = |field: &str| -> u64 {
        let choices = again["rsd"]["choices"].as_array().unwrap();
        choices.iter().map(|choice| choice["totals"][field].as_u64().unwrap()).sum()
    };
    let rejected = sum("rejected_tokens") + sum("discarded_lookahead_tokens");
    assert!(sum("accepted_tokens") > 0 && rejected > 0, "{again}");
    let draft = json!({"accepted_prediction_tokens": sum("accepted_tokens"), "rejected_prediction_tokens": rejected});
    assert_eq!(details(&again, "completion_tokens_details"), draft);
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    assert_eq!(events(&router, &body).await.last().unwrap()["usage"], again["usage"]);
    let (_, alone) = complete(&router, &json!({"prompt": "hi there", "model": "draft"})).await;
    assert_eq!(details(&alone, "completion_tokens_details")["accepted_prediction_tokens"], 0);
}
