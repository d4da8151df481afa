//! The body of the admin API's error answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::PolicyView;

/// The body of every error answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

/// What is wrong with a request, and what to do about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDetail {
    /// A code that does not change between versions.
    pub code: ErrorCode,
    /// A message for people.
    pub message: String,
    /// Every invalid setting, with `invalid_settings`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<FieldProblem>,
    /// The policy in effect, with `revision_stale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Box<PolicyView>>,
}

/// One invalid setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldProblem {
    /// The setting's path, such as `policy.delta`.
    pub path: String,
    /// What the setting accepts and what the request held.
    pub message: String,
}

/// Codes of the admin API's errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 401: the token is missing or unknown.
    InvalidToken,
    /// 403: the read token was sent where the write token is needed.
    WriteTokenRequired,
    /// 403: the `Host` header names a host that this server does not answer for.
    HostRefused,
    /// 403: a web page of another origin sent the request.
    OriginRefused,
    /// 428: a change without the header `If-Match`.
    RevisionRequired,
    /// 412: the policy has changed since the revision in `If-Match`.
    RevisionStale,
    /// 400: the body is not JSON of the expected shape.
    InvalidBody,
    /// 400: a query parameter is unknown or invalid.
    InvalidQuery,
    /// 422: a setting is unknown, cannot change while the server runs, or does not accept the value.
    InvalidSettings,
    /// 404: the history does not hold this revision.
    UnknownRevision,
    /// 404: the recorded requests do not include this one.
    UnknownTrace,
    /// 409: there is no deployment file to write to.
    NoFile,
    /// 500: the deployment file could not be written; it is unchanged.
    PersistFailed,
    /// 415: the content type is not JSON.
    UnsupportedMediaType,
    /// 408: the body did not arrive in time.
    RequestTimeout,
    /// 413: the body is too large.
    BodyTooLarge,
    /// 404: no such route.
    RouteNotFound,
    /// 405: the route does not support this method.
    MethodNotAllowed,
}
