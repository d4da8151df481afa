//! Clients that leave while their prompt is rendered, waits, is prefilled or is answered: no engine dies, and nobody else
//! notices.

use std::time::Duration;

use rsd_core::pipeline::roles::ModelHealth;
use rsd_tests::{test_server::TestServer, tiny_model::SplitMix64, tiny_pipeline};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::support::limits;

const LEAVERS: usize = 300;

/// Asks and leaves: at the first byte of the answer, or after some milliseconds.
#[allow(clippy::cast_possible_truncation, reason = "a number below 600")]
async fn leave(address: &str, random: &mut SplitMix64) {
    let text = "word ".repeat(10 + random.below(600) as usize);
    let body =
        json!({"model": "rsd", "stream": true, "max_tokens": 60, "messages": [{"role": "user", "content": text}]});
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all((head + &body).as_bytes()).await.unwrap();
    if random.below(2) == 0 {
        let _ = connection.read(&mut [0]).await;
    } else {
        sleep(Duration::from_micros(random.below(20_000))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_at_any_moment_kill_no_engine_and_disturb_nobody() {
    let limits = limits();
    let rsd = tiny_pipeline::rsd(&limits).await.unwrap();
    let (draft, target) = (rsd.draft.clone(), rsd.target.clone());
    let server = TestServer::start(rsd, limits, None).await.unwrap();
    let question = json!({
        "model": "rsd", "max_tokens": 20, "temperature": 0, "messages": [{"role": "user", "content": "one two three"}],
    });
    let text = async || {
        let answer = server.ask("/v1/chat/completions", &question).await.unwrap();
        answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    };
    let right = text().await;
    let address = server.url.strip_prefix("http://").unwrap();
    let mut random = SplitMix64(3);
    for leaver in 0..LEAVERS {
        leave(address, &mut random).await;
        if leaver % 25 == 0 {
            assert_eq!(text().await, right);
        }
    }
    assert_eq!(text().await, right);
    assert_eq!((draft.health(), target.health()), (ModelHealth::default(), ModelHealth::default()));
    server.drain().await.unwrap();
}
