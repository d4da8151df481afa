//! Changes of runtime settings, and the return to an earlier revision.

use std::sync::Arc;

use rsd_protocol::{
    error::FieldProblem,
    event::AdminEvent,
    settings::{ChangeResult, PolicyChange, RevisionCause, RollbackRequest, RuntimeSettings, ScheduledRevert},
};

use super::{
    ChangeAuthor, ChangeError, Control, now_ms,
    state::{ControlState, PendingRevert, RuntimeLayer, RuntimeValue, differences},
};
use crate::{
    Deployment, SettingOrigin, WriteMode,
    runtime_settings::{self, InvalidSetting, SettingChange},
};
use rsd_core::policy::SettingsSnapshot;

/// A change that was checked and is not in effect yet.
struct PlannedChange {
    runtime: RuntimeLayer,
    effective: Deployment,
    /// The settings that the change names.
    paths: Vec<String>,
    warnings: Vec<String>,
    ttl: Option<u64>,
    persist: bool,
}

/// A change that is in effect, or the result of a dry run.
#[derive(Debug, Clone, PartialEq)]
pub struct AppliedChange {
    /// The answer of the admin API.
    pub result: ChangeResult,
    /// The runtime settings with the change.
    pub settings: RuntimeSettings,
}

fn invalid_settings(invalid: Vec<InvalidSetting>) -> ChangeError {
    let problems = invalid.into_iter().map(|each| FieldProblem { path: each.path, message: each.message });
    ChangeError::Settings { problems: problems.collect() }
}

impl Control {
    /// Applies a change if `tag` names the revision in effect. With `dry_run` it only says what the change would do.
    ///
    /// # Errors
    /// The tag is stale, a setting is invalid, or the file cannot be written. Nothing has changed then.
    pub fn change(
        self: &Arc<Self>,
        tag: &str,
        change: &PolicyChange,
        author: ChangeAuthor,
        dry_run: bool,
    ) -> Result<AppliedChange, ChangeError> {
        let file = if change.persist { self.check_file() } else { Ok(()) };
        let mut state = self.state.lock();
        self.check_tag(&state, tag)?;
        let mut problems = Vec::new();
        if !change.set.is_object() {
            problems.push(FieldProblem {
                path: "set".to_owned(),
                message: "expected settings, such as {\"policy\": {\"delta\": 0.5}}".to_owned(),
            });
        }
        if change.ttl_seconds.is_some_and(|ttl| !(1..=604_800).contains(&ttl)) {
            problems.push(FieldProblem {
                path: "ttl_seconds".to_owned(),
                message: "expected a whole number from 1 to 604800".to_owned(),
            });
        }
        if change.ttl_seconds.is_some() && change.persist {
            problems.push(FieldProblem {
                path: "persist".to_owned(),
                message:
                    "a change that will be reverted is not written into the file: leave out ttl_seconds or persist"
                        .to_owned(),
            });
        }
        if !problems.is_empty() {
            return Err(ChangeError::Settings { problems });
        }
        let SettingChange { settings, warnings } =
            runtime_settings::parse_change(&change.set).map_err(invalid_settings)?;
        file?;
        let next = state.next_revision();
        let mut runtime = state.runtime.clone();
        for (path, value) in &settings {
            runtime.insert(path.clone(), RuntimeValue { value: value.clone(), revision: next });
        }
        let effective = ControlState::effective(&state.base.deployment, &runtime).map_err(invalid_settings)?;
        let paths = settings.into_iter().map(|(path, _)| path).collect();
        let (ttl, persist) = (change.ttl_seconds, change.persist);
        let planned = PlannedChange { runtime, effective, paths, warnings, ttl, persist };
        self.apply(&mut state, planned, RevisionCause::Patch, author, dry_run)
    }

    /// Makes a new revision with the values of an earlier one.
    ///
    /// # Errors
    /// Those of [`Control::change`], or the revision is not in the history.
    pub fn rollback(
        self: &Arc<Self>,
        tag: &str,
        rollback: &RollbackRequest,
        author: ChangeAuthor,
        dry_run: bool,
    ) -> Result<AppliedChange, ChangeError> {
        let mut state = self.state.lock();
        self.check_tag(&state, tag)?;
        let wanted = state.history.iter().find(|each| each.revision == rollback.revision);
        let wanted = wanted.ok_or(ChangeError::UnknownRevision(rollback.revision))?.values.clone();
        let next = state.next_revision();
        let mut runtime = state.runtime.clone();
        let now = runtime_settings::values(&self.policy.current().settings);
        let base = runtime_settings::values(&state.base.deployment.runtime_settings());
        let mut paths = Vec::new();
        for (((path, value), (_, now)), (_, base)) in runtime_settings::values(&wanted).into_iter().zip(now).zip(base) {
            // The same value counts as changed if it would be reverted: now it stays.
            if value == now && !state.is_temporary(&path) {
                continue;
            }
            paths.push(path.clone());
            if value == base {
                runtime.remove(&path);
            } else {
                runtime.insert(path, RuntimeValue { value, revision: next });
            }
        }
        let effective = ControlState::effective(&state.base.deployment, &runtime).map_err(invalid_settings)?;
        let planned = PlannedChange { runtime, effective, paths, warnings: Vec::new(), ttl: None, persist: false };
        self.apply(&mut state, planned, RevisionCause::Rollback { to: rollback.revision }, author, dry_run)
    }

