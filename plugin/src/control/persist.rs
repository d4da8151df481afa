//! Writing run-time settings into the deployment file: whole or not at all, comments kept.

use std::{fs, path::Path, sync::Arc};

use rsd_protocol::live::Changed;
use serde_yaml::Value;

use super::{Control, Refusal, state::State};
use crate::{
    config::{self, Origin, hot},
    models::atomic,
};

impl Control {
    /// Writes every setting that was changed while the server ran; those that will be taken back stay out.
    ///
    /// # Errors
    /// There is no file, or it could not be written; it is as before then.
    pub fn persist(self: &Arc<Self>) -> Result<Changed, Refusal> {
        let mut state = self.state.lock();
        let temporary = |path: &str| state.pending.iter().any(|pending| pending.holds(&state.runtime, path));
        let (kept, out): (Vec<_>, Vec<_>) = state.runtime.keys().cloned().partition(|path| !temporary(path));
        let live = self.policy.current();
        let values: Vec<_> = hot::values(&live.live).into_iter().filter(|(path, _)| kept.contains(path)).collect();
        let persisted = self.write(&values)?;
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

    /// Writes these settings and returns the file's name.
    pub(super) fn write(&self, settings: &[(String, Value)]) -> Result<String, Refusal> {
        let file = self.sources.file.as_deref().ok_or(Refusal::NoFile)?;
        let failed = |reason: String| Refusal::Persist { file: file.display().to_string(), reason };
        let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
        let edited = config::edit(&text, settings).map_err(|error| failed(error.to_string()))?;
        if edited != text {
            replace(file, edited.as_bytes()).map_err(failed)?;
        }
        Ok(file.display().to_string())
    }
}

/// Replaces a file that may be a link, and keeps its permissions.
fn replace(file: &Path, bytes: &[u8]) -> Result<(), String> {
    let real = fs::canonicalize(file).map_err(|error| error.to_string())?;
    let permissions = fs::metadata(&real).map_err(|error| error.to_string())?.permissions();
    if permissions.readonly() {
        return Err("it is read-only".to_owned());
    }
    atomic::write_as(&real, bytes, Some(permissions)).map_err(|error| error.to_string())
}

impl State {
    /// These settings now stand in the file: the layer on top need not hold them, unless a stronger layer would
    /// speak in its place.
    pub(super) fn settled(&mut self, paths: &[String]) {
        for path in paths {
            let stronger = matches!(self.base.origins.get(path), Some(Origin::Env(_) | Origin::Flag(_)));
            if stronger {
                continue;
            }
            let Some((value, _)) = self.runtime.remove(path) else { continue };
            if let Ok(base) = hot::with(&self.base.deployment, &[(path.clone(), value)]) {
                self.base.deployment = base;
                self.base.origins.insert(path.clone(), Origin::File);
            }
        }
    }
}
