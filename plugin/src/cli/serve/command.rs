//! Runs `serve`: reads the deployment, loads the models, listens, drains.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use mistralrs_server_core::mistralrs_server_router_builder::MistralRsServerRouterBuilder;
use rsd_protocol::preview::UnitCosts;
use tokio::net::TcpListener;

use super::{ServeArgs, TargetFromLine};
use crate::{
    config::{self, Deployment, Loaded, Override, TargetRule},
    deploy::{Deployed, deploy},
    engine::EngineSpec,
    metrics::Metrics,
    pipeline::observe::Fanout,
    probe::probe,
    server::{self, ApiKey, App, Drain},
};

pub(in crate::cli) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let (mut line, loaded) = read(&args)?;
    if let Some(line) = &mut line {
        line.role_mut().prefix_cache_n = args.prefix_cache_n();
    }
    if args.dry_run() {
        print!("{}", config::table(&loaded.entries(false)));
        return Ok(());
    }
    let deployment = loaded.deployment;
    let (host, port) = (deployment.server.host.as_str(), deployment.server.port);
    let key = ApiKey::read(deployment.server.api_key_env.as_deref(), deployment.server.api_key_file.as_deref())?;
    // The port is taken before the models are loaded: a busy one shows at once.
    let listener = TcpListener::bind((host, port))
        .await
        .with_context(|| format!("listening on {host}:{port}; choose another port with -p or server.port"))?;
    if key.is_none() && !listener.local_addr()?.ip().is_loopback() {
        tracing::warn!("anybody who reaches {host}:{port} may use this server; set server.api_key_env or api_key_file");
    }
    let target = line.map(spec_of).transpose()?;
    let Deployed { mut rsd, target } = deploy(&deployment, target).await?;
    let metrics = Arc::new(Metrics::new(&rsd, UnitCosts::default)?);
    rsd.observer = Arc::new(Fanout(vec![metrics.clone()]));
    if deployment.server.probe {
        probe(&rsd).await;
    }
    let names = target.model().to_owned();
    let theirs = MistralRsServerRouterBuilder::new().with_mistralrs(target.mistral()).build().await?;
    let app = App::new(rsd, deployment.server.model_name.clone(), names, deployment.limits.clone())
        .with_api_key(key)
        .with_metrics(deployment.server.metrics.then_some(metrics))
        .with_seed(args.seed())
        .with_log(args.log().map(crate::server::RequestLog::open).transpose()?);
    serve(app, theirs, listener, &deployment).await
}

/// The effective deployment and the target of the line, checked.
fn read(args: &ServeArgs) -> anyhow::Result<(Option<TargetFromLine>, Loaded)> {
    let line = args.target()?;
    let file = args.rsd()?;
    let mut overrides = args.overrides();
    // A target of the file takes the line's number of prefix caches; one of the line is given it directly.
    if let (None, Some(n)) = (&line, args.prefix_cache_n()) {
        overrides.push(Override::value("roles.target.prefix_cache_n", n as u64, "--prefix-cache-n"));
    }
    let rule = if line.is_some() { TargetRule::FromCommandLine } else { TargetRule::Required };
    Ok((line, config::load(Some(file), config::environment(), &overrides, rule)?))
}

fn spec_of(line: TargetFromLine) -> anyhow::Result<EngineSpec> {
    Ok(match line {
        TargetFromLine::Role(role) => EngineSpec::from_role(&role)?,
        TargetFromLine::Selected { model, role } => EngineSpec::from_selected(*model, *role),
    })
}

async fn serve(app: App, theirs: axum::Router, listener: TcpListener, deployment: &Deployment) -> anyhow::Result<()> {
    let settings = &deployment.server;
    let address = listener.local_addr()?;
    let app = Arc::new(app);
    let router =
        server::router(app.clone(), theirs, &settings.cors_origins, settings.body_limit).map_err(anyhow::Error::msg)?;
    tracing::info!("ready: http://{address}/v1 answers as model `{}`", settings.model_name);
    let drain = Drain { patience: Duration::from_secs(settings.drain_seconds) };
    server::serve(app, router, listener, drain, shutdown()).await.context("serving")
}

/// Resolves when the process is asked to end.
async fn shutdown() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}
