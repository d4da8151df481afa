//! What the lock guards: the layers below, the runtime layer over them, and the history.

use std::collections::{BTreeMap, VecDeque};

use rsd_protocol::settings::{PolicyRevision, RevisionCause, RuntimeSettings, SettingDifference};
use serde_json::Value;

use super::{ChangeAuthor, now_ms};
use crate::{
    Deployment, LoadedConfig,
    runtime_settings::{self, InvalidSetting},
};

/// A value that was set while the server ran.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RuntimeValue {
    pub value: Value,
    /// The revision that set it.
    pub revision: u64,
}

/// The runtime layer: values by path.
pub(super) type RuntimeLayer = BTreeMap<String, RuntimeValue>;

/// A change that will be reverted.
#[derive(Debug, Clone)]
pub(super) struct PendingRevert {
    /// The revision that the change made.
    pub revision: u64,
    pub at_ms: u64,
    /// What the runtime layer had before, for each setting of the change.
    pub before: BTreeMap<String, Option<RuntimeValue>>,
}

impl PendingRevert {
    /// Whether the setting still has the value that this change gave it.
    pub fn covers(&self, runtime: &RuntimeLayer, path: &str) -> bool {
        self.before.contains_key(path) && runtime.get(path).is_some_and(|value| value.revision == self.revision)
    }
}

#[derive(Debug)]
pub(super) struct ControlState {
    /// The layers below, as last loaded without a problem.
    pub base: LoadedConfig,
    /// The settings at the start of the server. Those that need a restart have these values until then.
    pub started: Deployment,
    /// The layer that overrides all others.
    pub runtime: RuntimeLayer,
    /// The revisions, from the oldest.
    pub history: VecDeque<PolicyRevision>,
    capacity: usize,
    pub pending: Vec<PendingRevert>,
    pub restart_needed: Vec<String>,
    /// How often this server has written the file.
    pub file_writes: u64,
}

impl ControlState {
    /// A state without runtime values, whose history keeps `capacity` revisions.
    pub fn new(base: LoadedConfig, start: PolicyRevision, capacity: usize) -> Self {
        Self {
            started: base.deployment.clone(),
            base,
            runtime: RuntimeLayer::new(),
            history: VecDeque::from([start]),
            capacity: capacity.max(1),
            pending: Vec::new(),
            restart_needed: Vec::new(),
            file_writes: 0,
        }
    }

    /// The deployment with this runtime layer.
    pub fn effective(base: &Deployment, runtime: &RuntimeLayer) -> Result<Deployment, Vec<InvalidSetting>> {
        let settings: Vec<_> = runtime.iter().map(|(path, set)| (path.clone(), set.value.clone())).collect();
        runtime_settings::apply(base, &settings)
    }

    /// Whether the setting has a value that will be reverted.
    pub fn is_temporary(&self, path: &str) -> bool {
        self.pending.iter().any(|pending| pending.covers(&self.runtime, path))
    }

    /// The number of the next revision. The lock is held while it is used.
    pub fn next_revision(&self) -> u64 {
        self.history.back().map_or(1, |last| last.revision) + 1
    }

    /// Adds a revision to the history. If the history is full, the oldest one is dropped.
    pub fn record_revision(
        &mut self,
        cause: RevisionCause,
        author: ChangeAuthor,
        settings: RuntimeSettings,
        reverts_at_ms: Option<u64>,
    ) -> PolicyRevision {
        let old = self.history.back().map(|last| last.values.clone()).unwrap_or_default();
        let revision = PolicyRevision {
            revision: self.next_revision(),
            at_ms: now_ms(),
            cause,
            from: author.from,
            by: author.by,
            why: author.why,
            differences: differences(&old, &settings),
            reverts_at_ms,
            values: settings,
        };
        if self.history.len() >= self.capacity {
            self.history.pop_front();
        }
        self.history.push_back(revision.clone());
        revision
    }
}

/// The runtime settings that differ.
pub(super) fn differences(old: &RuntimeSettings, new: &RuntimeSettings) -> Vec<SettingDifference> {
    let both = runtime_settings::values(old).into_iter().zip(runtime_settings::values(new));
    let changed = both.filter(|((_, old), (_, new))| old != new);
    changed.map(|((path, old), (_, new))| SettingDifference { path, old, new }).collect()
}
