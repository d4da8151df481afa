//! Where the data comes from: servers' admin API and metrics, and a Prometheus server. Everything arrives as a
//! [`Message`] and everything asked for leaves as a [`Command`]; nothing here knows of screens.

pub mod admin;
pub mod backoff;
pub mod find;
pub mod http;
pub mod prometheus;
pub mod sse;
pub mod worker;

use rsd_protocol::{
    error::ErrorDetail,
    event::{Attempt, Event},
    live::{Change, Changed, PolicyView, Revision, Rollback},
    preview::Preview,
    status::Status,
    trace::{RequestTrace, TraceSummary},
};
use serde::{Deserialize, Serialize};

/// What a source has to say, when, and of which server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// When it arrived, in milliseconds since 1970.
    pub at_ms: u64,
    /// The server's place in the list.
    pub target: usize,
    /// What was said.
    pub update: Update,
}

/// What a source has to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum Update {
    /// `/metrics`, as it came.
    Metrics(String),
    /// A channel did not answer.
    Failed(Failure),
    /// What the server is.
    Status(Box<Status>),
    /// The policy in force, and the tag that a change must name.
    Policy {
        /// Its tag.
        etag: String,
        /// What it says.
        view: Box<PolicyView>,
    },
    /// Revisions, newest first.
    History(Vec<Revision>),
    /// What other thresholds would do.
    Preview(Box<Preview>),
    /// Recent requests, newest first.
    Traces(Vec<TraceSummary>),
    /// One request.
    Trace(Box<RequestTrace>),
    /// Recent attempts, newest first.
    Audit(Vec<Attempt>),
    /// Something happened.
    Event(Box<Event>),
    /// The answer to a command.
    Answer {
        /// The command's number.
        ticket: u64,
        /// What the server said.
        answer: Box<Answer>,
    },
    /// What Prometheus knows of every server.
    Fleet(Vec<FleetRow>),
    /// What Prometheus remembers of this server: acceptance of steps, oldest first.
    Past(Vec<(u64, f64)>),
}

/// The two ways to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The admin API.
    Admin,
    /// `/metrics`.
    Metrics,
    /// The Prometheus server.
    Prometheus,
}

/// A channel did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which.
    pub channel: Channel,
    /// Why.
    pub cause: String,
    /// When it is tried again, in milliseconds since 1970.
    pub retry_at_ms: u64,
}

/// What a server said to a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum Answer {
    /// Done, or shown what would be done.
    Changed(Box<Changed>),
    /// Not done, and why.
    Refused(Box<ErrorDetail>),
    /// No answer that could be read.
    Failed(String),
}

/// One server as Prometheus sees it; what it does not know is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetRow {
    /// Its `instance` label.
    pub instance: String,
    /// Whether it could be scraped.
    pub up: bool,
    /// Steps accepted of steps judged, last five minutes.
    pub acceptance: Option<f64>,
    /// Measured speed-up, last five minutes.
    pub speed_up: Option<f64>,
    /// Tokens a second, last five minutes.
    pub throughput: Option<f64>,
    /// Requests that wait.
    pub waiting: Option<f64>,
    /// Threshold in force.
    pub delta: Option<f64>,
}

/// What a source is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Say what a change would do.
    DryRun {
        /// Number of the command.
        ticket: u64,
        /// The change.
        change: Change,
        /// The policy it was made for.
        etag: String,
    },
    /// Make a change.
    Apply {
        /// Number of the command.
        ticket: u64,
        /// The change.
        change: Change,
        /// The policy it was made for.
        etag: String,
    },
    /// Go back to an earlier revision.
    Rollback {
        /// Number of the command.
        ticket: u64,
        /// Which.
        rollback: Rollback,
        /// The policy it was made for.
        etag: String,
    },
    /// Keep a change that would be taken back.
    Keep {
        /// Number of the command.
        ticket: u64,
        /// The policy it was made for.
        etag: String,
    },
    /// Fetch one request.
    Trace(String),
    /// Ask for everything now.
    Refresh,
}
