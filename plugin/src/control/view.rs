//! What is in effect, and how it came about.

use rsd_protocol::live::{PolicyView, Revert, Revision, Setting, Source};

use super::Control;
use crate::config::{Origin, hot};

impl Control {
    /// The hot settings with their bounds and where each value comes from.
    #[must_use]
    pub fn view(&self) -> PolicyView {
        let state = self.state.lock();
        let snapshot = self.policy.current();
        let source = |path: &str| match state.runtime.get(path) {
            Some((_, revision)) => Source::Runtime { revision: *revision },
            None => match state.base.origins.get(path) {
                None | Some(Origin::Default) => Source::Default,
                Some(Origin::File) => Source::File,
                Some(Origin::Env(name)) => Source::Env { name: name.clone() },
                Some(Origin::Flag(name)) => Source::Flag { name: name.clone() },
            },
        };
        let setting = |(hot, (path, value)): (hot::Hot, (String, serde_yaml::Value))| Setting {
            source: source(&path),
            value: serde_json::to_value(value).unwrap_or_default(),
            description: hot.description,
            kind: hot.kind,
            minimum: hot.minimum,
            maximum: hot.maximum,
            choices: hot.choices,
            path,
        };
        let pending = state
            .pending
            .iter()
            .filter(|pending| pending.before.keys().any(|path| pending.holds(&state.runtime, path)));
        let next = pending.min_by_key(|pending| pending.at_ms);
        PolicyView {
            revision: snapshot.revision,
            values: snapshot.live.clone(),
            settings: hot::settings().into_iter().zip(hot::values(&snapshot.live)).map(setting).collect(),
            in_force: self.policy.in_force(),
            reverts: next.map(|pending| Revert { revision: pending.revision, at_ms: pending.at_ms }),
            restart_needed: state.restart_needed.clone(),
        }
    }

    /// The newest revisions, newest first.
    #[must_use]
    pub fn history(&self, most: usize) -> Vec<Revision> {
        self.state.lock().history.iter().rev().take(most).cloned().collect()
    }
}
