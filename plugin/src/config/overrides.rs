//! Settings given on the command line, the strongest layer.

use std::fmt;

use serde_yaml::Value;

use super::{path::FieldPath, text};

/// One setting given by an option of the command line.
#[derive(Clone, PartialEq)]
pub struct Override {
    pub(super) path: FieldPath,
    pub(super) value: Value,
    pub(super) flag: String,
}

impl fmt::Debug for Override {
    /// Without the value, which may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}=..", self.flag, self.path)
    }
}

/// Why the text of a `--set` was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// There is no `=`.
    #[error("expected SETTING=VALUE, such as policy.delta=0.5, found {0:?}")]
    NoValue(String),
    /// What stands before the `=` can be no setting.
    #[error("{0:?} names no setting: expected names joined by dots, such as policy.delta")]
    NoSetting(String),
}

impl Override {
    /// Sets `path` to a value as it is; `flag` names the option in errors and in `config show`.
    pub fn value(path: &str, value: impl Into<Value>, flag: impl Into<String>) -> Self {
        Self { path: FieldPath::parse(path), value: value.into(), flag: flag.into() }
    }

    /// Sets `path` to text, read as the type of that setting, just as a variable of the environment is.
    pub fn text(path: &str, text: &str, flag: impl Into<String>) -> Self {
        let path = FieldPath::parse(path);
        Self { value: text::read(&path, text), path, flag: flag.into() }
    }

    /// Reads `policy.delta=0.5`, the value of a `--set`.
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

    /// Whether this sets the setting of that name.
    pub fn sets(&self, path: &str) -> bool {
        self.path == FieldPath::parse(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_reads_the_type_of_the_setting() {
        for (given, expected) in [
            ("policy.delta=0.5", Override::value("policy.delta", 0.5, "--set")),
            (" limits.running = 2", Override::value("limits.running", 2u64, "--set")),
            ("roles.draft.cpu=true", Override::value("roles.draft.cpu", true, "--set")),
            ("roles.draft.isq=4", Override::value("roles.draft.isq", "4", "--set")),
            ("roles.draft.isq=", Override::value("roles.draft.isq", Value::Null, "--set")),
            ("server.model_name=a=b", Override::value("server.model_name", "a=b", "--set")),
            (r#"steps.delimiters=["\n\n", "="]"#, Override::value("steps.delimiters", vec!["\n\n", "="], "--set")),
        ] {
            assert_eq!(Override::parse(given).as_ref(), Ok(&expected), "{given}");
            assert_eq!(Override::parse(given).unwrap().value, expected.value, "{given}");
        }
    }

    #[test]
    fn what_sets_nothing_is_refused() {
        let refused = |given| Override::parse(given).unwrap_err().to_string();
        insta::assert_snapshot!(refused("policy.delta"), @r#"expected SETTING=VALUE, such as policy.delta=0.5, found "policy.delta""#);
        insta::assert_snapshot!(refused("policy..delta=1"), @r#""policy..delta" names no setting: expected names joined by dots, such as policy.delta"#);
        for given in ["=1", " =1", "policy. delta=1", ".=1"] {
            assert!(refused(given).contains("names no setting"), "{given}");
        }
        assert!(!refused("roles.draft.token_source:hf_x").contains("hf_x"));
    }
}
