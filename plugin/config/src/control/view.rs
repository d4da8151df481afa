//! The runtime settings in effect, and the history.

use rsd_protocol::settings::{PolicyRevision, PolicyView, ScheduledRevert, SettingInfo, SettingSource};
use serde_json::Value;

use super::Control;
use crate::{
    SettingOrigin,
    runtime_settings::{self, SettingDescription},
};

impl Control {
    /// The runtime settings with what they accept and the layer that each value comes from.
    #[must_use]
    pub fn view(&self) -> PolicyView {
        let state = self.state.lock();
        let snapshot = self.policy.current();
        let source = |path: &str| match state.runtime.get(path) {
            Some(set) => SettingSource::Runtime { revision: set.revision },
            None => match state.base.origins.get(path) {
                None | Some(SettingOrigin::Default) => SettingSource::Default,
                Some(SettingOrigin::File) => SettingSource::File,
                Some(SettingOrigin::Env(name)) => SettingSource::Env { name: name.clone() },
                Some(SettingOrigin::Flag(name)) => SettingSource::Flag { name: name.clone() },
            },
        };
        let setting = |(description, (path, value)): (SettingDescription, (String, Value))| SettingInfo {
            source: source(&path),
            value,
            description: description.description,
            kind: description.kind,
            minimum: description.minimum,
            maximum: description.maximum,
            choices: description.choices,
            path,
        };
        let pending = state
            .pending
            .iter()
            .filter(|pending| pending.before.keys().any(|path| pending.covers(&state.runtime, path)));
        let next = pending.min_by_key(|pending| pending.at_ms);
        let values = runtime_settings::values(&snapshot.settings);
        PolicyView {
            revision: snapshot.revision,
            values: snapshot.settings.clone(),
            settings: runtime_settings::descriptions().into_iter().zip(values).map(setting).collect(),
            in_force: self.policy.active_threshold(),
            reverts: next.map(|pending| ScheduledRevert { revision: pending.revision, at_ms: pending.at_ms }),
            restart_needed: state.restart_needed.clone(),
        }
    }

    /// Up to `limit` revisions, from the newest.
    #[must_use]
    pub fn history(&self, limit: usize) -> Vec<PolicyRevision> {
        self.state.lock().history.iter().rev().take(limit).cloned().collect()
    }
}
