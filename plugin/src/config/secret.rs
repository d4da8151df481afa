//! Text that may be a secret: a token's source, or a key pasted where its variable's name belongs.

use std::{fmt, ops::Deref};

use serde::{Deserialize, Serialize};

/// Text that `Debug` never shows, so that no structure that holds it can print it by accident.
///
/// Serialisation does write it: a deployment survives being written as YAML and read again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Override, TargetRule, load};

    #[test]
    fn nothing_that_holds_a_secret_prints_it() {
        let flags = [
            "roles.draft.bundled=draft",
            "roles.draft.token_source=literal:hf_abc",
            "roles.target={bundled: target, token_source: 'literal:hf_abc'}",
        ];
        let flags = flags.map(|flag| Override::parse(flag).unwrap());
        assert!(!format!("{flags:?}").contains("hf_abc"), "{flags:?}");
        let mut loaded = load(None, [], &flags, TargetRule::Required).unwrap();
        loaded.deployment.server.api_key_env = Some("hf_abc".into());
        assert!(!format!("{loaded:?}").contains("hf_abc"), "{loaded:?}");
        assert_eq!(loaded.deployment.roles.draft.token_source.as_deref(), Some("literal:hf_abc"));
    }
}
