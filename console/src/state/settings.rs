//! Conversion between settings by path and settings nested as in the deployment file.

use std::collections::BTreeMap;

use rsd_protocol::settings::RuntimeSettings;
use serde_json::{Map, Value};

/// The change that turns `now` into `then`; `None` if they are equal.
#[must_use]
pub fn change_between(now: &RuntimeSettings, then: &RuntimeSettings) -> Option<Value> {
    let (now, then) = (serde_json::to_value(now).ok()?, serde_json::to_value(then).ok()?);
    let before: BTreeMap<_, _> = leaves(&now).into_iter().collect();
    let different: Vec<_> = leaves(&then).into_iter().filter(|(path, value)| before.get(path) != Some(value)).collect();
    (!different.is_empty()).then(|| nest_settings(different.iter().map(|(path, value)| (path.as_str(), value.clone()))))
}

/// Nests settings, given by path, as in the deployment file.
#[must_use]
pub fn nest_settings<'a>(values: impl Iterator<Item = (&'a str, Value)>) -> Value {
    let mut root = Map::new();
    for (path, value) in values {
        let mut parts: Vec<&str> = path.split('.').collect();
        let Some(leaf) = parts.pop() else { continue };
        let mut at = &mut root;
        for part in parts {
            let entry = at.entry(part).or_insert_with(|| Value::Object(Map::new()));
            if !entry.is_object() {
                *entry = Value::Object(Map::new());
            }
            let Value::Object(inside) = entry else { return Value::Object(root) };
            at = inside;
        }
        at.insert(leaf.to_owned(), value);
    }
    Value::Object(root)
}

/// Every setting of a nested value, with its path.
#[must_use]
pub fn leaves(value: &Value) -> Vec<(String, Value)> {
    fn walk(prefix: &str, value: &Value, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    walk(&path, value, found);
                }
            }
            other => found.push((prefix.to_owned(), other.clone())),
        }
    }
    let mut found = Vec::new();
    walk("", value, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_way_back_to_a_revision_names_only_what_differs() {
        let now = RuntimeSettings::default();
        let mut then = now.clone();
        then.policy.delta = 0.4;
        then.limits.max_steps = 7;
        assert_eq!(change_between(&now, &then).unwrap(), json!({"policy": {"delta": 0.4}, "limits": {"max_steps": 7}}));
        assert_eq!(change_between(&now, &now), None);
    }
}
