//! Files that only their owner may read: secrets, and logs of what users and operators do.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    path::Path,
};

use crate::{
    FileError,
    regular::{open_checked, read_regular},
};

/// Longest file with a secret.
const MAX_SECRET: u64 = 64 << 10;

/// The text of a file with a secret. A file that others can read is an error.
///
/// Its group may read a file of root: this is how a container that does not run as root gets its secrets.
pub fn read_secret(path: &Path) -> Result<String, FileError> {
    let failed = |error| FileError::io("read", path)(error);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    check_secret(&metadata).map_err(failed)?;
    let bytes = read_regular(path, MAX_SECRET)?;
    String::from_utf8(bytes).map_err(|_| failed(io::Error::other("it is not text in UTF-8")))
}

#[cfg(unix)]
fn check_secret(metadata: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let (mode, of_root) = (metadata.mode() & 0o777, metadata.uid() == 0);
    let open_to = match (mode & 0o007, mode & 0o070) {
        (0, 0) => return Ok(()),
        (0, 0o040) if of_root => return Ok(()),
        (0, _) => "its group",
        _ => "every user of this machine",
    };
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("it is open to {open_to} (mode {mode:04o}): make it its owner's alone with chmod 600"),
    ))
}

#[cfg(not(unix))]
fn check_secret(_: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Opens a log to append to. A new one is its owner's alone; one that exists is closed to everybody but its owner and
/// its group. A link is not followed, because somebody else may have put it there.
pub fn append_private(path: &Path) -> Result<File, FileError> {
    let failed = |error| FileError::io("open", path)(error);
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    #[cfg(unix)]
    let flags = libc::O_NOFOLLOW;
    #[cfg(not(unix))]
    let flags = 0;
    let file = open_checked(&options, flags, path).map_err(|error| {
        let is_link = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        failed(if is_link { io::Error::other("it is a link: name the file itself") } else { error })
    })?;
    #[cfg(unix)]
    close_to_others(&file).map_err(failed)?;
    Ok(file)
}

#[cfg(unix)]
fn close_to_others(file: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let metadata = file.metadata()?;
    if metadata.nlink() > 1 {
        return Err(io::Error::other("it has a second name (a hard link): name another file"));
    }
    let mode = metadata.mode() & 0o777;
    let closed = mode & 0o770;
    if mode == closed {
        return Ok(());
    }
    file.set_permissions(PermissionsExt::from_mode(closed)).map_err(|_| {
        io::Error::other(format!(
            "it is open to every user of this machine (mode {mode:04o}) and another user's: name another file"
        ))
    })
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Write,
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    };

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused_and_told_how_to_mend() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "hush").unwrap();
        for good in [0o600, 0o400] {
            set_mode(&path, good);
            assert_eq!(read_secret(&path).unwrap(), "hush");
        }
        for bad in [0o644, 0o604, 0o602, 0o620, 0o660, 0o777] {
            set_mode(&path, bad);
            let error = read_secret(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600") && error.contains(&format!("mode {bad:04o}")), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
        set_mode(&path, 0o440);
        assert_eq!(read_secret(&path).is_ok(), fs::metadata(&path).unwrap().uid() == 0);
    }

    #[test]
    fn a_log_is_its_owners_alone_and_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for line in ["a", "b"] {
            append_private(&path).unwrap().write_all(line.as_bytes()).unwrap();
            assert_eq!(mode(&path), 0o600);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "ab");
        for (before, after) in [(0o644, 0o640), (0o666, 0o660), (0o640, 0o640)] {
            set_mode(&path, before);
            append_private(&path).unwrap();
            assert_eq!(mode(&path), after, "{before:o}");
        }
    }

    #[test]
    fn a_link_in_place_of_a_log_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, path) = (folder.path().join("victim"), folder.path().join("log"));
        fs::write(&victim, "safe").unwrap();
        for plant in [symlink::<&Path, &Path>, |from: &Path, to: &Path| fs::hard_link(from, to)] {
            plant(&victim, &path).unwrap();
            let error = append_private(&path).unwrap_err().to_string();
            assert!(error.contains("link"), "{error}");
            fs::remove_file(&path).unwrap();
        }
        symlink(folder.path().join("nothing"), &path).unwrap();
        assert!(append_private(&path).is_err() && !folder.path().join("nothing").exists());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "safe");
    }
}
