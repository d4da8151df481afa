//! The whole state: servers, screens, and the change that is being made. Messages and intents go in, commands come out.

use std::{cell::Cell, collections::VecDeque};

use rsd_protocol::live::{Change, Changed, Rollback};

use super::{
    alerts,
    edit::{self, Conflict, Draft, Edit, Plan, Review, Verdict},
    server::Server,
};
use crate::{
    clock,
    input::{Intent, Mode, Screen},
    source::{Answer, Channel, Command, FleetRow, Message, Update},
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

    /// Does what the operator wants.
    pub fn act(&mut self, intent: Intent) -> Vec<Effect> {
        match intent {
            Intent::Quit => return vec![Effect::Quit],
            Intent::Help => self.open_help(),
            Intent::Close => self.close(),
            Intent::Show(screen) => self.show(screen),
            Intent::NextScreen => self.show(self.ui.screen.next(1)),
            Intent::PreviousScreen => self.show(self.ui.screen.next(Screen::ALL.len() - 1)),
            Intent::NextServer => self.look_at(self.ui.server + 1),
            Intent::PreviousServer => self.look_at(self.ui.server + self.data.servers.len().saturating_sub(1)),
            Intent::Up | Intent::Down | Intent::PageUp | Intent::PageDown | Intent::Top | Intent::Bottom => {
                self.move_cursor(intent);
            }
            Intent::Enter => return self.enter(),
            Intent::Left | Intent::Right | Intent::FarLeft | Intent::FarRight => self.sideways(intent),
            Intent::Freeze => self.freeze(),
            Intent::Filter => self.ui.filtering = true,
            Intent::Text(c) => self.text(c),
            Intent::Erase => self.erase(),
            Intent::EditDelta => self.open_draft("policy.delta"),
            Intent::EditAnswers => self.open_draft("policy.answers"),
            Intent::EditBudget => self.open_draft("policy.mode"),
            Intent::Undo => return self.undo(),
            Intent::Keep => return self.keep(),
            Intent::Trial => self.drafted(|draft| draft.trial = !draft.trial),
            Intent::Persist => self.drafted(|draft| draft.persist = !draft.persist),
            Intent::Refresh => return vec![Effect::Send(self.ui.server, Command::Refresh)],
        }
        Vec::new()
    }

    /// Says something at the bottom of the screen.
    pub fn say(&mut self, text: impl Into<String>, bad: bool) {
        self.ui.note = Some(Note { text: text.into(), bad, until_ms: self.data.now_ms + NOTE_MS });
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

    fn show(&mut self, screen: Screen) {
        self.ui.screen = screen;
        self.ui.detail = false;
        self.ui.scroll.set(0);
        self.ui.filter.clear();
    }

    fn look_at(&mut self, server: usize) {
        if !self.data.servers.is_empty() {
            self.ui.server = server % self.data.servers.len();
            self.ui.detail = false;
        }
    }

    fn open_help(&mut self) {
        self.ui.help = true;
        self.ui.scroll.set(0);
    }

    fn close(&mut self) {
        if self.ui.help {
            self.ui.help = false;
        } else if self.ui.edit != Edit::Closed {
            if matches!(&self.ui.edit, Edit::Review(review) if review.sent) {
                self.say("the change was sent already; its answer will be shown", false);
            } else {
                self.ui.edit = Edit::Closed;
                self.say("nothing was changed", false);
            }
        } else if self.ui.filtering {
            self.ui.filtering = false;
            self.ui.filter.clear();
        } else if self.ui.detail {
            self.ui.detail = false;
        } else {
            self.ui.filter.clear();
        }
    }

    fn freeze(&mut self) {
        self.frozen = if self.frozen.is_some() { None } else { Some(Box::new(self.data.clone())) };
    }

    fn move_cursor(&mut self, intent: Intent) {
        if let Edit::Draft(draft) = &mut self.ui.edit
            && !self.ui.help
        {
            draft.go(intent == Intent::Down);
            return;
        }
        let open = self.ui.help || self.ui.detail;
        let last = if open { usize::MAX } else { self.lines(self.ui.screen).len().saturating_sub(1) };
        let index = self.ui.screen.index();
        let now = if open { self.ui.scroll.get() } else { self.ui.cursors[index].min(last) };
        let then = match intent {
            Intent::Up => now.saturating_sub(1),
            Intent::PageUp => now.saturating_sub(PAGE),
            Intent::PageDown => now.saturating_add(PAGE),
            Intent::Top => 0,
            Intent::Bottom => last,
            _ => now.saturating_add(1),
        };
        if open {
            self.ui.scroll.set(then);
        } else {
            self.ui.cursors[index] = then.min(last);
        }
    }

    fn sideways(&mut self, intent: Intent) {
        let right = matches!(intent, Intent::Right | Intent::FarRight);
        match &mut self.ui.edit {
            Edit::Draft(draft) => draft.step(right, matches!(intent, Intent::FarLeft | Intent::FarRight)),
            Edit::Review(review) => review.apply = right && review.ready(),
            Edit::Conflict(conflict) => conflict.again = right,
            Edit::Closed => {}
        }
    }

    fn text(&mut self, c: char) {
        if let Edit::Draft(draft) = &mut self.ui.edit {
            draft.type_in(c);
        } else if self.ui.filtering && !c.is_control() && self.ui.filter.len() < 60 {
            self.ui.filter.push(c);
        }
    }

    fn erase(&mut self) {
        if let Edit::Draft(draft) = &mut self.ui.edit {
            draft.backspace();
        } else {
            self.ui.filter.pop();
        }
    }

    fn drafted(&mut self, change: impl FnOnce(&mut Draft)) {
        if let Edit::Draft(draft) = &mut self.ui.edit {
            change(draft);
        }
    }

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

    fn may_change(&mut self) -> bool {
        self.frozen = None;
        match self.why_readonly() {
            Some(why) => {
                self.say(why, true);
                false
            }
            None => true,
        }
    }

    fn open_draft(&mut self, path: &str) {
        if self.may_change()
            && let Some((etag, view)) = self.data.servers.get(self.ui.server).and_then(|server| server.policy.as_ref())
        {
            self.ui.edit = Edit::Draft(Draft::open(etag, view, path));
        }
    }

    fn enter(&mut self) -> Vec<Effect> {
        match self.ui.edit.clone() {
            Edit::Draft(draft) => self.review_draft(draft),
            Edit::Review(review) => self.confirm(review),
            Edit::Conflict(conflict) => self.again(conflict),
            Edit::Closed if self.ui.filtering => {
                self.ui.filtering = false;
                Vec::new()
            }
            Edit::Closed => self.open_line(),
        }
    }

    fn open_line(&mut self) -> Vec<Effect> {
        let lines = self.lines(self.ui.screen);
        let Some(&line) = lines.get(self.cursor(lines.len())) else { return Vec::new() };
        match self.ui.screen {
            Screen::Fleet if line < self.data.servers.len() => {
                self.look_at(line);
                self.show(Screen::Overview);
            }
            Screen::Fleet => self.say("known to Prometheus only; give its address with --target", false),
            Screen::Requests => {
                let Some(id) = self.server().and_then(|server| server.traces.get(line)).map(|trace| trace.id.clone())
                else {
                    return Vec::new();
                };
                self.ui.detail = true;
                self.ui.scroll.set(0);
                return vec![Effect::Send(self.ui.server, Command::Trace(id))];
            }
            Screen::History => {
                let revision = self.server().and_then(|server| server.history.get(line)).map(|entry| entry.revision);
                if let Some(revision) = revision {
                    return self.go_back(revision);
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn review_draft(&mut self, mut draft: Draft) -> Vec<Effect> {
        let may_stand = draft.settle();
        let change = draft.change(self.options.by.as_deref());
        let etag = draft.etag.clone();
        self.ui.edit = Edit::Draft(draft);
        match change {
            Some(change) if may_stand => self.review(Plan::Change, change, etag),
            None if may_stand => {
                self.drafted(|draft| draft.problem = Some("nothing is different yet".into()));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn review(&mut self, plan: Plan, change: Change, etag: String) -> Vec<Effect> {
        let ticket = self.ticket();
        let asked = Change { persist: false, ..change.clone() };
        self.ui.edit = Edit::Review(Review {
            plan,
            change,
            etag: etag.clone(),
            verdict: Verdict::Asked,
            apply: false,
            sent: false,
            ticket,
        });
        vec![Effect::Send(self.ui.server, Command::DryRun { ticket, change: asked, etag })]
    }

    fn confirm(&mut self, review: Review) -> Vec<Effect> {
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
        self.ui.edit = Edit::Review(Review { sent: true, ticket, ..review });
        vec![Effect::Send(self.ui.server, command)]
    }

    fn again(&mut self, conflict: Conflict) -> Vec<Effect> {
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

    fn undo(&mut self) -> Vec<Effect> {
        let history = self.data.servers.get(self.ui.server).map(|server| &server.history);
        let before = history.and_then(|history| history.get(1)).map(|entry| entry.revision);
        match before {
            Some(revision) => self.go_back(revision),
            None => {
                self.say("there is nothing to undo: the policy is as the server started", false);
                Vec::new()
            }
        }
    }

    fn go_back(&mut self, revision: u64) -> Vec<Effect> {
        if !self.may_change() {
            return Vec::new();
        }
        let Some(server) = self.data.servers.get(self.ui.server) else { return Vec::new() };
        let entry = server.history.iter().find(|entry| entry.revision == revision);
        let (Some((etag, view)), Some(entry)) = (server.policy.clone(), entry) else {
            self.say(format!("the history does not hold revision {revision}"), true);
            return Vec::new();
        };
        match edit::change_between(&view.values, &entry.values) {
            Some(set) => {
                let change = Change { set, by: self.options.by.clone(), ..Change::default() };
                self.review(Plan::Rollback(revision), change, etag)
            }
            None => {
                self.say(format!("revision {revision} holds the same values as now"), false);
                Vec::new()
            }
        }
    }

    fn keep(&mut self) -> Vec<Effect> {
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

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    fn answered(&mut self, ticket: u64, answer: Answer) {
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
                Edit::Review(Review { verdict: Verdict::Shown(changed), ..review })
            }
            Answer::Changed(changed) => {
                self.done(&changed);
                Edit::Closed
            }
            Answer::Refused(detail) => review.refused(&detail),
            Answer::Failed(cause) => {
                Edit::Review(Review { verdict: Verdict::Failed(cause), apply: false, sent: false, ..review })
            }
        };
    }

    fn kept(&mut self, answer: &Answer) {
        match answer {
            Answer::Changed(changed) if !changed.dry_run => {
                self.say(format!("revision {} is kept", changed.revision), false);
            }
            Answer::Changed(_) => {}
            Answer::Refused(detail) => self.say(detail.message.clone(), true),
            Answer::Failed(cause) => self.say(cause.clone(), true),
        }
    }

    fn done(&mut self, changed: &Changed) {
        let differences: Vec<_> =
            changed.differences.iter().map(|d| format!("{} {} -> {}", d.path, d.old, d.new)).collect();
        let mut text = format!("revision {}: {}", changed.revision, differences.join(", "));
        if let Some(reverts) = &changed.reverts {
            let left = clock::span(reverts.at_ms.saturating_sub(self.data.now_ms) / 1000);
            text = format!("{text}; taken back in {left}, K keeps it");
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
