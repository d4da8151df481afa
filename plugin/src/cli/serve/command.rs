//! Runs `serve`: reads the deployment, loads the models, listens, drains.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use mistralrs_server_core::mistralrs_server_router_builder::MistralRsServerRouterBuilder;
use tokio::net::TcpListener;

use super::{
    ServeArgs, TargetFromLine,
    operator::{self, Hangups, Operator},
};
use crate::{
    config::{self, Deployment, Loaded, Override, TargetRule},
    control::{Control, Sources},
    deploy::{Deployed, deploy},
    engine::EngineSpec,
    metrics::Metrics,
    pipeline::observe::Fanout,
    prediction::Recorder,
    probe::probe,
    server::{self, ApiKey, App, Drain, admin::RecentTraces},
};

/// Exit status of a server that was ended before it was ready, as shells give it for SIGINT.
const INTERRUPTED: i32 = 130;

pub(in crate::cli) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let (mut line, loaded, sources) = read(&args)?;
    if let Some(line) = &mut line {
        line.role_mut().prefix_cache_n = args.prefix_cache_n();
    }
    if args.dry_run() {
        print!("{}", config::table(&loaded.entries(false)));
        return Ok(());
    }
    let deployment = loaded.deployment.clone();
    let (host, port) = (deployment.server.host.as_str(), deployment.server.port);
    let key = ApiKey::read(deployment.server.api_key_env.as_deref(), deployment.server.api_key_file.as_deref())?;
    // The port is taken before the models are loaded: a busy one shows at once.
    let listener = TcpListener::bind((host, port))
        .await
        .with_context(|| format!("listening on {host}:{port}; choose another port with -p or server.port"))?;
    if key.is_none() && !listener.local_addr()?.ip().is_loopback() {
        tracing::warn!("anybody who reaches {host}:{port} may use this server; set server.api_key_env or api_key_file");
    }
    let hangups = Hangups::listen()?;
    let operator = Operator::listen(&deployment, &listener).await?;
    let target = line.map(spec_of).transpose()?;
    let deployed = tokio::select! {
        deployed = deploy(&deployment, target) => deployed?,
        () = shutdown() => {
            // The token file goes; loading cannot be called off and is left to the end of the process.
            drop(operator);
            std::process::exit(INTERRUPTED);
        }
    };
    let Deployed { mut rsd, target } = deployed;
    let recorder = Arc::new(Recorder::new(deployment.admin.recorded_steps));
    let traces = Arc::new(RecentTraces::new(deployment.admin.traces, deployment.admin.trace_text));
    let costs = recorder.clone();
    let metrics = Arc::new(Metrics::new(&rsd, move || costs.costs())?);
    rsd.observer = Arc::new(Fanout(vec![recorder.clone(), metrics.clone(), traces.clone()]));
    let counted = metrics.clone();
    let history = deployment.admin.history;
    let control = Control::new(rsd.policy.clone(), loaded, sources, history, move |event| counted.heard(event));
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
    let app = Arc::new(app);
    let watching = operator::watch(&control, &app, deployment.admin.watch_file, hangups);
    let operating = operator.map(|operator| operator.serve(app.clone(), control, recorder, traces, &deployment));
    let served = serve(app, theirs, listener, &deployment).await;
    // The operator sees the server drain; then this listener ends too, and its token file goes.
    for task in operating.into_iter().chain([watching]) {
        task.abort();
        let _ = task.await;
    }
    served
}

/// The target of the line, the effective deployment, checked, and where it came from.
fn read(args: &ServeArgs) -> anyhow::Result<(Option<TargetFromLine>, Loaded, Sources)> {
    let line = args.target()?;
    let file = args.rsd()?;
    let mut overrides = args.overrides();
    // A target of the file takes the line's number of prefix caches; one of the line is given it directly.
    if let (None, Some(n)) = (&line, args.prefix_cache_n()) {
        overrides.push(Override::value("roles.target.prefix_cache_n", n as u64, "--prefix-cache-n"));
    }
    let target = if line.is_some() { TargetRule::FromCommandLine } else { TargetRule::Required };
    let environment: Vec<_> = config::environment().collect();
    let loaded = config::load(Some(file), environment.clone(), &overrides, target)?;
    Ok((line, loaded, Sources { file: Some(file.to_owned()), environment, overrides, target }))
}

fn spec_of(line: TargetFromLine) -> anyhow::Result<EngineSpec> {
    Ok(match line {
        TargetFromLine::Role(role) => EngineSpec::from_role(&role)?,
        TargetFromLine::Selected { model, role } => EngineSpec::from_selected(*model, *role),
    })
}

async fn serve(
    app: Arc<App>,
    theirs: axum::Router,
    listener: TcpListener,
    deployment: &Deployment,
) -> anyhow::Result<()> {
    let settings = &deployment.server;
    let address = listener.local_addr()?;
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
