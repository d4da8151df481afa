//! A stamp says: this file, at this size and time of change, had this sha256. It spares hashing gigabytes at each start.

use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

/// What was known of a file when it was last hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Size in bytes.
    pub size: u64,
    /// Time of last change, in nanoseconds since 1970.
    pub modified_ns: u64,
    /// sha256, lower-case hex.
    pub sha256: String,
}

impl Stamp {
    /// The stamp of `path`, whose sha256 the caller has just computed.
    pub(super) fn of(path: &Path, sha256: String) -> io::Result<Self> {
        let (size, modified_ns) = size_and_time(path)?;
        Ok(Self { size, modified_ns, sha256 })
    }

    /// Whether the file has neither changed size nor been written since.
    pub(super) fn is_fresh(&self, path: &Path) -> bool {
        size_and_time(path).is_ok_and(|now| now == (self.size, self.modified_ns))
    }

    /// The stamp stored at `path`; one that cannot be read is as good as none.
    pub(super) fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }
}

fn size_and_time(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((metadata.len(), u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
}
