//! sha256 of files, with the position reported while it runs.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes moved at a time.
pub(crate) const CHUNK: usize = 1 << 20;

/// The digest as lower-case hex.
pub(crate) fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Feeds all of `reader` to `hasher`, calling `at` with the number of bytes read so far.
pub(super) fn feed(reader: &mut impl Read, hasher: &mut Sha256, mut at: impl FnMut(u64)) -> io::Result<u64> {
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
        at(total);
    }
}

/// sha256 of a file.
pub(crate) fn sha256(path: &Path, at: impl FnMut(u64)) -> io::Result<String> {
    let mut hasher = Sha256::new();
    feed(&mut File::open(path)?, &mut hasher, at)?;
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
