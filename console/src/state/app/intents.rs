//! What each intent does to the state.

use super::{App, Effect, PAGE};
use crate::{
    input::{Intent, Screen},
    source::Command,
    state::edit::Edit,
};

impl App {
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
            Intent::EditPresets => self.open_presets(),
            Intent::Undo => return self.undo(),
            Intent::Keep => return self.keep(),
            Intent::Trial => self.drafted(|draft| draft.trial = !draft.trial),
            Intent::Persist => self.drafted(|draft| draft.persist = !draft.persist),
            Intent::Refresh => return vec![Effect::Send(self.ui.server, Command::Refresh)],
        }
        Vec::new()
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

    pub(super) fn close(&mut self) {
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

    fn enter(&mut self) -> Vec<Effect> {
        match self.ui.edit.clone() {
            Edit::Draft(draft) => self.review_draft(*draft),
            Edit::Review(review) => self.confirm(*review),
            Edit::Conflict(conflict) => self.again(*conflict),
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
}
