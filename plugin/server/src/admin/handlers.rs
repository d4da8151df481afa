//! The handlers of the admin routes.

use std::{marker::PhantomData, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, Method, Uri, header},
    response::{IntoResponse, Response},
};
use rsd_config::control::{AppliedChange, ChangeAuthor, ChangeError};
use rsd_core::{pipeline::roles::Generator, policy::Policy};
use rsd_protocol::{
    error::ErrorCode,
    event::{AdminAttempt, ReloadOutcome},
    preview::PolicyPreview,
    settings::{ChangeNote, ChangeResult, PolicyChange, PolicyRevision, PolicyView, RollbackRequest},
    status::{RoleStatus, ServerStatus},
    trace::{RequestTrace, TraceSummary},
};

use super::{
    AdminState,
    error::AdminError,
    events,
    guard::{AuditDetails, PeerAddress},
    query::{self, DeltaQuery, DryRunQuery, EmptyQuery, LimitQuery},
    tokens::TokenScope,
};
use crate::json_body::JsonBody;

type Shared = State<Arc<AdminState>>;
type Peer = Extension<PeerAddress>;
type AdminBody<T> = JsonBody<T, AdminError>;
type Answer<T> = Result<Json<T>, AdminError>;

/// The entity tag of the policy that a change is meant for.
fn if_match(headers: &HeaderMap) -> Result<String, AdminError> {
    let tag = headers.get(header::IF_MATCH).and_then(|tag| tag.to_str().ok());
    tag.map(str::to_owned).ok_or_else(|| {
        let message =
            "send the ETag of the policy that you have read as `If-Match`, so that you overwrite no change of somebody else";
        AdminError::new(ErrorCode::RevisionRequired, message)
    })
}

/// Runs work that may wait for the disk, or for a lock that such work holds, outside the threads that serve requests.
async fn run_blocking<T: Send + 'static>(
    admin: &Arc<AdminState>,
    work: impl FnOnce(&Arc<AdminState>) -> Result<T, ChangeError> + Send + 'static,
) -> Result<T, AdminError> {
    let own = admin.clone();
    let work =
        tokio::task::spawn_blocking(move || work(&own).map_err(|error| AdminError::from_change(&error, &own.control)));
    let interrupted = |error| AdminError::new(ErrorCode::PersistFailed, format!("the work was interrupted: {error}"));
    work.await.map_err(interrupted)?
}

