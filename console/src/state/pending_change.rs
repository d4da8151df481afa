//! The values of a change that has not been sent yet, selected, stepped and typed within the server's bounds.

use std::collections::BTreeMap;

use rsd_protocol::settings::{PolicyChange, PolicyView, SettingInfo, SettingKind};
use serde_json::{Number, Value};

use super::{
    presets::{self, AS_POLICY},
    settings::nest_settings,
};

/// Seconds after which a trial change is reverted unless it is confirmed.
pub const TRIAL_SECONDS: u64 = 60;

/// A change that has not been sent yet.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingChange {
    /// The settings that can be changed here, as they were when the dialog was opened.
    pub settings: Vec<SettingInfo>,
    /// Index of the selected setting.
    pub cursor: usize,
    /// New values by path.
    pub values: BTreeMap<String, Value>,
    /// The value that is being typed.
    pub typed: Option<String>,
    /// Why the last value was not accepted.
    pub problem: Option<String>,
    /// Revert the change after [`TRIAL_SECONDS`] unless it is confirmed.
    pub trial: bool,
    /// Also write the change into the deployment file.
    pub persist: bool,
    /// Change all servers, not only the selected one.
    pub all: bool,
    /// `ETag` of the policy that the change is based on.
    pub etag: String,
    /// The policy that the change is based on.
    pub policy: PolicyView,
}

impl PendingChange {
    /// A change without values yet; the first setting whose path starts with `path` is selected.
    #[must_use]
    pub fn open(etag: &str, view: &PolicyView, path: &str) -> Self {
        let own = view.settings.iter().filter(|s| s.kind != SettingKind::List).cloned();
        let settings: Vec<_> = own.chain(presets::settings(view)).collect();
        let cursor = settings.iter().position(|setting| setting.path.starts_with(path)).unwrap_or(0);
        Self {
            settings,
            cursor,
            values: BTreeMap::new(),
            typed: None,
            problem: None,
            trial: false,
            persist: false,
            all: false,
            etag: etag.to_owned(),
            policy: view.clone(),
        }
    }

    /// The selected setting.
    #[must_use]
    pub fn setting(&self) -> Option<&SettingInfo> {
        self.settings.get(self.cursor)
    }

    /// The new value of a setting, or else the one in effect.
    #[must_use]
    pub fn value<'a>(&'a self, setting: &'a SettingInfo) -> &'a Value {
        self.values.get(&setting.path).unwrap_or(&setting.value)
    }

    /// The new threshold, if there is one: that of the selected preset, else that of the policy. It may be half typed.
    #[must_use]
    pub fn delta(&self) -> Option<f64> {
        let selected =
            self.setting().map(|setting| setting.path.as_str()).filter(|path| path.rsplit('.').next() == Some("delta"));
        let typed = self.typed.as_deref().filter(|_| selected.is_some()).and_then(|typed| typed.parse::<f64>().ok());
        let new_value = |path: &str| self.values.get(path)?.as_f64();
        typed.filter(|delta| delta.is_finite()).or_else(|| new_value(selected?)).or_else(|| new_value("policy.delta"))
    }

    /// Accepts what was typed and selects the setting below or above.
    pub fn move_cursor(&mut self, down: bool) {
        if self.accept_typed() && !self.settings.is_empty() {
            let last = self.settings.len() - 1;
            self.cursor = if down { (self.cursor + 1).min(last) } else { self.cursor.saturating_sub(1) };
        }
    }

    /// Increases or decreases the value by one step, or by ten if `big`, within the server's bounds.
    pub fn step(&mut self, up: bool, big: bool) {
        if !self.accept_typed() {
            return;
        }
        let Some(setting) = self.setting().cloned() else { return };
        let value = self.value(&setting).clone();
        let sign = if up { 1.0 } else { -1.0 };
        let stepped = match setting.kind {
            SettingKind::Choice => {
                let at = setting.choices.iter().position(|choice| Some(choice.as_str()) == value.as_str()).unwrap_or(0);
                let count = setting.choices.len().max(1);
                let next = if up { (at + 1) % count } else { (at + count - 1) % count };
                setting.choices.get(next).map(|choice| Value::String(choice.clone()))
            }
            SettingKind::Number => {
                let step = number_step(&setting) * if big { 10.0 } else { 1.0 };
                // A preset without a threshold has the policy's; a bound that is off begins at the lowest value.
                let unset =
                    if presets::is_preset_path(&setting.path) { self.delta_of_policy() } else { setting.minimum };
                value.as_f64().or(unset).and_then(|now| number(bounded(&setting, now + sign * step)))
            }
            SettingKind::Integer => {
                let step = if big { 10.0 } else { 1.0 };
                value.as_f64().and_then(|now| integer(bounded(&setting, now + sign * step)))
            }
            SettingKind::List => None,
        };
        if let Some(value) = stepped {
            self.set_value(&setting, value);
        }
    }

