//! What each user intent does to the state.

use super::{App, AppEffect, PAGE, opened::OpenedPage};
use crate::{
    input::{InputMode, Screen, UserIntent},
    palette::CommandPalette,
    source::ServerCommand,
    state::{change_dialog::ChangeDialog, fleet_change::FleetPlan, presets, server::ServerState},
};

impl App {
    /// Does what the user asks for.
    pub fn apply_intent(&mut self, intent: UserIntent) -> Vec<AppEffect> {
        match intent {
            UserIntent::Quit => return vec![AppEffect::Quit],
            UserIntent::Suspend => return vec![AppEffect::Suspend],
            UserIntent::Help => self.open_help(),
            UserIntent::Close => self.close(),
            UserIntent::Show(screen) => self.show(screen),
            UserIntent::NextScreen => self.show(self.ui.screen.next(1)),
            UserIntent::PreviousScreen => self.show(self.ui.screen.next(Screen::ALL.len() - 1)),
            UserIntent::NextServer => self.select_server(self.ui.server + 1),
            UserIntent::PreviousServer => {
                self.select_server(self.ui.server + self.data.servers.len().saturating_sub(1));
            }
            UserIntent::Up
            | UserIntent::Down
            | UserIntent::PageUp
            | UserIntent::PageDown
            | UserIntent::Top
            | UserIntent::Bottom => {
                self.move_cursor(intent);
            }
            UserIntent::Enter => return self.enter(),
            UserIntent::Left | UserIntent::Right | UserIntent::FarLeft | UserIntent::FarRight => self.sideways(intent),
            UserIntent::Freeze => self.freeze(),
            UserIntent::Filter => self.ui.filtering = true,
            UserIntent::Palette => self.ui.palette = Some(CommandPalette::default()),
            UserIntent::Complete => self.ui.palette.iter_mut().for_each(CommandPalette::complete),
            UserIntent::SortColumn => self.sort_by_next_column(),
            UserIntent::ReverseOrder => self.reverse_order(),
            UserIntent::Compare => self.toggle_comparison(),
            UserIntent::Text(c) => self.text(c),
            UserIntent::Erase => self.erase(),
            UserIntent::EditDelta => self.open_form("policy.delta"),
            UserIntent::EditRoute => self.open_form(self.route_path()),
            UserIntent::EditBudget => self.open_form("policy.mode"),
            UserIntent::EditPresets => self.open_presets(),
            UserIntent::Undo => return self.undo(),
            UserIntent::UndoAll => return self.undo_all(),
            UserIntent::AllServers => self.toggle_all_servers(),
            UserIntent::Confirm => return self.confirm_change(),
            UserIntent::Trial => self.edit_form(|pending| pending.trial = !pending.trial),
            UserIntent::Persist => self.edit_form(|pending| pending.persist = !pending.persist),
            UserIntent::Refresh => return vec![AppEffect::Send(self.ui.server, ServerCommand::Refresh)],
        }
        Vec::new()
    }

