//! Refusals of the admin API.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use rsd_protocol::{
    error::{ErrorBody, ErrorCode, ErrorDetail, FieldProblem},
    live::PolicyView,
};

use crate::control::Refusal;

/// A refusal; the middleware finds its code in the response.
#[derive(Debug, Clone)]
pub(super) struct AdminError(pub ErrorDetail);

impl AdminError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(ErrorDetail { code, message: message.into(), problems: Vec::new(), current: None })
    }

    /// One setting of a body or a query that is wrong.
    pub fn at(code: ErrorCode, path: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let problem = FieldProblem { path: path.to_owned(), message: message.clone() };
        Self(ErrorDetail { problems: vec![problem], ..Self::new(code, message).0 })
    }

    /// What stood in the way of a change; `current` is what is in effect.
    pub fn refused(refusal: &Refusal, current: impl FnOnce() -> PolicyView) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Stale { .. } => Self(ErrorDetail {
                current: Some(Box::new(current())),
                ..Self::new(ErrorCode::RevisionStale, message).0
            }),
            Refusal::Settings { problems } => {
                Self(ErrorDetail { problems: problems.clone(), ..Self::new(ErrorCode::InvalidSettings, message).0 })
            }
            Refusal::UnknownRevision(_) => Self::new(ErrorCode::UnknownRevision, message),
            Refusal::NoFile => Self::new(ErrorCode::NoFile, message),
            Refusal::Persist { .. } => Self::new(ErrorCode::PersistFailed, message),
        }
    }

    fn status(&self) -> StatusCode {
        match self.0.code {
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
        let (status, code) = (self.status(), self.0.code);
        let mut response = (status, Json(ErrorBody { error: self.0 })).into_response();
        response.extensions_mut().insert(code);
        response
    }
}
