//! What the lock guards: the layers, the run-time layer over them, and the history.

use std::collections::{BTreeMap, VecDeque};

use rsd_protocol::live::{Cause, Difference, Live, Revision};
use serde_yaml::Value;

use super::{Author, now_ms};
use crate::config::{Deployment, Loaded, hot};

/// A value that was set while the server ran, and the revision that set it.
pub(super) type Held = (Value, u64);

/// A change that will be taken back.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub revision: u64,
    pub at_ms: u64,
    /// What the run-time layer held before, for each setting of the change.
    pub before: BTreeMap<String, Option<Held>>,
}

#[derive(Debug)]
pub(super) struct State {
    /// The layers below, as they were last accepted.
    pub base: Loaded,
    /// The settings that the server was started with: what is not hot stays so until a restart.
    pub started: Deployment,
    /// The layer on top.
    pub runtime: BTreeMap<String, Held>,
    /// Oldest first.
    pub history: VecDeque<Revision>,
    most: usize,
    pub pending: Vec<Pending>,
    pub restart_needed: Vec<String>,
}

impl State {
    pub fn new(base: Loaded, start: Revision, most: usize) -> Self {
        Self {
            started: base.deployment.clone(),
            base,
            runtime: BTreeMap::new(),
            history: VecDeque::from([start]),
            most: most.max(1),
            pending: Vec::new(),
            restart_needed: Vec::new(),
        }
    }

    /// What is in effect with this run-time layer.
    pub fn effective(
        base: &Deployment,
        runtime: &BTreeMap<String, Held>,
    ) -> Result<Deployment, Vec<crate::config::hot::Refused>> {
        let set: Vec<_> = runtime.iter().map(|(path, (value, _))| (path.clone(), value.clone())).collect();
        hot::with(base, &set)
    }

    /// Whether a setting is as a change left it that will be taken back.
    pub fn is_temporary(&self, path: &str) -> bool {
        self.pending.iter().any(|pending| pending.holds(&self.runtime, path))
    }

    /// The number of the next revision. Counted here, under the lock.
    pub fn next(&self) -> u64 {
        self.history.back().map_or(1, |last| last.revision) + 1
    }

    /// Notes a revision; the oldest is forgotten where the history is full.
    pub fn note(&mut self, cause: Cause, author: Author, live: Live, reverts_at_ms: Option<u64>) -> Revision {
        let old = self.history.back().map(|last| last.values.clone()).unwrap_or_default();
        let revision = Revision {
            revision: self.next(),
            at_ms: now_ms(),
            cause,
            from: author.from,
            by: author.by,
            why: author.why,
            differences: differences(&old, &live),
            reverts_at_ms,
            values: live,
        };
        if self.history.len() >= self.most {
            self.history.pop_front();
        }
        self.history.push_back(revision.clone());
        revision
    }
}

/// The hot settings in which two differ.
pub(super) fn differences(old: &Live, new: &Live) -> Vec<Difference> {
    let json = |value: &Value| serde_json::to_value(value).unwrap_or_default();
    let changed = hot::values(old).into_iter().zip(hot::values(new)).filter(|((_, old), (_, new))| old != new);
    changed.map(|((path, old), (_, new))| Difference { path, old: json(&old), new: json(&new) }).collect()
}
