//! `mistralrs-rsd serve`: reads the deployment, loads the models, serves until a signal arrives, and drains.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use mistralrs_server_core::mistralrs_server_router_builder::MistralRsServerRouterBuilder;
use rsd_config::{
    Deployment, LoadedConfig, ServerConfig, SettingOverride, TargetRule,
    control::{Control, LayerSources},
};
use rsd_core::{pipeline::observe::ObserverFanout, prediction::StepRecorder, warmup::warm_up};
use rsd_server::{ApiKey, AppState, DrainSettings, admin::RecentTraces, metrics::Metrics};
use tokio::net::TcpListener;

use super::{
    ServeArgs, TargetFromLine,
    listener::listen,
    operator::{self, AdminListener, HangupSignal},
    service_manager,
    stop_signals::StopSignals,
};
use crate::{
    cli::{INTERRUPTED, ServerAborted, demo},
    deploy::{LoadedDeployment, deploy},
    engine::EngineSpec,
};

pub(in crate::cli) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let (mut line, loaded, sources) = read_deployment(&args)?;
    if let Some(line) = &mut line {
        line.role_mut().prefix_cache_n = args.prefix_cache_n();
    }
    if args.dry_run() {
        crate::cli::output::print(&rsd_config::table(&loaded.entries(false)))?;
        return Ok(());
    }
    if args.named_file()?.is_none() {
        tracing::warn!(
            file = sources.file.as_deref().map(|file| file.display().to_string()),
            "serving the built-in demo: changes that are written into its file are replaced at the next start; copy the \
             file and name the copy with --rsd to retain them"
        );
    }
    let deployment = loaded.deployment.clone();
    let settings = &deployment.server;
    let key = ApiKey::read(settings.api_key_env.as_deref(), settings.api_key_file.as_deref())?;
    // The port is bound before the models are loaded, so that a busy port shows at once.
    let listener = bind_listener(settings, key.is_some()).await?;
    let hangup = HangupSignal::listen()?;
    let signals = StopSignals::listen()?;
    let admin = AdminListener::bind(&deployment, &listener).await?;
    let target = line.map(engine_spec).transpose()?;
    let deployed = tokio::select! {
        deployed = deploy(&deployment, target) => deployed?,
        () = signals.drain() => {
            end_early(admin)
        }
    };
    let LoadedDeployment { mut rsd, target } = deployed;
    let recorder = Arc::new(StepRecorder::new(deployment.admin.recorded_steps));
    let traces = Arc::new(RecentTraces::new(deployment.admin.traces, deployment.admin.trace_text));
    let costs = recorder.clone();
    let metrics = Arc::new(Metrics::new(&rsd, move || costs.unit_costs())?);
    rsd.observer = Arc::new(ObserverFanout(vec![recorder.clone(), metrics.clone(), traces.clone()]));
    let admin_metrics = metrics.clone();
    let history = deployment.admin.history;
    let control = Control::new(rsd.policy.clone(), loaded, sources, history, move |event| {
        admin_metrics.record_admin_event(event);
    });
    if deployment.server.warmup {
        tokio::select! {
            () = warm_up(&rsd) => {}
            () = signals.drain() => {
                end_early(admin)
            }
        }
    }
    let native_routes = match &target {
        Some(engine) => MistralRsServerRouterBuilder::new().with_mistralrs(engine.mistral()).build().await?,
        // A target on a remote engine has its own server.
        None => axum::Router::new(),
    };
    let target_name = rsd.target.name();
    let app = AppState::new(rsd, deployment.server.model_name.clone(), target_name, deployment.limits.clone())
        .with_api_key(key)
        .with_connection_limits(deployment.server.limits.clone())
        .with_allowed_hosts(deployment.server.allowed_hosts.clone())
        .with_metrics(deployment.server.metrics.then_some(metrics))
        .with_seed(args.seed())
        .with_log(args.log().map(rsd_server::RequestLog::open).transpose()?);
    let app = Arc::new(app);
    let watch = operator::watch(&control, &app, deployment.admin.watch_file, hangup);
    let (admin, token_file) =
        admin.map(|admin| admin.serve(app.clone(), control, recorder, traces, &deployment)).unzip();
    let watchdog = service_manager::answer_watchdog();
    let served = tokio::select! {
        served = serve(app, native_routes, listener, &deployment, signals.drain()) => served,
        () = signals.abort() => Err(ServerAborted.into()),
    };
    // The admin API runs until the server has drained. Then it stops too, and its token file is deleted.
    for task in admin.into_iter().chain([watch]).chain(watchdog) {
        task.abort();
        let _ = task.await;
    }
    drop(token_file);
    served
}

/// Ends the process before the server is ready. Its token file is deleted. Loading cannot be cancelled; it ends with the
/// process.
fn end_early(admin: Option<AdminListener>) -> ! {
    drop(admin);
    std::process::exit(INTERRUPTED.into());
}

/// The target on the command line, the checked deployment in effect, and its sources.
fn read_deployment(args: &ServeArgs) -> anyhow::Result<(Option<TargetFromLine>, LoadedConfig, LayerSources)> {
    let line = args.target()?;
    let file = args.named_file()?.map_or_else(demo::deployment_file, |file| Ok(PathBuf::from(file)))?;
    let mut overrides = args.overrides();
    // --prefix-cache-n applies to a target of the file by an override, and to one of the command line directly.
    if let (None, Some(n)) = (&line, args.prefix_cache_n()) {
        overrides.push(SettingOverride::value("roles.target.prefix_cache_n", n as u64, "--prefix-cache-n"));
    }
    let target = if line.is_some() { TargetRule::FromCommandLine } else { TargetRule::Required };
    let environment: Vec<_> = rsd_config::environment().collect();
    let loaded = rsd_config::load(Some(&file), environment.clone(), &overrides, target)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok((line, loaded, LayerSources { file: Some(file), environment, overrides, target }))
}

/// Binds the port of the server and warns if everybody can reach it without an API key.
async fn bind_listener(settings: &ServerConfig, has_key: bool) -> anyhow::Result<TcpListener> {
    let (host, port) = (settings.host.as_str(), settings.port);
    let listener = listen(host, port)
        .await
        .with_context(|| format!("listening on {host}:{port}; choose another port with -p or server.port"))?;
    if !has_key && !listener.local_addr()?.ip().is_loopback() {
        tracing::warn!(
            "everybody who can reach {host}:{port} can use this server; set server.api_key_env or server.api_key_file"
        );
    }
    Ok(listener)
}

fn engine_spec(line: TargetFromLine) -> anyhow::Result<EngineSpec> {
    Ok(match line {
        TargetFromLine::Role(role) => EngineSpec::from_role(&role)?,
        TargetFromLine::Selected { model, role } => EngineSpec::from_selected(*model, *role),
    })
}

async fn serve(
    app: Arc<AppState>,
    native_routes: axum::Router,
    listener: TcpListener,
    deployment: &Deployment,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let settings = &deployment.server;
    let address = listener.local_addr()?;
    let router = rsd_server::router(app.clone(), native_routes, &settings.cors_origins, settings.body_limit)
        .map_err(anyhow::Error::msg)?;
    tracing::info!("ready: http://{address}/v1 answers as model `{}`", settings.model_name);
    service_manager::tell_ready(&settings.model_name);
    let shutdown = async {
        shutdown.await;
        service_manager::tell_stopping();
    };
    let drain = DrainSettings { patience: Duration::from_secs(settings.drain_seconds) };
    rsd_server::serve(app, router, listener, drain, shutdown).await.context("serving")
}
