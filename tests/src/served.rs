//! A real server on a free port of this machine, in this process.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use mistralrs_rsd::{
    config::LimitsConfig,
    pipeline::Rsd,
    server::{self, ApiKey, App, Drain},
};
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A running server; it drains when told to.
pub struct Served {
    /// Where it listens, without a path.
    pub url: String,
    /// A client of it.
    pub client: Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Served {
    /// Serves a pipeline; the target answers to the name `tiny`.
    pub async fn start(rsd: Rsd, limits: LimitsConfig, key: Option<ApiKey>) -> anyhow::Result<Self> {
        let app = App::new(rsd, "rsd".to_owned(), "tiny".to_owned(), limits).with_api_key(key);
        Self::run(Arc::new(app)).await
    }

    /// Serves what is already put together.
    pub async fn run(app: impl Into<Arc<App>>) -> anyhow::Result<Self> {
        let app = app.into();
        let router = server::router(app.clone(), axum_router(), &[], 64 << 10).map_err(anyhow::Error::msg)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel();
        let drain = Drain { patience: Duration::from_secs(5) };
        let shutdown = async move {
            let _ = stopped.await;
        };
        let task = tokio::spawn(server::serve(app, router, listener, drain, shutdown));
        Ok(Self { url, client: Client::new(), stop: Some(stop), task })
    }

    /// Posts JSON text to a route.
    pub async fn post(&self, route: &str, body: impl Into<String>) -> anyhow::Result<Response> {
        let request = self.client.post(format!("{}{route}", self.url)).header("content-type", "application/json");
        Ok(request.body(body.into()).send().await?)
    }

    /// Posts a request that must succeed and returns its JSON.
    pub async fn ask(&self, route: &str, body: &Value) -> anyhow::Result<Value> {
        let response = self.post(route, body.to_string()).await?;
        let status = response.status();
        let text = response.text().await?;
        anyhow::ensure!(status.is_success(), "{status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// The text of a plain completion.
    pub async fn complete(&self, body: &Value) -> anyhow::Result<String> {
        let answer = self.ask("/v1/completions", body).await?;
        Ok(answer["choices"][0]["text"].as_str().context("an answer without text")?.to_owned())
    }

    /// Stops taking requests, lets running ones finish, and waits for the end.
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
