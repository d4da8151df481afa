//! The two tokens: one may read, the other may change things too.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use axum::http::HeaderMap;
use rsd_protocol::token_file::{self, TokenFile};
use sha2::{Digest, Sha256};

use crate::{
    config::AdminConfig,
    server::auth::{ApiKey, KeyError, KeySource},
};

/// What a request may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Look.
    Read,
    /// Change things.
    Write,
}

impl Scope {
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// The tokens of a running server.
#[derive(Debug)]
pub struct Tokens {
    read: Option<ApiKey>,
    write: Option<ApiKey>,
    /// The file they were left in, where the server made them itself; removed when it ends.
    left: Option<Left>,
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The place that is named holds none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The ones that were made could not be left anywhere.
    #[error(
        "the admin API's tokens could not be left in {}: {source}. Name tokens of your own (admin.write_token_env) or \
         turn it off (admin.enabled: false)",
        path.display()
    )]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One token for both.
    #[error("admin: the read token and the write token are the same, so whoever may read may write: make two")]
    Same,
    /// There is no home to leave them in.
    #[error(
        "there is no folder to leave the admin API's tokens in (neither XDG_RUNTIME_DIR nor HOME is set). Name tokens \
         of your own (admin.write_token_env) or turn it off (admin.enabled: false)"
    )]
    NoFolder,
}

impl Tokens {
    /// These tokens; without a write token nobody may change anything.
    #[must_use]
    pub fn new(read: Option<&str>, write: Option<&str>) -> Self {
        Self { read: read.map(ApiKey::new), write: write.map(ApiKey::new), left: None }
    }

    /// The tokens that the deployment names; where it names none, new ones, left in a file that only its owner may
    /// read. `admin` and `endpoint` are the addresses that file names.
    ///
    /// # Errors
    /// A place that is named holds no token, or new ones cannot be left anywhere.
    pub fn open(config: &AdminConfig, port: u16, admin: &str, endpoint: &str) -> Result<Self, TokenError> {
        let key = |env: &Option<crate::config::Secret>, file: &Option<PathBuf>, names: KeySource| {
            ApiKey::read_from(env.as_deref(), file.as_deref(), names)
        };
        let read_names = KeySource { env: "admin.read_token_env", file: "admin.read_token_file" };
        let write_names = KeySource { env: "admin.write_token_env", file: "admin.write_token_file" };
        let read = key(&config.read_token_env, &config.read_token_file, read_names)?;
        let write = key(&config.write_token_env, &config.write_token_file, write_names)?;
        if read.is_some() && read == write {
            return Err(TokenError::Same);
        }
        if read.is_some() || write.is_some() {
            return Ok(Self { read, write, left: None });
        }
        let file = TokenFile {
            admin: admin.to_owned(),
            endpoint: endpoint.to_owned(),
            read_token: random(),
            write_token: random(),
        };
        let path = token_file::path(port).ok_or(TokenError::NoFolder)?;
        let left = leave(&path, &file).map_err(|source| TokenError::File { path, source })?;
        Ok(Self { left: Some(left), ..Self::new(Some(&file.read_token), Some(&file.write_token)) })
    }

    /// Where the tokens were left, if the server made them.
    #[must_use]
    pub fn left_in(&self) -> Option<&Path> {
        self.left.as_ref().map(|left| left.path.as_path())
    }

    /// What a request with these headers may do. Both tokens are compared whatever the first comparison says.
    pub(super) fn scope(&self, headers: &HeaderMap) -> Option<Scope> {
        let holds = |key: &Option<ApiKey>| key.as_ref().is_some_and(|key| key.opens(headers));
        match (holds(&self.write), holds(&self.read)) {
            (true, _) => Some(Scope::Write),
            (false, true) => Some(Scope::Read),
            (false, false) => None,
        }
    }
}

/// A token file, which goes when the server does.
#[derive(Debug)]
struct Left {
    path: PathBuf,
    /// What was written: another server may have put its own there since.
    sha256: [u8; 32],
}

impl Drop for Left {
    fn drop(&mut self) {
        let ours = fs::read(&self.path).is_ok_and(|bytes| <[u8; 32]>::from(Sha256::digest(bytes)) == self.sha256);
        if ours {
            // The next start makes new tokens anyway.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// 244 random bits.
fn random() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

fn leave(path: &Path, file: &TokenFile) -> io::Result<Left> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // A temporary file is its owner's alone from the start, and the rename keeps it so.
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    let bytes = serde_json::to_vec_pretty(file)?;
    temporary.write_all(&bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    Ok(Left { path: path.to_owned(), sha256: Sha256::digest(&bytes).into() })
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
        let tokens = Tokens::new(Some("r"), Some("w"));
        assert_eq!(tokens.scope(&headers("r")), Some(Scope::Read));
        assert_eq!(tokens.scope(&headers("w")), Some(Scope::Write));
        assert_eq!(tokens.scope(&headers("x")), None);
        assert_eq!(tokens.scope(&HeaderMap::new()), None);
        assert_eq!(Tokens::new(None, None).scope(&headers("")), None);
        assert_eq!(format!("{tokens:?}"), "Tokens { read: Some(ApiKey(..)), write: Some(ApiKey(..)), left: None }");
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
            read_token: random(),
            write_token: random(),
        };
        let left = leave(&path, &file).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let back: TokenFile = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(back, file);
        assert!(!format!("{file:?}").contains(&file.write_token));
        drop(Tokens { left: Some(left), ..Tokens::new(None, None) });
        assert!(!path.exists());
        // What another server has left there meanwhile stays.
        let left = leave(&path, &file).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(left);
        assert!(path.exists());
    }
}
