//! Reading the deployment file again.

use std::path::PathBuf;

use rsd_protocol::{
    event::{Event, Reloaded},
    live::Cause,
};

use super::{Author, Control, now_ms, state::State};
use crate::config::{self, Override, TargetRule, hot};

/// Where the layers come from.
#[derive(Clone)]
pub struct Sources {
    /// The deployment file.
    pub file: Option<PathBuf>,
    /// The environment of the start.
    pub environment: Vec<(String, String)>,
    /// The options of the start.
    pub overrides: Vec<Override>,
    /// Whether the file must name the target.
    pub target: TargetRule,
}

impl Control {
    /// Reads the file again. The hot part becomes one new revision; what needs a restart is listed; a file with any
    /// fault is refused whole.
    ///
    /// A setting that has changed in the file wins over one that was changed at run time before: it is the newer word.
    pub fn reload(&self, author: Author) -> Reloaded {
        // Before the file is read: what is written and changed meanwhile must not be undone by an older text.
        let mut state = self.state.lock();
        let loaded = config::load(
            self.sources.file.as_deref(),
            self.sources.environment.clone(),
            &self.sources.overrides,
            self.sources.target,
        );
        let mut report = Reloaded {
            at_ms: now_ms(),
            revision: self.policy.current().revision,
            refused: true,
            problems: Vec::new(),
            restart_needed: state.restart_needed.clone(),
        };
        let base = match loaded {
            Ok(base) => base,
            Err(error) => {
                report.problems = error.problems.iter().map(ToString::to_string).collect();
                return self.reloaded(report);
            }
        };
        let mut runtime = state.runtime.clone();
        let (old, new) = (hot::values(&state.base.deployment.live()), hot::values(&base.deployment.live()));
        for ((path, old), (_, new)) in old.into_iter().zip(new) {
            if old != new {
                runtime.remove(&path);
            }
        }
        let live = match State::effective(&base.deployment, &runtime) {
            Ok(effective) => effective.live(),
            Err(refused) => {
                let problem =
                    |each: hot::Refused| format!("{}: {} (with what was changed at run time)", each.path, each.message);
                report.problems = refused.into_iter().map(problem).collect();
                return self.reloaded(report);
            }
        };
        report.refused = false;
        report.restart_needed = cold_differences(&state.started, &base.deployment);
        state.restart_needed.clone_from(&report.restart_needed);
        state.base = base;
        state.runtime = runtime;
        if live != self.policy.current().live {
            report.revision = self.commit(&mut state, Cause::Reload, author, live, None);
        }
        self.reloaded(report)
    }

    fn reloaded(&self, report: Reloaded) -> Reloaded {
        if report.refused {
            tracing::error!(problems = ?report.problems, "the deployment file was refused; nothing has changed");
        } else if !report.restart_needed.is_empty() {
            tracing::warn!(settings = ?report.restart_needed, "these settings need a restart");
        }
        self.announce(Event::Reload(report.clone()));
        report
    }
}

/// The settings, not hot, in which two deployments differ.
fn cold_differences(started: &config::Deployment, now: &config::Deployment) -> Vec<String> {
    let hot: Vec<_> = hot::values(&now.live()).into_iter().map(|(path, _)| path).collect();
    config::differences(started, now).into_iter().filter(|path| !hot.contains(path)).collect()
}
