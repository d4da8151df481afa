//! The one list of routes: the router, the `OpenAPI` document and the tests are made from it.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, Method, header},
    middleware,
    routing::{MethodRouter, get, patch, post},
};
use rsd_protocol::{
    event::{Attempt, Event, Reloaded},
    live::{Change, Changed, Noted, PolicyView, Revert, Revision, Rollback},
    preview::Preview,
    routes,
    status::Status,
    trace::{RequestTrace, TraceSummary},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use tower_http::cors::CorsLayer;

use super::{Admin, guard::guard, handlers};

/// Largest body; a policy is small.
const BODY_LIMIT: usize = 64 << 10;

/// One route.
pub struct Endpoint {
    /// Its method.
    pub method: &'static str,
    /// Its path; parameters in braces.
    pub path: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Whether a change needs `If-Match`.
    pub conditional: bool,
    /// Names of its query parameters.
    pub query: &'static [&'static str],
    /// The body it takes.
    pub body: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// What it answers.
    pub answer: fn(&mut SchemaGenerator) -> Schema,
    handler: fn() -> MethodRouter<Arc<Admin>>,
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn read<T: JsonSchema>(
    path: &'static str,
    summary: &'static str,
    query: &'static [&'static str],
    handler: fn() -> MethodRouter<Arc<Admin>>,
) -> Endpoint {
    Endpoint { method: "GET", path, summary, conditional: false, query, body: None, answer: schema::<T>, handler }
}

fn write<B: JsonSchema, T: JsonSchema>(
    path: &'static str,
    summary: &'static str,
    query: &'static [&'static str],
    handler: fn() -> MethodRouter<Arc<Admin>>,
) -> Endpoint {
    Endpoint {
        method: "POST",
        path,
        summary,
        conditional: false,
        query,
        body: Some(schema::<B>),
        answer: schema::<T>,
        handler,
    }
}

/// Every route.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    let changes = |endpoint: Endpoint| Endpoint { conditional: true, ..endpoint };
    vec![
        read::<PolicyView>(routes::POLICY, "The settings that can change while the server serves", &[], || {
            get(handlers::policy)
        }),
        Endpoint {
            method: "PATCH",
            ..changes(write::<Change, Changed>(routes::POLICY, "Change some of them", &["dry_run"], || {
                patch(handlers::change)
            }))
        },
        read::<Vec<Revision>>(routes::HISTORY, "Revisions, newest first", &["limit"], || get(handlers::history)),
        changes(write::<Rollback, Changed>(
            routes::ROLLBACK,
            "Go back to an earlier revision, as a new one",
            &["dry_run"],
            || post(handlers::rollback),
        )),
        write::<Noted, Changed>(
            routes::PERSIST,
            "Write what was changed at run time into the deployment file",
            &[],
            || post(handlers::persist),
        ),
        write::<Noted, Vec<Revert>>(routes::KEEP, "Keep the changes that would be taken back", &[], || {
            post(handlers::keep)
        }),
        write::<Noted, Reloaded>(routes::RELOAD, "Read the deployment file again", &[], || post(handlers::reload)),
        read::<Preview>(
            routes::PREVIEW,
            "Predicted acceptance, speed-up and FLOPs over delta",
            &["delta", "step"],
            || get(handlers::preview),
        ),
        read::<Status>(routes::STATUS, "What runs, and how", &[], || get(handlers::status)),
        read::<Vec<TraceSummary>>(routes::TRACES, "Recent requests, newest first", &["limit"], || {
            get(handlers::traces)
        }),
        read::<RequestTrace>(routes::TRACE, "One of them, step by step", &[], || get(handlers::trace)),
        read::<Vec<Attempt>>(routes::AUDIT, "Recent attempts to change something, and denied ones", &["limit"], || {
            get(handlers::audit)
        }),
        read::<Event>(routes::EVENTS, "What happens, as server-sent events", &[], || get(handlers::events)),
        read::<serde_json::Value>(routes::OPENAPI, "This description", &[], || get(handlers::describe)),
    ]
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

/// The admin API.
pub fn router(admin: Arc<Admin>) -> Router {
    let routed = endpoints()
        .into_iter()
        .fold(Router::new(), |router, endpoint| router.route(endpoint.path, (endpoint.handler)()));
    routed
        .fallback(handlers::unknown)
        .method_not_allowed_fallback(handlers::wrong_method)
        .layer(middleware::from_fn_with_state(admin.clone(), guard))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        // Outside the guard: a browser asks for leave without a token, and gets it for the listed origins only.
        .layer(cors(&admin.origins))
        .with_state(admin)
}
