//! What the admin routes do.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{FromRequest, Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use rsd_protocol::{
    error::ErrorCode,
    event::{Attempt, Reloaded},
    live::{Change, Changed, Noted, PolicyView, Revision, Rollback},
    preview::Preview,
    status::{RoleStatus, Status},
    trace::{RequestTrace, TraceSummary},
};
use serde::de::DeserializeOwned;

use super::{
    Admin,
    error::AdminError,
    events,
    guard::{Done, Peer},
    openapi, query,
    query::{Deltas, DryRun, Limit, Nothing},
    tokens::Scope,
};
use crate::{
    control::{Author, Made, Refusal},
    policy::{Policy, keep_probability},
};

type Shared = State<Arc<Admin>>;
type Answer<T> = Result<Json<T>, AdminError>;

/// A JSON body with the headers and the query it came with.
pub(super) struct Body<T> {
    headers: HeaderMap,
    uri: Uri,
    from: Option<String>,
    content: T,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = AdminError;

    async fn from_request(request: Request, state: &S) -> Result<Self, AdminError> {
        let (headers, uri) = (request.headers().clone(), request.uri().clone());
        let from = request.extensions().get::<Peer>().map(|peer| peer.0.clone());
        let json = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
            kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        });
        if !json {
            let message = "send the header `Content-Type: application/json`";
            return Err(AdminError::new(ErrorCode::UnsupportedMediaType, message));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ErrorCode::BodyTooLarge
            } else {
                ErrorCode::InvalidBody
            };
            AdminError::new(code, rejection.body_text())
        })?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let content = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            AdminError::at(ErrorCode::InvalidBody, &path, format!("{path}: {}", error.inner()))
        })?;
        reader.end().map_err(|error| AdminError::new(ErrorCode::InvalidBody, error.to_string()))?;
        Ok(Self { headers, uri, from, content })
    }
}

impl<T> Body<T> {
    /// The revision that a change is meant for.
    fn tag(&self) -> Result<String, AdminError> {
        let tag = self.headers.get(header::IF_MATCH).and_then(|tag| tag.to_str().ok());
        tag.map(str::to_owned).ok_or_else(|| {
            let message =
                "send the ETag of the policy you have seen as `If-Match`, so that no change of somebody else is lost";
            AdminError::new(ErrorCode::RevisionRequired, message)
        })
    }
}

/// Does work that may wait for a disk, or for somebody who does, off the threads that serve requests.
async fn off_thread<T: Send + 'static>(
    admin: &Arc<Admin>,
    work: impl FnOnce(&Arc<Admin>) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, AdminError> {
    let own = admin.clone();
    let done =
        tokio::task::spawn_blocking(move || work(&own).map_err(|refusal| AdminError::refused(&refusal, &own.control)));
    let interrupted = |error| AdminError::new(ErrorCode::PersistFailed, format!("the work was interrupted: {error}"));
    done.await.map_err(interrupted)?
}

