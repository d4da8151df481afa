//! Presets as single settings: every field of every preset is one line in the dialog. The server takes the list only as
//! a whole, so that the list is put together again for it.

use std::collections::BTreeMap;

use rsd_protocol::settings::{PolicyView, SettingDifference, SettingInfo, SettingKind, SettingSource};
use serde_json::{Map, Value, json};

/// The value of a field that a preset does not set.
pub const AS_POLICY: &str = "as policy";

/// Path of the list.
const LIST: &str = "presets";
/// The fields of a preset, which override the policy's settings with the same names. `answers` is the former name of
/// `route`; a server knows one of the two.
const FIELDS: [&str; 5] = ["delta", "route", "answers", "weighting", "after_rejection"];
/// Former path of the setting `policy.route`.
pub const OLD_ROUTE: &str = "policy.answers";

/// Whether this is the path of a preset's field.
#[must_use]
pub fn is_preset_path(path: &str) -> bool {
    path.strip_prefix(LIST).is_some_and(|rest| rest.starts_with('.'))
}

/// Every field of every preset as a setting, with the bounds and choices of the policy's setting.
#[must_use]
pub fn settings(view: &PolicyView) -> Vec<SettingInfo> {
    let list = serde_json::to_value(&view.values.presets).unwrap_or_default();
    let source = view.settings.iter().find(|setting| setting.path == LIST).map(|setting| setting.source.clone());
    let mut found = Vec::new();
    for preset in list.as_array().into_iter().flatten() {
        let name = preset["name"].as_str().unwrap_or_default();
        for field in FIELDS {
            let Some(usual) = view.settings.iter().find(|setting| setting.path == format!("policy.{field}")) else {
                continue;
            };
            let choices = match usual.kind {
                SettingKind::Choice => [AS_POLICY.to_owned()].into_iter().chain(usual.choices.clone()).collect(),
                _ => Vec::new(),
            };
            found.push(SettingInfo {
                path: path(name, field),
                value: field_value(preset, field),
                source: source.clone().unwrap_or(SettingSource::Default),
                description: format!("For requests of the model `{name}`. {}", usual.description),
                choices,
                ..usual.clone()
            });
        }
    }
    found
}

/// The list with these new values, given by path; `None` if none of them belongs to a preset.
#[must_use]
pub fn changed_list(view: &PolicyView, values: &BTreeMap<String, Value>) -> Option<Value> {
    if !values.keys().any(|path| is_preset_path(path)) {
        return None;
    }
    let mut list = serde_json::to_value(&view.values.presets).ok()?;
    for preset in list.as_array_mut()?.iter_mut().filter_map(Value::as_object_mut) {
        let name = preset.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        for field in FIELDS {
            match values.get(&path(&name, field)) {
                Some(value) if value == AS_POLICY => drop(preset.remove(field)),
                Some(value) => drop(preset.insert(field.to_owned(), value.clone())),
                None => {}
            }
        }
    }
    Some(list)
}

/// The differences with that of the list replaced by those of its fields.
#[must_use]
pub fn expand_presets(differences: &[SettingDifference]) -> Vec<SettingDifference> {
    let expand = |difference: &SettingDifference| match (difference.path.as_str(), &difference.old, &difference.new) {
        (LIST, Value::Array(old), Value::Array(new)) => between(old, new),
        _ => vec![difference.clone()],
    };
    differences.iter().flat_map(expand).collect()
}

fn between(old: &[Value], new: &[Value]) -> Vec<SettingDifference> {
    let by_name = |list: &[Value]| -> BTreeMap<String, Value> {
        list.iter().map(|preset| (preset["name"].as_str().unwrap_or_default().to_owned(), preset.clone())).collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    let mut names: Vec<_> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let mut found = Vec::new();
    for name in names {
        let (before, after) = (old.get(name), new.get(name));
        if before.is_some() != after.is_some() {
            let there = |preset: Option<&Value>| json!(if preset.is_some() { "served" } else { "not served" });
            found.push(SettingDifference { path: format!("{LIST}.{name}"), old: there(before), new: there(after) });
        }
        let none = Value::Object(Map::new());
        for field in FIELDS {
            let (old, new) = (field_value(before.unwrap_or(&none), field), field_value(after.unwrap_or(&none), field));
            if old != new {
                found.push(SettingDifference { path: path(name, field), old, new });
            }
        }
    }
    found
}

fn path(name: &str, field: &str) -> String {
    format!("{LIST}.{name}.{field}")
}

fn field_value(preset: &Value, field: &str) -> Value {
    preset.get(field).filter(|value| !value.is_null()).cloned().unwrap_or_else(|| json!(AS_POLICY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_shown_by_what_is_different_in_it() {
        let whole = |old: Value, new: Value| SettingDifference { path: LIST.into(), old, new };
        let shown = |old: Value, new: Value| -> Vec<String> {
            let expanded = expand_presets(&[whole(old, new)]);
            expanded
                .iter()
                .map(|difference| format!("{}: {} -> {}", difference.path, difference.old, difference.new))
                .collect()
        };
        let careful = json!({"name": "careful", "delta": 0.9});
        let other = json!({"name": "careful", "route": "draft"});
        assert_eq!(
            shown(json!([careful]), json!([other])),
            [r#"presets.careful.delta: 0.9 -> "as policy""#, r#"presets.careful.route: "as policy" -> "draft""#,]
        );
        let gone = shown(json!([careful]), json!([]));
        assert_eq!(gone[0], r#"presets.careful: "served" -> "not served""#);
        assert!(shown(json!([careful]), json!([careful])).is_empty());
    }
}
