//! The API key: it comes from the environment or a file, is compared in constant time and never printed.

use std::path::Path;

use axum::http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A key, stored as its hash so that neither its text nor its length can leak.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey([u8; 32]);

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// Names of the settings that say where a key is, for error messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeySettings {
    /// The setting that names an environment variable.
    pub env: &'static str,
    /// The setting that names a file.
    pub file: &'static str,
}

/// Why there is no key although the deployment asks for one.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The environment variable is unset or empty.
    #[error("{setting}: the environment variable {name} is not set; set it or remove the setting")]
    Environment {
        /// The setting that names the variable.
        setting: &'static str,
        name: String,
    },
    /// The file cannot be read, is empty, or is open to others.
    #[error("{setting}: no key can be taken from {path}: {reason}")]
    File {
        /// The setting that names the file.
        setting: &'static str,
        path: String,
        reason: String,
    },
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl ApiKey {
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(hash(text))
    }

    /// Reads the API key from the environment variable or the file that the deployment names; `None` if it names none.
    pub fn read(variable: Option<&str>, file: Option<&Path>) -> Result<Option<Self>, KeyError> {
        Self::read_from(variable, file, KeySettings { env: "server.api_key_env", file: "server.api_key_file" })
    }

    /// The same for a key that other settings name.
    pub(crate) fn read_from(
        variable: Option<&str>,
        file: Option<&Path>,
        settings: KeySettings,
    ) -> Result<Option<Self>, KeyError> {
        if let Some(name) = variable {
            let text = std::env::var(name).ok().filter(|text| !text.trim().is_empty());
            return text
                .map(|text| Some(Self::new(text.trim())))
                .ok_or_else(|| KeyError::Environment { setting: settings.env, name: name.to_owned() });
        }
        let Some(path) = file else { return Ok(None) };
        let error =
            |reason: String| KeyError::File { setting: settings.file, path: path.display().to_string(), reason };
        let text = rsd_files::read_secret(path).map_err(|e| error(e.source.to_string()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        if text.trim().is_empty() {
            return Err(error("it is empty".to_owned()));
        }
        Ok(Some(Self::new(text.trim())))
    }

    /// Whether a request has this key.
    pub(crate) fn matches(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given
            .and_then(|value| value.split_once(' '))
            // The name of the scheme is case-insensitive (RFC 9110, 11.1); the key is not.
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
            .map_or("", |(_, token)| token);
        bool::from(hash(token.trim()).ct_eq(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn only_the_key_opens_and_it_is_never_printed() {
        let key = ApiKey::new("secret");
        for right in ["Bearer secret", "bearer secret", "BEARER  secret"] {
            assert!(key.matches(&headers(right)), "{right}");
        }
        for wrong in ["Bearer secre", "Bearer SECRET", "Bearer secrets", "secret", "Bearer ", "Basic secret"] {
            assert!(!key.matches(&headers(wrong)), "{wrong}");
        }
        assert!(!key.matches(&HeaderMap::new()));
        assert_eq!(format!("{key:?}"), "ApiKey(..)");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "secret\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(ApiKey::read(None, Some(&path)).unwrap() == Some(ApiKey::new("secret")));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let error = ApiKey::read(None, Some(&path)).unwrap_err().to_string();
        assert!(error.starts_with("server.api_key_file: no key can be taken from "), "{error}");
        assert!(error.ends_with("make it its owner's alone with chmod 600") && !error.contains("secret"), "{error}");
    }
}