/// An answer about a revision, with its entity tag.
fn tagged<T: serde::Serialize>(admin: &Admin, revision: u64, body: T) -> Response {
    let mut response = Json(body).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", admin.control.tag_of(revision))) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The same for a change, with what the record says of it.
fn done(admin: &Admin, changed: Changed, by: Option<String>, why: Option<String>) -> Response {
    let (revision, dry_run) = (changed.revision, changed.dry_run);
    let mut response = tagged(admin, revision, changed);
    response.extensions_mut().insert(Done { revision: Some(revision), dry_run, by, why });
    response
}

pub(super) async fn policy(State(admin): Shared, uri: Uri) -> Result<Response, AdminError> {
    query::read::<Nothing>(&uri)?;
    let view: PolicyView = off_thread(&admin, |admin| Ok(admin.control.view())).await?;
    Ok(tagged(&admin, view.revision, view))
}

pub(super) async fn change(State(admin): Shared, body: Body<Change>) -> Result<Response, AdminError> {
    let (tag, dry_run) = (body.tag()?, query::read::<DryRun>(&body.uri)?.dry_run);
    let Body { from, content: change, .. } = body;
    let (by, why) = (change.by.clone(), change.why.clone());
    let author = Author { from, by: by.clone(), why: why.clone() };
    let made = off_thread(&admin, move |admin| {
        let made = admin.control.change(&tag, &change, author, dry_run)?;
        Ok(foreseen(admin, made))
    });
    Ok(done(&admin, made.await?, by, why))
}

pub(super) async fn rollback(State(admin): Shared, body: Body<Rollback>) -> Result<Response, AdminError> {
    let (tag, dry_run) = (body.tag()?, query::read::<DryRun>(&body.uri)?.dry_run);
    let Body { from, content: rollback, .. } = body;
    let (by, why) = (rollback.by.clone(), rollback.why.clone());
    let author = Author { from, by: by.clone(), why: why.clone() };
    let made = off_thread(&admin, move |admin| {
        let made = admin.control.rollback(&tag, &rollback, author, dry_run)?;
        Ok(foreseen(admin, made))
    });
    Ok(done(&admin, made.await?, by, why))
}

/// Adds to a dry run what the recorded rewards say of it, where it touches the policy.
fn foreseen(admin: &Admin, made: Made) -> Changed {
    let Made { mut changed, live } = made;
    if changed.dry_run && changed.differences.iter().any(|each| each.path.starts_with("policy.")) {
        let now = admin.control.policy().current().live.policy;
        changed.prediction = admin.recorder.predict(&now, &live.policy, keep_probability, admin.app.sizes());
    }
    changed
}

pub(super) async fn history(State(admin): Shared, uri: Uri) -> Answer<Vec<Revision>> {
    let limit = query::read::<Limit>(&uri)?.limit;
    off_thread(&admin, move |admin| Ok(admin.control.history(limit))).await.map(Json)
}

pub(super) async fn persist(State(admin): Shared, body: Body<Noted>) -> Result<Response, AdminError> {
    query::read::<Nothing>(&body.uri)?;
    let changed = off_thread(&admin, |admin| admin.control.persist()).await?;
    Ok(done(&admin, changed, body.content.by, body.content.why))
}

pub(super) async fn keep(State(admin): Shared, body: Body<Noted>) -> Result<Response, AdminError> {
    query::read::<Nothing>(&body.uri)?;
    let kept = off_thread(&admin, |admin| Ok(admin.control.keep())).await?;
    let mut response = Json(kept).into_response();
    let Noted { by, why } = body.content;
    response.extensions_mut().insert(Done { by, why, ..Done::default() });
    Ok(response)
}

pub(super) async fn reload(State(admin): Shared, body: Body<Noted>) -> Result<Response, AdminError> {
    query::read::<Nothing>(&body.uri)?;
    let Noted { by, why } = body.content;
    let author = Author { from: body.from, by: by.clone(), why: why.clone() };
    let report: Reloaded = off_thread(&admin, move |admin| Ok(admin.control.reload(author))).await?;
    let revision = Some(report.revision);
    let mut response = Json(report).into_response();
    response.extensions_mut().insert(Done { revision, by, why, dry_run: false });
    Ok(response)
}

pub(super) async fn preview(State(admin): Shared, uri: Uri) -> Answer<Preview> {
    let deltas = query::read::<Deltas>(&uri)?.all()?;
    let preview = off_thread(&admin, move |admin| {
        let policy = admin.control.policy().current().live.policy;
        Ok(admin.recorder.preview(&policy, keep_probability, &deltas, admin.app.sizes()))
    });
    preview.await.map(Json)
}

pub(super) async fn status(State(admin): Shared, Extension(scope): Extension<Scope>, uri: Uri) -> Answer<Status> {
    query::read::<Nothing>(&uri)?;
    let (app, snapshot) = (&admin.app, admin.control.policy().current());
    let Policy { values, .. } = snapshot.policy(None);
    let generator = |role: &str, model: &dyn crate::pipeline::roles::Generator| RoleStatus {
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
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: admin.control.instance().to_owned(),
        started_ms: app.started * 1000,
        now_ms: crate::control::now_ms(),
        ready: !app.draining.is_cancelled(),
        model_names: app.names.all(&snapshot.live),
        roles: vec![generator("draft", app.rsd.draft.as_ref()), reward, generator("target", app.rsd.target.as_ref())],
        reward: app.rsd.reward.name().to_owned(),
        endpoint: admin.endpoint.clone(),
        may_write: scope == Scope::Write,
        running,
        waiting,
        answers: values.answers,
        revision: snapshot.revision,
        in_force: admin.control.policy().in_force(),
        costs: admin.costs(),
        file: admin.file.as_ref().map(|file| file.display().to_string()),
    }))
}

pub(super) async fn traces(State(admin): Shared, uri: Uri) -> Answer<Vec<TraceSummary>> {
    Ok(Json(admin.traces.list(query::read::<Limit>(&uri)?.limit)))
}

pub(super) async fn trace(State(admin): Shared, Path(id): Path<String>, uri: Uri) -> Answer<RequestTrace> {
    query::read::<Nothing>(&uri)?;
    let found = admin.traces.find(&id).map(Json);
    found.ok_or_else(|| AdminError::new(ErrorCode::UnknownTrace, format!("no request `{id}` is kept")))
}

pub(super) async fn audit(State(admin): Shared, uri: Uri) -> Answer<Vec<Attempt>> {
    Ok(Json(admin.audit.recent(query::read::<Limit>(&uri)?.limit)))
}

pub(super) async fn events(State(admin): Shared, uri: Uri) -> Result<Response, AdminError> {
    query::read::<Nothing>(&uri)?;
    Ok(events::stream(&admin).into_response())
}

pub(super) async fn describe(uri: Uri) -> Answer<serde_json::Value> {
    query::read::<Nothing>(&uri)?;
    Ok(Json(openapi::document()))
}

pub(super) async fn unknown(uri: Uri) -> AdminError {
    AdminError::new(ErrorCode::RouteNotFound, format!("there is no {}", uri.path()))
}

pub(super) async fn wrong_method(method: axum::http::Method, uri: Uri) -> AdminError {
    AdminError::new(ErrorCode::MethodNotAllowed, format!("{} does not take {method}", uri.path()))
}
