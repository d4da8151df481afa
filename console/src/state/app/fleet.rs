//! The course of a change of all servers. Only dry runs are sent before the user has confirmed it.

use rsd_protocol::settings::PolicyChange;

use super::{App, AppEffect};
use crate::{
    source::ServerCommand,
    state::{
        change_dialog::ChangeDialog,
        fleet_change::{EntryState, FleetChange, FleetEntry, FleetPlan, TakenChange},
        server::{ServerConnection, ServerState},
        settings,
    },
};

impl App {
    /// Asks every server what the change would do.
    pub(super) fn review_all(&mut self, change: &PolicyChange) -> Vec<AppEffect> {
        let mut entries = Vec::new();
        let mut skipped = Vec::new();
        for index in 0..self.data.servers.len() {
            match self.entry(index, change.clone()) {
                Ok(entry) => entries.push(entry),
                Err(why) => skipped.push((index, why)),
            }
        }
        self.open_fleet(FleetPlan::Change, entries, skipped)
    }

    /// Asks every server that took the last change of all servers what its undo would do.
    pub(super) fn undo_all(&mut self) -> Vec<AppEffect> {
        let taken = self.ui.last_fleet.clone();
        if taken.is_empty() {
            self.show_note(
                "there is no change of all servers to undo; u undoes the newest revision of this one",
                false,
            );
            return Vec::new();
        }
        let old = |taken: &&TakenChange| {
            let policy = self.data.servers.get(taken.server).and_then(|server| server.policy.as_ref());
            policy.is_none_or(|(_, view)| view.revision < taken.revision)
        };
        let waiting: Vec<_> = taken.iter().filter(old).map(|taken| taken.server).collect();
        if !waiting.is_empty() {
            self.show_note("the newest policies are being fetched; press U again", false);
            return waiting.into_iter().map(|server| AppEffect::Send(server, ServerCommand::Refresh)).collect();
        }
        let mut entries = Vec::new();
        let mut skipped = Vec::new();
        for taken in taken {
            match self.undo_entry(&taken) {
                Ok(entry) => entries.push(entry),
                Err(why) => skipped.push((taken.server, why)),
            }
        }
        self.open_fleet(FleetPlan::Undo, entries, skipped)
    }

    fn undo_entry(&mut self, taken: &TakenChange) -> Result<FleetEntry, String> {
        let policy = self.data.servers.get(taken.server).and_then(|server| server.policy.as_ref());
        let Some((_, view)) = policy else { return Err("its policy is not known".into()) };
        if view.revision != taken.revision {
            return Err(format!("was changed again since: revision {}", view.revision));
        }
        let Some(set) = settings::change_between(&view.values, &taken.before.1) else {
            return Err("has the values from before already".into());
        };
        let change = PolicyChange { set, by: self.options.by.clone(), ..PolicyChange::default() };
        let entry = self.entry(taken.server, change)?;
        Ok(FleetEntry { before: taken.before.clone(), ..entry })
    }

    /// One server of a change, or why it is left out.
    fn entry(&mut self, index: usize, change: PolicyChange) -> Result<FleetEntry, String> {
        let now_ms = self.data.now_ms;
        let Some(server) = self.data.servers.get(index) else { return Err("is not known".into()) };
        let (etag, before) = self.changeable(server, now_ms)?;
        Ok(FleetEntry { server: index, change, etag, before, ticket: self.next_ticket(), state: EntryState::Asked })
    }

    fn changeable(
        &self,
        server: &ServerState,
        now_ms: u64,
    ) -> Result<(String, (u64, rsd_protocol::settings::RuntimeSettings)), String> {
        if self.options.readonly {
            return Err("the console was started with --readonly".into());
        }
        if !server.has_admin {
            return Err("only its metrics are known".into());
        }
        match (server.connection(now_ms), &server.policy) {
            (ServerConnection::Live, Some((etag, view))) if server.may_write() => {
                Ok((etag.clone(), (view.revision, view.values.clone())))
            }
            (ServerConnection::Live, Some(_)) => Err("its token may only read".into()),
            _ => Err("does not answer".into()),
        }
    }

    fn open_fleet(
        &mut self,
        plan: FleetPlan,
        entries: Vec<FleetEntry>,
        skipped: Vec<(usize, String)>,
    ) -> Vec<AppEffect> {
        let fleet = FleetChange { plan, entries, skipped, right: false };
        let commands = fleet.dry_runs();
        self.ui.dialog = ChangeDialog::Fleet(Box::new(fleet));
        send(commands)
    }

    /// Gives the selected answer: leave, apply, or undo what was just applied.
    pub(super) fn answer_fleet(&mut self, mut fleet: FleetChange) -> Vec<AppEffect> {
        if fleet.pending() {
            return Vec::new();
        }
        if !fleet.right {
            self.close();
            return Vec::new();
        }
        if fleet.ready() {
            let mut tickets = self.tickets;
            let commands = fleet.apply(|| {
                tickets += 1;
                tickets
            });
            self.tickets = tickets;
            self.ui.dialog = ChangeDialog::Fleet(Box::new(fleet));
            return send(commands);
        }
        self.ui.dialog = ChangeDialog::Closed;
        self.undo_all()
    }

    /// Remembers for an undo who took the change, once all have answered.
    pub(super) fn finish_fleet(&mut self, fleet: &FleetChange) {
        let taken = fleet.taken();
        if fleet.pending() || taken.is_empty() {
            return;
        }
        let of = fleet.entries.len() + fleet.skipped.len();
        tracing::info!("{} of {of} servers took the change", taken.len());
        self.add_log_line(format!("{} of {of} servers took the change of all servers", taken.len()));
        self.ui.last_fleet = if fleet.plan == FleetPlan::Change { taken } else { Vec::new() };
    }
}

fn send(commands: Vec<(usize, ServerCommand)>) -> Vec<AppEffect> {
    commands.into_iter().map(|(server, command)| AppEffect::Send(server, command)).collect()
}