/// An answer about a revision, with its entity tag.
fn with_tag<T: serde::Serialize>(admin: &AdminState, revision: u64, body: T) -> Response {
    let mut response = Json(body).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", admin.control.tag_of(revision))) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The answer to a change, with the details for the audit log.
fn change_answer(admin: &AdminState, result: ChangeResult, by: Option<String>, why: Option<String>) -> Response {
    let (revision, dry_run) = (result.revision, result.dry_run);
    let mut response = with_tag(admin, revision, result);
    response.extensions_mut().insert(AuditDetails { revision: Some(revision), dry_run, by, why });
    response
}

pub(super) async fn policy(State(admin): Shared, uri: Uri) -> Result<Response, AdminError> {
    query::parse::<EmptyQuery>(&uri)?;
    let view: PolicyView = run_blocking(&admin, |admin| Ok(admin.control.view())).await?;
    Ok(with_tag(&admin, view.revision, view))
}

pub(super) async fn change(
    State(admin): Shared,
    Extension(PeerAddress(from)): Peer,
    headers: HeaderMap,
    uri: Uri,
    JsonBody(change, PhantomData): AdminBody<PolicyChange>,
) -> Result<Response, AdminError> {
    let (tag, dry_run) = (if_match(&headers)?, query::parse::<DryRunQuery>(&uri)?.dry_run);
    let (by, why) = (change.by.clone(), change.why.clone());
    let author = ChangeAuthor { from: Some(from), by: by.clone(), why: why.clone() };
    let result = run_blocking(&admin, move |admin| {
        let applied = admin.control.change(&tag, &change, author, dry_run)?;
        Ok(with_prediction(admin, applied))
    });
    Ok(change_answer(&admin, result.await?, by, why))
}

pub(super) async fn rollback(
    State(admin): Shared,
    Extension(PeerAddress(from)): Peer,
    headers: HeaderMap,
    uri: Uri,
    JsonBody(rollback, PhantomData): AdminBody<RollbackRequest>,
) -> Result<Response, AdminError> {
    let (tag, dry_run) = (if_match(&headers)?, query::parse::<DryRunQuery>(&uri)?.dry_run);
    let (by, why) = (rollback.by.clone(), rollback.why.clone());
    let author = ChangeAuthor { from: Some(from), by: by.clone(), why: why.clone() };
    let result = run_blocking(&admin, move |admin| {
        let applied = admin.control.rollback(&tag, &rollback, author, dry_run)?;
        Ok(with_prediction(admin, applied))
    });
    Ok(change_answer(&admin, result.await?, by, why))
}

/// Adds a prediction from the recorded rewards to a dry run that changes the policy.
fn with_prediction(admin: &AdminState, change: AppliedChange) -> ChangeResult {
    let AppliedChange { mut result, settings } = change;
    if result.dry_run && result.differences.iter().any(|each| each.path.starts_with("policy.")) {
        let now = admin.control.policy().current().settings.policy;
        result.prediction = admin.recorder.predict(&now, &settings.policy, admin.app.rsd.parameters());
    }
    result
}

pub(super) async fn history(State(admin): Shared, uri: Uri) -> Answer<Vec<PolicyRevision>> {
    let limit = query::parse::<LimitQuery>(&uri)?.limit;
    run_blocking(&admin, move |admin| Ok(admin.control.history(limit))).await.map(Json)
}

pub(super) async fn persist(
    State(admin): Shared,
    uri: Uri,
    JsonBody(ChangeNote { by, why }, PhantomData): AdminBody<ChangeNote>,
) -> Result<Response, AdminError> {
    query::parse::<EmptyQuery>(&uri)?;
    let result = run_blocking(&admin, |admin| admin.control.persist()).await?;
    Ok(change_answer(&admin, result, by, why))
}

pub(super) async fn confirm(
    State(admin): Shared,
    uri: Uri,
    JsonBody(ChangeNote { by, why }, PhantomData): AdminBody<ChangeNote>,
) -> Result<Response, AdminError> {
    query::parse::<EmptyQuery>(&uri)?;
    let confirmed = run_blocking(&admin, |admin| Ok(admin.control.confirm())).await?;
    let mut response = Json(confirmed).into_response();
    response.extensions_mut().insert(AuditDetails { by, why, ..AuditDetails::default() });
    Ok(response)
}

pub(super) async fn reload(
    State(admin): Shared,
    Extension(PeerAddress(from)): Peer,
    uri: Uri,
    JsonBody(ChangeNote { by, why }, PhantomData): AdminBody<ChangeNote>,
) -> Result<Response, AdminError> {
    query::parse::<EmptyQuery>(&uri)?;
    let author = ChangeAuthor { from: Some(from), by: by.clone(), why: why.clone() };
    let outcome: ReloadOutcome = run_blocking(&admin, move |admin| Ok(admin.control.reload(author))).await?;
    let revision = Some(outcome.revision);
    let mut response = Json(outcome).into_response();
    response.extensions_mut().insert(AuditDetails { revision, by, why, dry_run: false });
    Ok(response)
}

pub(super) async fn preview(State(admin): Shared, uri: Uri) -> Answer<PolicyPreview> {
    let thresholds = query::parse::<DeltaQuery>(&uri)?.thresholds()?;
    let preview = run_blocking(&admin, move |admin| {
        let policy = admin.control.policy().current().settings.policy;
        Ok(admin.recorder.preview(&policy, &thresholds, admin.app.rsd.parameters()))
    });
    preview.await.map(Json)
}

pub(super) async fn status(
    State(admin): Shared,
    Extension(scope): Extension<TokenScope>,
    uri: Uri,
) -> Answer<ServerStatus> {
    query::parse::<EmptyQuery>(&uri)?;
    let (app, snapshot) = (&admin.app, admin.control.policy().current());
    let Policy { values, .. } = snapshot.policy(None);
    let generator = |role: &str, model: &dyn Generator| RoleStatus {
        role: role.to_owned(),
        model: model.name(),
        parameters: model.parameters(),
        context_length: Some(model.context_length()),
    };
    let reward = RoleStatus {
        role: "reward".to_owned(),
        model: app.rsd.reward.name().to_owned(),
        parameters: app.rsd.reward.parameters(),
        context_length: None,
    };
    let (running, waiting) = (app.admission.running(), app.admission.waiting());
    Ok(Json(ServerStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: admin.control.instance().to_owned(),
        started_ms: app.started * 1000,
        now_ms: rsd_protocol::clock::now_ms(),
        ready: !app.draining.is_cancelled(),
        model_names: app.names.all(&snapshot.settings),
        roles: vec![generator("draft", app.rsd.draft.as_ref()), reward, generator("target", app.rsd.target.as_ref())],
        reward: app.rsd.reward.name().to_owned(),
        endpoint: admin.endpoint.clone(),
        may_write: scope == TokenScope::Write,
        running,
        waiting,
        route: values.route,
        revision: snapshot.revision,
        in_force: admin.control.policy().active_threshold(),
        costs: admin.costs(),
        file: admin.file.as_ref().map(|file| file.display().to_string()),
    }))
}

pub(super) async fn traces(State(admin): Shared, uri: Uri) -> Answer<Vec<TraceSummary>> {
    Ok(Json(admin.traces.list(query::parse::<LimitQuery>(&uri)?.limit)))
}

pub(super) async fn trace(
    State(admin): Shared,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Answer<RequestTrace> {
    query::parse::<EmptyQuery>(&uri)?;
    let unknown = || AdminError::new(ErrorCode::UnknownTrace, "the recorded requests do not include this one");
    let Path(id) = id.map_err(|_| unknown())?;
    admin.traces.find(&id).map(Json).ok_or_else(unknown)
}

pub(super) async fn audit(State(admin): Shared, uri: Uri) -> Answer<Vec<AdminAttempt>> {
    Ok(Json(admin.audit.recent(query::parse::<LimitQuery>(&uri)?.limit)))
}

pub(super) async fn events(State(admin): Shared, uri: Uri) -> Result<Response, AdminError> {
    query::parse::<EmptyQuery>(&uri)?;
    Ok(events::stream(&admin).into_response())
}

pub(super) async fn unknown_route(uri: Uri) -> AdminError {
    AdminError::new(ErrorCode::RouteNotFound, format!("there is no {}", uri.path()))
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> AdminError {
    AdminError::new(ErrorCode::MethodNotAllowed, format!("{} does not support {method}", uri.path()))
}
