//! What the admin API answers when it refuses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::live::PolicyView;

/// The body of every refusal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// What was wrong.
    pub error: ErrorDetail,
}

/// What was wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDetail {
    /// A code that stays the same.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// Every setting that was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<FieldProblem>,
    /// What is in effect, with `revision_stale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Box<PolicyView>>,
}

/// One refused setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldProblem {
    /// Its path.
    pub path: String,
    /// What it may hold and what was found.
    pub message: String,
}

/// Codes of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 401: no token, or an unknown one.
    InvalidToken,
    /// 403: the read token was sent where the write token is needed.
    WriteTokenRequired,
    /// 403: the `Host` header names another host than this server answers for.
    HostRefused,
    /// 403: a web page of another origin sent the request.
    OriginRefused,
    /// 428: a change without `If-Match`.
    RevisionRequired,
    /// 412: somebody else made a change meanwhile.
    RevisionStale,
    /// 400: the body is no JSON of the right shape.
    InvalidBody,
    /// 400: a query parameter is unknown or wrong.
    InvalidQuery,
    /// 422: a setting is unknown, cannot change while serving, or may not hold the value.
    InvalidSettings,
    /// 404: the history holds no such revision.
    UnknownRevision,
    /// 404: no such request is kept.
    UnknownTrace,
    /// 409: there is no deployment file to write to.
    NoFile,
    /// 500: the deployment file could not be written; it is as before.
    PersistFailed,
    /// 415: the body is not marked as JSON.
    UnsupportedMediaType,
    /// 413: the body is too large.
    BodyTooLarge,
    /// 404: no such route.
    RouteNotFound,
    /// 405: the route does not take this method.
    MethodNotAllowed,
}
