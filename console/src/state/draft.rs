//! Values that are not sent yet: chosen, stepped and typed within the server's bounds.

use std::collections::BTreeMap;

use rsd_protocol::live::{Change, PolicyView, Setting, SettingKind};
use serde_json::{Number, Value};

use super::{
    presets::{self, AS_POLICY},
    settings::nested,
};

/// After so many seconds a trial change is taken back.
pub const TRIAL_SECONDS: u64 = 60;

/// Values that are not sent yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The settings that can be changed here, as they were when the panel was opened.
    pub settings: Vec<Setting>,
    /// The one that is chosen.
    pub cursor: usize,
    /// New values by path.
    pub values: BTreeMap<String, Value>,
    /// What is being typed.
    pub typed: Option<String>,
    /// Why the last value was not taken.
    pub problem: Option<String>,
    /// Take the change back after a while unless it is kept.
    pub trial: bool,
    /// Write it into the deployment file too.
    pub persist: bool,
    /// The tag of the policy it is made for.
    pub etag: String,
    /// That policy.
    pub policy: PolicyView,
}

impl Draft {
    /// A draft of nothing yet, on the setting with this path.
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
            etag: etag.to_owned(),
            policy: view.clone(),
        }
    }

    /// The chosen setting.
    #[must_use]
    pub fn setting(&self) -> Option<&Setting> {
        self.settings.get(self.cursor)
    }

    /// The drafted value of a setting, else the one in effect.
    #[must_use]
    pub fn value<'a>(&'a self, setting: &'a Setting) -> &'a Value {
        self.values.get(&setting.path).unwrap_or(&setting.value)
    }

    /// The drafted threshold, where it is drafted or being typed: that of the preset the cursor is on, else the policy's.
    #[must_use]
    pub fn delta(&self) -> Option<f64> {
        let chosen =
            self.setting().map(|setting| setting.path.as_str()).filter(|path| path.rsplit('.').next() == Some("delta"));
        let typed = self.typed.as_deref().filter(|_| chosen.is_some()).and_then(|typed| typed.parse::<f64>().ok());
        let drafted = |path: &str| self.values.get(path)?.as_f64();
        typed.filter(|delta| delta.is_finite()).or_else(|| drafted(chosen?)).or_else(|| drafted("policy.delta"))
    }

    /// Goes to another setting, taking what was typed.
    pub fn go(&mut self, down: bool) {
        if self.settle() && !self.settings.is_empty() {
            let last = self.settings.len() - 1;
            self.cursor = if down { (self.cursor + 1).min(last) } else { self.cursor.saturating_sub(1) };
        }
    }

    /// Steps the value up or down, within the server's bounds.
    pub fn step(&mut self, up: bool, big: bool) {
        if !self.settle() {
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
                value.as_f64().or(self.delta_of_policy()).and_then(|now| number(bounded(&setting, now + sign * step)))
            }
            SettingKind::Integer => {
                let step = if big { 10.0 } else { 1.0 };
                value.as_f64().and_then(|now| integer(bounded(&setting, now + sign * step)))
            }
            SettingKind::List => None,
        };
        if let Some(value) = stepped {
            self.put(&setting, value);
        }
    }

    /// Takes a typed character.
    pub fn type_in(&mut self, c: char) {
        let typable = self.setting().is_some_and(|s| matches!(s.kind, SettingKind::Number | SettingKind::Integer));
        if typable && (c.is_ascii_digit() || matches!(c, '.' | '-')) {
            let typed = self.typed.get_or_insert_default();
            if typed.len() < 12 {
                typed.push(c);
            }
            self.problem = None;
        }
    }

    /// Takes back the last typed character, or else the drafted value, or else what a preset says.
    pub fn backspace(&mut self) {
        self.problem = None;
        if let Some(typed) = &mut self.typed {
            typed.pop();
            if typed.is_empty() {
                self.typed = None;
            }
        } else if let Some(setting) = self.setting().cloned()
            && self.values.remove(&setting.path).is_none()
            && presets::is_of_one(&setting.path)
        {
            self.put(&setting, Value::from(AS_POLICY));
        }
    }

    /// Takes what was typed as the value; says whether it may stand.
    pub fn settle(&mut self) -> bool {
        let (Some(typed), Some(setting)) = (self.typed.clone(), self.setting().cloned()) else { return true };
        let parsed = typed.parse::<f64>().ok().filter(|value| value.is_finite());
        let value = match (setting.kind, parsed) {
            (_, Some(value)) if bounded(&setting, value).to_bits() != value.to_bits() => None,
            (SettingKind::Integer, Some(value)) if value.fract() == 0.0 => integer(value),
            (SettingKind::Number, Some(value)) => number(value),
            _ => None,
        };
        let Some(value) = value else {
            self.problem = Some(format!("{typed}: expected {}", expected(&setting)));
            return false;
        };
        self.put(&setting, value);
        self.typed = None;
        true
    }

    /// The change, where there is one.
    #[must_use]
    pub fn change(&self, by: Option<&str>) -> Option<Change> {
        let own = self.values.iter().filter(|(path, _)| !presets::is_of_one(path));
        let own = own.map(|(path, value)| (path.as_str(), value.clone()));
        let list = presets::list(&self.policy, &self.values).map(|list| ("presets", list));
        (!self.values.is_empty()).then(|| Change {
            set: nested(own.chain(list)),
            why: None,
            by: by.map(str::to_owned),
            ttl_seconds: self.trial.then_some(TRIAL_SECONDS),
            persist: self.persist,
        })
    }

    /// What a preset without a threshold is judged by.
    fn delta_of_policy(&self) -> Option<f64> {
        let setting = self.settings.iter().find(|setting| setting.path == "policy.delta")?;
        self.value(setting).as_f64()
    }

    fn put(&mut self, setting: &Setting, value: Value) {
        self.problem = None;
        if value == setting.value {
            self.values.remove(&setting.path);
        } else {
            self.values.insert(setting.path.clone(), value);
        }
    }
}

