//! The operator's side of `serve`: the admin listener, and reloading the deployment file.

use std::sync::Arc;

use anyhow::Context;
use tokio::{net::TcpListener, task::JoinHandle};

use rsd_config::{
    AdminConfig, Deployment,
    control::{self, ChangeAuthor, Control},
};

use rsd_core::prediction::StepRecorder;

use rsd_server::{
    AppState,
    admin::{self, AdminState, AdminTokens, AuditLog, OwnedTokenFile, RecentTraces},
};

use super::listener::listen;

/// The bound listener of the admin API, with its tokens.
pub(super) struct AdminListener {
    listener: TcpListener,
    tokens: AdminTokens,
    token_file: Option<OwnedTokenFile>,
    audit: AuditLog,
    endpoint: String,
}

impl AdminListener {
    /// Binds the listener and reads or creates the tokens. This is done before the models are loaded, so that a
    /// mistake shows at once.
    pub async fn bind(deployment: &Deployment, endpoint: &TcpListener) -> anyhow::Result<Option<Self>> {
        let config = &deployment.admin;
        if !config.enabled {
            return Ok(None);
        }
        let AdminConfig { host, port, .. } = config;
        let listener = listen(host, *port).await.with_context(|| {
            format!(
                "listening on {host}:{port} for the admin API; choose another port with admin.port, or set admin.enabled: false"
            )
        })?;
        let address = listener.local_addr()?;
        let endpoint = format!("http://{}", endpoint.local_addr()?);
        let (tokens, token_file) = AdminTokens::open(config, address.port(), &format!("http://{address}"), &endpoint)?;
        if let Some(file) = &token_file {
            tracing::info!("admin API: http://{address}, tokens in {}", file.path().display());
        } else {
            tracing::info!("admin API: http://{address}");
        }
        if !address.ip().is_loopback() {
            tracing::warn!(
                "the admin API is reachable from other machines without TLS; put a TLS proxy in front of it"
            );
        }
        let audit = AuditLog::open(config.audit_file.as_deref())?;
        Ok(Some(Self { listener, tokens, token_file, audit, endpoint }))
    }

    /// Serves the admin API until the task is aborted. The token file is deleted when the caller drops it.
    pub fn serve(
        self,
        app: Arc<AppState>,
        control: Arc<Control>,
        recorder: Arc<StepRecorder>,
        traces: Arc<RecentTraces>,
        deployment: &Deployment,
    ) -> (JoinHandle<()>, Option<OwnedTokenFile>) {
        let AdminConfig { host, hosts, origins, connections, .. } = &deployment.admin;
        let file = control.file().map(ToOwned::to_owned);
        let admin = Arc::new(AdminState {
            app: app.clone(),
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
        let task = tokio::spawn(rsd_server::serve_admin(app, admin::router(admin), self.listener, *connections));
        (task, self.token_file)
    }
}

/// Reloads the deployment file when it changes, and on SIGHUP.
pub(super) fn watch(control: &Arc<Control>, app: &Arc<AppState>, file: bool, hangup: HangupSignal) -> JoinHandle<()> {
    let (control, stop) = (control.clone(), app.draining());
    tokio::spawn(async move {
        let file_changes = async {
            if file {
                control::watch(control.clone(), stop.clone()).await;
            } else {
                stop.cancelled().await;
            }
        };
        tokio::select! {
            () = file_changes => {}
            () = hangup.reload_on_signal(&control) => {}
        }
    })
}

/// Listens for SIGHUP. It is created before the models are loaded, because SIGHUP would otherwise end the process
/// meanwhile.
pub(super) struct HangupSignal(#[cfg(unix)] tokio::signal::unix::Signal);

impl HangupSignal {
    #[cfg(unix)]
    pub fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::hangup()).context("listening for SIGHUP")?))
    }

    #[cfg(unix)]
    async fn reload_on_signal(mut self, control: &Arc<Control>) {
        while self.0.recv().await.is_some() {
            let control = control.clone();
            let _ = tokio::task::spawn_blocking(move || control.reload(ChangeAuthor::default())).await;
        }
    }

    #[cfg(not(unix))]
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self())
    }

    #[cfg(not(unix))]
    async fn reload_on_signal(self, _: &Arc<Control>) {
        std::future::pending().await
    }
}
