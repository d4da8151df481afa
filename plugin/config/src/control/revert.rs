//! Changes that are reverted after a time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rsd_protocol::settings::{RevisionCause, ScheduledRevert};

use super::{
    ChangeAuthor, Control,
    state::{ControlState, PendingRevert, RuntimeLayer, RuntimeValue},
};
use crate::Deployment;

/// Seconds until a change that could not be reverted is tried again.
const RETRY_SECONDS: u64 = 30;

impl Control {
    pub(super) fn revert_later(self: &Arc<Self>, revision: u64, seconds: u64) {
        let control = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            if let Some(control) = control.upgrade() {
                control.revert(revision);
            }
        });
    }

    /// Reverts the settings of a change that no other change has set since.
    fn revert(self: &Arc<Self>, revision: u64) {
        let mut state = self.state.lock();
        let Some(at) = state.pending.iter().position(|pending| pending.revision == revision) else { return };
        let mut expired = state.pending.remove(at);
        // A later change that will be reverted too must not restore the values of this one.
        for (path, before) in &expired.before {
            for later in &mut state.pending {
                if let Some(restored) = later.before.get_mut(path)
                    && restored.as_ref().is_some_and(|value| value.revision == revision)
                {
                    restored.clone_from(before);
                }
            }
        }
        expired.before.retain(|path, _| state.runtime.get(path).is_some_and(|value| value.revision == revision));
        let RevertedLayer { runtime, effective, remaining } = reverted_layer(&state, &expired.before);
        state.runtime = runtime;
        let settings = effective.runtime_settings();
        if settings != self.policy.current().settings {
            let cause = RevisionCause::Expiry { of: revision };
            self.commit(&mut state, cause, ChangeAuthor::default(), settings, None);
        }
        if !remaining.is_empty() {
            // These old values conflict with values that were set since. They may fit after another change.
            tracing::warn!(revision, settings = ?remaining.keys().collect::<Vec<_>>(), "cannot be reverted yet");
            state.pending.push(PendingRevert { before: remaining, ..expired });
            self.revert_later(revision, RETRY_SECONDS);
        }
    }

    /// Confirms all changes that would be reverted: they stay. Returns them.
    pub fn confirm(&self) -> Vec<ScheduledRevert> {
        let mut state = self.state.lock();
        let scheduled = |pending: PendingRevert| ScheduledRevert { revision: pending.revision, at_ms: pending.at_ms };
        state.pending.drain(..).map(scheduled).collect()
    }
}

/// The runtime layer after as much as possible was reverted.
struct RevertedLayer {
    runtime: RuntimeLayer,
    /// The deployment with it.
    effective: Deployment,
    /// What could not be reverted.
    remaining: BTreeMap<String, Option<RuntimeValue>>,
}

fn reverted_layer(state: &ControlState, before: &BTreeMap<String, Option<RuntimeValue>>) -> RevertedLayer {
    let restore = |runtime: &mut RuntimeLayer, path: &String, value: &Option<RuntimeValue>| match value {
        Some(value) => runtime.insert(path.clone(), value.clone()),
        None => runtime.remove(path),
    };
    let base = &state.base.deployment;
    // Together first: one setting may need another's old value.
    let mut runtime = state.runtime.clone();
    for (path, value) in before {
        restore(&mut runtime, path, value);
    }
    if let Ok(effective) = ControlState::effective(base, &runtime) {
        return RevertedLayer { runtime, effective, remaining: BTreeMap::new() };
    }
    let (mut runtime, mut remaining) = (state.runtime.clone(), BTreeMap::new());
    for (path, value) in before {
        let mut tried = runtime.clone();
        restore(&mut tried, path, value);
        if ControlState::effective(base, &tried).is_ok() {
            runtime = tried;
        } else {
            remaining.insert(path.clone(), value.clone());
        }
    }
    let effective = ControlState::effective(base, &runtime).unwrap_or_else(|_| base.clone());
    RevertedLayer { runtime, effective, remaining }
}
