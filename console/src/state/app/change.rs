//! The way of a change: drafted, asked about, confirmed, answered. Nothing is sent that was not confirmed.

use rsd_protocol::live::{Change, Changed, Rollback};

use super::{App, Effect};
use crate::{
    clock,
    source::{Answer, Command},
    state::{
        draft::Draft,
        edit::{Conflict, Edit, Plan, Review, Verdict},
        presets, settings,
    },
};

impl App {
    /// Why nothing may be changed, if so.
    #[must_use]
    pub fn why_readonly(&self) -> Option<String> {
        let server = self.data.servers.get(self.ui.server)?;
        if self.options.readonly {
            Some("read-only: started with --readonly".into())
        } else if !server.has_admin {
            Some(format!("read-only: {} is known by its metrics alone; give its admin address and token", server.name))
        } else if server.policy.is_none() || server.status.is_none() {
            Some("the server has not said yet what can be changed".into())
        } else if !server.may_write() {
            Some("read-only: the token may only read; give the write token with --token-file or --token-env".into())
        } else {
            None
        }
    }

    pub(super) fn drafted(&mut self, change: impl FnOnce(&mut Draft)) {
        if let Edit::Draft(draft) = &mut self.ui.edit {
            change(draft);
        }
    }

    pub(super) fn may_change(&mut self) -> bool {
        self.frozen = None;
        match self.why_readonly() {
            Some(why) => {
                self.say(why, true);
                false
            }
            None => true,
        }
    }

    pub(super) fn open_draft(&mut self, path: &str) {
        if self.may_change()
            && let Some((etag, view)) = self.data.servers.get(self.ui.server).and_then(|server| server.policy.as_ref())
        {
            self.ui.edit = Edit::Draft(Box::new(Draft::open(etag, view, path)));
        }
    }

    pub(super) fn open_presets(&mut self) {
        let policy = self.data.servers.get(self.ui.server).and_then(|server| server.policy.as_ref());
        if policy.is_some_and(|(_, view)| view.values.presets.is_empty()) {
            self.say("there are no presets; the deployment file, or `presets` in the admin API, makes one", false);
        } else {
            self.open_draft("presets.");
        }
    }

