//! Changes that take themselves back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rsd_protocol::live::{Cause, Revert};

use super::{
    Author, Control,
    state::{Held, Pending, State},
};
use crate::config::Deployment;

/// Seconds until a change that cannot be taken back is tried again.
const AGAIN: u64 = 30;

impl Pending {
    /// Whether the setting still is as this change left it.
    pub(super) fn holds(&self, runtime: &BTreeMap<String, Held>, path: &str) -> bool {
        self.before.contains_key(path) && runtime.get(path).is_some_and(|(_, by)| *by == self.revision)
    }
}

impl Control {
    pub(super) fn expire_later(self: &Arc<Self>, revision: u64, seconds: u64) {
        let control = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            if let Some(control) = control.upgrade() {
                control.expire(revision);
            }
        });
    }

    /// Takes back what a change has set and nobody has set since.
    fn expire(self: &Arc<Self>, revision: u64) {
        let mut state = self.state.lock();
        let Some(at) = state.pending.iter().position(|pending| pending.revision == revision) else { return };
        let mut expired = state.pending.remove(at);
        // A later change that is still to be taken back must not bring this one's values back.
        for (path, before) in &expired.before {
            for later in &mut state.pending {
                if let Some(held) = later.before.get_mut(path)
                    && held.as_ref().is_some_and(|(_, by)| *by == revision)
                {
                    held.clone_from(before);
                }
            }
        }
        expired.before.retain(|path, _| state.runtime.get(path).is_some_and(|(_, by)| *by == revision));
        let (runtime, effective, left) = taken_back(&state, &expired.before);
        state.runtime = runtime;
        let live = effective.live();
        if live != self.policy.current().live {
            self.commit(&mut state, Cause::Expiry { of: revision }, Author::default(), live, None);
        }
        if !left.is_empty() {
            // What was set since does not go with the old values. It may be changed: tried again until it can be.
            tracing::warn!(revision, settings = ?left.keys().collect::<Vec<_>>(), "cannot be taken back yet");
            state.pending.push(Pending { before: left, ..expired });
            self.expire_later(revision, AGAIN);
        }
    }

    /// Keeps the changes that would be taken back. Says which there were.
    pub fn keep(&self) -> Vec<Revert> {
        let mut state = self.state.lock();
        let kept = state.pending.drain(..).map(|pending| Revert { revision: pending.revision, at_ms: pending.at_ms });
        kept.collect()
    }
}

/// The run-time layer and what it amounts to with as much taken back as may be, and what may not.
fn taken_back(
    state: &State,
    before: &BTreeMap<String, Option<Held>>,
) -> (BTreeMap<String, Held>, Deployment, BTreeMap<String, Option<Held>>) {
    let back = |runtime: &mut BTreeMap<String, Held>, path: &String, held: &Option<Held>| match held {
        Some(held) => runtime.insert(path.clone(), held.clone()),
        None => runtime.remove(path),
    };
    let base = &state.base.deployment;
    // Together first: one setting may need another's old value.
    let mut all = state.runtime.clone();
    for (path, held) in before {
        back(&mut all, path, held);
    }
    if let Ok(effective) = State::effective(base, &all) {
        return (all, effective, BTreeMap::new());
    }
    let (mut runtime, mut left) = (state.runtime.clone(), BTreeMap::new());
    for (path, held) in before {
        let mut tried = runtime.clone();
        back(&mut tried, path, held);
        if State::effective(base, &tried).is_ok() {
            runtime = tried;
        } else {
            left.insert(path.clone(), held.clone());
        }
    }
    let effective = State::effective(base, &runtime).unwrap_or_else(|_| base.clone());
    (runtime, effective, left)
}
