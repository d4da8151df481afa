//! Atomic replacement: a reader sees the old file or the new one, and a crash leaves one of the two.
//!
//! The bytes go into a temporary file in the same directory, which is synced and renamed over the old file; then the
//! directory is synced, so that the rename survives a power cut too.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::FileError;

/// Who may read and write a file that is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAccess {
    /// What the umask allows, as for any new file.
    Shared,
    /// The owner alone, from the moment the file exists: for secrets.
    OwnerOnly,
    /// The permissions and the owner of the file that is replaced, which must not be read-only. Without such a file
    /// this is [`FileAccess::Shared`].
    Inherited,
}

/// A complete file beside the one it is to replace. Dropped without [`PreparedFile::commit`], it is deleted.
#[derive(Debug)]
pub struct PreparedFile {
    file: tempfile::NamedTempFile,
    target: PathBuf,
}

impl PreparedFile {
    /// Writes `bytes` to a new file in the directory of `target`, and syncs it. Its name begins with `prefix`, so that
    /// the caller can find what a killed process left behind, and ends with `suffix`.
    pub fn write(
        target: &Path,
        bytes: &[u8],
        access: FileAccess,
        (prefix, suffix): (&str, &str),
    ) -> Result<Self, FileError> {
        let directory = directory_of(target);
        let old = match access {
            FileAccess::Inherited => {
                metadata_if_any(target).map_err(FileError::io("read the permissions of", target))?
            }
            FileAccess::Shared | FileAccess::OwnerOnly => None,
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(prefix).suffix(suffix);
        // Temporary files are their owner's alone by default; the umask still applies to what is asked for here.
        #[cfg(unix)]
        if access != FileAccess::OwnerOnly && old.is_none() {
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(directory).map_err(FileError::io("write to", directory))?;
        if let Some(old) = old {
            inherit(&file, &old).map_err(FileError::io("write", target))?;
        }
        file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(FileError::io("write", target))?;
        Ok(Self { file, target: target.to_path_buf() })
    }

    /// Where the new bytes are until they are committed.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Puts the new file in the place of the old one.
    pub fn commit(self) -> Result<(), FileError> {
        let Self { file, target } = self;
        file.persist(&target).map_err(|error| FileError::io("write", &target)(error.error))?;
        sync_directory_of(&target)
    }
}

/// Replaces the content of `path` with `bytes`, or creates it.
pub fn replace(path: &Path, bytes: &[u8], access: FileAccess) -> Result<(), FileError> {
    PreparedFile::write(path, bytes, access, (".rsd-", ".tmp"))?.commit()
}

/// [`replace()`] with `value` as indented JSON and a line feed at the end.
pub fn replace_json(path: &Path, value: &impl Serialize, access: FileAccess) -> Result<(), FileError> {
    let mut json = serde_json::to_vec_pretty(value).map_err(|error| FileError::io("write", path)(error.into()))?;
    json.push(b'\n');
    replace(path, &json, access)
}

/// Makes a rename in the directory of `path` durable. Does nothing outside Unix, where a directory cannot be opened.
pub fn sync_directory_of(path: &Path) -> Result<(), FileError> {
    if cfg!(unix) {
        let directory = directory_of(path);
        File::open(directory).and_then(|open| open.sync_all()).map_err(FileError::io("sync", directory))?;
    }
    Ok(())
}

/// Deletes a file; one that does not exist is no error.
pub fn remove_if_present(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::io("delete", path)(error)),
        _ => Ok(()),
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn metadata_if_any(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn inherit(new: &tempfile::NamedTempFile, old: &fs::Metadata) -> io::Result<()> {
    if old.permissions().readonly() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only"));
    }
    new.as_file().set_permissions(old.permissions())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, chown};
        let mine = new.as_file().metadata()?;
        if (mine.uid(), mine.gid()) != (old.uid(), old.gid()) {
            chown(new.path(), Some(old.uid()), Some(old.gid()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.collect()
    }

    #[test]
    fn a_file_is_created_and_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for bytes in [b"one".as_slice(), b"", b"three"] {
            replace(&path, bytes, FileAccess::Shared).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(names(folder.path()), ["a"]);
        }
        replace_json(&path, &[1, 2], FileAccess::Shared).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  1,\n  2\n]\n");
    }

    #[test]
    fn what_is_not_committed_leaves_the_old_file_and_no_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        let prepared = PreparedFile::write(&path, b"new", FileAccess::Shared, ("p-", "-s")).unwrap();
        let name = prepared.path().file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("p-") && name.ends_with("-s"), "{name}");
        assert_eq!(fs::read_to_string(prepared.path()).unwrap(), "new");
        drop(prepared);
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names(folder.path()).len()), ("old", 1));
    }

    #[cfg(unix)]
    #[test]
    fn access_is_what_was_asked_for() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        replace(&path, b"1", FileAccess::OwnerOnly).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"2", FileAccess::Inherited).unwrap();
        assert_eq!(mode(), 0o640);
        let plain = folder.path().join("plain");
        File::create(&plain).unwrap();
        replace(&path, b"3", FileAccess::Shared).unwrap();
        assert_eq!(mode(), fs::metadata(&plain).unwrap().permissions().mode() & 0o777);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        let error = replace(&path, b"4", FileAccess::Inherited).unwrap_err().to_string();
        assert_eq!(error, format!("cannot write {}: it is read-only", path.display()));
        assert_eq!(fs::read(&path).unwrap(), b"3");
    }

    #[test]
    fn a_missing_directory_is_named_and_a_missing_file_is_no_error_to_delete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/a");
        let error = replace(&path, b"", FileAccess::Shared).unwrap_err();
        assert_eq!((error.action, error.path.as_path()), ("write to", path.parent().unwrap()));
        remove_if_present(&folder.path().join("a")).unwrap();
    }
}
