//! Writes runtime settings into the deployment file.

use rsd_protocol::settings::ChangeResult;
use serde_json::Value;

use super::{ChangeError, Control, LayerSources, state::ControlState};
use crate::{SettingOrigin, WriteMode, runtime_settings, write_settings};

impl Control {
    /// Writes every setting that was changed while the server ran, except those that will be reverted.
    ///
    /// # Errors
    /// There is no file, it cannot be written, or it would be invalid. It is then unchanged.
    pub fn persist(&self) -> Result<ChangeResult, ChangeError> {
        self.check_file()?;
        let mut state = self.state.lock();
        let (temporary, lasting): (Vec<_>, Vec<_>) =
            state.runtime.keys().cloned().partition(|path| state.is_temporary(path));
        let current = self.policy.current();
        let values = runtime_settings::values(&current.settings);
        let values: Vec<_> = values.into_iter().filter(|(path, _)| lasting.contains(path)).collect();
        let persisted = self.write(&values, WriteMode::Apply)?;
        let mut warnings: Vec<_> = super::change::overridden_warnings(&state, &lasting);
        warnings.extend(temporary.iter().map(|path| format!("{path}: will be reverted, so it was not written")));
        state.move_to_file(&lasting);
        Ok(ChangeResult {
            dry_run: false,
            revision: current.revision,
            differences: Vec::new(),
            prediction: None,
            warnings,
            persisted: Some(persisted),
            reverts: None,
        })
    }

    /// Reads the file before the lock is taken, so that one that hangs stops nobody else.
    pub(super) fn check_file(&self) -> Result<(), ChangeError> {
        let file = self.sources.file.as_deref().ok_or(ChangeError::NoFile)?;
        let read = self.file_reader.read(file);
        read.map(drop)
            .map_err(|error| ChangeError::Persist { file: file.display().to_string(), reason: error.to_string() })
    }

    /// Writes these settings, or finds out whether they could be written. Returns the path of the file.
    pub(super) fn write(&self, settings: &[(String, Value)], mode: WriteMode) -> Result<String, ChangeError> {
        let file = self.sources.file.as_deref().ok_or(ChangeError::NoFile)?;
        let LayerSources { environment, overrides, target, .. } = &self.sources;
        write_settings(file, settings, environment.clone(), overrides, *target, mode)
            .map_err(|error| ChangeError::Persist { file: file.display().to_string(), reason: error.to_string() })?;
        Ok(file.display().to_string())
    }
}

impl ControlState {
    /// The file has these settings now: they leave the runtime layer, except those that the environment or the command
    /// line would override without it.
    pub(super) fn move_to_file(&mut self, paths: &[String]) {
        self.file_writes += 1;
        let overridden = |path: &&String| {
            matches!(self.base.origins.get(*path), Some(SettingOrigin::Env(_) | SettingOrigin::Flag(_)))
        };
        let value = |path: &String| Some((path.clone(), self.runtime.get(path)?.value.clone()));
        let settings: Vec<_> = paths.iter().filter(|path| !overridden(path)).filter_map(value).collect();
        // Together, because one may be invalid without the other.
        let Ok(base) = runtime_settings::apply(&self.base.deployment, &settings) else { return };
        self.base.deployment = base;
        for (path, _) in settings {
            self.runtime.remove(&path);
            self.base.origins.insert(path, SettingOrigin::File);
        }
    }
}
