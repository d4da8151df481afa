//! Invalid requests: each gets an error with a stable code, and the server continues.

use serde_json::{Value, json};

use crate::support::serve;

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_request_gets_an_error_that_says_what_is_wrong_and_the_server_continues() {
    let server = serve().await;
    let chat = |extra: &str| format!(r#"{{"messages": [{{"role": "user", "content": "hi"}}]{extra}}}"#);
    let long = "word ".repeat(4000);
    let cases: Vec<(&str, String, u16, &str)> = vec![
        ("chat/completions", "{".to_owned(), 400, "invalid_json"),
        ("chat/completions", "[]".to_owned(), 400, "invalid_json"),
        ("chat/completions", chat(r#", "rsd": {"delta": NaN}"#), 400, "invalid_json"),
        ("chat/completions", r#"{"messages": []}"#.to_owned(), 400, "empty_messages"),
        ("chat/completions", r#"{"messages": 3}"#.to_owned(), 400, "invalid_type"),
        ("chat/completions", chat(r#", "model": "gpt""#), 404, "model_not_found"),
        ("chat/completions", chat(r#", "temperature": "hot""#), 400, "invalid_type"),
        ("chat/completions", chat(r#", "temperature": 9"#), 400, "invalid_value"),
        ("chat/completions", chat(r#", "n": 0"#), 400, "invalid_value"),
        ("chat/completions", chat(r#", "max_tokens": 0"#), 400, "invalid_value"),
        ("chat/completions", chat(r#", "rsd": {"delta": 7}"#), 400, "invalid_value"),
        ("chat/completions", chat(r#", "rsd": {"detla": 0.5}"#), 400, "unknown_parameter"),
        ("chat/completions", chat(r#", "rsd": {"weighting": "cubic"}"#), 400, "invalid_type"),
        ("chat/completions", chat(r#", "logprobs": true"#), 400, "logprobs_unsupported"),
        ("chat/completions", chat(r#", "tools": [{"type": "function"}]"#), 400, "unsupported_parameter"),
        ("chat/completions", chat(r#", "logit_bias": {"a": 1}"#), 400, "invalid_value"),
        ("chat/completions", chat(r#", "stop": [""]"#), 400, "invalid_value"),
        ("completions", json!({"prompt": ""}).to_string(), 400, "empty_prompt"),
        ("completions", json!({"prompt": long}).to_string(), 400, "context_length_exceeded"),
        ("completions", json!({"prompt": long, "stream": true}).to_string(), 400, "context_length_exceeded"),
        ("completions", json!({"prompt": [900_000_000]}).to_string(), 400, "invalid_prompt"),
        ("completions", json!({"prompt": "hi", "max_completion_tokens": 4}).to_string(), 400, "unsupported_parameter"),
        ("completions", json!({"prompt": "x".repeat(100_000)}).to_string(), 413, "body_too_large"),
        ("embeddings", "{}".to_owned(), 404, "route_disabled"),
        ("models/unload", "{}".to_owned(), 404, "route_disabled"),
        ("nothing", "{}".to_owned(), 404, "route_not_found"),
        ("models", "{}".to_owned(), 405, "method_not_allowed"),
    ];
    for (route, body, status, code) in cases {
        let response = server.post(&format!("/v1/{route}"), body.clone()).await.unwrap();
        let got = response.status().as_u16();
        let text = response.text().await.unwrap();
        let error: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{route} {body:.80}: {text}"));
        assert_eq!((got, error["error"]["code"].as_str()), (status, Some(code)), "{route} {body:.80}: {text}");
        assert!(error["error"]["message"].as_str().is_some_and(|message| message.len() > 8));
    }
    let plain = server.client.post(format!("{}/v1/completions", server.url)).body("{}").send().await.unwrap();
    assert_eq!(plain.status(), 415);
    let answer = server.complete(&json!({"prompt": "still there?", "max_tokens": 5, "temperature": 0})).await;
    assert!(answer.is_ok(), "{answer:?}");
    server.drain().await.unwrap();
}
