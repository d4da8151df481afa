//! The course of a change: entered, reviewed by a dry run, confirmed by the user, answered by the server. Only a dry run
//! is sent before the user has confirmed the change.

use rsd_protocol::settings::{ChangeResult, PolicyChange, RollbackRequest};

use super::{App, AppEffect};
use crate::{
    clock,
    source::{CommandAnswer, ServerCommand},
    state::{
        change_dialog::{ChangeConflict, ChangeDialog, ChangePlan, ChangeReview, DryRunAnswer},
        pending_change::PendingChange,
        presets, settings,
    },
};

impl App {
    /// Why the user cannot change anything, if that is so.
    #[must_use]
    pub fn why_readonly(&self) -> Option<String> {
        let server = self.data.servers.get(self.ui.server)?;
        if self.options.readonly {
            Some("read-only: started with --readonly".into())
        } else if !server.has_admin {
            Some(format!(
                "read-only: only the metrics of {} are known; give the address and a token of its admin listener",
                server.name
            ))
        } else if server.policy.is_none() || server.status.is_none() {
            Some("the server has not answered yet".into())
        } else if !server.may_write() {
            Some("read-only: the token may only read; give the write token with --token-file or --token-env".into())
        } else {
            None
        }
    }

    pub(super) fn edit_form(&mut self, edit: impl FnOnce(&mut PendingChange)) {
        if let ChangeDialog::Form(pending) = &mut self.ui.dialog {
            edit(pending);
        }
    }

    pub(super) fn toggle_all_servers(&mut self) {
        if self.data.servers.len() < 2 {
            self.show_note("the console is connected to one server only; --target can be given several times", false);
        } else {
            self.edit_form(|pending| pending.all = !pending.all);
        }
    }

    pub(super) fn may_change(&mut self) -> bool {
        self.frozen = None;
        match self.why_readonly() {
            Some(why) => {
                self.show_note(why, true);
                false
            }
            None => true,
        }
    }

    pub(super) fn open_form(&mut self, path: &str) {
        if self.may_change()
            && let Some((etag, view)) = self.data.servers.get(self.ui.server).and_then(|server| server.policy.as_ref())
        {
            self.ui.dialog = ChangeDialog::Form(Box::new(PendingChange::open(etag, view, path)));
        }
    }

    pub(super) fn open_presets(&mut self) {
        let policy = self.data.servers.get(self.ui.server).and_then(|server| server.policy.as_ref());
        if policy.is_some_and(|(_, view)| view.values.presets.is_empty()) {
            self.show_note(
                "there are no presets; the deployment file, or `presets` in the admin API, defines them",
                false,
            );
        } else {
            self.open_form("presets.");
        }
    }

