//! Writing settings into a deployment file: whole or not at all, comments kept, and nothing that would not load.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use serde_yaml::Value;

use super::{Override, TargetRule, edit, load};

/// How a file begins that is written beside the deployment file and takes its place when it is complete.
const NEW: &str = ".rsd-new-";

/// Whether a text is written or only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writing {
    Try,
    Do,
}

/// Writes these settings into a file, or finds out whether they could be written. What is left must load under the same
/// environment and options.
///
/// # Errors
/// Why the file is as it was before.
pub(crate) fn write(
    file: &Path,
    settings: &[(String, Value)],
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[Override],
    target: TargetRule,
    how: Writing,
) -> Result<(), String> {
    let io_failed = |error: io::Error| error.to_string();
    let text = fs::read_to_string(file).map_err(io_failed)?;
    let edited = edit(&text, settings).map_err(|error| error.to_string())?;
    if edited == text {
        return Ok(());
    }
    let real = fs::canonicalize(file).map_err(io_failed)?;
    let folder = real.parent().unwrap_or(Path::new("."));
    sweep(folder);
    let new = beside(&real, folder, edited.as_bytes()).map_err(io_failed)?;
    if let Err(error) = load(Some(new.path()), environment, overrides, target) {
        let name = new.path().display().to_string();
        return Err(format!("it would be refused: {}", error.to_string().replace(&name, &real.display().to_string())));
    }
    if how == Writing::Do {
        new.persist(&real).map_err(|error| error.error.to_string())?;
        // The rename is to last too. Only Unix lets a folder be opened for that.
        if cfg!(unix) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_failed)?;
        }
    }
    Ok(())
}

/// A complete new file beside an old one, its owner's and with its permissions.
fn beside(old: &Path, folder: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let metadata = fs::metadata(old)?;
    if metadata.permissions().readonly() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only"));
    }
    let mut new = tempfile::Builder::new().prefix(NEW).suffix(".yaml").tempfile_in(folder)?;
    new.as_file().set_permissions(metadata.permissions())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, chown};
        let mine = new.as_file().metadata()?;
        if (mine.uid(), mine.gid()) != (metadata.uid(), metadata.gid()) {
            chown(new.path(), Some(metadata.uid()), Some(metadata.gid()))?;
        }
    }
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    Ok(new)
}

/// Removes what a killed writer left. Writers of one server take turns, so nobody else is writing here.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(NEW) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