    /// Adds a typed character.
    pub fn type_char(&mut self, c: char) {
        let typable = self.setting().is_some_and(|s| matches!(s.kind, SettingKind::Number | SettingKind::Integer));
        if typable && (c.is_ascii_digit() || matches!(c, '.' | '-')) {
            let typed = self.typed.get_or_insert_default();
            if typed.len() < 12 {
                typed.push(c);
            }
            self.problem = None;
        }
    }

    /// Deletes the last typed character, or else the new value, or else the preset's own value.
    pub fn erase(&mut self) {
        self.problem = None;
        if let Some(typed) = &mut self.typed {
            typed.pop();
            if typed.is_empty() {
                self.typed = None;
            }
        } else if let Some(setting) = self.setting().cloned()
            && self.values.remove(&setting.path).is_none()
            && presets::is_preset_path(&setting.path)
        {
            self.set_value(&setting, Value::from(AS_POLICY));
        }
    }

    /// Accepts what was typed as the new value. Returns false if it is invalid.
    pub fn accept_typed(&mut self) -> bool {
        let (Some(typed), Some(setting)) = (self.typed.clone(), self.setting().cloned()) else { return true };
        let parsed = typed.parse::<f64>().ok().filter(|value| value.is_finite());
        let value = match (setting.kind, parsed) {
            (_, Some(value)) if bounded(&setting, value).to_bits() != value.to_bits() => None,
            (SettingKind::Integer, Some(value)) if value.fract() == 0.0 => integer(value),
            (SettingKind::Number, Some(value)) => number(value),
            _ => None,
        };
        let Some(value) = value else {
            self.problem = Some(format!("{typed}: expected {}", accepted_values(&setting)));
            return false;
        };
        self.set_value(&setting, value);
        self.typed = None;
        true
    }

    /// The change for the server; `None` if no value is new.
    #[must_use]
    pub fn to_change(&self, by: Option<&str>) -> Option<PolicyChange> {
        // Among all servers others may differ from this one, so that the value of this one is a change, too.
        let same = self.setting().filter(|_| self.all && self.values.is_empty());
        if let Some(setting) = same.filter(|setting| !presets::is_preset_path(&setting.path)) {
            let set = nest_settings(std::iter::once((setting.path.as_str(), setting.value.clone())));
            return Some(self.of_values(set, by));
        }
        let own = self.values.iter().filter(|(path, _)| !presets::is_preset_path(path));
        let own = own.map(|(path, value)| (path.as_str(), value.clone()));
        let list = presets::changed_list(&self.policy, &self.values).map(|list| ("presets", list));
        (!self.values.is_empty()).then(|| self.of_values(nest_settings(own.chain(list)), by))
    }

    fn of_values(&self, set: Value, by: Option<&str>) -> PolicyChange {
        PolicyChange {
            set,
            why: None,
            by: by.map(str::to_owned),
            ttl_seconds: self.trial.then_some(TRIAL_SECONDS),
            persist: self.persist,
        }
    }

    /// Whether a preset is changed.
    #[must_use]
    pub fn changes_presets(&self) -> bool {
        self.values.keys().any(|path| presets::is_preset_path(path))
    }

    /// The threshold of a preset that has none of its own.
    fn delta_of_policy(&self) -> Option<f64> {
        let setting = self.settings.iter().find(|setting| setting.path == "policy.delta")?;
        self.value(setting).as_f64()
    }

    fn set_value(&mut self, setting: &SettingInfo, value: Value) {
        self.problem = None;
        if value == setting.value {
            self.values.remove(&setting.path);
        } else {
            self.values.insert(setting.path.clone(), value);
        }
    }
}

/// What a setting accepts, in words.
#[must_use]
pub fn accepted_values(setting: &SettingInfo) -> String {
    let bounds = match (setting.minimum, setting.maximum) {
        (Some(low), Some(high)) => format!(" from {low} to {high}"),
        (Some(low), None) => format!(" of {low} or more"),
        (None, Some(high)) => format!(" of {high} or less"),
        (None, None) => String::new(),
    };
    match setting.kind {
        SettingKind::Number => format!("a number{bounds}"),
        SettingKind::Integer => format!("a whole number{bounds}"),
        SettingKind::Choice => format!("one of {}", setting.choices.join(", ")),
        SettingKind::List => "a list".into(),
    }
}

fn number_step(setting: &SettingInfo) -> f64 {
    match (setting.minimum, setting.maximum) {
        (Some(low), Some(high)) if high - low > 10.0 => 1.0,
        _ => 0.01,
    }
}

fn bounded(setting: &SettingInfo, value: f64) -> f64 {
    value.max(setting.minimum.unwrap_or(f64::NEG_INFINITY)).min(setting.maximum.unwrap_or(f64::INFINITY))
}

