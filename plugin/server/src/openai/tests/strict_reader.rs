//! Streams as strict readers of server-sent events take them, such as that of the official Go client: it reads line by
//! line, joins the data of an event, stops at `[DONE]`, and takes an `error` member in the data for a failure.

use axum::{
    body::{Body, to_bytes},
    http::{Request, header},
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{app, serve};
use rsd_core::pipeline::testing::World;

/// The events of a stream by those rules, with those after `[DONE]`.
fn read(stream: &str) -> Vec<String> {
    let (mut events, mut data) = (Vec::new(), None::<String>);
    assert!(stream.ends_with("\n\n"), "the last event is not complete: {stream:?}");
    for line in stream.split('\n') {
        assert!(!line.ends_with('\r') && line.len() < 1 << 16, "{line:?}");
        let Some((field, value)) = line.split_once(':') else {
            assert!(line.is_empty(), "neither a field nor the end of an event: {line:?}");
            events.extend(data.take());
            continue;
        };
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => {}
            "data" => match &mut data {
                Some(data) => *data = format!("{data}\n{value}"),
                None => data = Some(value.to_owned()),
            },
            field => panic!("{field} is not read by every client: {line:?}"),
        }
    }
    events
}

#[tokio::test]
async fn a_strict_reader_sees_the_answer_of_the_plain_request() {
    for seed in 0..8 {
        let router = serve(app(&World::new(seed)));
        for (path, asked) in [
            ("/v1/completions", json!({"prompt": "Q: ", "seed": seed, "max_tokens": 30})),
            ("/v1/chat/completions", json!({"messages": [{"role": "user", "content": "Q: "}], "seed": seed})),
        ] {
            let mut body = asked;
            let ask = async |body: &Value| {
                let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
                let response =
                    router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
                let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
                (kind, String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap())
            };
            let whole: Value = serde_json::from_str(&ask(&body).await.1).unwrap();
            let choice = &whole["choices"][0];
            let expected = choice["text"].as_str().or(choice["message"]["content"].as_str()).unwrap();
            body["stream"] = json!(true);
            let (kind, stream) = ask(&body).await;
            assert!(kind.starts_with("text/event-stream"), "{kind}");
            let mut events = read(&stream);
            assert_eq!(events.pop().as_deref(), Some("[DONE]"));
            let chunks: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
            assert!(chunks.iter().all(|chunk| chunk.get("error").is_none() && chunk["id"] == chunks[0]["id"]));
            let text = |chunk: &Value| {
                let choice = &chunk["choices"][0];
                choice["text"].as_str().or(choice["delta"]["content"].as_str()).unwrap_or_default().to_owned()
            };
            assert_eq!(chunks.iter().map(text).collect::<String>(), expected);
            let finishes = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string()).count();
            assert_eq!(finishes, 1, "{stream}");
        }
    }
}

#[tokio::test]
async fn a_strict_reader_hears_of_an_error_in_the_middle() {
    let mut world = World::new(3);
    world.target.fail_step = Some(1);
    let router = serve(app(&world));
    let body = json!({"prompt": "Q: ", "stream": true, "model": "target", "max_tokens": 50, "seed": 1});
    let request = Request::post("/v1/completions").header(header::CONTENT_TYPE, "application/json");
    let response = router.oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let stream = String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap();
    let events = read(&stream);
    let failed = events.iter().position(|event| event.contains("\"error\"")).expect(&stream);
    let error: Value = serde_json::from_str(&events[failed]).unwrap();
    assert!(error["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{stream}");
    assert!(failed > 0, "the first text came before: {stream}");
}
