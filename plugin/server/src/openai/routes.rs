//! The routes of the OpenAI API, and which of them need the API key.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, get_service, post},
};
use serde_json::Value;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{
    body_fields::{ChatRequest, CompletionRequest},
    error::{ApiError, ApiErrorBody, ApiErrorCode},
    generate::{self, JobEvent, RunningJob},
    models::{ModelEntry, ModelList},
    request::ParsedRequest,
    response::{AnswerBody, AnswerWriter, ChatChoice, ChatChunk, TextChoice},
    stream,
};
use crate::{
    app::AppState,
    json_body::RawBody,
    metrics::CONTENT_TYPE,
    openapi::{self, ApiInfo, ApiRoute, JSON, RouteSpec, TEXT},
    request_timer::RequestTimer,
};

/// Routes of mistral.rs that this server does not have: they could end or change an engine, or run requests on it that
/// RSD does not know of.
const DISABLED_ROUTES: [&str; 10] = [
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

/// The limit on tokens in effect, on an answer to a request that asked for a higher one.
const MAX_TOKENS_HEADER: HeaderName = HeaderName::from_static("x-rsd-max-tokens");

const INFO: ApiInfo = ApiInfo {
    title: "mistralrs-rsd OpenAI API",
    description: "Chat and plain completions by Reward-Guided Speculative Decoding, in OpenAI's formats.",
    token: "The server's API key (server.api_key_env, server.api_key_file); a server without one ignores it.",
};

/// Why there is no router.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    /// An allowed origin cannot be sent in a header.
    #[error("server.cors_origins: `{0}` is not an origin; expected one such as https://example.org")]
    InvalidOrigin(String),
}

/// The routes. `mistralrs` is mistral.rs's own router, which answers `/v1/system/info`.
pub(super) fn routes(mistralrs: Router, metrics: bool) -> Vec<ApiRoute<Arc<AppState>>> {
    let mut routes = vec![
        RouteSpec::post::<ChatRequest, AnswerBody<'static, ChatChoice<'static>>>(
            "/v1/chat/completions",
            "Answer a chat; with `stream: true` as server-sent events.",
        )
        .or_stream::<AnswerBody<'static, ChatChunk<'static>>>()
        .handled_by(post(chat)),
        RouteSpec::post::<CompletionRequest, AnswerBody<'static, TextChoice<'static>>>(
            "/v1/completions",
            "Continue a text; with `stream: true` as server-sent events.",
        )
        .or_stream::<AnswerBody<'static, TextChoice<'static>>>()
        .handled_by(post(completions)),
        RouteSpec::get::<ModelList>("/v1/models", JSON, "The model names that requests can give.")
            .handled_by(get(models)),
        RouteSpec::get::<ModelEntry>("/v1/models/{*id}", JSON, "One of these names.").handled_by(get(model)),
        RouteSpec::get::<Value>("/v1/system/info", JSON, "mistral.rs's description of the machine.")
            .handled_by(get_service(mistralrs)),
        RouteSpec::get::<String>("/", TEXT, "`OK` while the process runs.").public().handled_by(get(health)),
        RouteSpec::get::<String>("/health", TEXT, "`OK` while the process runs.").public().handled_by(get(health)),
        RouteSpec::get::<String>("/ready", TEXT, "`ready`; 503 `draining` while the server accepts no new requests, and 503 `down: ROLE` while the engine of a model does not run.")
            .public()
            .handled_by(get(ready)),
        RouteSpec::get::<Value>("/openapi.json", JSON, "This document.").public().handled_by(get(describe)),
    ];
    if metrics {
        let spec = RouteSpec::get::<String>("/metrics", TEXT, "Metrics in the text format of Prometheus.");
        routes.push(spec.public().handled_by(get(render_metrics)));
    }
    routes
}

/// The `OpenAPI` document of these routes.
pub(super) fn document(metrics: bool) -> Value {
    let specs = routes(Router::new(), metrics).into_iter().map(|route| route.spec);
    openapi::document::<ApiErrorBody<'static>>(&INFO, specs)
}

/// The router of the OpenAI API. `mistralrs` is mistral.rs's own router, of which only what is harmless is served;
/// `origins` are those whose web pages may call the API; `body_limit` is in bytes.
pub fn router(
    app: Arc<AppState>,
    mistralrs: Router,
    origins: &[String],
    body_limit: usize,
) -> Result<Router, RouterError> {
    let cors = CorsLayer::new()
        .allow_origin(allowed_origins(origins)?)
        .allow_methods([Method::GET, Method::POST])
        // OpenAI's JavaScript client sends headers of its own, and a browser refuses the request if one is not allowed.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([MAX_TOKENS_HEADER, header::RETRY_AFTER]);
    let (mut public, mut guarded) = (Router::new(), Router::new());
    for ApiRoute { spec, handler } in routes(mistralrs, app.metrics.is_some()) {
        let router = if spec.public { &mut public } else { &mut guarded };
        *router = std::mem::take(router).route(spec.path, handler);
    }
    Ok(public
        .merge(guarded.layer(middleware::from_fn_with_state(app.clone(), authorize)))
        .with_state(app)
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(cors)
        .layer(DefaultBodyLimit::max(body_limit)))
}

