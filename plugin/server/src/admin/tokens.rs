//! The two tokens of the admin API: the read token, and the write token, which may also change settings.

use std::{
    fs,
    path::{Path, PathBuf},
};

use axum::http::HeaderMap;
use rsd_config::AdminConfig;
use rsd_files::{FileAccess, FileError};
use rsd_protocol::token_file::{self, TokenFile};
use sha2::{Digest, Sha256};

use crate::auth::{ApiKey, KeyError, KeySettings};

/// What the token of a request allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenScope {
    Read,
    /// Reading and changing.
    Write,
}

impl TokenScope {
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// The tokens of a running server.
#[derive(Debug)]
pub struct AdminTokens {
    read: Option<ApiKey>,
    write: Option<ApiKey>,
}

/// Why the admin API has no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The deployment names an environment variable or a file that holds no token.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The generated tokens could not be written to a file.
    #[error(
        "cannot store the admin API's tokens: {0}. Name tokens of your own (admin.write_token_env), or disable the admin \
         API (admin.enabled: false)"
    )]
    File(#[from] FileError),
    #[error(
        "admin: the read token and the write token are the same, so every reader could write; use two different tokens"
    )]
    Same,
    /// No directory is known for the file with the tokens.
    #[error(
        "there is no directory for the admin API's tokens (neither XDG_RUNTIME_DIR nor HOME is set). Name tokens of your \
         own (admin.write_token_env), or disable the admin API (admin.enabled: false)"
    )]
    NoDirectory,
}

impl AdminTokens {
    /// These tokens. Without a write token no client can change anything.
    #[must_use]
    pub fn new(read: Option<&str>, write: Option<&str>) -> Self {
        Self { read: read.map(ApiKey::new), write: write.map(ApiKey::new) }
    }

    /// The tokens that the deployment names. If it names none, generates two and writes them to a file that only its
    /// owner can read; `admin` and `endpoint` are the addresses for that file. Whoever owns the file decides when it is
    /// deleted: the tokens themselves live as long as the last connection.
    pub fn open(
        config: &AdminConfig,
        port: u16,
        admin: &str,
        endpoint: &str,
    ) -> Result<(Self, Option<OwnedTokenFile>), TokenError> {
        let key = |env: &Option<rsd_config::SecretSource>, file: &Option<PathBuf>, names: KeySettings| {
            ApiKey::read_from(env.as_deref(), file.as_deref(), names)
        };
        let read_names = KeySettings { env: "admin.read_token_env", file: "admin.read_token_file" };
        let write_names = KeySettings { env: "admin.write_token_env", file: "admin.write_token_file" };
        let read = key(&config.read_token_env, &config.read_token_file, read_names)?;
        let write = key(&config.write_token_env, &config.write_token_file, write_names)?;
        if read.is_some() && read == write {
            return Err(TokenError::Same);
        }
        if read.is_some() || write.is_some() {
            return Ok((Self { read, write }, None));
        }
        let file = TokenFile {
            admin: admin.to_owned(),
            endpoint: endpoint.to_owned(),
            read_token: random_token(),
            write_token: random_token(),
        };
        let path = token_file::path(port).ok_or(TokenError::NoDirectory)?;
        let owned = OwnedTokenFile::write(&path, &file)?;
        Ok((Self::new(Some(&file.read_token), Some(&file.write_token)), Some(owned)))
    }

    /// What a request with these headers may do. Both tokens are always compared, so that the response time reveals nothing.
    pub(super) fn scope(&self, headers: &HeaderMap) -> Option<TokenScope> {
        let matches = |key: &Option<ApiKey>| key.as_ref().is_some_and(|key| key.matches(headers));
        match (matches(&self.write), matches(&self.read)) {
            (true, _) => Some(TokenScope::Write),
            (false, true) => Some(TokenScope::Read),
            (false, false) => None,
        }
    }
}

/// A file with generated tokens; deleted when dropped.
#[derive(Debug)]
pub struct OwnedTokenFile {
    path: PathBuf,
    /// Hash of what was written. If another server has replaced the file since, it is not deleted.
    sha256: [u8; 32],
}

impl Drop for OwnedTokenFile {
    fn drop(&mut self) {
        let unchanged = fs::read(&self.path).is_ok_and(|bytes| <[u8; 32]>::from(Sha256::digest(bytes)) == self.sha256);
        if unchanged {
            // A file that stays is harmless: the next start generates new tokens.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// 244 random bits.
fn random_token() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

impl OwnedTokenFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(path: &Path, file: &TokenFile) -> Result<Self, FileError> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(FileError::io("create", directory))?;
        }
        let bytes = serde_json::to_vec_pretty(file).map_err(|error| FileError::io("write", path)(error.into()))?;
        rsd_files::replace(path, &bytes, FileAccess::OwnerOnly)?;
        Ok(Self { path: path.to_owned(), sha256: Sha256::digest(&bytes).into() })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::AUTHORIZATION;

    use super::*;

    fn headers(token: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
    }

    #[test]
    fn each_token_opens_what_it_is_for() {
        let tokens = AdminTokens::new(Some("r"), Some("w"));
        assert_eq!(tokens.scope(&headers("r")), Some(TokenScope::Read));
        assert_eq!(tokens.scope(&headers("w")), Some(TokenScope::Write));
        assert_eq!(tokens.scope(&headers("x")), None);
        assert_eq!(tokens.scope(&HeaderMap::new()), None);
        assert_eq!(AdminTokens::new(None, None).scope(&headers("")), None);
        assert_eq!(format!("{tokens:?}"), "AdminTokens { read: Some(ApiKey(..)), write: Some(ApiKey(..)) }");
    }

    #[cfg(unix)]
    #[test]
    fn a_token_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/admin-1.json");
        let file = TokenFile {
            admin: "http://a".to_owned(),
            endpoint: "http://b".to_owned(),
            read_token: random_token(),
            write_token: random_token(),
        };
        let owned = OwnedTokenFile::write(&path, &file).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let back: TokenFile = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(back, file);
        assert!(!format!("{file:?}").contains(&file.write_token));
        drop(owned);
        assert!(!path.exists());
        // One that an older server left, of whatever form and mode, is replaced.
        fs::write(&path, "{\"admin\": \"http://old\"}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        drop(OwnedTokenFile::write(&path, &file).unwrap());
        let renewed = OwnedTokenFile::write(&path, &file).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(serde_json::from_slice::<TokenFile>(&fs::read(&path).unwrap()).unwrap(), file);
        drop(renewed);
        // A file that another server has put there meanwhile stays.
        let owned = OwnedTokenFile::write(&path, &file).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(owned);
        assert!(path.exists());
    }
}