    /// Path of the setting that chooses the models; servers of the release before have it under its former name.
    fn route_path(&self) -> &'static str {
        let view = self.data.servers.get(self.ui.server).and_then(|server| server.policy.as_ref());
        let named = |path: &str| view.is_some_and(|(_, view)| view.settings.iter().any(|setting| setting.path == path));
        if named(presets::OLD_ROUTE) { presets::OLD_ROUTE } else { "policy.route" }
    }

    fn show(&mut self, screen: Screen) {
        self.ui.screen = screen;
        self.ui.opened = None;
        self.ui.scroll.set(0);
        self.ui.filter.clear();
    }

    fn toggle_comparison(&mut self) {
        let shown = self.ui.opened == Some(OpenedPage::Comparison);
        self.show(Screen::Overview);
        self.ui.opened = (!shown).then_some(OpenedPage::Comparison);
    }

    fn select_server(&mut self, server: usize) {
        if !self.data.servers.is_empty() {
            self.ui.server = server % self.data.servers.len();
            self.ui.opened = None;
        }
    }

    fn open_help(&mut self) {
        self.ui.help = true;
        self.ui.scroll.set(0);
    }

    pub(super) fn close(&mut self) {
        if self.ui.help {
            self.ui.help = false;
        } else if self.ui.dialog != ChangeDialog::Closed {
            let sent = match &self.ui.dialog {
                ChangeDialog::Review(review) => review.sent,
                ChangeDialog::Fleet(fleet) => fleet.pending(),
                _ => false,
            };
            let changed = matches!(&self.ui.dialog, ChangeDialog::Fleet(fleet) if !fleet.taken().is_empty());
            if sent {
                self.show_note("the change was already sent; the server's answer will be shown", false);
            } else {
                self.ui.dialog = ChangeDialog::Closed;
                let note = if changed { "U undoes the change of all servers" } else { "nothing was changed" };
                self.show_note(note, false);
            }
        } else if self.ui.palette.is_some() {
            self.ui.palette = None;
        } else if self.ui.filtering {
            self.ui.filtering = false;
            self.ui.filter.clear();
        } else if self.ui.opened.is_some() {
            self.ui.opened = None;
        } else {
            self.ui.filter.clear();
            self.ui.probe = None;
        }
    }

    fn freeze(&mut self) {
        self.frozen = if self.frozen.is_some() { None } else { Some(Box::new(self.data.clone())) };
    }

    fn move_cursor(&mut self, intent: UserIntent) {
        if self.mode() == InputMode::Palette {
            return self.ui.palette.iter_mut().for_each(|palette| palette.move_cursor(intent == UserIntent::Down));
        }
        if let ChangeDialog::Form(pending) = &mut self.ui.dialog
            && !self.ui.help
        {
            pending.move_cursor(intent == UserIntent::Down);
            return;
        }
        let open = self.ui.help || self.shows_request() || self.ui.screen == Screen::Models;
        if self.ui.screen == Screen::Rewards && !open {
            return self.move_probe(intent);
        }
        let last = if open { usize::MAX } else { self.filtered_lines(self.ui.screen).len().saturating_sub(1) };
        let index = self.ui.screen.index();
        let now = if open { self.ui.scroll.get() } else { self.ui.cursors[index].min(last) };
        let then = match intent {
            UserIntent::Up => now.saturating_sub(1),
            UserIntent::PageUp => now.saturating_sub(PAGE),
            UserIntent::PageDown => now.saturating_add(PAGE),
            UserIntent::Top => 0,
            UserIntent::Bottom => last,
            _ => now.saturating_add(1),
        };
        if open {
            self.follow_by(intent);
            self.ui.scroll.set(then);
        } else {
            self.ui.cursors[index] = then.min(last);
        }
    }

    /// Looks at another threshold; up is higher.
    fn move_probe(&mut self, intent: UserIntent) {
        let active = self.server().and_then(ServerState::delta).unwrap_or(0.5).clamp(0.0, 1.0);
        let now = self.ui.probe.unwrap_or_else(|| hundredths(active));
        self.ui.probe = Some(match intent {
            UserIntent::Up => now.saturating_add(1),
            UserIntent::PageUp => now.saturating_add(10),
            UserIntent::PageDown => now.saturating_sub(10),
            UserIntent::Top => 0,
            UserIntent::Bottom => 100,
            _ => now.saturating_sub(1),
        })
        .map(|probe| probe.min(100));
    }

    fn sideways(&mut self, intent: UserIntent) {
        let right = matches!(intent, UserIntent::Right | UserIntent::FarRight);
        match &mut self.ui.dialog {
            ChangeDialog::Form(pending) => {
                pending.step(right, matches!(intent, UserIntent::FarLeft | UserIntent::FarRight));
            }
            ChangeDialog::Review(review) => review.apply = right && review.ready(),
            ChangeDialog::Conflict(conflict) => conflict.review_again = right,
            ChangeDialog::Fleet(fleet) => {
                let undo = fleet.plan == FleetPlan::Change && !fleet.pending() && !fleet.taken().is_empty();
                fleet.right = right && (fleet.ready() || undo);
            }
            ChangeDialog::Closed => {}
        }
    }

    fn text(&mut self, c: char) {
        if let ChangeDialog::Form(pending) = &mut self.ui.dialog {
            pending.type_char(c);
        } else if let Some(palette) = &mut self.ui.palette {
            palette.type_char(c);
        } else if self.ui.filtering && !c.is_control() && self.ui.filter.len() < 60 {
            self.ui.filter.push(c);
        }
    }

    fn erase(&mut self) {
        if let ChangeDialog::Form(pending) = &mut self.ui.dialog {
            pending.erase();
        } else if let Some(palette) = &mut self.ui.palette {
            palette.erase();
        } else {
            self.ui.filter.pop();
        }
    }

    fn enter(&mut self) -> Vec<AppEffect> {
        match self.ui.dialog.clone() {
            ChangeDialog::Form(pending) => self.review_form(*pending),
            ChangeDialog::Review(review) => self.answer_review(*review),
            ChangeDialog::Conflict(conflict) => self.answer_conflict(*conflict),
            ChangeDialog::Fleet(fleet) => self.answer_fleet(*fleet),
            ChangeDialog::Closed if self.ui.palette.is_some() => self.run_command(),
            ChangeDialog::Closed if self.ui.filtering => {
                self.ui.filtering = false;
                Vec::new()
            }
            ChangeDialog::Closed => self.open_line(),
        }
    }

    /// Runs the selected command of the palette.
    fn run_command(&mut self) -> Vec<AppEffect> {
        let Some(palette) = self.ui.palette.take() else { return Vec::new() };
        let Some(command) = palette.selected() else {
            self.show_note(format!("{}: no command has this name; press : for the list", palette.typed), true);
            return Vec::new();
        };
        let effects = self.apply_intent(command.intent);
        // A threshold can be typed behind the command.
        self.edit_form(|pending| palette.argument().chars().for_each(|c| pending.type_char(c)));
        effects
    }

    fn open_line(&mut self) -> Vec<AppEffect> {
        let lines = self.filtered_lines(self.ui.screen);
        let Some(&line) = lines.get(self.cursor(lines.len())) else { return Vec::new() };
        match self.ui.screen {
            Screen::Fleet if line < self.data.servers.len() => {
                self.select_server(line);
                self.show(Screen::Overview);
            }
            Screen::Fleet => self.show_note("only Prometheus knows this server; give its address with --target", false),
            Screen::Requests => {
                let Some(id) = self.server().and_then(|server| server.traces.get(line)).map(|trace| trace.id.clone())
                else {
                    return Vec::new();
                };
                return self.open_request(id);
            }
            Screen::History => {
                let revision = self.server().and_then(|server| server.history.get(line)).map(|entry| entry.revision);
                if let Some(revision) = revision {
                    return self.review_rollback(revision);
                }
            }
            _ => {}
        }
        Vec::new()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, and from 0 to 100")]
fn hundredths(fraction: f64) -> u8 {
    (100.0 * fraction).round() as u8
}