    /// Checks that `tag` names the revision in effect. `*` matches any revision, as in HTTP.
    fn check_tag(&self, state: &ControlState, tag: &str) -> Result<(), ChangeError> {
        let current = state.history.back().map_or(1, |last| last.revision);
        let tags = tag.split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'));
        if tags.into_iter().any(|tag| tag == "*" || tag == self.tag_of(current)) {
            return Ok(());
        }
        Err(ChangeError::Stale { found: tag.to_owned(), current })
    }

    fn apply(
        self: &Arc<Self>,
        state: &mut ControlState,
        planned: PlannedChange,
        cause: RevisionCause,
        author: ChangeAuthor,
        dry_run: bool,
    ) -> Result<AppliedChange, ChangeError> {
        let PlannedChange { runtime, effective, paths, mut warnings, ttl, persist } = planned;
        let settings = effective.runtime_settings();
        let old = self.policy.current();
        if persist {
            warnings.extend(overridden_warnings(state, &paths));
        }
        let mut result = ChangeResult {
            dry_run,
            revision: old.revision,
            differences: differences(&old.settings, &settings),
            prediction: None,
            warnings,
            persisted: None,
            reverts: None,
        };
        if persist {
            let values = runtime_settings::values(&settings);
            let values: Vec<_> = values.into_iter().filter(|(path, _)| paths.contains(path)).collect();
            let file = self.write(&values, if dry_run { WriteMode::DryRun } else { WriteMode::Apply })?;
            result.persisted = (!dry_run).then_some(file);
        }
        if dry_run {
            return Ok(AppliedChange { result, settings });
        }
        // The same values are a change too if they are to last for another time, or for good.
        let lasts_otherwise = ttl.is_some() || paths.iter().any(|path| state.is_temporary(path));
        if !result.differences.is_empty() || lasts_otherwise {
            let reverts_at_ms = ttl.map(|ttl| now_ms().saturating_add(ttl.saturating_mul(1000)));
            if let Some(at_ms) = reverts_at_ms {
                let before = paths.iter().map(|path| (path.clone(), state.runtime.get(path).cloned()));
                let revision = state.next_revision();
                state.pending.push(PendingRevert { revision, at_ms, before: before.collect() });
                result.reverts = Some(ScheduledRevert { revision, at_ms });
                self.revert_later(revision, ttl.unwrap_or_default());
            }
            state.runtime = runtime;
            result.revision = self.commit(state, cause, author, settings.clone(), reverts_at_ms);
        }
        if persist {
            state.move_to_file(&paths);
        }
        Ok(AppliedChange { result, settings })
    }

    /// Makes one new revision of these settings. The caller holds the lock, so that no number is left out.
    pub(super) fn commit(
        &self,
        state: &mut ControlState,
        cause: RevisionCause,
        author: ChangeAuthor,
        settings: RuntimeSettings,
        reverts_at_ms: Option<u64>,
    ) -> u64 {
        let revision = state.record_revision(cause, author, settings.clone(), reverts_at_ms);
        self.policy.set_snapshot(SettingsSnapshot { revision: revision.revision, settings });
        let number = revision.revision;
        tracing::info!(
            revision = number,
            by = revision.by.as_deref(),
            why = revision.why.as_deref(),
            changes = ?revision.differences.iter().map(|each| format!("{} {} -> {}", each.path, each.old, each.new)).collect::<Vec<_>>(),
            "policy changed"
        );
        self.announce(AdminEvent::Policy(Box::new(revision)));
        number
    }
}

/// Which of the written settings the next start will not take from the file.
pub(super) fn overridden_warnings(state: &ControlState, paths: &[String]) -> Vec<String> {
    let warning = |path: &String| {
        let origin = state.base.origins.get(path)?;
        match origin {
            SettingOrigin::Env(_) | SettingOrigin::Flag(_) => {
                Some(format!("{path}: the next start takes it from {origin}, which overrides the file"))
            }
            SettingOrigin::Default | SettingOrigin::File => None,
        }
    };
    paths.iter().filter_map(warning).collect()
}
