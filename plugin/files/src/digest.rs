//! SHA-256 of files, with a callback that reports the position.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

/// Bytes read at a time.
pub const CHUNK: usize = 1 << 20;

/// The digest as lower-case hexadecimal.
#[must_use]
pub fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Feeds all of `reader` to `hasher` and returns the number of bytes. Calls `on_progress` with the bytes read so far.
pub fn feed(reader: &mut impl Read, hasher: &mut Sha256, mut on_progress: impl FnMut(u64)) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut total = 0;
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..read]);
        total += read as u64;
        on_progress(total);
    }
}

/// The SHA-256 of a file as lower-case hexadecimal. Calls `on_progress` with the bytes read so far.
pub fn sha256(path: &Path, on_progress: impl FnMut(u64)) -> io::Result<String> {
    let mut hasher = Sha256::new();
    feed(&mut File::open(path)?, &mut hasher, on_progress)?;
    Ok(hex(hasher))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_vector() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let mut last = 0;
        let found = sha256(&path, |at| last = at).unwrap();
        assert_eq!(found, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(last, 3);
    }
}
