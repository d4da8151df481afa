//! Settings given on the command line, the strongest layer.

use serde_yaml::Value;

use super::{path::FieldPath, text};

/// One setting given by an option of the command line.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    pub(super) path: FieldPath,
    pub(super) value: Value,
    pub(super) flag: String,
}

/// Why the text of a `--set` was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected SETTING=VALUE, such as policy.delta=0.5, found {found:?}")]
pub struct OverrideError {
    found: String,
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
    /// There is no `=`, or nothing before it.
    pub fn parse(given: &str) -> Result<Self, OverrideError> {
        match given.split_once('=') {
            Some((path, value)) if !path.trim().is_empty() => Ok(Self::text(path.trim(), value, "--set")),
            // Only the part before any `:` or space is repeated: the rest may be a token.
            _ => Err(OverrideError { found: given.split([':', ' ']).next().unwrap_or_default().to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_reads_the_type_of_the_setting() {
        assert_eq!(Override::parse("policy.delta=0.5"), Ok(Override::value("policy.delta", 0.5, "--set")));
        assert_eq!(Override::parse("server.model_name=a=b"), Ok(Override::value("server.model_name", "a=b", "--set")));
        assert_eq!(Override::parse("roles.draft.isq="), Ok(Override::value("roles.draft.isq", Value::Null, "--set")));
    }

    #[test]
    fn what_sets_nothing_is_refused() {
        assert_eq!(
            Override::parse("policy.delta").unwrap_err().to_string(),
            r#"expected SETTING=VALUE, such as policy.delta=0.5, found "policy.delta""#
        );
        assert!(Override::parse("=1").is_err());
        assert!(!Override::parse("roles.draft.token_source:hf_x").unwrap_err().to_string().contains("hf_x"));
    }
}
