//! A change of all servers at once: a dry run for each, one confirmation, and a report of which took it.

use rsd_protocol::settings::{ChangeResult, PolicyChange, RollbackRequest, RuntimeSettings};

use crate::source::{CommandAnswer, ServerCommand};

/// What one server says about the change.
#[derive(Debug, Clone, PartialEq)]
pub enum EntryState {
    /// The dry run was sent.
    Asked,
    /// What the change would do.
    Ready(Box<ChangeResult>),
    /// It has these values already.
    Same,
    /// The change was sent.
    Sent,
    /// The change is this revision.
    Taken(u64),
    /// The server did not make the change, or gave no answer.
    Failed(String),
}

/// One server of the change.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetEntry {
    /// The server's index.
    pub server: usize,
    pub change: PolicyChange,
    /// `ETag` of the policy that the change is based on.
    pub etag: String,
    /// The revision before the change, and its values.
    pub before: (u64, RuntimeSettings),
    /// The number of the command whose answer is awaited.
    pub ticket: u64,
    pub state: EntryState,
}

/// A server that took a change, as far as an undo needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct TakenChange {
    pub server: usize,
    pub revision: u64,
    /// The revision before the change, and its values.
    pub before: (u64, RuntimeSettings),
}

/// Whether the servers change or return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetPlan {
    Change,
    /// Each returns to its revision before the last change of all servers.
    Undo,
}

/// The change of all servers.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetChange {
    pub plan: FleetPlan,
    pub entries: Vec<FleetEntry>,
    /// Servers that are not asked, each with the reason.
    pub skipped: Vec<(usize, String)>,
    /// Whether the right answer is selected: "apply", or in the report "undo all". At first it is the left one.
    pub right: bool,
}

impl FleetChange {
    /// The dry runs of all servers.
    #[must_use]
    pub fn dry_runs(&self) -> Vec<(usize, ServerCommand)> {
        let command = |entry: &FleetEntry| {
            let change = PolicyChange { persist: false, ..entry.change.clone() };
            (entry.server, ServerCommand::DryRun { ticket: entry.ticket, change, etag: entry.etag.clone() })
        };
        self.entries.iter().map(command).collect()
    }

    /// Sends the change to every server whose dry run was accepted. `ticket` numbers the commands.
    pub fn apply(&mut self, mut ticket: impl FnMut() -> u64) -> Vec<(usize, ServerCommand)> {
        let mut commands = Vec::new();
        let plan = self.plan;
        for entry in &mut self.entries {
            if !matches!(entry.state, EntryState::Ready(_)) {
                continue;
            }
            entry.ticket = ticket();
            entry.state = EntryState::Sent;
            let (ticket, etag, change) = (entry.ticket, entry.etag.clone(), entry.change.clone());
            let command = match plan {
                FleetPlan::Change => ServerCommand::Apply { ticket, change, etag },
                FleetPlan::Undo => {
                    let rollback = RollbackRequest { revision: entry.before.0, why: change.why, by: change.by };
                    ServerCommand::Rollback { ticket, rollback, etag }
                }
            };
            commands.push((entry.server, command));
        }
        self.right = false;
        commands
    }

    /// Takes a server's answer. Returns false if it belongs to another command.
    pub fn receive(&mut self, ticket: u64, answer: &CommandAnswer) -> bool {
        let waits = |entry: &&mut FleetEntry| {
            entry.ticket == ticket && matches!(entry.state, EntryState::Asked | EntryState::Sent)
        };
        let Some(entry) = self.entries.iter_mut().find(waits) else { return false };
        entry.state = match answer {
            CommandAnswer::Changed(changed) if !changed.dry_run => EntryState::Taken(changed.revision),
            CommandAnswer::Changed(changed) if changed.differences.is_empty() => EntryState::Same,
            CommandAnswer::Changed(changed) => EntryState::Ready(changed.clone()),
            CommandAnswer::Refused(detail) => EntryState::Failed(detail.message.clone()),
            CommandAnswer::Failed(cause) if entry.state == EntryState::Sent => {
                EntryState::Failed(format!("{cause}; its history says whether it made the change"))
            }
            CommandAnswer::Failed(cause) => EntryState::Failed(cause.clone()),
            CommandAnswer::Confirmed(_) => return false,
        };
        true
    }

    /// How many servers are in a state.
    #[must_use]
    pub fn count(&self, holds: impl Fn(&EntryState) -> bool) -> usize {
        self.entries.iter().filter(|entry| holds(&entry.state)).count()
    }

    /// Whether every dry run was answered, and at least one server would change.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.count(|state| matches!(state, EntryState::Asked)) == 0
            && self.count(|state| matches!(state, EntryState::Ready(_))) > 0
    }

    /// Whether the change was sent and some servers have not answered yet.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.count(|state| *state == EntryState::Sent) > 0
    }

    /// The servers that took the change.
    #[must_use]
    pub fn taken(&self) -> Vec<TakenChange> {
        let taken = |entry: &FleetEntry| match entry.state {
            EntryState::Taken(revision) => {
                Some(TakenChange { server: entry.server, revision, before: entry.before.clone() })
            }
            _ => None,
        };
        self.entries.iter().filter_map(taken).collect()
    }
}
