//! Writing run-time settings into the deployment file: whole or not at all, comments kept.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use rsd_protocol::live::Changed;
use serde_yaml::Value;

use super::{Control, Refusal, state::State};
use crate::config::{self, Origin, hot};

/// How a file begins that is written beside the deployment file and takes its place when it is complete.
const NEW: &str = ".rsd-new-";

/// Whether a text is written or only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    Try,
    Do,
}

impl Control {
    /// Writes every setting that was changed while the server ran; those that will be taken back stay out.
    ///
    /// # Errors
    /// There is no file, or it could not be written, or the server would refuse it; it is as before then.
    pub fn persist(&self) -> Result<Changed, Refusal> {
        let mut state = self.state.lock();
        let temporary = |path: &str| state.is_temporary(path);
        let (kept, out): (Vec<_>, Vec<_>) = state.runtime.keys().cloned().partition(|path| !temporary(path));
        let live = self.policy.current();
        let values: Vec<_> = hot::values(&live.live).into_iter().filter(|(path, _)| kept.contains(path)).collect();
        let persisted = self.write(&values, Writing::Do)?;
        let mut warnings: Vec<_> = super::change::shadowed(&state, &kept);
        warnings.extend(out.iter().map(|path| format!("{path}: will be taken back, so it is not written")));
        state.settled(&kept);
        Ok(Changed {
            dry_run: false,
            revision: live.revision,
            differences: Vec::new(),
            prediction: None,
            warnings,
            persisted: Some(persisted),
            reverts: None,
        })
    }

    /// Writes these settings, or finds out whether they could be written, and returns the file's name.
    pub(super) fn write(&self, settings: &[(String, Value)], how: Writing) -> Result<String, Refusal> {
        let file = self.sources.file.as_deref().ok_or(Refusal::NoFile)?;
        let failed = |reason: String| Refusal::Persist { file: file.display().to_string(), reason };
        let io_failed = |error: io::Error| failed(error.to_string());
        let text = fs::read_to_string(file).map_err(io_failed)?;
        let edited = config::edit(&text, settings).map_err(|error| failed(error.to_string()))?;
        if edited == text {
            return Ok(file.display().to_string());
        }
        let real = fs::canonicalize(file).map_err(io_failed)?;
        let folder = real.parent().unwrap_or(Path::new("."));
        sweep(folder);
        let new = beside(&real, folder, edited.as_bytes()).map_err(io_failed)?;
        // What the next start would read, with the same environment and options.
        let checked = config::load(
            Some(new.path()),
            self.sources.environment.clone(),
            &self.sources.overrides,
            self.sources.target,
        );
        if let Err(error) = checked {
            let name = new.path().display().to_string();
            return Err(failed(format!(
                "it would be refused: {}",
                error.to_string().replace(&name, &real.display().to_string())
            )));
        }
        if how == Writing::Do {
            new.persist(&real).map_err(|error| failed(error.error.to_string()))?;
            // The rename is to last too. Only Unix lets a folder be opened for that.
            if cfg!(unix) {
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_failed)?;
            }
        }
        Ok(file.display().to_string())
    }
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

impl State {
    /// These settings now stand in the file: the layer on top need not hold them, unless a stronger layer would
    /// speak in its place.
    pub(super) fn settled(&mut self, paths: &[String]) {
        let stronger = |path: &&String| matches!(self.base.origins.get(*path), Some(Origin::Env(_) | Origin::Flag(_)));
        let held = |path: &String| Some((path.clone(), self.runtime.get(path)?.0.clone()));
        let set: Vec<_> = paths.iter().filter(|path| !stronger(path)).filter_map(held).collect();
        // Together: one without the other may not be allowed.
        let Ok(base) = hot::with(&self.base.deployment, &set) else { return };
        self.base.deployment = base;
        for (path, _) in set {
            self.runtime.remove(&path);
            self.base.origins.insert(path, Origin::File);
        }
    }
}