/// What a setting may hold, in words.
#[must_use]
pub fn expected(setting: &Setting) -> String {
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

fn number_step(setting: &Setting) -> f64 {
    match (setting.minimum, setting.maximum) {
        (Some(low), Some(high)) if high - low > 10.0 => 1.0,
        _ => 0.01,
    }
}

fn bounded(setting: &Setting, value: f64) -> f64 {
    value.max(setting.minimum.unwrap_or(f64::NEG_INFINITY)).min(setting.maximum.unwrap_or(f64::INFINITY))
}

/// With at most four decimals, so that steps of 0.01 stay what they look like.
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
    use rsd_protocol::live::{InForce, Live, Source};
    use serde_json::json;

    use super::*;

    fn setting(path: &str, value: Value, kind: SettingKind, bounds: Option<(f64, f64)>) -> Setting {
        Setting {
            path: path.into(),
            value,
            source: Source::File,
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
            values: Live::default(),
            settings: Vec::new(),
            in_force: InForce { delta: 0.7, budget: None },
            reverts: None,
            restart_needed: Vec::new(),
        }
    }

    fn draft() -> Draft {
        Draft {
            settings: vec![
                setting("policy.answers", json!("rsd"), SettingKind::Choice, None),
                setting("policy.delta", json!(0.7), SettingKind::Number, Some((-1.0, 2.0))),
                setting("steps.max_tokens", json!(512), SettingKind::Integer, Some((1.0, 4096.0))),
            ],
            cursor: 1,
            values: BTreeMap::new(),
            typed: None,
            problem: None,
            trial: false,
            persist: false,
            etag: "\"1\"".into(),
            policy: view(),
        }
    }

    #[test]
    fn values_are_stepped_within_the_bounds_and_choices_go_round() {
        let mut draft = draft();
        draft.step(false, false);
        draft.step(false, true);
        assert_eq!(draft.delta(), Some(0.59));
        for _ in 0..40 {
            draft.step(true, true);
        }
        assert_eq!(draft.delta(), Some(2.0));
        draft.go(false);
        draft.step(false, false);
        draft.go(true);
        draft.go(true);
        draft.step(true, true);
        assert_eq!(
            draft.change(Some("ana")).unwrap().set,
            json!({"policy": {"answers": "target", "delta": 2.0}, "steps": {"max_tokens": 522}})
        );
    }

    #[test]
    fn a_typed_value_is_taken_only_where_the_server_would_take_it() {
        let mut draft = draft();
        for c in "2x.5".chars() {
            draft.type_in(c);
        }
        assert_eq!(draft.typed.as_deref(), Some("2.5"), "letters are no part of a number");
        assert!(!draft.settle());
        assert_eq!(draft.problem.as_deref(), Some("2.5: expected a number from -1 to 2"));
        draft.go(true);
        assert_eq!(draft.cursor, 1, "a wrong value is not left behind");
        for _ in 0..3 {
            draft.backspace();
        }
        for c in "0.42".chars() {
            draft.type_in(c);
        }
        assert_eq!(draft.delta(), Some(0.42), "the preview moves while it is typed");
        assert!(draft.settle());
        assert_eq!(draft.values["policy.delta"], json!(0.42));
        draft.backspace();
        assert!(draft.change(None).is_none(), "back to what it was");
        draft.cursor = 2;
        for c in "1.5".chars() {
            draft.type_in(c);
        }
        assert!(!draft.settle());
    }

    #[test]
    fn a_value_that_is_in_effect_is_no_change() {
        let mut draft = draft();
        draft.step(true, false);
        draft.step(false, false);
        assert!(draft.change(None).is_none());
    }

    proptest! {
        #[test]
        fn no_sequence_of_keys_leaves_the_bounds(keys in proptest::collection::vec((0..6_u8, any::<char>()), 0..60)) {
            let mut draft = draft();
            for (key, c) in keys {
                match key {
                    0 => draft.go(true),
                    1 => draft.go(false),
                    2 => draft.step(true, c.is_alphabetic()),
                    3 => draft.step(false, c.is_alphabetic()),
                    4 => draft.type_in(char::from(b'0' + u8::try_from(u32::from(c) % 10).unwrap())),
                    _ => draft.backspace(),
                }
            }
            for setting in &draft.settings {
                if let (Some(value), Some(low), Some(high)) = (draft.value(setting).as_f64(), setting.minimum, setting.maximum) {
                    prop_assert!((low..=high).contains(&value));
                }
            }
        }
    }
}
