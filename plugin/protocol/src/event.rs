//! The server-sent events of `GET /admin/v1/events`. The event's name is the variant, its data the variant's content.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::PolicyRevision;

/// One event of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum AdminEvent {
    /// The first event of every stream.
    Hello {
        /// The policy's revision in effect.
        revision: u64,
    },
    /// The policy has changed.
    Policy(Box<PolicyRevision>),
    /// The server read the deployment file again.
    Reload(ReloadOutcome),
    /// A client tried to change something, or was refused.
    Attempt(AdminAttempt),
    /// The client read too slowly and missed events; it should read the policy again.
    Lost {
        /// The number of missed events.
        events: u64,
    },
}

impl AdminEvent {
    /// The event's name on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Policy(_) => "policy",
            Self::Reload(_) => "reload",
            Self::Attempt(_) => "attempt",
            Self::Lost { .. } => "lost",
        }
    }
}

/// The outcome of a reload of the deployment file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadOutcome {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The policy's revision in effect afterwards.
    pub revision: u64,
    /// Whether the file was invalid or unreadable; nothing has changed then.
    #[serde(alias = "refused")]
    pub failed: bool,
    /// What was wrong with the file.
    pub problems: Vec<String>,
    /// Settings that differ from the running ones and take effect only at a restart.
    pub restart_needed: Vec<String>,
}

/// One attempt to change something, successful or not, or a request that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminAttempt {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The client's address.
    pub from: String,
    /// HTTP method.
    pub method: String,
    pub path: String,
    /// Which token the client sent: `read`, `write` or `none`.
    pub token: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// The error code; absent if the request succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whether the client only asked what a change would do.
    #[serde(default)]
    pub dry_run: bool,
    /// The name that the client gave; the server does not verify it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The reason that the client gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The new revision, or the one in effect if the attempt made none.
    pub revision: u64,
}