/// Rounded to four decimals, so that steps of 0.01 add no rounding errors.
fn number(value: f64) -> Option<Value> {
    Number::from_f64((value * 10_000.0).round() / 10_000.0).map(Value::Number)
}

#[expect(clippy::cast_possible_truncation, reason = "whole and within the server's bounds")]
fn integer(value: f64) -> Option<Value> {
    value.is_finite().then(|| Value::from(value as i64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rsd_protocol::settings::{ActiveThreshold, RuntimeSettings, SettingSource};
    use serde_json::json;

    use super::*;

    fn setting(path: &str, value: Value, kind: SettingKind, bounds: Option<(f64, f64)>) -> SettingInfo {
        SettingInfo {
            path: path.into(),
            value,
            source: SettingSource::File,
            description: String::new(),
            kind,
            minimum: bounds.map(|b| b.0),
            maximum: bounds.map(|b| b.1),
            choices: if kind == SettingKind::Choice {
                vec!["rsd".into(), "draft".into(), "target".into()]
            } else {
                vec![]
            },
        }
    }

    fn view() -> PolicyView {
        PolicyView {
            revision: 1,
            values: RuntimeSettings::default(),
            settings: Vec::new(),
            in_force: ActiveThreshold { delta: 0.7, budget: None },
            reverts: None,
            restart_needed: Vec::new(),
        }
    }

    fn pending() -> PendingChange {
        PendingChange {
            settings: vec![
                setting("policy.route", json!("rsd"), SettingKind::Choice, None),
                setting("policy.delta", json!(0.7), SettingKind::Number, Some((-1.0, 2.0))),
                setting("steps.max_tokens", json!(512), SettingKind::Integer, Some((1.0, 4096.0))),
            ],
            cursor: 1,
            values: BTreeMap::new(),
            typed: None,
            problem: None,
            trial: false,
            persist: false,
            all: false,
            etag: "\"1\"".into(),
            policy: view(),
        }
    }

    #[test]
    fn values_are_stepped_within_the_bounds_and_choices_go_round() {
        let mut pending = pending();
        pending.step(false, false);
        pending.step(false, true);
        assert_eq!(pending.delta(), Some(0.59));
        for _ in 0..40 {
            pending.step(true, true);
        }
        assert_eq!(pending.delta(), Some(2.0));
        pending.move_cursor(false);
        pending.step(false, false);
        pending.move_cursor(true);
        pending.move_cursor(true);
        pending.step(true, true);
        assert_eq!(
            pending.to_change(Some("ana")).unwrap().set,
            json!({"policy": {"delta": 2.0, "route": "target"}, "steps": {"max_tokens": 522}})
        );
    }

    #[test]
    fn a_typed_value_is_taken_only_where_the_server_would_take_it() {
        let mut pending = pending();
        for c in "2x.5".chars() {
            pending.type_char(c);
        }
        assert_eq!(pending.typed.as_deref(), Some("2.5"), "letters are no part of a number");
        assert!(!pending.accept_typed());
        assert_eq!(pending.problem.as_deref(), Some("2.5: expected a number from -1 to 2"));
        pending.move_cursor(true);
        assert_eq!(pending.cursor, 1, "a wrong value is not left behind");
        for _ in 0..3 {
            pending.erase();
        }
        for c in "0.42".chars() {
            pending.type_char(c);
        }
        assert_eq!(pending.delta(), Some(0.42), "the preview moves while it is typed");
        assert!(pending.accept_typed());
        assert_eq!(pending.values["policy.delta"], json!(0.42));
        pending.erase();
        assert!(pending.to_change(None).is_none(), "back to what it was");
        pending.cursor = 2;
        for c in "1.5".chars() {
            pending.type_char(c);
        }
        assert!(!pending.accept_typed());
    }

    #[test]
    fn a_value_that_is_in_effect_is_no_change() {
        let mut pending = pending();
        pending.step(true, false);
        pending.step(false, false);
        assert!(pending.to_change(None).is_none());
    }

    proptest! {
        #[test]
        fn no_sequence_of_keys_leaves_the_bounds(keys in proptest::collection::vec((0..6_u8, any::<char>()), 0..60)) {
            let mut pending = pending();
            for (key, c) in keys {
                match key {
                    0 => pending.move_cursor(true),
                    1 => pending.move_cursor(false),
                    2 => pending.step(true, c.is_alphabetic()),
                    3 => pending.step(false, c.is_alphabetic()),
                    4 => pending.type_char(char::from(b'0' + u8::try_from(u32::from(c) % 10).unwrap())),
                    _ => pending.erase(),
                }
            }
            for setting in &pending.settings {
                if let (Some(value), Some(low), Some(high)) = (pending.value(setting).as_f64(), setting.minimum, setting.maximum) {
                    prop_assert!((low..=high).contains(&value));
                }
            }
        }
    }
}