    pub(super) fn review_form(&mut self, mut pending: PendingChange) -> Vec<AppEffect> {
        let valid = pending.accept_typed();
        if valid && pending.all && pending.changes_presets() {
            pending.problem = Some("presets differ from server to server: change them one server at a time".into());
            self.ui.dialog = ChangeDialog::Form(Box::new(pending));
            return Vec::new();
        }
        let change = pending.to_change(self.options.by.as_deref());
        let (etag, all) = (pending.etag.clone(), pending.all);
        self.ui.dialog = ChangeDialog::Form(Box::new(pending));
        match change {
            Some(change) if valid && all => self.review_all(&change),
            Some(change) if valid => self.review(ChangePlan::Change, change, etag),
            None if valid => {
                self.edit_form(|pending| pending.problem = Some("no value is different yet".into()));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn review(&mut self, plan: ChangePlan, change: PolicyChange, etag: String) -> Vec<AppEffect> {
        let ticket = self.next_ticket();
        let dry_run = PolicyChange { persist: false, ..change.clone() };
        let (etag_asked, answer) = (etag.clone(), DryRunAnswer::Pending);
        let review = ChangeReview { plan, change, etag: etag_asked, answer, apply: false, sent: false, ticket };
        self.ui.dialog = ChangeDialog::Review(Box::new(review));
        vec![AppEffect::Send(self.ui.server, ServerCommand::DryRun { ticket, change: dry_run, etag })]
    }

    pub(super) fn answer_review(&mut self, review: ChangeReview) -> Vec<AppEffect> {
        if review.sent {
            return Vec::new();
        }
        if !review.apply {
            self.close();
            return Vec::new();
        }
        let ticket = self.next_ticket();
        let (change, etag) = (review.change.clone(), review.etag.clone());
        let command = match review.plan {
            ChangePlan::Change => ServerCommand::Apply { ticket, change, etag },
            ChangePlan::Rollback(revision) => ServerCommand::Rollback {
                ticket,
                rollback: RollbackRequest { revision, why: change.why, by: change.by },
                etag,
            },
        };
        self.ui.dialog = ChangeDialog::Review(Box::new(ChangeReview { sent: true, ticket, ..review }));
        vec![AppEffect::Send(self.ui.server, command)]
    }

    pub(super) fn answer_conflict(&mut self, conflict: ChangeConflict) -> Vec<AppEffect> {
        if !conflict.review_again {
            self.close();
            return Vec::new();
        }
        let server = self.data.servers.get(self.ui.server);
        let Some((etag, view)) = server.and_then(|server| server.policy.clone()) else { return Vec::new() };
        if conflict.current.as_ref().is_some_and(|current| current.revision > view.revision) {
            self.show_note("the newest policy is being fetched; press Enter again", false);
            return vec![AppEffect::Send(self.ui.server, ServerCommand::Refresh)];
        }
        if let ChangePlan::Rollback(revision) = conflict.plan {
            return self.review_rollback(revision);
        }
        self.review(ChangePlan::Change, conflict.change, etag)
    }

    pub(super) fn undo(&mut self) -> Vec<AppEffect> {
        let Some(server) = self.data.servers.get(self.ui.server) else { return Vec::new() };
        let newest = server.history.first().map(|entry| entry.revision);
        if newest != server.policy.as_ref().map(|(_, view)| view.revision) {
            self.show_note("the history is being fetched; press u again", false);
            return vec![AppEffect::Send(self.ui.server, ServerCommand::Refresh)];
        }
        let Some(before) = server.history.get(1).map(|entry| entry.revision) else {
            self.show_note("there is nothing to undo: the policy has not changed since the server started", false);
            return Vec::new();
        };
        self.review_rollback(before)
    }

    pub(super) fn review_rollback(&mut self, revision: u64) -> Vec<AppEffect> {
        if !self.may_change() {
            return Vec::new();
        }
        let Some(server) = self.data.servers.get(self.ui.server) else { return Vec::new() };
        let entry = server.history.iter().find(|entry| entry.revision == revision);
        let (Some((etag, view)), Some(entry)) = (server.policy.clone(), entry) else {
            self.show_note(format!("the history does not contain revision {revision}"), true);
            return Vec::new();
        };
        let Some(set) = settings::change_between(&view.values, &entry.values) else {
            self.show_note(format!("revision {revision} has the same values as the current policy"), false);
            return Vec::new();
        };
        let change = PolicyChange { set, by: self.options.by.clone(), ..PolicyChange::default() };
        self.review(ChangePlan::Rollback(revision), change, etag)
    }

    pub(super) fn confirm_change(&mut self) -> Vec<AppEffect> {
        if !self.may_change() {
            return Vec::new();
        }
        let policy = self.data.servers.get(self.ui.server).and_then(|server| server.policy.as_ref());
        if policy.is_some_and(|(_, view)| view.reverts.is_some()) {
            let ticket = self.next_ticket();
            vec![AppEffect::Send(self.ui.server, ServerCommand::Confirm { ticket })]
        } else {
            self.show_note("no change is about to be reverted", false);
            Vec::new()
        }
    }

    pub(super) fn next_ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    pub(super) fn receive_answer(&mut self, ticket: u64, answer: CommandAnswer) {
        let dialog = std::mem::take(&mut self.ui.dialog);
        let dialog = match dialog {
            ChangeDialog::Fleet(mut fleet) => {
                if fleet.receive(ticket, &answer) {
                    self.finish_fleet(&fleet);
                } else {
                    self.report_answer(&answer);
                }
                self.ui.dialog = ChangeDialog::Fleet(fleet);
                return;
            }
            other => other,
        };
        let ChangeDialog::Review(review) = dialog else {
            self.ui.dialog = dialog;
            self.report_answer(&answer);
            return;
        };
        if review.ticket != ticket {
            self.ui.dialog = ChangeDialog::Review(review);
            self.report_answer(&answer);
            return;
        }
        self.ui.dialog = match answer {
            CommandAnswer::Changed(changed) if changed.dry_run => {
                ChangeDialog::Review(Box::new(ChangeReview { answer: DryRunAnswer::Shown(changed), ..*review }))
            }
            CommandAnswer::Changed(changed) => {
                self.report_change(&changed);
                ChangeDialog::Closed
            }
            CommandAnswer::Confirmed(_) => ChangeDialog::Review(review),
            CommandAnswer::Refused(detail) => review.refused(detail),
            CommandAnswer::Failed(cause) => review.answered(DryRunAnswer::Failed(cause)),
        };
    }

    pub(super) fn report_answer(&mut self, answer: &CommandAnswer) {
        match answer {
            CommandAnswer::Confirmed(confirmed) => {
                let revisions: Vec<_> = confirmed.iter().map(|revert| revert.revision.to_string()).collect();
                self.show_note(format!("confirmed: revision {}", revisions.join(", ")), false);
            }
            CommandAnswer::Changed(changed) if changed.dry_run => {}
            CommandAnswer::Changed(changed) => self.report_change(changed),
            CommandAnswer::Refused(detail) => self.show_note(detail.message.clone(), true),
            CommandAnswer::Failed(cause) => self.show_note(cause.clone(), true),
        }
    }

    pub(super) fn report_change(&mut self, changed: &ChangeResult) {
        let differences: Vec<_> = presets::expand_presets(&changed.differences)
            .iter()
            .map(|d| format!("{} {} -> {}", d.path, d.old, d.new))
            .collect();
        let mut text = format!("revision {}: {}", changed.revision, differences.join(", "));
        if let (Some(reverts), Some(server)) = (&changed.reverts, self.data.servers.get(self.ui.server)) {
            let left = server.to_console_clock(reverts.at_ms).saturating_sub(self.data.now_ms);
            text = format!(
                "{text}; will be reverted in {}, press c to confirm",
                clock::short_duration(left.div_ceil(1000))
            );
        }
        if let Some(file) = &changed.persisted {
            text = format!("{text}; written to {file}");
        }
        for warning in &changed.warnings {
            self.add_log_line(format!("revision {}: {warning}", changed.revision));
        }
        tracing::info!("{text}");
        self.show_note(text, false);
    }
}
