//! The whole state: servers, screens, and the change that is being made. Messages and intents go in, commands come out.

mod change;
mod intents;

use std::{cell::Cell, collections::VecDeque};

use super::{alerts, edit::Edit, server::Server};
use crate::{
    input::{Mode, Screen},
    source::{Channel, Command, FleetRow, Message, Update},
};

/// Lines of the console's own log that are kept.
const MOST_LOGS: usize = 500;
/// For so long a note stays.
const NOTE_MS: u64 = 8_000;
/// Lines of a page.
const PAGE: usize = 10;

/// How the console was started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Change nothing.
    pub readonly: bool,
    /// Figures are of so many milliseconds.
    pub window_ms: u64,
    /// Who changes things, for the history.
    pub by: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { readonly: false, window_ms: 120_000, by: None }
    }
}

/// What was fetched.
#[derive(Debug, Clone, Default)]
pub struct Data {
    /// The servers.
    pub servers: Vec<Server>,
    /// What Prometheus knows of others.
    pub fleet: Vec<FleetRow>,
    /// Why Prometheus says nothing.
    pub fleet_problem: Option<String>,
    /// The console's own log, oldest first.
    pub logs: VecDeque<String>,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A note at the bottom of the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it says.
    pub text: String,
    /// Whether something went wrong.
    pub bad: bool,
    until_ms: u64,
}

/// Where the operator is.
#[derive(Debug, Clone, Default)]
pub struct Ui {
    /// The screen.
    pub screen: Screen,
    /// The server.
    pub server: usize,
    /// The chosen line of each screen.
    pub cursors: [usize; Screen::ALL.len()],
    /// Only lines with this text.
    pub filter: String,
    /// Whether it is being typed.
    pub filtering: bool,
    /// Whether the help is shown.
    pub help: bool,
    /// Whether one request is shown.
    pub detail: bool,
    /// How far down an open text is scrolled. The view, which alone knows how long the text is, takes back what is too
    /// far.
    pub scroll: Cell<usize>,
    /// The change that is being made.
    pub edit: Edit,
    /// The note at the bottom.
    pub note: Option<Note>,
}

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send this to that server.
    Send(usize, Command),
    /// Leave.
    Quit,
}

/// The whole state.
#[derive(Debug, Clone, Default)]
pub struct App {
    /// What was fetched.
    pub data: Data,
    /// What is shown instead while the view is frozen.
    pub frozen: Option<Box<Data>>,
    /// Where the operator is.
    pub ui: Ui,
    /// How the console was started.
    pub options: Options,
    tickets: u64,
}

impl App {
    /// Of these servers, of which nothing is known yet: name, and whether there is an admin API.
    #[must_use]
    pub fn new(servers: &[(String, bool)], options: Options) -> Self {
        let servers = servers.iter().map(|(name, admin)| Server::new(name, *admin)).collect();
        Self { data: Data { servers, ..Data::default() }, options, ..Self::default() }
    }

    /// What is shown: the frozen view or the newest.
    #[must_use]
    pub fn shown(&self) -> &Data {
        self.frozen.as_deref().unwrap_or(&self.data)
    }

    /// The server that is looked at, as it is shown.
    #[must_use]
    pub fn server(&self) -> Option<&Server> {
        self.shown().servers.get(self.ui.server)
    }

    /// Where keys go.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self.ui.edit {
            _ if self.ui.help => Mode::Help,
            Edit::Draft(_) => Mode::Draft,
            Edit::Review(_) | Edit::Conflict(_) => Mode::Confirm,
            Edit::Closed if self.ui.filtering => Mode::Filter,
            Edit::Closed if self.ui.detail => Mode::Detail,
            Edit::Closed => Mode::Screen,
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64) {
        self.data.now_ms = now_ms;
        if self.ui.note.as_ref().is_some_and(|note| note.until_ms <= now_ms) {
            self.ui.note = None;
        }
    }

    /// Takes a line of the console's own log.
    pub fn log(&mut self, line: String) {
        if self.data.logs.len() == MOST_LOGS {
            self.data.logs.pop_front();
        }
        self.data.logs.push_back(line);
    }

    /// Takes what a source says.
    pub fn take(&mut self, message: Message) {
        self.tick(message.at_ms.max(self.data.now_ms));
        match message.update {
            Update::Fleet(rows) => {
                self.data.fleet = rows;
                self.data.fleet_problem = None;
            }
            Update::Failed(failure) if failure.channel == Channel::Prometheus => {
                self.data.fleet_problem = Some(failure.cause);
            }
            Update::Answer { ticket, answer } => self.answered(ticket, *answer),
            update => {
                if let Some(server) = self.data.servers.get_mut(message.target) {
                    server.take(message.at_ms, update, self.options.window_ms);
                }
            }
        }
    }

    /// Says something at the bottom of the screen.
    pub fn say(&mut self, text: impl Into<String>, bad: bool) {
        self.ui.note = Some(Note { text: text.into(), bad, until_ms: self.data.now_ms.saturating_add(NOTE_MS) });
    }

    /// The lines of a list that the filter lets through.
    #[must_use]
    pub fn passes(&self, line: &str) -> bool {
        self.ui.filter.is_empty() || line.to_lowercase().contains(&self.ui.filter.to_lowercase())
    }

    /// The chosen line of the screen, within `count` lines.
    #[must_use]
    pub fn cursor(&self, count: usize) -> usize {
        self.ui.cursors[self.ui.screen.index()].min(count.saturating_sub(1))
    }

    /// Indices of the lines of a screen that the filter lets through.
    #[must_use]
    pub fn lines(&self, screen: Screen) -> Vec<usize> {
        let data = self.shown();
        let Some(server) = self.server() else { return Vec::new() };
        let keep = |lines: Vec<String>| {
            lines.iter().enumerate().filter(|(_, line)| self.passes(line)).map(|(index, _)| index).collect()
        };
        match screen {
            Screen::Requests => keep(
                server.traces.iter().map(|t| format!("{} {} {} {}", t.id, t.model, t.outcome, t.sources)).collect(),
            ),
            Screen::Fleet => {
                let own = data.servers.iter().map(|server| server.name.clone());
                keep(own.chain(data.fleet.iter().map(|row| row.instance.clone())).collect())
            }
            Screen::History => keep(server.history.iter().map(|entry| format!("{entry:?}")).collect()),
            Screen::Alerts => {
                let alerts = alerts::of(server, data.now_ms);
                keep(alerts.iter().map(|alert| format!("{} {}", alert.rule, alert.text)).collect())
            }
            Screen::Logs => keep(data.logs.iter().cloned().collect()),
            Screen::Overview | Screen::Rewards | Screen::Models => Vec::new(),
        }
    }
}
