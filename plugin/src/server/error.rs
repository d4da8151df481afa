//! What a client is told when something is wrong: OpenAI's error object with a stable code.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    metrics::Outcome,
    pipeline::{PipelineError, roles::RoleError},
};

/// Code of a request that was cancelled.
const CANCELLED: &str = "cancelled";

/// An error answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    param: Option<String>,
    retry_after: Option<u64>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), param: None, retry_after: None }
    }

    pub(super) fn invalid(code: &'static str, param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(StatusCode::BAD_REQUEST, code, message) }
    }

    pub(super) fn busy(retry_after: u64) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "queue_full",
                format!("as many requests as allowed are waiting; try again in about {retry_after} s"),
            )
        }
    }

    /// What it makes of a request that was let in.
    pub(super) fn outcome(&self) -> Outcome {
        match self.status {
            _ if self.code == CANCELLED => Outcome::Cancelled,
            status if status.is_client_error() => Outcome::Refused,
            _ => Outcome::Failed,
        }
    }

    /// The error object, as it also appears inside a stream.
    pub(super) fn body(&self) -> serde_json::Value {
        let kind = match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<PipelineError> for ApiError {
    fn from(error: PipelineError) -> Self {
        let message = error.to_string();
        match error {
            PipelineError::Cancelled => Self::new(StatusCode::SERVICE_UNAVAILABLE, CANCELLED, message),
            PipelineError::Role(RoleError::ContextExceeded { .. }) => {
                Self::invalid("context_length_exceeded", "messages", message)
            }
            PipelineError::Role(RoleError::Invalid(_)) => Self::invalid("invalid_prompt", "messages", message),
            PipelineError::Role(RoleError::Failed { .. }) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "model_failed", message)
            }
        }
    }
}
