//! Errors of the OpenAI API: OpenAI's error object with a stable code.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use rsd_core::pipeline::{PipelineError, roles::RoleError};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    json_body::{BodyError, FieldError},
    metrics::RequestOutcome,
};

/// Codes of errors. They do not change between versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ApiErrorCode {
    /// 401: the request does not have the server's API key.
    InvalidApiKey,
    /// 415: the content type is not `application/json`, or the body has a `Content-Encoding`.
    UnsupportedMediaType,
    /// 403: the host name is none of this server's (`server.allowed_hosts`).
    HostRefused,
    /// 408: the body did not arrive in time (`server.limits`).
    RequestTimeout,
    /// 413: the body exceeds `server.body_limit`.
    BodyTooLarge,
    /// 414: the path and its query are too long.
    UriTooLong,
    /// 400: the body could not be received.
    BodyUnreadable,
    /// 400: the body is not a JSON object.
    InvalidJson,
    /// 400: a field has the wrong type or is missing.
    InvalidType,
    /// 400: a field is out of range.
    InvalidValue,
    /// 400: `rsd` has an unknown field.
    UnknownParameter,
    /// 400: a field asks for something that RSD cannot do.
    UnsupportedParameter,
    /// 400: `messages` is empty.
    EmptyMessages,
    /// 400: `prompt` is empty.
    EmptyPrompt,
    /// 400: `logprobs` with RSD, whose tokens come from two models.
    LogprobsUnsupported,
    /// 400: the prompt exceeds the context of the target.
    ContextLengthExceeded,
    /// 400: a model cannot process the prompt.
    InvalidPrompt,
    /// 404: no model has this name.
    ModelNotFound,
    /// 404: a route of mistral.rs that this server does not have.
    RouteDisabled,
    /// 404: no such route.
    RouteNotFound,
    /// 405: the route does not support this method.
    MethodNotAllowed,
    /// 429: the queue is full; `Retry-After` says in how many seconds to try again.
    QueueFull,
    /// 429: the client has too many requests in progress (`server.limits.requests_per_client`).
    TooManyRequests,
    /// 500: a model failed.
    ModelFailed,
    /// 500: the metrics could not be rendered.
    MetricsFailed,
    /// 503: the request was cancelled.
    Cancelled,
    /// 503: the server is shutting down.
    ShuttingDown,
    /// 503: connections or bodies use all that they may (`server.limits`).
    Overloaded,
}

impl ApiErrorCode {
    fn status(self) -> StatusCode {
        match self {
            Self::InvalidApiKey => StatusCode::UNAUTHORIZED,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::HostRefused => StatusCode::FORBIDDEN,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyUnreadable
            | Self::InvalidJson
            | Self::InvalidType
            | Self::InvalidValue
            | Self::UnknownParameter
            | Self::UnsupportedParameter
            | Self::EmptyMessages
            | Self::EmptyPrompt
            | Self::LogprobsUnsupported
            | Self::ContextLengthExceeded
            | Self::InvalidPrompt => StatusCode::BAD_REQUEST,
            Self::ModelNotFound | Self::RouteDisabled | Self::RouteNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::QueueFull | Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::ModelFailed | Self::MetricsFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Cancelled | Self::ShuttingDown | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The body of every error.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ErrorBody")]
pub(super) struct ApiErrorBody<'a> {
    error: ErrorObject<'a>,
}

/// OpenAI's error object.
#[derive(Debug, Serialize, JsonSchema)]
struct ErrorObject<'a> {
    /// What is wrong and what to do about it.
    message: &'a str,
    /// `invalid_request_error`, `authentication_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    kind: &'a str,
    /// The field that is wrong, such as `messages[0].role`.
    param: Option<&'a str>,
    code: ApiErrorCode,
}

/// An error answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError {
    code: ApiErrorCode,
    message: String,
    param: Option<String>,
    retry_after: Option<u64>,
}

