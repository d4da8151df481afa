//! `--set path=value`: any value of the deployment file, from the command line.

use serde_json::Value;

/// One `--set`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    /// Dotted path into the deployment file.
    pub(super) path: String,
    /// The value, read as YAML.
    pub(super) value: Value,
}

/// Reads `path=value`.
pub(super) fn parse(text: &str) -> Result<Setting, String> {
    let Some((path, value)) = text.split_once('=') else {
        return Err("expected PATH=VALUE, such as policy.delta=0.7".to_owned());
    };
    if path.split('.').any(|part| part.is_empty() || part.trim() != part) {
        return Err(format!("`{path}` is not a path; expected names joined by dots, such as policy.delta"));
    }
    if value.trim().is_empty() {
        return Err(format!("nothing stands after `{path}=`; write null to unset, '\"\"' for an empty text"));
    }
    let yaml: serde_yaml::Value =
        serde_yaml::from_str(value).map_err(|error| format!("the value of `{path}` is not YAML: {error}"))?;
    if !finite(&yaml) {
        // JSON has no such numbers and would turn them into null, which means "unset".
        return Err(format!("the value of `{path}` must be a finite number"));
    }
    let value =
        serde_json::to_value(&yaml).map_err(|error| format!("the value of `{path}` cannot be used: {error}"))?;
    Ok(Setting { path: path.to_owned(), value })
}

fn finite(value: &serde_yaml::Value) -> bool {
    match value {
        serde_yaml::Value::Number(number) => number.as_f64().is_none_or(f64::is_finite),
        serde_yaml::Value::Sequence(items) => items.iter().all(finite),
        serde_yaml::Value::Mapping(map) => map.values().all(finite),
        serde_yaml::Value::Tagged(tagged) => finite(&tagged.value),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_yaml() {
        for (text, value) in [
            ("policy.delta=0.7", json!(0.7)),
            ("limits.running=2", json!(2)),
            ("roles.draft.cpu=true", json!(true)),
            ("roles.draft.isq=q4k", json!("q4k")),
            ("steps.delimiters=[\"\\n\\n\", \"=\"]", json!(["\n\n", "="])),
            ("server.api_key_env=null", json!(null)),
            ("server.model_name=a=b", json!("a=b")),
        ] {
            let setting = parse(text).unwrap();
            assert_eq!(setting.value, value, "{text}");
            assert_eq!(setting.path, text.split('=').next().unwrap());
        }
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for (text, part) in [
            ("policy.delta", "expected PATH=VALUE"),
            ("=1", "not a path"),
            ("policy..delta=1", "not a path"),
            ("policy. delta=1", "not a path"),
            ("policy.delta=", "nothing stands after"),
            ("policy.delta=.nan", "finite"),
            ("policy={delta: .inf}", "finite"),
            ("policy=[1, {a: -.inf}]", "finite"),
            ("policy={a: [}", "not YAML"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
