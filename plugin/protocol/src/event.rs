//! What `GET /admin/v1/events` streams (server-sent events; the event's name is the variant, the data its content).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::live::Revision;

/// Something an operator may want to know at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum Event {
    /// The first event of every stream: the revision in force.
    Hello {
        /// Which.
        revision: u64,
    },
    /// The policy has changed.
    Policy(Box<Revision>),
    /// The deployment file was read again.
    Reload(Reloaded),
    /// Somebody tried something.
    Attempt(Attempt),
    /// Events were lost because the reader was too slow; read the policy again.
    Lost {
        /// How many.
        events: u64,
    },
}

impl Event {
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

/// What became of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The revision in force afterwards.
    pub revision: u64,
    /// Whether the file was refused; then nothing has changed.
    pub refused: bool,
    /// Why it was refused.
    pub problems: Vec<String>,
    /// Settings that have changed in the file and need a restart.
    pub restart_needed: Vec<String>,
}

/// One attempt to change something, or one that was denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The address it came from.
    pub from: String,
    /// HTTP method.
    pub method: String,
    /// Path.
    pub path: String,
    /// The token that was sent: `read`, `write` or `none`.
    pub token: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// The code of the refusal; absent where it was not refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whether it only asked what a change would do.
    #[serde(default)]
    pub dry_run: bool,
    /// Who they say they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why they did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The revision that was made or, where none was, the one in force.
    pub revision: u64,
}
