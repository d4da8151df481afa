//! The file in which a server leaves the address and the tokens of its admin listener, so that a console on the same
//! machine finds them; and the folders of the user's state that both programs use.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The file's content, as JSON. Only its owner may read it (mode 0600).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFile {
    /// The admin listener, such as `http://127.0.0.1:1235`.
    pub admin: String,
    /// The OpenAI endpoint, where `/metrics` is.
    pub endpoint: String,
    /// The token for reading.
    pub read_token: String,
    /// The token for reading and changing.
    pub write_token: String,
}

impl std::fmt::Debug for TokenFile {
    /// Leaves the tokens out, so that they reach no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenFile")
            .field("admin", &self.admin)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// The folder of these files: `$XDG_RUNTIME_DIR/mistralrs-rsd`, else [`state_folder`]. `None` if neither
/// `XDG_RUNTIME_DIR` nor `HOME` is set.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    match folder_of("XDG_RUNTIME_DIR") {
        Some(base) => Some(base.join(PROJECT)),
        None => state_folder(),
    }
}

/// `~/.local/state/mistralrs-rsd`, for logs and other state of this user. `None` if `HOME` is not set.
#[must_use]
pub fn state_folder() -> Option<PathBuf> {
    Some(folder_of("HOME")?.join(".local/state").join(PROJECT))
}

const PROJECT: &str = "mistralrs-rsd";

fn folder_of(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The file of the server whose admin listener has this port.
#[must_use]
pub fn path(port: u16) -> Option<PathBuf> {
    Some(folder()?.join(format!("admin-{port}.json")))
}
