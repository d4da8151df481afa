//! Stamps: a file of this size and modification time had this SHA-256. They save hashing gigabytes at each start.

use std::{fs, io, path::Path, time::UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What was known of a file when it was last hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Size in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970.
    pub modified_ns: u64,
    /// SHA-256 as lower-case hexadecimal.
    pub sha256: String,
}

impl FileStamp {
    /// The stamp of `path`, whose SHA-256 the caller has just computed.
    pub fn from_file(path: &Path, sha256: String) -> io::Result<Self> {
        let (size, modified_ns) = size_and_time(path)?;
        Ok(Self { size, modified_ns, sha256 })
    }

    /// Whether the file still has the size and the modification time of the stamp.
    #[must_use]
    pub fn is_fresh(&self, path: &Path) -> bool {
        size_and_time(path).is_ok_and(|now| now == (self.size, self.modified_ns))
    }

    /// Reads a stamp that was stored as JSON at `path`. `None` if there is none or it cannot be read.
    #[must_use]
    pub fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }
}

fn size_and_time(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((metadata.len(), u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_stale_once_the_file_has_another_size() {
        let folder = tempfile::tempdir().unwrap();
        let (file, stored) = (folder.path().join("a"), folder.path().join("a.stamp"));
        fs::write(&file, "abc").unwrap();
        let stamp = FileStamp::from_file(&file, "0".repeat(64)).unwrap();
        crate::replace_json(&stored, &stamp, crate::FileAccess::Shared).unwrap();
        assert_eq!(FileStamp::load(&stored).as_ref(), Some(&stamp));
        assert!(stamp.is_fresh(&file));
        fs::write(&file, "abcd").unwrap();
        assert!(!stamp.is_fresh(&file));
        assert_eq!(FileStamp::load(&file), None);
    }
}
