//! Refusals of the admin API.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::ETAG},
    response::{IntoResponse, Response},
};
use rsd_protocol::error::{ErrorBody, ErrorCode, ErrorDetail, FieldProblem};

use crate::control::{Control, Refusal};

/// A refusal; the middleware finds its code in the response.
#[derive(Debug, Clone)]
pub(super) struct AdminError {
    pub detail: ErrorDetail,
    /// The entity tag of what is in effect, where the refusal shows it.
    tag: Option<String>,
}

impl AdminError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let detail = ErrorDetail { code, message: message.into(), problems: Vec::new(), current: None };
        Self { detail, tag: None }
    }

    /// One setting of a body or a query that is wrong.
    pub fn at(code: ErrorCode, path: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let problem = FieldProblem { path: path.to_owned(), message: message.clone() };
        Self { detail: ErrorDetail { problems: vec![problem], ..Self::new(code, message).detail }, tag: None }
    }

    /// What stood in the way of a change.
    pub fn refused(refusal: &Refusal, control: &Control) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Stale { .. } => {
                let current = control.view();
                let tag = Some(control.tag_of(current.revision));
                let refused = Self::new(ErrorCode::RevisionStale, message).detail;
                Self { detail: ErrorDetail { current: Some(Box::new(current)), ..refused }, tag }
            }
            Refusal::Settings { problems } => {
                let refused = Self::new(ErrorCode::InvalidSettings, message).detail;
                Self { detail: ErrorDetail { problems: problems.clone(), ..refused }, tag: None }
            }
            Refusal::UnknownRevision(_) => Self::new(ErrorCode::UnknownRevision, message),
            Refusal::NoFile => Self::new(ErrorCode::NoFile, message),
            Refusal::Persist { .. } => Self::new(ErrorCode::PersistFailed, message),
        }
    }

    fn status(&self) -> StatusCode {
        match self.detail.code {
            ErrorCode::InvalidToken => StatusCode::UNAUTHORIZED,
            ErrorCode::WriteTokenRequired | ErrorCode::HostRefused | ErrorCode::OriginRefused => StatusCode::FORBIDDEN,
            ErrorCode::RevisionRequired => StatusCode::PRECONDITION_REQUIRED,
            ErrorCode::RevisionStale => StatusCode::PRECONDITION_FAILED,
            ErrorCode::InvalidBody | ErrorCode::InvalidQuery => StatusCode::BAD_REQUEST,
            ErrorCode::InvalidSettings => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::UnknownRevision | ErrorCode::UnknownTrace | ErrorCode::RouteNotFound => StatusCode::NOT_FOUND,
            ErrorCode::NoFile => StatusCode::CONFLICT,
            ErrorCode::PersistFailed => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let (status, code) = (self.status(), self.detail.code);
        let mut response = (status, Json(ErrorBody { error: self.detail })).into_response();
        if let Some(tag) = self.tag.and_then(|tag| HeaderValue::from_str(&format!("\"{tag}\"")).ok()) {
            response.headers_mut().insert(ETAG, tag);
        }
        response.extensions_mut().insert(code);
        response
    }
}
