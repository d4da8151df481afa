//! Changes that take themselves back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rsd_protocol::live::{Cause, Revert};

use super::{
    Author, Control,
    state::{Held, Pending, State},
};

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
    fn expire(&self, revision: u64) {
        let mut state = self.state.lock();
        let Some(at) = state.pending.iter().position(|pending| pending.revision == revision) else { return };
        let expired = state.pending.remove(at);
        let mut runtime = state.runtime.clone();
        for (path, before) in &expired.before {
            if expired.holds(&state.runtime, path) {
                match before {
                    Some(held) => runtime.insert(path.clone(), held.clone()),
                    None => runtime.remove(path),
                };
            }
            // A later change that is still to be taken back must not bring this one's value back.
            for later in &mut state.pending {
                if let Some(held) = later.before.get_mut(path)
                    && held.as_ref().is_some_and(|(_, by)| *by == revision)
                {
                    held.clone_from(before);
                }
            }
        }
        match State::effective(&state.base.deployment, &runtime) {
            Ok(effective) => {
                state.runtime = runtime;
                let live = effective.live();
                if live != self.policy.current().live {
                    self.commit(&mut state, Cause::Expiry { of: revision }, Author::default(), live, None);
                }
            }
            // What was set since may not go with the old values.
            Err(refused) => tracing::warn!(revision, ?refused, "a change could not be taken back"),
        }
    }

    /// Keeps the changes that would be taken back. Says which there were.
    pub fn keep(&self) -> Vec<Revert> {
        let mut state = self.state.lock();
        let kept = state.pending.drain(..).map(|pending| Revert { revision: pending.revision, at_ms: pending.at_ms });
        kept.collect()
    }
}
