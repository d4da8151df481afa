//! The runtime settings of a server: changes, their history, and the return to earlier values.
//!
//! The layers are those of the deployment (defaults, file, environment, command line), and the runtime layer overrides
//! them. A change is checked as a whole and makes one new revision, or it changes nothing. One lock serializes changes.
//! No token waits for it: generation reads the policy from a snapshot that is swapped atomically.

mod change;
mod file_reader;
mod persist;
mod reload;
mod revert;
mod state;
mod view;

#[cfg(any(test, feature = "test-support"))]
#[allow(clippy::unwrap_used, clippy::missing_panics_doc)]
pub mod testing;
#[cfg(test)]
#[allow(clippy::float_cmp)]
mod tests;

use std::{path::Path, sync::Arc};

use parking_lot::Mutex;
use rsd_protocol::{
    error::FieldProblem,
    event::AdminEvent,
    settings::{PolicyRevision, RevisionCause},
};
use tokio::sync::broadcast;

use rsd_core::policy::PolicyHandle;
use rsd_protocol::clock::now_ms;

use crate::LoadedConfig;
pub use change::AppliedChange;
use file_reader::FileReader;
pub use reload::{LayerSources, watch};
use state::ControlState;

/// Events that a slow receiver may be behind before it misses some.
const EVENTS: usize = 1024;

/// Who made a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeAuthor {
    /// The address that the request came from.
    pub from: Option<String>,
    /// The name that the author gives; it is not verified.
    pub by: Option<String>,
    /// The reason that the author gives.
    pub why: Option<String>,
}

/// Why a change was not applied.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChangeError {
    /// The policy has changed since the author read it.
    #[error("the change is for revision {found}, but revision {current} is in effect: read the policy again")]
    Stale {
        /// The revision that the change is for.
        found: String,
        /// The revision in effect.
        current: u64,
    },
    /// Settings are invalid.
    #[error("{}", problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect::<Vec<_>>().join("; "))]
    Settings {
        /// All of them.
        problems: Vec<FieldProblem>,
    },
    /// The revision to return to is not in the history.
    #[error("revision {0} is not in the history")]
    UnknownRevision(u64),
    /// There is no deployment file to write to.
    #[error("this server was started without a deployment file, so there is no file to write to")]
    NoFile,
    /// The deployment file was not written.
    #[error("{file} was not changed: {reason}")]
    Persist {
        /// The path of the file.
        file: String,
        /// Why it was not written.
        reason: String,
    },
}

/// Controls the runtime settings of a running server.
pub struct Control {
    policy: Arc<PolicyHandle>,
    state: Mutex<ControlState>,
    events: broadcast::Sender<AdminEvent>,
    on_event: Box<dyn Fn(&AdminEvent) + Send + Sync>,
    sources: LayerSources,
    file_reader: FileReader,
    /// Identifies this start of the server, so that a revision of an earlier start is never taken for one of this.
    instance: String,
}

impl Control {
    /// Controls the policy that was made from `loaded`. The history has room for `history` revisions. `on_event` is called
    /// for every event, immediately.
    #[must_use]
    pub fn new(
        policy: Arc<PolicyHandle>,
        loaded: LoadedConfig,
        sources: LayerSources,
        history: usize,
        on_event: impl Fn(&AdminEvent) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let start = PolicyRevision {
            revision: policy.current().revision,
            at_ms: now_ms(),
            cause: RevisionCause::Start,
            from: None,
            by: None,
            why: None,
            differences: Vec::new(),
            reverts_at_ms: None,
            values: policy.current().settings.clone(),
        };
        let instance = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
        let state = Mutex::new(ControlState::new(loaded, start, history));
        Arc::new(Self {
            policy,
            state,
            events: broadcast::channel(EVENTS).0,
            on_event: Box::new(on_event),
            sources,
            file_reader: FileReader::default(),
            instance,
        })
    }

    /// The deployment file.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.sources.file.as_deref()
    }

    /// Identifies this start of the server.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The entity tag of the revision in effect, without quotes.
    #[must_use]
    pub fn tag(&self) -> String {
        self.tag_of(self.policy.current().revision)
    }

    /// The entity tag of a revision.
    pub fn tag_of(&self, revision: u64) -> String {
        format!("{}-{revision}", self.instance)
    }

    /// The policy that is controlled.
    #[must_use]
    pub fn policy(&self) -> &Arc<PolicyHandle> {
        &self.policy
    }

    /// Receives all events from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<AdminEvent> {
        self.events.subscribe()
    }

    /// Sends an event to all receivers.
    pub fn announce(&self, event: AdminEvent) {
        (self.on_event)(&event);
        // An error means that there is no receiver.
        let _ = self.events.send(event);
    }
}
