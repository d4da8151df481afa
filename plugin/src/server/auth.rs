//! The API key: read from the environment or a file, compared in constant time, never printed.

use std::path::Path;

use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::ApiError;

/// A key, kept as its hash so that neither its text nor its length can leak.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey([u8; 32]);

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// The settings that say where a key is, for messages.
#[derive(Debug, Clone, Copy)]
pub struct KeySource {
    /// The setting that names an environment variable.
    pub env: &'static str,
    /// The setting that names a file.
    pub file: &'static str,
}

/// Why a key could not be read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The variable is not there or empty.
    #[error("{setting}: the environment variable {name} is not set; set it or remove the setting")]
    Environment {
        /// The setting that names it.
        setting: &'static str,
        /// The variable.
        name: String,
    },
    /// The file cannot be read or is empty.
    #[error("{setting}: {path} holds no key: {reason}")]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl ApiKey {
    /// A key given as text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(hash(text))
    }

    /// Reads the key from where the deployment says; `None` where it says nothing.
    ///
    /// # Errors
    /// The place named holds no key.
    pub fn read(variable: Option<&str>, file: Option<&Path>) -> Result<Option<Self>, KeyError> {
        Self::read_from(variable, file, KeySource { env: "server.api_key_env", file: "server.api_key_file" })
    }

    /// The same for other settings.
    ///
    /// # Errors
    /// The place named holds no key.
    pub fn read_from(variable: Option<&str>, file: Option<&Path>, source: KeySource) -> Result<Option<Self>, KeyError> {
        if let Some(name) = variable {
            let text = std::env::var(name).ok().filter(|text| !text.trim().is_empty());
            return text
                .map(|text| Some(Self::new(text.trim())))
                .ok_or_else(|| KeyError::Environment { setting: source.env, name: name.to_owned() });
        }
        let Some(path) = file else { return Ok(None) };
        let error = |reason: String| KeyError::File { setting: source.file, path: path.display().to_string(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| error(e.to_string()))?;
        if text.trim().is_empty() {
            return Err(error("it is empty".to_owned()));
        }
        Ok(Some(Self::new(text.trim())))
    }

    /// Whether a request brings this key.
    pub(super) fn opens(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        bool::from(hash(token.trim()).ct_eq(&self.0))
    }

    /// Lets a request with this key pass.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.opens(headers) {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "invalid_api_key",
            "send the server's API key as `Authorization: Bearer KEY`",
        ))
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
        assert!(key.check(&headers("Bearer secret")).is_ok());
        for wrong in ["Bearer secre", "Bearer secrets", "secret", "Bearer ", "Basic secret"] {
            assert!(key.check(&headers(wrong)).is_err(), "{wrong}");
        }
        assert!(key.check(&HeaderMap::new()).is_err());
        assert_eq!(format!("{key:?}"), "ApiKey(..)");
    }
}
