//! The operator's side of `serve`: the admin listener, and reading the deployment file again.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    config::{AdminConfig, Deployment},
    control::{self, Author, Control},
    prediction::Recorder,
    server::{
        App,
        admin::{self, Admin, Audit, RecentTraces, Tokens},
    },
};

/// An admin listener that is bound, with its tokens.
pub(super) struct Operator {
    listener: TcpListener,
    tokens: Tokens,
    audit: Audit,
    endpoint: String,
}

impl Operator {
    /// Binds the listener and finds or makes the tokens, before the models are loaded: a mistake shows at once.
    pub async fn listen(deployment: &Deployment, endpoint: &TcpListener) -> anyhow::Result<Option<Self>> {
        let config = &deployment.admin;
        if !config.enabled {
            return Ok(None);
        }
        let AdminConfig { host, port, .. } = config;
        let listener = TcpListener::bind((host.as_str(), *port)).await.with_context(|| {
            format!(
                "listening on {host}:{port} for the operator; choose another with admin.port, or admin.enabled: false"
            )
        })?;
        let address = listener.local_addr()?;
        let endpoint = format!("http://{}", endpoint.local_addr()?);
        let tokens = Tokens::open(config, address.port(), &format!("http://{address}"), &endpoint)?;
        if let Some(path) = tokens.left_in() {
            tracing::info!("admin API: http://{address}, tokens in {}", path.display());
        } else {
            tracing::info!("admin API: http://{address}");
        }
        if !address.ip().is_loopback() {
            tracing::warn!("the admin API listens beyond this machine, without TLS: put a proxy that adds it in front");
        }
        let audit = Audit::open(config.audit_file.as_deref())?;
        Ok(Some(Self { listener, tokens, audit, endpoint }))
    }

    /// Serves until the task is aborted.
    pub fn serve(
        self,
        app: Arc<App>,
        control: Arc<Control>,
        recorder: Arc<Recorder>,
        traces: Arc<RecentTraces>,
        deployment: &Deployment,
    ) -> JoinHandle<()> {
        let AdminConfig { host, hosts, origins, .. } = &deployment.admin;
        let file = control.file().map(ToOwned::to_owned);
        let admin = Arc::new(Admin {
            app,
            control,
            recorder,
            traces,
            tokens: self.tokens,
            audit: self.audit,
            hosts: hosts.iter().chain([host]).cloned().collect(),
            origins: origins.clone(),
            endpoint: self.endpoint,
            file,
        });
        let service = admin::router(admin).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move {
            if let Err(error) = axum::serve(self.listener, service).await {
                tracing::error!(%error, "the admin API has ended");
            }
        })
    }
}

/// Reads the deployment file again when it changes, and on SIGHUP.
pub(super) fn watch(control: &Arc<Control>, app: &Arc<App>, file: bool, hangups: Hangups) -> JoinHandle<()> {
    let (control, stop) = (control.clone(), app.draining());
    tokio::spawn(async move {
        let files = async {
            if file {
                control::watch(control.clone(), stop.clone()).await;
            } else {
                stop.cancelled().await;
            }
        };
        tokio::select! {
            () = files => {}
            () = hangups.reload(&control) => {}
        }
    })
}

/// SIGHUP. Taken from the start: by default it ends a process, and loading models takes minutes.
pub(super) struct Hangups(#[cfg(unix)] tokio::signal::unix::Signal);

impl Hangups {
    #[cfg(unix)]
    pub fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::hangup()).context("listening for SIGHUP")?))
    }

    #[cfg(unix)]
    async fn reload(mut self, control: &Arc<Control>) {
        while self.0.recv().await.is_some() {
            let control = control.clone();
            let _ = tokio::task::spawn_blocking(move || control.reload(Author::default())).await;
        }
    }

    #[cfg(not(unix))]
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self())
    }

    #[cfg(not(unix))]
    async fn reload(self, _: &Arc<Control>) {
        std::future::pending().await
    }
}
