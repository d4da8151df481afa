//! The live settings: who set what, what may be changed, the history of it, and the way back.
//!
//! Four layers as in the deployment file, and one more on top: default < file < environment, command line < run time.
//! A change is checked whole and becomes one new revision or nothing. Changes are serialised by one lock that no token
//! waits for: the loop reads its policy from a snapshot that is swapped atomically.

mod change;
mod clock;
mod expiry;
mod persist;
mod reload;
mod state;
mod view;
mod watch;

#[cfg(test)]
pub(crate) mod tests;

use std::{path::Path, sync::Arc};

use parking_lot::Mutex;
use rsd_protocol::{
    error::FieldProblem,
    event::Event,
    live::{Cause, Revision},
};
use tokio::sync::broadcast;

pub use clock::now_ms;
pub use reload::Sources;
pub use watch::watch;

pub use change::Made;

use crate::{config::Loaded, policy::PolicyHandle};
use state::State;

/// Events kept for a reader that is slow.
const EVENTS: usize = 1024;

/// Who made a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Author {
    /// The address it came from.
    pub from: Option<String>,
    /// Who they say they are.
    pub by: Option<String>,
    /// Why they did it.
    pub why: Option<String>,
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Somebody else made a change meanwhile.
    #[error("revision {found} was named, revision {current} is in force: read the policy again")]
    Stale {
        /// What the change was meant for.
        found: String,
        /// What is in force.
        current: u64,
    },
    /// Settings that may not be so.
    #[error("{}", problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect::<Vec<_>>().join("; "))]
    Settings {
        /// All of them.
        problems: Vec<FieldProblem>,
    },
    /// The history does not hold it.
    #[error("revision {0} is not in the history")]
    UnknownRevision(u64),
    /// There is no file to write to.
    #[error("this server was started without a deployment file: there is nothing to write to")]
    NoFile,
    /// The file could not be written.
    #[error("{file} could not be written and is as before: {reason}")]
    Persist {
        /// Which.
        file: String,
        /// Why.
        reason: String,
    },
}

/// The live settings of a running server.
pub struct Control {
    policy: Arc<PolicyHandle>,
    state: Mutex<State>,
    events: broadcast::Sender<Event>,
    told: Box<dyn Fn(&Event) + Send + Sync>,
    sources: Sources,
    /// Tells this start of the server from others, so that a revision of another start is never taken for one of ours.
    instance: String,
}

impl Control {
    /// Takes control of a policy that was made from `loaded`. `told` hears every event, at once.
    #[must_use]
    pub fn new(
        policy: Arc<PolicyHandle>,
        loaded: Loaded,
        sources: Sources,
        history: usize,
        told: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let start = Revision {
            revision: policy.current().revision,
            at_ms: now_ms(),
            cause: Cause::Start,
            from: None,
            by: None,
            why: None,
            differences: Vec::new(),
            reverts_at_ms: None,
            values: policy.current().live.clone(),
        };
        let instance = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
        let state = Mutex::new(State::new(loaded, start, history));
        Arc::new(Self { policy, state, events: broadcast::channel(EVENTS).0, told: Box::new(told), sources, instance })
    }

    /// The deployment file.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.sources.file.as_deref()
    }

    /// Changes with every start of the server.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The entity tag of the revision in force, without quotes.
    #[must_use]
    pub fn tag(&self) -> String {
        self.tag_of(self.policy.current().revision)
    }

    /// The entity tag of a revision.
    pub(crate) fn tag_of(&self, revision: u64) -> String {
        format!("{}-{revision}", self.instance)
    }

    /// The policy that is controlled.
    #[must_use]
    pub fn policy(&self) -> &Arc<PolicyHandle> {
        &self.policy
    }

    /// What happens from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Tells everybody who listens.
    pub fn announce(&self, event: Event) {
        (self.told)(&event);
        // Nobody may be listening.
        let _ = self.events.send(event);
    }
}
