//! The routes and who may use them.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tower_http::cors::CorsLayer;

use super::{
    account::Account,
    app::App,
    error::ApiError,
    generate::{self, Report},
    parse::Job,
    response::{Envelope, logprobs},
    stream,
};
use crate::{metrics::CONTENT_TYPE, policy::Answers};

/// mistral.rs's routes that could end, re-quantise or mislead an engine.
const OFF: [&str; 10] = [
    "/re_isq",
    "/v1/models/unload",
    "/v1/models/reload",
    "/v1/models/status",
    "/v1/models/tune",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/images/generations",
    "/v1/audio/speech",
    "/v1/system/doctor",
];

/// The server's routes. `theirs` is mistral.rs's own router, of which only what is safe is reachable.
pub fn router(app: Arc<App>, theirs: Router, origins: &[String], body_limit: usize) -> Result<Router, String> {
    let origins = origins
        .iter()
        .map(|origin| {
            origin.parse::<HeaderValue>().map_err(|_| format!("server.cors_origins: `{origin}` is no origin"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let cors = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION]);
    let guarded = Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .route("/v1/models", get(models))
        .with_state(app.clone())
        .route_service("/v1/system/info", theirs.into_service::<axum::body::Body>())
        .layer(middleware::from_fn_with_state(app.clone(), authorise));
    let mut open = Router::new();
    if app.metrics.is_some() {
        open = open.route("/metrics", get(metrics));
    }
    Ok(open
        .route("/", get(health))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .with_state(app)
        .merge(guarded)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(cors)
        .layer(DefaultBodyLimit::max(body_limit)))
}

async fn authorise(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.api_key.as_ref().map_or(Ok(()), |key| key.check(request.headers())) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            if request.method() == Method::POST {
                drop(Account::open(app.metrics.as_ref()));
            }
            error.into_response()
        }
    }
}

/// A body within the limit, or our own error for one that is not; and the request's account, from here on.
struct Body(HeaderMap, Bytes, Account);

impl FromRequest<Arc<App>> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let account = Account::open(app.metrics.as_ref());
        let headers = request.headers().clone();
        let bytes = Bytes::from_request(request, app).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "body_too_large",
                    "the body is larger than this server allows (server.body_limit)",
                )
            } else {
                ApiError::new(StatusCode::BAD_REQUEST, "body_unreadable", rejection.body_text())
            }
        })?;
        Ok(Self(headers, bytes, account))
    }
}

async fn chat(State(app): State<Arc<App>>, Body(headers, bytes, account): Body) -> Result<Response, ApiError> {
    let job = Job::chat(&app, &headers, &bytes)?;
    respond(app, job, account).await
}

async fn completions(State(app): State<Arc<App>>, Body(headers, bytes, account): Body) -> Result<Response, ApiError> {
    let job = Job::completion(&app, &headers, &bytes)?;
    respond(app, job, account).await
}

async fn respond(app: Arc<App>, job: Job, account: Account) -> Result<Response, ApiError> {
    let mut running = generate::start(&app, job.clone(), account)?;
    if job.stream {
        return Ok(stream::respond(app, job, running));
    }
    let mut outcomes = Vec::new();
    while let Some(report) = running.reports.recv().await {
        match report {
            Report::Begin(_) | Report::Progress(..) => {}
            Report::Done(_, outcome) => outcomes.push(*outcome),
            Report::Failed(error) => return Err(error),
        }
    }
    if outcomes.len() < job.choices {
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "cancelled", "the request was cancelled"));
    }
    let model = if job.overrides.answers == Some(Answers::Draft) { &app.rsd.draft } else { &app.rsd.target };
    let shown = |outcome: &crate::pipeline::Outcome| {
        job.logprobs.map(|_| logprobs(job.chat, model.as_ref(), &outcome.logprobs))
    };
    let shown: Vec<Option<Value>> = outcomes.iter().map(shown).collect();
    Ok(Json(Envelope::new(&job).complete(&outcomes, shown, job.trace)).into_response())
}

async fn models(State(app): State<Arc<App>>) -> Json<Value> {
    let entry = |name: &String| json!({"id": name, "object": "model", "created": app.started, "owned_by": "local"});
    let data: Vec<Value> = app.names.all(&app.rsd.policy.current().live).iter().map(entry).collect();
    Json(json!({"object": "list", "data": data}))
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = app.metrics.as_ref().map(|metrics| metrics.render(app.queue()));
    match text {
        Some(Ok(text)) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Some(Err(error)) => {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "metrics_failed", error.to_string()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn health() -> &'static str {
    "OK"
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.draining.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining").into_response()
    } else {
        "ready".into_response()
    }
}

async fn unknown(uri: Uri) -> ApiError {
    let path = uri.path();
    if OFF.iter().any(|off| path == *off || path.strip_prefix(off).is_some_and(|rest| rest.starts_with('/'))) {
        return ApiError::new(
            StatusCode::NOT_FOUND,
            "route_disabled",
            format!("{path} of mistral.rs is off here: it would work on an engine behind RSD's back"),
        );
    }
    ApiError::new(StatusCode::NOT_FOUND, "route_not_found", format!("there is no {path}"))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} does not take {method}", uri.path()),
    )
}
