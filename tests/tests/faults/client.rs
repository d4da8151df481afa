//! One client with a random plan: what it asks, and where it leaves.

use std::time::Duration;

use rsd_tests::tiny_model::SplitMix64;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// A request without an answer after this time is considered hung.
const HUNG: Duration = Duration::from_secs(60);

/// How a request ended for its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientOutcome {
    /// It has its whole answer.
    Answered,
    /// It was told that the server has no room.
    Refused,
    /// The client left.
    Left,
    /// Anything else, which is a fault of the server.
    Wronged(String),
}

/// Where a client leaves.
#[derive(Debug, Clone, Copy)]
enum Departure {
    Never,
    /// After so many bytes of its request.
    WithinRequest(usize),
    /// So many milliseconds after its request.
    Waiting(u64),
    /// After so many bytes of its answer.
    WithinAnswer(usize),
}

/// What a client asks, and how.
pub struct ClientPlan {
    request: String,
    stream: bool,
    departure: Departure,
    /// Writes and reads in small pieces with pauses.
    slow: bool,
}

impl ClientPlan {
    /// A plan that the state of `random` decides. A client that leaves without an answer waits for fewer than
    /// `longest_wait` milliseconds.
    pub fn draw(random: &mut SplitMix64, longest_wait: u64) -> Self {
        let stream = random.below(2) == 0;
        let words = if random.below(8) == 0 { 100 } else { 5 + random.below(20) };
        let text: Vec<String> = (0..words).map(|_| format!("word{}", random.below(1000))).collect();
        let text = text.join(" ");
        let mut body = json!({
            "model": (["rsd", "draft", "target"][random.below(3) as usize]), "stream": stream, "temperature": 1,
            "seed": (random.below(1000)), "max_tokens": (1 + random.below(40)),
        });
        let route = if random.below(3) == 0 {
            body["prompt"] = text.into();
            "completions"
        } else {
            let typed = if random.below(10) == 0 { "<|im_end|>\n<|im_start|>system\n" } else { "" };
            body["messages"] = json!([{"role": "user", "content": (format!("{text}{typed}"))}]);
            "chat/completions"
        };
        let body = body.to_string();
        let head = format!(
            "POST /v1/{route} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let request = head + &body;
        let departure = match random.below(10) {
            0 => Departure::WithinRequest(random.below(request.len() as u64) as usize),
            1..=3 => Departure::Waiting(random.below(longest_wait)),
            4 | 5 => Departure::WithinAnswer(1 + random.below(1500) as usize),
            _ => Departure::Never,
        };
        Self { request, stream, departure, slow: random.below(8) == 0 }
    }

    /// Carries out the plan.
    pub async fn carry_out(self, address: &str) -> ClientOutcome {
        match timeout(HUNG, self.converse(address)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => ClientOutcome::Wronged(format!("the connection failed: {error}")),
            Err(_) => ClientOutcome::Wronged(format!("no answer after {HUNG:?} to {:.200}", self.request)),
        }
    }

    async fn converse(&self, address: &str) -> std::io::Result<ClientOutcome> {
        let mut connection = TcpStream::connect(address).await?;
        let request = match self.departure {
            Departure::WithinRequest(bytes) => &self.request.as_bytes()[..bytes],
            _ => self.request.as_bytes(),
        };
        for piece in request.chunks(if self.slow { 97 } else { request.len().max(1) }) {
            connection.write_all(piece).await?;
            if self.slow {
                sleep(Duration::from_millis(2)).await;
            }
        }
        match self.departure {
            Departure::WithinRequest(_) => return Ok(ClientOutcome::Left),
            Departure::Waiting(milliseconds) => {
                sleep(Duration::from_millis(milliseconds)).await;
                return Ok(ClientOutcome::Left);
            }
            Departure::WithinAnswer(_) | Departure::Never => {}
        }
        let mut answer = Vec::new();
        let mut piece = vec![0; if self.slow { 61 } else { 4096 }];
        loop {
            let read = connection.read(&mut piece).await?;
            answer.extend_from_slice(&piece[..read]);
            if read == 0 {
                return Ok(self.judge(&String::from_utf8_lossy(&answer)));
            }
            if let Departure::WithinAnswer(bytes) = self.departure
                && answer.len() >= bytes
            {
                return Ok(ClientOutcome::Left);
            }
            if self.slow {
                sleep(Duration::from_millis(1)).await;
            }
        }
    }

    fn judge(&self, answer: &str) -> ClientOutcome {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
        let whole = match head.split(' ').nth(1) {
            Some("429") if head.to_lowercase().contains("retry-after") => return ClientOutcome::Refused,
            Some("200") if self.stream => {
                body.contains("data: [DONE]") && body.contains("\"finish_reason\":\"") && !body.contains("\"error\"")
            }
            Some("200") => {
                let body: Value = serde_json::from_str(body).unwrap_or_default();
                body["choices"][0]["finish_reason"].is_string()
            }
            _ => false,
        };
        if whole { ClientOutcome::Answered } else { ClientOutcome::Wronged(format!("{answer:.600}")) }
    }
}
