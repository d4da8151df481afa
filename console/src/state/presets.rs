//! Presets as settings of their own: what a preset says is a line each, and the list is put together again for the
//! server, which takes it as a whole.

use std::collections::BTreeMap;

use rsd_protocol::live::{Difference, PolicyView, Setting, SettingKind, Source};
use serde_json::{Map, Value, json};

/// The value of what a preset leaves to the policy.
pub const AS_POLICY: &str = "as policy";

/// Where the list stands.
const LIST: &str = "presets";
/// What a preset may say, and the setting of the policy that it stands in for.
const FIELDS: [&str; 3] = ["delta", "answers", "weighting"];

/// Whether this is the path of something that a preset says.
#[must_use]
pub fn is_of_one(path: &str) -> bool {
    path.strip_prefix(LIST).is_some_and(|rest| rest.starts_with('.'))
}

/// Everything that presets say or may say. Its bounds and choices are those of the policy's own setting.
#[must_use]
pub fn settings(view: &PolicyView) -> Vec<Setting> {
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
            found.push(Setting {
                path: path(name, field),
                value: said(preset, field),
                source: source.clone().unwrap_or(Source::Default),
                description: format!("For requests of the model `{name}`. {}", usual.description),
                choices,
                ..usual.clone()
            });
        }
    }
    found
}

/// The list with these values in it, by path; nothing where none of them is a preset's.
#[must_use]
pub fn list(view: &PolicyView, values: &BTreeMap<String, Value>) -> Option<Value> {
    if !values.keys().any(|path| is_of_one(path)) {
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

/// Differences in which the list is told by what its presets say.
#[must_use]
pub fn spelled(differences: &[Difference]) -> Vec<Difference> {
    let of = |difference: &Difference| match (difference.path.as_str(), &difference.old, &difference.new) {
        (LIST, Value::Array(old), Value::Array(new)) => between(old, new),
        _ => vec![difference.clone()],
    };
    differences.iter().flat_map(of).collect()
}

fn between(old: &[Value], new: &[Value]) -> Vec<Difference> {
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
            found.push(Difference { path: format!("{LIST}.{name}"), old: there(before), new: there(after) });
        }
        let none = Value::Object(Map::new());
        for field in FIELDS {
            let (old, new) = (said(before.unwrap_or(&none), field), said(after.unwrap_or(&none), field));
            if old != new {
                found.push(Difference { path: path(name, field), old, new });
            }
        }
    }
    found
}

fn path(name: &str, field: &str) -> String {
    format!("{LIST}.{name}.{field}")
}

fn said(preset: &Value, field: &str) -> Value {
    preset.get(field).filter(|value| !value.is_null()).cloned().unwrap_or_else(|| json!(AS_POLICY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_told_by_what_is_different_in_it() {
        let whole = |old: Value, new: Value| Difference { path: LIST.into(), old, new };
        let told = |old: Value, new: Value| -> Vec<String> {
            let told = spelled(&[whole(old, new)]);
            told.iter()
                .map(|difference| format!("{}: {} -> {}", difference.path, difference.old, difference.new))
                .collect()
        };
        let careful = json!({"name": "careful", "delta": 0.9});
        let other = json!({"name": "careful", "answers": "draft"});
        assert_eq!(
            told(json!([careful]), json!([other])),
            [r#"presets.careful.delta: 0.9 -> "as policy""#, r#"presets.careful.answers: "as policy" -> "draft""#,]
        );
        let gone = told(json!([careful]), json!([]));
        assert_eq!(gone[0], r#"presets.careful: "served" -> "not served""#);
        assert!(told(json!([careful]), json!([careful])).is_empty());
    }
}
