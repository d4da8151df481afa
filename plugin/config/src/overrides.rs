//! Settings as text: from `RSD__...` environment variables, and from the command line.
//!
//! `RSD__POLICY__DELTA=0.5` sets `policy.delta`, as `--set policy.delta=0.5` does. Items of a list are separated by
//! commas or written as YAML (`["\n\n", "\n"]`). A whole section is written as YAML (`{bundled: target}`). An empty
//! value unsets a setting that may be unset.

use std::fmt;

use serde_json::Value;

use super::{
    field_path::{ENV_PREFIX, FieldPath},
    former_names::present_path,
    parse_value::parse_value,
};

/// The variables of this process that give settings. In one that is not Unicode, the replacement character stands for
/// what cannot be read, so that the check finds it.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(ENV_PREFIX))
}

/// One setting given by an option of the command line.
#[derive(Clone, PartialEq)]
pub struct SettingOverride {
    pub(super) path: FieldPath,
    pub(super) value: Value,
    pub(super) flag: String,
}

impl fmt::Debug for SettingOverride {
    /// Without the value, which may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}=..", self.flag, self.path)
    }
}

/// Why the text of a `--set` is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// There is no `=`.
    #[error("expected SETTING=VALUE, such as policy.delta=0.5, found {0:?}")]
    NoValue(String),
    /// The text before the `=` cannot be a setting.
    #[error("{0:?} names no setting: expected names joined by dots, such as policy.delta")]
    NoSetting(String),
}

impl SettingOverride {
    /// Sets `path` to `value`. Errors and `config show` name the option `flag`.
    pub fn value(path: &str, value: impl Into<Value>, flag: impl Into<String>) -> Self {
        Self { path: FieldPath::parse(path), value: value.into(), flag: flag.into() }
    }

    /// Sets `path` to the value that `text` stands for, given the type of that setting.
    pub fn text(path: &str, text: &str, flag: impl Into<String>) -> Self {
        let path = FieldPath::parse(path);
        Self { value: parse_value(&path, text), path, flag: flag.into() }
    }

    /// Parses `policy.delta=0.5`, the value of a `--set`.
    ///
    /// # Errors
    /// There is no `=`, or no setting before it.
    pub fn parse(given: &str) -> Result<Self, OverrideError> {
        let Some((path, value)) = given.split_once('=') else {
            // Only the part before any `:` or space is repeated: the rest may be a token.
            return Err(OverrideError::NoValue(given.split([':', ' ']).next().unwrap_or_default().to_owned()));
        };
        let path = path.trim();
        if path.split('.').any(|part| part.is_empty() || part.contains(char::is_whitespace)) {
            return Err(OverrideError::NoSetting(path.to_owned()));
        }
        Ok(Self::text(path, value, "--set"))
    }

    /// Whether this sets the setting at `path`, by its present name or its former one.
    #[must_use]
    pub fn sets(&self, path: &str) -> bool {
        present_path(&self.path) == FieldPath::parse(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_reads_the_type_of_the_setting() {
        for (given, expected) in [
            ("policy.delta=0.5", SettingOverride::value("policy.delta", 0.5, "--set")),
            (" limits.running = 2", SettingOverride::value("limits.running", 2u64, "--set")),
            ("roles.draft.cpu=true", SettingOverride::value("roles.draft.cpu", true, "--set")),
            ("roles.draft.isq=4", SettingOverride::value("roles.draft.isq", "4", "--set")),
            ("roles.draft.isq=", SettingOverride::value("roles.draft.isq", Value::Null, "--set")),
            ("server.model_name=a=b", SettingOverride::value("server.model_name", "a=b", "--set")),
            (
                r#"steps.delimiters=["\n\n", "="]"#,
                SettingOverride::value("steps.delimiters", vec!["\n\n", "="], "--set"),
            ),
        ] {
            assert_eq!(SettingOverride::parse(given).as_ref(), Ok(&expected), "{given}");
            assert_eq!(SettingOverride::parse(given).unwrap().value, expected.value, "{given}");
        }
    }

    #[test]
    fn what_sets_nothing_is_an_error() {
        let error = |given| SettingOverride::parse(given).unwrap_err().to_string();
        insta::assert_snapshot!(error("policy.delta"), @r#"expected SETTING=VALUE, such as policy.delta=0.5, found "policy.delta""#);
        insta::assert_snapshot!(error("policy..delta=1"), @r#""policy..delta" names no setting: expected names joined by dots, such as policy.delta"#);
        for given in ["=1", " =1", "policy. delta=1", ".=1"] {
            assert!(error(given).contains("names no setting"), "{given}");
        }
        assert!(!error("roles.draft.token_source:hf_x").contains("hf_x"));
    }
}
