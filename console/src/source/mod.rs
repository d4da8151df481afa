//! Data sources: the servers' admin API and metrics, and a Prometheus server. What they fetch arrives as a
//! [`SourceMessage`], and what they are asked to do is a [`ServerCommand`].

pub mod admin;
pub mod backoff;
pub mod discovery;
pub mod http;
pub mod prometheus;
pub mod sse;
pub mod worker;

use rsd_protocol::{
    error::ErrorDetail,
    event::{AdminAttempt, AdminEvent},
    preview::PolicyPreview,
    settings::{ChangeResult, PolicyChange, PolicyRevision, PolicyView, RollbackRequest, ScheduledRevert},
    status::ServerStatus,
    trace::{RequestTrace, TraceSummary},
};
use serde::{Deserialize, Serialize};

/// What a source fetched, when, and from which server. Recordings hold these as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceMessage {
    /// When it arrived, in milliseconds since 1970.
    pub at_ms: u64,
    /// The server's index in the list of servers.
    pub target: usize,
    pub update: SourceUpdate,
}

/// What a source fetched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum SourceUpdate {
    /// The text of `/metrics`.
    Metrics(String),
    /// A source could not be reached.
    Failed(ChannelFailure),
    Status(Box<ServerStatus>),
    /// The policy in effect.
    Policy {
        /// Its `ETag`, which a change must name.
        etag: String,
        view: Box<PolicyView>,
    },
    /// Revisions, newest first.
    History(Vec<PolicyRevision>),
    /// The prediction for other thresholds.
    Preview(Box<PolicyPreview>),
    /// Recent requests, newest first.
    Traces(Vec<TraceSummary>),
    /// One request, step by step.
    Trace(Box<RequestTrace>),
    /// Recent attempts, newest first.
    Audit(Vec<AdminAttempt>),
    /// A server-sent event of the admin API.
    Event(Box<AdminEvent>),
    /// The answer to a command.
    Answer {
        /// The number of the command.
        ticket: u64,
        answer: Box<CommandAnswer>,
    },
    /// What Prometheus knows about every server.
    Fleet(Vec<FleetRow>),
    /// Past acceptance rates (steps) from Prometheus: (milliseconds since 1970, rate), oldest first.
    Past(Vec<(u64, f64)>),
}

/// Where data come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceChannel {
    Admin,
    /// A server's `/metrics`.
    Metrics,
    Prometheus,
}

/// A source that could not be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelFailure {
    pub channel: SourceChannel,
    pub cause: String,
    /// When the next attempt is due, in milliseconds since 1970.
    pub retry_at_ms: u64,
}

/// A server's answer to a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum CommandAnswer {
    /// The change was made, or, in a dry run, what it would do.
    Changed(Box<ChangeResult>),
    /// The changes that would have been reverted and now stay.
    Confirmed(Vec<ScheduledRevert>),
    /// The server refused the request.
    Refused(Box<ErrorDetail>),
    /// No answer, or one that cannot be understood.
    Failed(String),
}

/// One server according to Prometheus. Values that Prometheus does not have are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetRow {
    /// The `instance` label.
    pub instance: String,
    /// Whether the last scrape succeeded.
    pub up: bool,
    /// Acceptance rate (steps) over the last five minutes.
    pub acceptance: Option<f64>,
    /// Speedup over the last five minutes.
    pub speedup: Option<f64>,
    /// Tokens per second over the last five minutes.
    pub throughput: Option<f64>,
    /// Waiting requests.
    pub waiting: Option<f64>,
    /// The active threshold.
    pub delta: Option<f64>,
}

/// What a server's tasks are asked to do. The `ticket` numbers the command, so that its answer is recognized.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerCommand {
    /// Ask the server what a change would do.
    DryRun {
        ticket: u64,
        change: PolicyChange,
        /// `ETag` of the policy that the change is based on.
        etag: String,
    },
    /// Make a change.
    Apply {
        ticket: u64,
        change: PolicyChange,
        /// `ETag` of the policy that the change is based on.
        etag: String,
    },
    /// Return to an earlier revision.
    Rollback {
        ticket: u64,
        rollback: RollbackRequest,
        /// `ETag` of the policy that the change is based on.
        etag: String,
    },
    /// Confirm the changes that would otherwise be reverted.
    Confirm { ticket: u64 },
    /// Fetch the request with this id.
    Trace(String),
    /// Fetch everything now.
    Refresh,
}
