//! Reads regular files only: a device may have no end, and a pipe may have no writer.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    path::Path,
};

use crate::FileError;

/// Opens a regular file for reading. Anything else, such as a pipe, a device or a folder, is an error at once.
pub fn open_regular(path: &Path) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    options.read(true);
    open_checked(&options, 0, path).map_err(FileError::io("open", path))
}

/// The content of a regular file of at most `max_bytes`.
pub fn read_regular(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FileError> {
    let failed = |error| FileError::io("read", path)(error);
    let mut options = OpenOptions::new();
    let file = open_checked(options.read(true), 0, path).map_err(failed)?;
    let mut bytes = Vec::new();
    // One byte more, because a file may grow while it is read.
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max_bytes {
        return Err(failed(io::Error::other(format!("it is longer than {max_bytes} bytes, so it is another file"))));
    }
    Ok(bytes)
}

/// Opens a file without waiting for the other end of a pipe, and refuses what is not a regular file.
pub(crate) fn open_checked(options: &OpenOptions, extra_flags: i32, path: &Path) -> io::Result<File> {
    let mut options = options.clone();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | extra_flags);
    #[cfg(not(unix))]
    let _ = (extra_flags, &mut options);
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(read_regular(&path, 3).unwrap(), b"abc");
        let error = read_regular(&path, 2).unwrap_err().to_string();
        assert!(error.contains("longer than 2 bytes"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn devices_pipes_and_folders_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [Path::new("/dev/zero"), folder.path(), &pipe] {
            let error = read_regular(path, 10).unwrap_err().to_string();
            assert!(error.contains("not a regular file"), "{error}");
        }
    }
}
