//! Writing run-time settings into the deployment file: whole or not at all, comments kept.

use rsd_protocol::live::Changed;
use serde_yaml::Value;

use super::{Control, Refusal, Sources, state::State};
use crate::config::{self, Origin, Writing, hot};

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
        let Sources { environment, overrides, target, .. } = &self.sources;
        config::write(file, settings, environment.clone(), overrides, *target, how)
            .map_err(|reason| Refusal::Persist { file: file.display().to_string(), reason })?;
        Ok(file.display().to_string())
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