/// The web pages that may call the API; `*` stands for all of them.
fn allowed_origins(origins: &[String]) -> Result<AllowOrigin, RouterError> {
    if origins.iter().any(|origin| origin == "*") {
        return Ok(AllowOrigin::any());
    }
    let parse = |origin: &String| origin.parse().map_err(|_| RouterError::InvalidOrigin(origin.clone()));
    let origins: Vec<HeaderValue> = origins.iter().map(parse).collect::<Result<_, _>>()?;
    Ok(AllowOrigin::list(origins))
}

/// Refuses a request without the server's API key.
async fn authorize(State(app): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    if app.api_key.as_ref().is_none_or(|key| key.matches(request.headers())) {
        return next.run(request).await;
    }
    if request.method() == Method::POST {
        // A timer that is dropped at once counts the request as refused.
        drop(RequestTimer::start(app.metrics.as_ref()));
    }
    ApiError::new(ApiErrorCode::InvalidApiKey, "send the server's API key as `Authorization: Bearer KEY`")
        .into_response()
}

type ApiBody = RawBody<ApiError>;

async fn chat(State(app): State<Arc<AppState>>, timer: RequestTimer, body: ApiBody) -> Result<Response, ApiError> {
    let request = parse(&app, body, |value| ParsedRequest::chat(&value)).await?;
    respond(app, request, timer).await
}

async fn completions(
    State(app): State<Arc<AppState>>,
    timer: RequestTimer,
    body: ApiBody,
) -> Result<Response, ApiError> {
    let request = parse(&app, body, |value| ParsedRequest::completion(&value)).await?;
    respond(app, request, timer).await
}

/// Parses a body, unless the request would be refused whatever it says.
async fn parse(
    app: &AppState,
    body: ApiBody,
    read: impl FnOnce(Value) -> Result<ParsedRequest, ApiError> + Send + 'static,
) -> Result<ParsedRequest, ApiError> {
    generate::check_room(app)?;
    body.parse(read).await
}

async fn respond(app: Arc<AppState>, request: ParsedRequest, timer: RequestTimer) -> Result<Response, ApiError> {
    let (job, format) = request.resolve(&app)?;
    let choices = job.requests.len() * job.choices;
    let running = generate::start(&app, job, timer)?;
    let (stream, lowered_limit) = (format.stream, format.lowered_limit);
    let writer = AnswerWriter::new(app, format);
    let mut response =
        if stream { stream::respond(writer, running).await? } else { collect(writer, running, choices).await? };
    if let Some(limit) = lowered_limit {
        response.headers_mut().insert(MAX_TOKENS_HEADER, limit.into());
    }
    Ok(response)
}

/// Waits for all choices of a job.
async fn collect(mut writer: AnswerWriter, mut job: RunningJob, choices: usize) -> Result<Response, ApiError> {
    let mut outcomes = Vec::new();
    while let Some(event) = job.events.recv().await {
        match event {
            JobEvent::ChoiceBegins(_) | JobEvent::ChoiceGrows(..) => {}
            JobEvent::PromptScored(score) => writer.add_prompt_score(*score),
            JobEvent::ChoiceEnds(_, outcome) => outcomes.push(*outcome),
            JobEvent::Fails(error) => return Err(error),
        }
    }
    if outcomes.len() < choices {
        return Err(ApiError::new(ApiErrorCode::Cancelled, "the request was cancelled"));
    }
    Ok(Json(writer.complete(&outcomes)).into_response())
}

async fn models(State(app): State<Arc<AppState>>) -> Json<ModelList> {
    Json(ModelList::new(&app))
}

async fn model(
    State(app): State<Arc<AppState>>,
    uri: Uri,
    Path(id): Path<String>,
) -> Result<Json<ModelEntry>, ApiError> {
    ModelList::new(&app).find(&id).map(Json).map_err(|error| disabled_route(&uri).unwrap_or(error))
}

async fn render_metrics(State(app): State<Arc<AppState>>) -> Response {
    let text = app.metrics.as_ref().map(|metrics| metrics.render(app.queue_depth()));
    match text {
        Some(Ok(text)) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Some(Err(error)) => ApiError::new(ApiErrorCode::MetricsFailed, error.to_string()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn describe(State(app): State<Arc<AppState>>) -> Json<Value> {
    Json(document(app.metrics.is_some()))
}

async fn health() -> &'static str {
    "OK"
}

async fn ready(State(app): State<Arc<AppState>>) -> Response {
    if app.draining.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining").into_response();
    }
    let down = app.rsd.health().into_iter().filter(|(_, health)| !health.running);
    let down: Vec<_> = down.map(|(role, _)| role.name()).collect();
    if down.is_empty() {
        return "ready".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("down: {}", down.join(", "))).into_response()
}

/// The error of a route of mistral.rs that this server does not have.
fn disabled_route(uri: &Uri) -> Option<ApiError> {
    let path = uri.path();
    let is_below = |route: &str| path.strip_prefix(route).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    DISABLED_ROUTES.iter().any(|route| is_below(route)).then(|| {
        let message = format!("mistral.rs's {path} is disabled here: it would act on one engine without RSD");
        ApiError::new(ApiErrorCode::RouteDisabled, message)
    })
}

async fn unknown_route(uri: Uri) -> ApiError {
    let unknown = || ApiError::new(ApiErrorCode::RouteNotFound, format!("there is no {}", uri.path()));
    disabled_route(&uri).unwrap_or_else(unknown)
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("{} does not support {method}", uri.path());
    disabled_route(&uri).unwrap_or_else(|| ApiError::new(ApiErrorCode::MethodNotAllowed, message))
}
