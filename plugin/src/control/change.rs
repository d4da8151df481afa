//! Changing settings, and going back to an earlier revision.

use std::{collections::BTreeMap, sync::Arc};

use rsd_protocol::{
    error::FieldProblem,
    event::Event,
    live::{Cause, Change, Changed, Live, Revert, Rollback},
};

use super::{
    Author, Control, Refusal, now_ms,
    state::{Held, Pending, State, differences},
};
use crate::{
    config::{Deployment, Origin, Writing, hot},
    policy::Snapshot,
};

/// A change that was checked and not yet made.
struct Planned {
    runtime: BTreeMap<String, Held>,
    effective: Deployment,
    /// The settings that were named.
    touched: Vec<String>,
    ttl: Option<u64>,
    persist: bool,
}

/// A change that was made, or tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// What the API says of it.
    pub changed: Changed,
    /// The settings as they are with it.
    pub live: Live,
}

pub(super) fn refused(refused: Vec<hot::Refused>) -> Refusal {
    let problems = refused.into_iter().map(|each| FieldProblem { path: each.path, message: each.message });
    Refusal::Settings { problems: problems.collect() }
}

impl Control {
    /// Makes a change, if `tag` names the revision in force; with `dry_run` only says what it would be.
    ///
    /// # Errors
    /// It is stale, or a setting was refused, or the file could not be written; then nothing has changed.
    pub fn change(
        self: &Arc<Self>,
        tag: &str,
        change: &Change,
        author: Author,
        dry_run: bool,
    ) -> Result<Made, Refusal> {
        let mut state = self.state.lock();
        self.fresh(&state, tag)?;
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
                message: "a change that is taken back is not written into the file: leave out ttl_seconds or persist"
                    .to_owned(),
            });
        }
        if !problems.is_empty() {
            return Err(Refusal::Settings { problems });
        }
        let set = hot::read(&change.set).map_err(refused)?;
        let next = state.next();
        let mut runtime = state.runtime.clone();
        for (path, value) in &set {
            runtime.insert(path.clone(), (value.clone(), next));
        }
        let effective = State::effective(&state.base.deployment, &runtime).map_err(refused)?;
        let touched = set.into_iter().map(|(path, _)| path).collect();
        let planned = Planned { runtime, effective, touched, ttl: change.ttl_seconds, persist: change.persist };
        self.make(&mut state, planned, Cause::Patch, author, dry_run)
    }

    /// Goes back to the values of an earlier revision, as a new one.
    ///
    /// # Errors
    /// As [`Control::change`], and where the history does not hold the revision.
    pub fn rollback(
        self: &Arc<Self>,
        tag: &str,
        rollback: &Rollback,
        author: Author,
        dry_run: bool,
    ) -> Result<Made, Refusal> {
        let mut state = self.state.lock();
        self.fresh(&state, tag)?;
        let wanted = state.history.iter().find(|each| each.revision == rollback.revision);
        let wanted = wanted.ok_or(Refusal::UnknownRevision(rollback.revision))?.values.clone();
        let next = state.next();
        let mut runtime = state.runtime.clone();
        let (now, base) = (hot::values(&self.policy.current().live), hot::values(&state.base.deployment.live()));
        let mut touched = Vec::new();
        for (((path, value), (_, now)), (_, base)) in hot::values(&wanted).into_iter().zip(now).zip(base) {
            // A value that would be taken back is to stay from now on, so it counts as changed.
            if value == now && !state.is_temporary(&path) {
                continue;
            }
            touched.push(path.clone());
            if value == base {
                runtime.remove(&path);
            } else {
                runtime.insert(path, (value, next));
            }
        }
        let effective = State::effective(&state.base.deployment, &runtime).map_err(refused)?;
        let planned = Planned { runtime, effective, touched, ttl: None, persist: false };
        self.make(&mut state, planned, Cause::Rollback { to: rollback.revision }, author, dry_run)
    }

    /// `*` matches any revision, as in HTTP.
    fn fresh(&self, state: &State, tag: &str) -> Result<(), Refusal> {
        let current = state.history.back().map_or(1, |last| last.revision);
        let tags = tag.split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'));
        if tags.into_iter().any(|tag| tag == "*" || tag == self.tag_of(current)) {
            return Ok(());
        }
        Err(Refusal::Stale { found: tag.to_owned(), current })
    }

    fn make(
        self: &Arc<Self>,
        state: &mut State,
        planned: Planned,
        cause: Cause,
        author: Author,
        dry_run: bool,
    ) -> Result<Made, Refusal> {
        let Planned { runtime, effective, touched, ttl, persist } = planned;
        let live = effective.live();
        let old = self.policy.current();
        let mut changed = Changed {
            dry_run,
            revision: old.revision,
            differences: differences(&old.live, &live),
            prediction: None,
            warnings: if persist { shadowed(state, &touched) } else { Vec::new() },
            persisted: None,
            reverts: None,
        };
        if persist {
            let values: Vec<_> = hot::values(&live).into_iter().filter(|(path, _)| touched.contains(path)).collect();
            let file = self.write(&values, if dry_run { Writing::Try } else { Writing::Do })?;
            changed.persisted = (!dry_run).then_some(file);
        }
        if dry_run {
            return Ok(Made { changed, live });
        }
        // The same values for another time are a change too: they stay longer, or for good.
        let lasts_otherwise = ttl.is_some() || touched.iter().any(|path| state.is_temporary(path));
        if !changed.differences.is_empty() || lasts_otherwise {
            let reverts_at_ms = ttl.map(|ttl| now_ms().saturating_add(ttl.saturating_mul(1000)));
            if let Some(at_ms) = reverts_at_ms {
                let before = touched.iter().map(|path| (path.clone(), state.runtime.get(path).cloned()));
                let revision = state.next();
                state.pending.push(Pending { revision, at_ms, before: before.collect() });
                changed.reverts = Some(Revert { revision, at_ms });
                self.expire_later(revision, ttl.unwrap_or_default());
            }
            state.runtime = runtime;
            changed.revision = self.commit(state, cause, author, live.clone(), reverts_at_ms);
        }
        if persist {
            state.settled(&touched);
        }
        Ok(Made { changed, live })
    }

    /// Puts settings in force as one new revision. Called with the lock held, so revisions have no gap.
    pub(super) fn commit(
        &self,
        state: &mut State,
        cause: Cause,
        author: Author,
        live: Live,
        reverts_at_ms: Option<u64>,
    ) -> u64 {
        let revision = state.note(cause, author, live.clone(), reverts_at_ms);
        self.policy.put(Snapshot { revision: revision.revision, live });
        let number = revision.revision;
        tracing::info!(
            revision = number,
            by = revision.by.as_deref(),
            why = revision.why.as_deref(),
            changes = ?revision.differences.iter().map(|each| format!("{} {} -> {}", each.path, each.old, each.new)).collect::<Vec<_>>(),
            "policy changed"
        );
        self.announce(Event::Policy(Box::new(revision)));
        number
    }
}

/// What a written setting will not change at the next start.
pub(super) fn shadowed(state: &State, touched: &[String]) -> Vec<String> {
    let stronger = |path: &String| {
        let origin = state.base.origins.get(path)?;
        match origin {
            Origin::Env(_) | Origin::Flag(_) => {
                Some(format!("{path}: the next start takes it from {origin}, which is stronger than the file"))
            }
            Origin::Default | Origin::File => None,
        }
    };
    touched.iter().filter_map(stronger).collect()
}
