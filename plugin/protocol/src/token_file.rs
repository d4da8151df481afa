//! Where a server on this machine leaves the address and the tokens of its admin listener, so that its console finds
//! them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the file holds, as JSON. It is its owner's alone (mode 0600).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFile {
    /// The admin listener, such as `http://127.0.0.1:1235`.
    pub admin: String,
    /// The OpenAI endpoint, where `/metrics` is.
    pub endpoint: String,
    /// The token that may read.
    pub read_token: String,
    /// The token that may change things too.
    pub write_token: String,
}

impl std::fmt::Debug for TokenFile {
    /// Without the tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenFile")
            .field("admin", &self.admin)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// The folder of these files: `$XDG_RUNTIME_DIR/mistralrs-rsd`, else `~/.local/state/mistralrs-rsd`.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_RUNTIME_DIR").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    base.map(|base| base.join("mistralrs-rsd"))
}

/// The file of the server whose admin listener has this port.
#[must_use]
pub fn path(port: u16) -> Option<PathBuf> {
    Some(folder()?.join(format!("admin-{port}.json")))
}
