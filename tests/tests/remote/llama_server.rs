//! A llama.cpp server in a process of its own, which ends with the test.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

pub struct LlamaServer {
    child: Child,
    pub url: String,
    client: reqwest::Client,
}

impl LlamaServer {
    /// Starts it with a model and waits until it answers.
    pub async fn start(gguf: &Path) -> Self {
        Self::start_with(gguf, &[]).await
    }

    /// Starts one that returns hidden states.
    pub async fn start_for_states(gguf: &Path) -> Self {
        Self::start_with(gguf, &["--states".to_owned()]).await
    }

    /// Starts it with further options of the script.
    pub async fn start_with(gguf: &Path, options: &[String]) -> Self {
        let mut child = Command::new("python3")
            .arg(format!("{ROOT}/examples/remote/llama_server.py"))
            .arg(gguf)
            .args(["--port", "0"])
            .args(options)
            .env("PYTHONPATH", format!("{ROOT}/target/tools/llama"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("these tests need python3");
        let output = child.stdout.take().unwrap();
        let url = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(output).lines();
            lines.find_map(|line| line.unwrap().strip_prefix("ready ").map(str::to_owned))
        });
        let url = url.await.unwrap().expect(
            "llama.cpp's server did not start; `pip install --require-hashes --target target/tools/llama -r \
             examples/remote/requirements.txt` installs it",
        );
        let server = Self { child, url, client: reqwest::Client::new() };
        for _ in 0..1200 {
            let health = server.client.get(format!("{}/health", server.url)).send().await;
            if health.is_ok_and(|health| health.status().is_success()) {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("llama.cpp's server did not load its model in two minutes");
    }

    /// Lets the next request find an empty cache.
    pub async fn forget(&self) {
        self.post("/completion", &json!({"prompt": [0], "n_predict": 1, "cache_prompt": false})).await;
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let reply = self.client.post(format!("{}{path}", self.url)).json(body).send().await.unwrap();
        reply.json().await.unwrap()
    }
}

impl Drop for LlamaServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
