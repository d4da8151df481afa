//! Errors of the admin API.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::ETAG},
    response::{IntoResponse, Response},
};
use rsd_config::control::{ChangeError, Control};
use rsd_protocol::error::{ErrorBody, ErrorCode, ErrorDetail, FieldProblem};

use crate::json_body::{BodyError, FieldError};

/// An error answer. The audit log finds its code in the response's extensions.
#[derive(Debug, Clone)]
pub(super) struct AdminError {
    pub detail: ErrorDetail,
    /// The entity tag of the policy in effect, if the error shows that policy.
    tag: Option<String>,
}

impl AdminError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let detail = ErrorDetail { code, message: message.into(), problems: Vec::new(), current: None };
        Self { detail, tag: None }
    }

    /// An error in one field of a body or a query.
    pub fn at(code: ErrorCode, path: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let problem = FieldProblem { path: path.to_owned(), message: message.clone() };
        Self { detail: ErrorDetail { problems: vec![problem], ..Self::new(code, message).detail }, tag: None }
    }

    /// The error of a change that was not made. If the client's revision is stale, it shows the policy in effect.
    pub fn from_change(error: &ChangeError, control: &Control) -> Self {
        let message = error.to_string();
        match error {
            ChangeError::Stale { .. } => {
                let current = control.view();
                let tag = Some(control.tag_of(current.revision));
                let detail = Self::new(ErrorCode::RevisionStale, message).detail;
                Self { detail: ErrorDetail { current: Some(Box::new(current)), ..detail }, tag }
            }
            ChangeError::Settings { problems } => {
                let detail = Self::new(ErrorCode::InvalidSettings, message).detail;
                Self { detail: ErrorDetail { problems: problems.clone(), ..detail }, tag: None }
            }
            ChangeError::UnknownRevision(_) => Self::new(ErrorCode::UnknownRevision, message),
            ChangeError::NoFile => Self::new(ErrorCode::NoFile, message),
            ChangeError::Persist { .. } => Self::new(ErrorCode::PersistFailed, message),
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
            ErrorCode::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            ErrorCode::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

impl From<BodyError> for AdminError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::ContentType => Self::new(ErrorCode::UnsupportedMediaType, BodyError::CONTENT_TYPE),
            BodyError::Encoded(message) => Self::new(ErrorCode::UnsupportedMediaType, message),
            BodyError::TooLarge => Self::new(ErrorCode::BodyTooLarge, "the body is larger than any change can be"),
            BodyError::TimedOut => Self::new(ErrorCode::RequestTimeout, BodyError::TIMED_OUT),
            BodyError::NoMemory => Self::new(ErrorCode::InvalidBody, BodyError::NO_MEMORY),
            BodyError::ShuttingDown => Self::new(ErrorCode::InvalidBody, "the server is shutting down"),
            BodyError::Unreadable(message) | BodyError::Syntax(message) => Self::new(ErrorCode::InvalidBody, message),
            BodyError::Field(FieldError { path, message }) => Self::at(ErrorCode::InvalidBody, &path, message),
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
