//! Reloads the deployment file, on request and when it has changed.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rsd_protocol::{
    event::{AdminEvent, ReloadOutcome},
    settings::RevisionCause,
};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{ChangeAuthor, Control, file_reader::read_regular, now_ms, state::ControlState};
use crate::{
    Deployment, SettingOverride, TargetRule,
    load::load_read,
    runtime_settings::{self, InvalidSetting},
    show::differences,
};

/// How often [`watch`] reads the file.
const INTERVAL: Duration = Duration::from_secs(1);

/// What the layers below the runtime layer are loaded from.
#[derive(Clone)]
pub struct LayerSources {
    /// The deployment file.
    pub file: Option<PathBuf>,
    /// The environment at the start.
    pub environment: Vec<(String, String)>,
    /// The options of the command line.
    pub overrides: Vec<SettingOverride>,
    /// Whether the file must name the target.
    pub target: TargetRule,
}

impl Control {
    /// Reloads the file. Its runtime settings become one new revision; the others are listed as in need of a restart. A
    /// file with any problem changes nothing.
    ///
    /// If a setting has changed in the file, the file's value replaces one that was set at runtime before.
    pub fn reload(&self, author: ChangeAuthor) -> ReloadOutcome {
        // The lock is not held while the file is read, because that can hang. A text that this server has replaced
        // meanwhile does not count, so that it cannot undo what was written.
        let (mut state, text) = loop {
            let writes = self.state.lock().file_writes;
            let text = self.sources.file.as_deref().map(|file| (file, self.file_reader.read(file)));
            let state = self.state.lock();
            if state.file_writes == writes {
                break (state, text);
            }
        };
        let loaded = load_read(text, self.sources.environment.clone(), &self.sources.overrides, self.sources.target);
        let mut outcome = ReloadOutcome {
            at_ms: now_ms(),
            revision: self.policy.current().revision,
            failed: true,
            problems: Vec::new(),
            restart_needed: state.restart_needed.clone(),
        };
        let base = match loaded {
            Ok(base) => base,
            Err(error) => {
                outcome.problems = error.problems.iter().map(ToString::to_string).collect();
                return self.report_reload(outcome);
            }
        };
        let mut runtime = state.runtime.clone();
        let values = |deployment: &Deployment| runtime_settings::values(&deployment.runtime_settings());
        for ((path, old), (_, new)) in values(&state.base.deployment).into_iter().zip(values(&base.deployment)) {
            if old != new {
                runtime.remove(&path);
            }
        }
        let settings = match ControlState::effective(&base.deployment, &runtime) {
            Ok(effective) => effective.runtime_settings(),
            Err(invalid) => {
                let problem = |each: InvalidSetting| {
                    format!("{}: {} (together with the values that were set at runtime)", each.path, each.message)
                };
                outcome.problems = invalid.into_iter().map(problem).collect();
                return self.report_reload(outcome);
            }
        };
        if base.warnings != state.base.warnings {
            base.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        outcome.failed = false;
        outcome.restart_needed = restart_differences(&state.started, &base.deployment);
        state.restart_needed.clone_from(&outcome.restart_needed);
        state.base = base;
        state.runtime = runtime;
        if settings != self.policy.current().settings {
            outcome.revision = self.commit(&mut state, RevisionCause::Reload, author, settings, None);
        }
        self.report_reload(outcome)
    }

    fn report_reload(&self, outcome: ReloadOutcome) -> ReloadOutcome {
        if outcome.failed {
            tracing::error!(problems = ?outcome.problems, "the deployment file is invalid; nothing was changed");
        } else if !outcome.restart_needed.is_empty() {
            tracing::warn!(settings = ?outcome.restart_needed, "these settings need a restart");
        }
        self.announce(AdminEvent::Reload(outcome.clone()));
        outcome
    }
}

/// The settings other than runtime settings that differ between two deployments.
fn restart_differences(started: &Deployment, now: &Deployment) -> Vec<String> {
    let runtime: Vec<_> = runtime_settings::values(&now.runtime_settings()).into_iter().map(|(path, _)| path).collect();
    differences(started, now).into_iter().filter(|path| !runtime.contains(path)).collect()
}

/// Reloads the file whenever it has changed, until `stop` is cancelled.
///
/// The file is read once a second and compared. Unlike the events of a folder, this notices links that a cluster swaps
/// and changes on network file systems. A new text must be the same twice before it counts, because an editor may write
/// it in two parts.
pub async fn watch(control: Arc<Control>, stop: CancellationToken) {
    let Some(file) = control.sources.file.clone() else { return };
    // Not on the threads that serve requests: a disk may be slow, and a network may be down.
    let read = || {
        let file = file.clone();
        async move { spawn_blocking(move || read_regular(&file).ok()).await.ok().flatten() }
    };
    let mut known = read().await;
    let mut last = known.clone();
    // The file may have changed while the models were loaded. If it has not, this changes nothing.
    reload_in_background(&control).await;
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = read().await;
        let settled = now == last;
        last.clone_from(&now);
        // A file that is missing for a moment is being replaced.
        if now.is_some() && settled && now != known {
            known = now;
            reload_in_background(&control).await;
        }
    }
}

async fn reload_in_background(control: &Arc<Control>) {
    let control = control.clone();
    let _ = spawn_blocking(move || control.reload(ChangeAuthor::default())).await;
}