impl ApiError {
    pub fn new(code: ApiErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), param: None, retry_after: None }
    }

    /// An error in one field of the body.
    pub fn invalid(code: ApiErrorCode, param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(code, message) }
    }

    /// The queue is full; the client should try again after this many seconds.
    pub fn queue_full(retry_after: u64) -> Self {
        let message = format!("the queue is full (limits.running, limits.waiting); try again in about {retry_after} s");
        Self::retry(ApiErrorCode::QueueFull, message, retry_after)
    }

    /// An error that passes by itself; the client should try again after this many seconds.
    pub fn retry(code: ApiErrorCode, message: impl Into<String>, retry_after: u64) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(code, message) }
    }

    /// No model has this name.
    pub fn model_not_found(model: &str, names: &[String]) -> Self {
        let names = names.join(", ");
        let message = format!("model: there is no `{model}`; this server answers as {names}");
        Self::invalid(ApiErrorCode::ModelNotFound, "model", message)
    }

    /// The server ends before the request has begun.
    pub fn shutting_down() -> Self {
        Self::new(ApiErrorCode::ShuttingDown, "the server is shutting down and accepts no new requests")
    }

    /// The outcome of an admitted request that ends with this error.
    pub fn outcome(&self) -> RequestOutcome {
        match self.code {
            ApiErrorCode::Cancelled | ApiErrorCode::ShuttingDown => RequestOutcome::Cancelled,
            code if code.status().is_client_error() => RequestOutcome::Refused,
            _ => RequestOutcome::Failed,
        }
    }

    /// The error object, which can also be an event of a stream.
    pub fn body(&self) -> Value {
        let kind = match self.code.status() {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let error = ErrorObject { message: &self.message, kind, param: self.param.as_deref(), code: self.code };
        serde_json::to_value(ApiErrorBody { error }).unwrap_or_default()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.code.status(), Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::ContentType => Self::new(ApiErrorCode::UnsupportedMediaType, BodyError::CONTENT_TYPE),
            BodyError::Encoded(message) => Self::new(ApiErrorCode::UnsupportedMediaType, message),
            BodyError::TooLarge => {
                Self::new(ApiErrorCode::BodyTooLarge, "the body is larger than this server allows (server.body_limit)")
            }
            BodyError::Unreadable(message) => Self::new(ApiErrorCode::BodyUnreadable, message),
            BodyError::TimedOut => Self::new(ApiErrorCode::RequestTimeout, BodyError::TIMED_OUT),
            BodyError::NoMemory => Self::retry(ApiErrorCode::Overloaded, BodyError::NO_MEMORY, 1),
            BodyError::ShuttingDown => Self::shutting_down(),
            BodyError::Syntax(message) => Self::new(ApiErrorCode::InvalidJson, message),
            BodyError::Field(error) => error.into(),
        }
    }
}

impl From<FieldError> for ApiError {
    fn from(FieldError { path, message }: FieldError) -> Self {
        let unknown = path.starts_with("rsd") && message.contains("unknown field");
        let code = if unknown { ApiErrorCode::UnknownParameter } else { ApiErrorCode::InvalidType };
        Self::invalid(code, path, message)
    }
}

impl ApiError {
    /// Why there is no answer to the prompt that stands in this field of the body.
    pub fn of_answer(error: &PipelineError, prompt_field: &str) -> Self {
        let message = error.to_string();
        match error {
            PipelineError::Cancelled => Self::new(ApiErrorCode::Cancelled, message),
            PipelineError::Role(RoleError::ContextExceeded { .. }) => {
                Self::invalid(ApiErrorCode::ContextLengthExceeded, prompt_field, message)
            }
            PipelineError::Role(RoleError::Invalid(_)) => {
                Self::invalid(ApiErrorCode::InvalidPrompt, prompt_field, message)
            }
            PipelineError::Role(RoleError::Failed { .. } | RoleError::NoOpinion(_)) => {
                Self::new(ApiErrorCode::ModelFailed, message)
            }
        }
    }
}