    pub(super) fn review_draft(&mut self, mut draft: Draft) -> Vec<Effect> {
        let may_stand = draft.settle();
        let change = draft.change(self.options.by.as_deref());
        let etag = draft.etag.clone();
        self.ui.edit = Edit::Draft(Box::new(draft));
        match change {
            Some(change) if may_stand => self.review(Plan::Change, change, etag),
            None if may_stand => {
                self.drafted(|draft| draft.problem = Some("nothing is different yet".into()));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn review(&mut self, plan: Plan, change: Change, etag: String) -> Vec<Effect> {
        let ticket = self.ticket();
        let asked = Change { persist: false, ..change.clone() };
        let (etag_asked, verdict) = (etag.clone(), Verdict::Asked);
        let review = Review { plan, change, etag: etag_asked, verdict, apply: false, sent: false, ticket };
        self.ui.edit = Edit::Review(Box::new(review));
        vec![Effect::Send(self.ui.server, Command::DryRun { ticket, change: asked, etag })]
    }

    pub(super) fn confirm(&mut self, review: Review) -> Vec<Effect> {
        if review.sent {
            return Vec::new();
        }
        if !review.apply {
            self.close();
            return Vec::new();
        }
        let ticket = self.ticket();
        let (change, etag) = (review.change.clone(), review.etag.clone());
        let command = match review.plan {
            Plan::Change => Command::Apply { ticket, change, etag },
            Plan::Rollback(revision) => {
                Command::Rollback { ticket, rollback: Rollback { revision, why: change.why, by: change.by }, etag }
            }
        };
        self.ui.edit = Edit::Review(Box::new(Review { sent: true, ticket, ..review }));
        vec![Effect::Send(self.ui.server, command)]
    }

    pub(super) fn again(&mut self, conflict: Conflict) -> Vec<Effect> {
        if !conflict.again {
            self.close();
            return Vec::new();
        }
        let server = self.data.servers.get(self.ui.server);
        let Some((etag, view)) = server.and_then(|server| server.policy.clone()) else { return Vec::new() };
        if conflict.current.as_ref().is_some_and(|current| current.revision > view.revision) {
            self.say("the newest policy is on its way; press Enter again", false);
            return vec![Effect::Send(self.ui.server, Command::Refresh)];
        }
        if let Plan::Rollback(revision) = conflict.plan {
            return self.go_back(revision);
        }
        self.review(Plan::Change, conflict.wanted, etag)
    }

    pub(super) fn undo(&mut self) -> Vec<Effect> {
        let Some(server) = self.data.servers.get(self.ui.server) else { return Vec::new() };
        let newest = server.history.first().map(|entry| entry.revision);
        if newest != server.policy.as_ref().map(|(_, view)| view.revision) {
            self.say("the history is on its way; press u again", false);
            return vec![Effect::Send(self.ui.server, Command::Refresh)];
        }
        let Some(before) = server.history.get(1).map(|entry| entry.revision) else {
            self.say("there is nothing to undo: the policy is as the server started", false);
            return Vec::new();
        };
        self.go_back(before)
    }

    pub(super) fn go_back(&mut self, revision: u64) -> Vec<Effect> {
        if !self.may_change() {
            return Vec::new();
        }
        let Some(server) = self.data.servers.get(self.ui.server) else { return Vec::new() };
        let entry = server.history.iter().find(|entry| entry.revision == revision);
        let (Some((etag, view)), Some(entry)) = (server.policy.clone(), entry) else {
            self.say(format!("the history does not hold revision {revision}"), true);
            return Vec::new();
        };
        let Some(set) = settings::change_between(&view.values, &entry.values) else {
            self.say(format!("revision {revision} holds the same values as now"), false);
            return Vec::new();
        };
        let change = Change { set, by: self.options.by.clone(), ..Change::default() };
        self.review(Plan::Rollback(revision), change, etag)
    }

    pub(super) fn keep(&mut self) -> Vec<Effect> {
        if !self.may_change() {
            return Vec::new();
        }
        let policy = self.data.servers.get(self.ui.server).and_then(|server| server.policy.clone());
        match policy {
            Some((etag, view)) if view.reverts.is_some() => {
                let ticket = self.ticket();
                vec![Effect::Send(self.ui.server, Command::Keep { ticket, etag })]
            }
            _ => {
                self.say("no change is about to be taken back", false);
                Vec::new()
            }
        }
    }

    pub(super) fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    pub(super) fn answered(&mut self, ticket: u64, answer: Answer) {
        let edit = std::mem::take(&mut self.ui.edit);
        let Edit::Review(review) = edit else {
            self.ui.edit = edit;
            self.kept(&answer);
            return;
        };
        if review.ticket != ticket {
            self.ui.edit = Edit::Review(review);
            self.kept(&answer);
            return;
        }
        self.ui.edit = match answer {
            Answer::Changed(changed) if changed.dry_run => {
                Edit::Review(Box::new(Review { verdict: Verdict::Shown(changed), ..*review }))
            }
            Answer::Changed(changed) => {
                self.done(&changed);
                Edit::Closed
            }
            Answer::Refused(detail) => review.refused(detail),
            Answer::Failed(cause) => review.settled(Verdict::Failed(cause)),
        };
    }

    pub(super) fn kept(&mut self, answer: &Answer) {
        match answer {
            Answer::Changed(changed) if !changed.dry_run => {
                self.say(format!("revision {} is kept", changed.revision), false);
            }
            Answer::Changed(_) => {}
            Answer::Refused(detail) => self.say(detail.message.clone(), true),
            Answer::Failed(cause) => self.say(cause.clone(), true),
        }
    }

    pub(super) fn done(&mut self, changed: &Changed) {
        let differences: Vec<_> = presets::spelled(&changed.differences)
            .iter()
            .map(|d| format!("{} {} -> {}", d.path, d.old, d.new))
            .collect();
        let mut text = format!("revision {}: {}", changed.revision, differences.join(", "));
        if let (Some(reverts), Some(server)) = (&changed.reverts, self.data.servers.get(self.ui.server)) {
            let left = server.by_our_clock(reverts.at_ms).saturating_sub(self.data.now_ms);
            text = format!("{text}; taken back in {}, K keeps it", clock::span(left.div_ceil(1000)));
        }
        if let Some(file) = &changed.persisted {
            text = format!("{text}; written to {file}");
        }
        for warning in &changed.warnings {
            self.log(format!("revision {}: {warning}", changed.revision));
        }
        tracing::info!("{text}");
        self.say(text, false);
    }
}
