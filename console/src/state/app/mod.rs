//! The whole state: the servers, the screens, and the change that is being made. Messages and user intents go in,
//! effects come out.

mod changes;
mod fleet;
mod intents;
pub mod lines;
pub mod opened;

use std::{cell::Cell, collections::VecDeque};

use self::{lines::SortOrder, opened::OpenedPage};
use super::{
    change_dialog::ChangeDialog,
    fleet_change::TakenChange,
    server::{STALE_AFTER_MS, ServerState},
};
use crate::{
    input::{InputMode, Screen},
    palette::CommandPalette,
    source::{FleetRow, ServerCommand, SourceChannel, SourceMessage, SourceUpdate},
};

/// Lines of the console's own log that are stored.
const MAX_LOG_LINES: usize = 500;
/// How long a note is shown.
const NOTE_MS: u64 = 8_000;
/// Lines that a page key moves.
const PAGE: usize = 10;

/// The options that the console was started with.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// Whether changes are not allowed.
    pub readonly: bool,
    /// Length of the window of rates and quantiles.
    pub window_ms: u64,
    /// Milliseconds without metrics after which they are shown as old.
    pub stale_after_ms: u64,
    /// The name in the history of changes.
    pub by: Option<String>,
}

impl Default for AppOptions {
    fn default() -> Self {
        Self { readonly: false, window_ms: 120_000, stale_after_ms: STALE_AFTER_MS, by: None }
    }
}

/// Everything that was fetched.
#[derive(Debug, Clone, Default)]
pub struct FetchedData {
    pub servers: Vec<ServerState>,
    /// The servers that Prometheus knows.
    pub fleet: Vec<FleetRow>,
    /// Why Prometheus did not answer.
    pub fleet_problem: Option<String>,
    /// Lines of the console's own log, oldest first.
    pub logs: VecDeque<String>,
    /// The current time, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A message at the bottom of the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusNote {
    pub text: String,
    /// Whether it reports a problem.
    pub bad: bool,
    until_ms: u64,
}

/// What the user is looking at.
#[derive(Debug, Clone, Default)]
pub struct UiState {
    pub screen: Screen,
    /// Index of the selected server.
    pub server: usize,
    /// The selected line of each screen.
    pub cursors: [usize; Screen::ALL.len()],
    /// The order of each screen's list.
    pub orders: [Option<SortOrder>; Screen::ALL.len()],
    /// The command that is being typed.
    pub palette: Option<CommandPalette>,
    /// Only lines that contain this text are shown.
    pub filter: String,
    /// Whether the filter is being typed.
    pub filtering: bool,
    pub help: bool,
    /// What is opened on top of the screen.
    pub opened: Option<OpenedPage>,
    /// First line shown of a long text. The view, which knows the length of the text, corrects values that are too
    /// large.
    pub scroll: Cell<usize>,
    /// The threshold that is looked at among the rewards, in hundredths.
    pub probe: Option<u8>,
    pub dialog: ChangeDialog,
    /// Who took the last change of all servers, for its undo.
    pub last_fleet: Vec<TakenChange>,
    pub note: Option<StatusNote>,
}

/// What has to be done outside the state.
#[derive(Debug, Clone, PartialEq)]
pub enum AppEffect {
    /// Send the command to the server with this index.
    Send(usize, ServerCommand),
    /// Give the terminal back and stop the program until it is continued.
    Suspend,
    /// End the program.
    Quit,
}

/// The whole state.
#[derive(Debug, Clone, Default)]
pub struct App {
    pub data: FetchedData,
    /// The data that are shown while the view is frozen.
    pub frozen: Option<Box<FetchedData>>,
    pub ui: UiState,
    pub options: AppOptions,
    tickets: u64,
    /// When the steps of a request were asked for that have not arrived yet.
    asked_ms: Option<u64>,
}

impl App {
    /// The state at the start, for servers given by name and by whether their admin API is known.
    #[must_use]
    pub fn new(servers: &[(String, bool)], options: AppOptions) -> Self {
        let server = |(name, admin): &(String, bool)| {
            let mut server = ServerState::new(name, *admin);
            server.metrics.stale_after_ms = options.stale_after_ms;
            server
        };
        let servers = servers.iter().map(server).collect();
        Self { data: FetchedData { servers, ..FetchedData::default() }, options, ..Self::default() }
    }

    /// The data to show: frozen or current.
    #[must_use]
    pub fn shown(&self) -> &FetchedData {
        self.frozen.as_deref().unwrap_or(&self.data)
    }

    /// The selected server, frozen or current.
    #[must_use]
    pub fn server(&self) -> Option<&ServerState> {
        self.shown().servers.get(self.ui.server)
    }

    /// What keys apply to.
    #[must_use]
    pub fn mode(&self) -> InputMode {
        match self.ui.dialog {
            _ if self.ui.help => InputMode::Help,
            ChangeDialog::Closed if self.ui.palette.is_some() => InputMode::Palette,
            ChangeDialog::Form(_) => InputMode::Form,
            ChangeDialog::Review(_) | ChangeDialog::Conflict(_) | ChangeDialog::Fleet(_) => InputMode::Confirm,
            ChangeDialog::Closed if self.ui.filtering => InputMode::Filter,
            ChangeDialog::Closed if self.shows_request() => InputMode::Detail,
            ChangeDialog::Closed => InputMode::Screen,
        }
    }

    /// Sets the current time.
    pub fn tick(&mut self, now_ms: u64) {
        self.data.now_ms = now_ms;
        if self.ui.note.as_ref().is_some_and(|note| note.until_ms <= now_ms) {
            self.ui.note = None;
        }
    }

    /// Adds a line of the console's own log.
    pub fn add_log_line(&mut self, line: String) {
        if self.data.logs.len() == MAX_LOG_LINES {
            self.data.logs.pop_front();
        }
        self.data.logs.push_back(line);
    }

    /// Takes what a source fetched.
    pub fn receive(&mut self, message: SourceMessage) {
        self.tick(message.at_ms.max(self.data.now_ms));
        match message.update {
            SourceUpdate::Fleet(rows) => {
                self.data.fleet = rows;
                self.data.fleet_problem = None;
            }
            SourceUpdate::Failed(failure) if failure.channel == SourceChannel::Prometheus => {
                self.data.fleet_problem = Some(failure.cause);
            }
            SourceUpdate::Answer { ticket, answer } => self.receive_answer(ticket, *answer),
            update => {
                if matches!(update, SourceUpdate::Trace(_)) {
                    self.asked_ms = None;
                }
                if let Some(server) = self.data.servers.get_mut(message.target) {
                    server.receive(message.at_ms, update, self.options.window_ms);
                }
            }
        }
    }

    /// Shows a note at the bottom of the screen.
    pub fn show_note(&mut self, text: impl Into<String>, bad: bool) {
        self.ui.note = Some(StatusNote { text: text.into(), bad, until_ms: self.data.now_ms.saturating_add(NOTE_MS) });
    }

    /// Whether the filter lets this line through.
    #[must_use]
    pub fn passes_filter(&self, line: &str) -> bool {
        self.ui.filter.is_empty() || line.to_lowercase().contains(&self.ui.filter.to_lowercase())
    }

    /// The selected line of the current screen, which has `count` lines.
    #[must_use]
    pub fn cursor(&self, count: usize) -> usize {
        self.ui.cursors[self.ui.screen.index()].min(count.saturating_sub(1))
    }
}
