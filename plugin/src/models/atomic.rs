//! Small files and renames that a crash cannot leave half done.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::error::ModelError;

/// Makes a rename in `path`'s directory last. Only Unix lets a directory be opened for that.
pub(crate) fn sync_dir_of(path: &Path) -> Result<(), ModelError> {
    if cfg!(unix)
        && let Some(dir) = path.parent()
    {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(ModelError::io("sync", dir))?;
    }
    Ok(())
}

/// Writes `value` as JSON to `path`, whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ModelError> {
    let mut json = serde_json::to_vec_pretty(value).map_err(|error| ModelError::Io {
        action: "write",
        path: path.to_path_buf(),
        source: error.into(),
    })?;
    json.push(b'\n');
    write(path, &json)
}

/// Writes `bytes` to `path`, whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // Temporary files are the owner's alone unless told; a cache may be shared.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(dir).map_err(ModelError::io("write to", dir))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(ModelError::io("write", path))?;
    file.persist(path).map_err(|error| ModelError::Io {
        action: "write",
        path: path.to_path_buf(),
        source: error.error,
    })?;
    sync_dir_of(path)
}

/// Deletes a file that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), ModelError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ModelError::io("delete", path)(error)),
        _ => Ok(()),
    }
}
