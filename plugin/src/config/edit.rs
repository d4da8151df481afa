//! Writes settings into the text of a deployment file and leaves everything else as it is, comments too.

use std::str::FromStr;

use serde_yaml::{Mapping, Value};
use yaml_edit::{Document, Mapping as Lines};

/// Why a text was left alone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// It is no YAML.
    #[error("it is not YAML: {0}")]
    Syntax(String),
    /// It could not be changed without changing more than was asked for.
    #[error("`{0}` cannot be written without changing other lines: edit the file by hand")]
    Entangled(String),
}

/// `text` with these settings, each at its dotted path.
///
/// The result is read again and compared: it says what `text` said but for the settings.
///
/// # Errors
/// The text is no YAML, or uses a form (anchors, tags) that hides where a setting stands.
pub(crate) fn edit(text: &str, settings: &[(String, Value)]) -> Result<String, EditError> {
    let syntax = |error: &dyn std::fmt::Display| EditError::Syntax(error.to_string());
    let mut wanted: Value = serde_yaml::from_str(text).map_err(|error| syntax(&error))?;
    let mut edited = text.to_owned();
    for (path, value) in settings {
        place(&mut wanted, path, value);
        edited = one(&edited, path, value).ok_or_else(|| EditError::Entangled(path.clone()))?;
        let found: Option<Value> = serde_yaml::from_str(&edited).ok();
        if found.as_ref() != Some(&wanted) {
            return Err(EditError::Entangled(path.clone()));
        }
    }
    Ok(edited)
}

fn one(text: &str, path: &str, value: &Value) -> Option<String> {
    let document = Document::from_str(text).ok()?;
    let mut section = document.as_mapping()?;
    let (sections, key) =
        path.rsplit_once('.').map_or((Vec::new(), path), |(sections, key)| (sections.split('.').collect(), key));
    for name in sections {
        if section.get_mapping(name).is_none() {
            section.set(name, Lines::new());
        }
        section = section.get_mapping(name)?;
    }
    match value {
        Value::Bool(flag) => section.set(key, *flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => section.set(key, whole),
            (None, Some(number)) => section.set(key, number),
            (None, None) => return None,
        },
        Value::String(text) => section.set(key, text.as_str()),
        // A list is written in one line: how it was laid out before says nothing about what it holds now.
        other => {
            let flow = serde_json::to_string(other).ok()?;
            let holder = Document::from_str(&format!("{key}: {flow}\n")).ok()?;
            section.set(key, holder.as_mapping()?.get(key)?);
        }
    }
    Some(document.to_string())
}

fn place(tree: &mut Value, path: &str, value: &Value) {
    let mut here = tree;
    for key in path.split('.') {
        if !here.is_mapping() {
            *here = Value::Mapping(Mapping::new());
        }
        let Value::Mapping(settings) = here else { return };
        here = settings.entry(key.into()).or_insert(Value::Null);
    }
    *here = value.clone();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, settings: &[(&str, &str)]) -> Result<String, EditError> {
        let settings: Vec<_> =
            settings.iter().map(|(path, value)| ((*path).to_owned(), serde_yaml::from_str(value).unwrap())).collect();
        edit(text, &settings)
    }

    #[test]
    fn a_value_changes_and_its_line_stays() {
        let text = "# The demo.\npolicy:\n  # why\n  delta: 0.5   # half\n\nserver:\n  port: 1 # one\n";
        insta::assert_snapshot!(set(text, &[("policy.delta", "0.25"), ("policy.answers", "draft"), ("limits.max_steps", "7")]).unwrap(), @r"
        # The demo.
        policy:
          # why
          delta: 0.25   # half
          answers: draft

        server:
          port: 1 # one
        limits:
          max_steps: 7
        ");
    }

    #[test]
    fn flow_style_and_lists_are_kept_valid() {
        insta::assert_snapshot!(set("policy: {delta: 0.5, p: 1} # c\n", &[("policy.delta", "2"), ("policy.gamma", "0.1")]).unwrap(), @"policy: {delta: 2, p: 1, gamma: 0.1} # c");
        let presets = "[{name: careful, delta: 0.9}]";
        let once = set("version: 1\n", &[("presets", presets)]).unwrap();
        let twice = set(&once, &[("presets", "[]"), ("steps.lookahead", "1")]).unwrap();
        insta::assert_snapshot!(format!("{once}---\n{twice}"), @r#"
        version: 1
        presets: [{"name":"careful","delta":0.9}]
        ---
        version: 1
        presets: []
        steps:
          lookahead: 1
        "#);
    }

    #[test]
    fn a_text_that_hides_its_settings_is_left_alone() {
        for text in ["a: &x {delta: 1, p: 1}\npolicy: *x\n", "- 1\n", "a: [\n"] {
            assert!(set(text, &[("policy.delta", "0.5")]).is_err(), "{text}");
        }
    }
}
