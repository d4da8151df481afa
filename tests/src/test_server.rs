//! A real server on a free local port, inside the test's process.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use reqwest::{Client, Response};
use rsd_config::LimitsConfig;
use rsd_core::pipeline::Rsd;
use rsd_server::{ApiKey, AppState, DrainSettings};
use serde_json::Value;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A running server. [`Self::drain`] stops it.
pub struct TestServer {
    /// Base URL without a path.
    pub url: String,
    pub client: Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl TestServer {
    /// Serves a pipeline under the model names `rsd` and `tiny`, of which the latter is the name of the target.
    pub async fn start(rsd: Rsd, limits: LimitsConfig, key: Option<ApiKey>) -> anyhow::Result<Self> {
        let app = AppState::new(rsd, "rsd".to_owned(), "tiny".to_owned(), limits).with_api_key(key);
        Self::run(Arc::new(app)).await
    }

    /// Serves an application state that the caller has assembled.
    pub async fn run(app: impl Into<Arc<AppState>>) -> anyhow::Result<Self> {
        let app = app.into();
        let router = rsd_server::router(app.clone(), axum_router(), &[], 64 << 10).map_err(anyhow::Error::msg)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel();
        let drain = DrainSettings { patience: Duration::from_secs(5) };
        let shutdown = async move {
            let _ = stopped.await;
        };
        let task = tokio::spawn(rsd_server::serve(app, router, listener, drain, shutdown));
        Ok(Self { url, client: Client::new(), stop: Some(stop), task })
    }

    /// Posts a JSON body to a route.
    pub async fn post(&self, route: &str, body: impl Into<String>) -> anyhow::Result<Response> {
        let request = self.client.post(format!("{}{route}", self.url)).header("content-type", "application/json");
        Ok(request.body(body.into()).send().await?)
    }

    /// Posts a request and returns the answer's JSON; a status other than success is an error.
    pub async fn ask(&self, route: &str, body: &Value) -> anyhow::Result<Value> {
        let response = self.post(route, body.to_string()).await?;
        let status = response.status();
        let text = response.text().await?;
        anyhow::ensure!(status.is_success(), "{status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Posts to `/v1/completions` and returns the text of the first choice.
    pub async fn complete(&self, body: &Value) -> anyhow::Result<String> {
        let answer = self.ask("/v1/completions", body).await?;
        Ok(answer["choices"][0]["text"].as_str().context("the answer has no text")?.to_owned())
    }

    /// Stops accepting requests, lets running ones finish, and waits until the server has ended.
    pub async fn drain(mut self) -> anyhow::Result<()> {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        Ok(self.task.await??)
    }
}

fn axum_router() -> axum::Router {
    axum::Router::new()
}
