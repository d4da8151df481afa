//! The routes of the admin API.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, Method, Uri, header},
    middleware,
    routing::{get, patch, post},
};
use rsd_protocol::{
    error::ErrorBody,
    event::{AdminAttempt, AdminEvent, ReloadOutcome},
    preview::PolicyPreview,
    routes,
    settings::{ChangeNote, ChangeResult, PolicyChange, PolicyRevision, PolicyView, RollbackRequest, ScheduledRevert},
    status::ServerStatus,
    trace::{RequestTrace, TraceSummary},
};
use serde_json::Value;
use tower_http::cors::CorsLayer;

use super::{
    AdminState,
    error::AdminError,
    guard::guard,
    handlers,
    query::{self, EmptyQuery},
};
use crate::openapi::{self, ApiInfo, ApiRoute, EVENT_STREAM, JSON, RouteSpec};

/// Largest body in bytes; a policy is small.
const BODY_LIMIT: usize = 64 << 10;

const INFO: ApiInfo = ApiInfo {
    title: "mistralrs-rsd admin API",
    description: "Settings that change while an RSD server runs: read them, predict a change, make it, roll it back.",
    token: "The read token; changes need the write token.",
};

/// All routes. The router, the `OpenAPI` document and the tests are made from this list.
pub(super) fn routes() -> Vec<ApiRoute<Arc<AdminState>>> {
    vec![
        RouteSpec::get::<PolicyView>(routes::POLICY, JSON, "Read the settings that can change while the server runs.")
            .handled_by(get(handlers::policy)),
        RouteSpec::patch::<PolicyChange, ChangeResult>(
            routes::POLICY,
            "Change settings; `dry_run=true` only reports what the change would do.",
        )
        .conditional()
        .query(&["dry_run"])
        .handled_by(patch(handlers::change)),
        RouteSpec::get::<Vec<PolicyRevision>>(routes::HISTORY, JSON, "List the revisions, newest first.")
            .query(&["limit"])
            .handled_by(get(handlers::history)),
        RouteSpec::post::<RollbackRequest, ChangeResult>(
            routes::ROLLBACK,
            "Return to the values of an earlier revision, as a new revision.",
        )
        .conditional()
        .query(&["dry_run"])
        .handled_by(post(handlers::rollback)),
        RouteSpec::post::<ChangeNote, ChangeResult>(
            routes::PERSIST,
            "Write the changes made at run time into the deployment file.",
        )
        .handled_by(post(handlers::persist)),
        RouteSpec::post::<ChangeNote, Vec<ScheduledRevert>>(
            routes::CONFIRM,
            "Confirm the changes that would be reverted automatically.",
        )
        .handled_by(post(handlers::confirm)),
        RouteSpec::post::<ChangeNote, Vec<ScheduledRevert>>(
            routes::CONFIRM_OLD,
            "Deprecated name of /admin/v1/policy/confirm, served for one more release.",
        )
        .handled_by(post(handlers::confirm)),
        RouteSpec::post::<ChangeNote, ReloadOutcome>(routes::RELOAD, "Read the deployment file again.")
            .handled_by(post(handlers::reload)),
        RouteSpec::get::<PolicyPreview>(
            routes::PREVIEW,
            JSON,
            "Predict acceptance rates, speedup and FLOP savings over a range of thresholds.",
        )
        .query(&["delta", "step"])
        .handled_by(get(handlers::preview)),
        RouteSpec::get::<ServerStatus>(routes::STATUS, JSON, "Read what the server runs and in which state it is.")
            .handled_by(get(handlers::status)),
        RouteSpec::get::<Vec<TraceSummary>>(routes::TRACES, JSON, "List recent requests, newest first.")
            .query(&["limit"])
            .handled_by(get(handlers::traces)),
        RouteSpec::get::<RequestTrace>(routes::TRACE, JSON, "Read one recent request, step by step.")
            .handled_by(get(handlers::trace)),
        RouteSpec::get::<Vec<AdminAttempt>>(
            routes::AUDIT,
            JSON,
            "List recent attempts to change something and denied requests, newest first.",
        )
        .query(&["limit"])
        .handled_by(get(handlers::audit)),
        RouteSpec::get::<AdminEvent>(routes::EVENTS, EVENT_STREAM, "Follow what happens, as server-sent events.")
            .handled_by(get(handlers::events)),
        RouteSpec::get::<Value>(routes::OPENAPI, JSON, "Read this document.").handled_by(get(describe)),
    ]
}

/// The `OpenAPI` document of the admin API.
pub(super) fn document() -> Value {
    openapi::document::<ErrorBody>(&INFO, routes().into_iter().map(|route| route.spec))
}

async fn describe(uri: Uri) -> Result<Json<Value>, AdminError> {
    query::parse::<EmptyQuery>(&uri)?;
    Ok(Json(document()))
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<_> = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    if origins.is_empty() {
        return CorsLayer::new();
    }
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::PATCH, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH])
        .expose_headers([header::ETAG])
}

/// The router of the admin API.
pub fn router(admin: Arc<AdminState>) -> Router {
    let router = routes().into_iter().fold(Router::new(), |router, route| router.route(route.spec.path, route.handler));
    router
        .fallback(handlers::unknown_route)
        .method_not_allowed_fallback(handlers::wrong_method)
        .layer(middleware::from_fn_with_state(admin.clone(), guard))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        // Outside the guard: a browser sends its preflight request without a token. Only the listed origins pass.
        .layer(cors(&admin.origins))
        .with_state(admin)
}
