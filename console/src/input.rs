//! The keys. One table defines what each key does in each mode, with its texts for the hint bar and the help.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// The screens, in the order of their number keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Screen {
    /// Acceptance, speedup, FLOP savings and other numbers.
    #[default]
    Overview,
    /// Rewards, the threshold, and the prediction for others.
    Rewards,
    Models,
    Requests,
    Fleet,
    /// Revisions of the policy.
    History,
    Alerts,
    Logs,
}

impl Screen {
    pub const ALL: [Self; 8] = [
        Self::Overview,
        Self::Rewards,
        Self::Models,
        Self::Requests,
        Self::Fleet,
        Self::History,
        Self::Alerts,
        Self::Logs,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Rewards => "rewards",
            Self::Models => "models",
            Self::Requests => "requests",
            Self::Fleet => "fleet",
            Self::History => "history",
            Self::Alerts => "alerts",
            Self::Logs => "logs",
        }
    }

    #[must_use]
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|screen| *screen == self).unwrap_or(0)
    }

    /// The screen `by` places on; after the last comes the first.
    #[must_use]
    pub fn next(self, by: usize) -> Self {
        Self::ALL[(self.index() + by) % Self::ALL.len()]
    }
}

/// What the keys apply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputMode {
    Screen,
    Help,
    /// The line in which the filter is typed.
    Filter,
    /// The line in which a command is typed.
    Palette,
    /// One request, step by step.
    Detail,
    /// The dialog in which settings are changed.
    Form,
    /// A question: apply or cancel a change, or what to do after a conflict.
    Confirm,
}

/// What a key asks the console to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserIntent {
    Quit,
    /// Give the terminal back until the shell's `fg`.
    Suspend,
    Help,
    /// Close the dialog, help or request that is open.
    Close,
    Show(Screen),
    NextScreen,
    PreviousScreen,
    NextServer,
    PreviousServer,
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
    /// Open the selected line, or give the selected answer.
    Enter,
    /// Step the value down, or select the left answer.
    Left,
    /// Step the value up, or select the right answer.
    Right,
    /// Ten steps down.
    FarLeft,
    /// Ten steps up.
    FarRight,
    /// Freeze or unfreeze the view.
    Freeze,
    /// Type a filter.
    Filter,
    /// Type a command.
    Palette,
    /// Complete the command that is being typed.
    Complete,
    /// Sort the list by the next column.
    SortColumn,
    /// Turn the order of the list around.
    ReverseOrder,
    Text(char),
    /// Delete the last character.
    Erase,
    EditDelta,
    /// Change which models answer.
    EditRoute,
    EditBudget,
    EditPresets,
    /// Return to the revision before the newest.
    Undo,
    /// Undo the last change of all servers.
    UndoAll,
    /// Toggle whether the change is for all servers.
    AllServers,
    /// Confirm a change that would otherwise be reverted.
    Confirm,
    /// Toggle whether the change is a trial.
    Trial,
    /// Toggle whether the change is also written into the deployment file.
    Persist,
    /// Show or hide the comparison with an hour ago.
    Compare,
    /// Fetch everything now.
    Refresh,
}

/// A key press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyPress {
    Char(char),
    Ctrl(char),
    Code(KeyCode),
    Shift(KeyCode),
}

/// One row of the table.
pub struct KeyBinding {
    modes: &'static [InputMode],
    presses: &'static [KeyPress],
    /// The keys as they are shown.
    pub keys: &'static str,
    /// A word for the hint bar; empty if the key is not shown there.
    pub hint: &'static str,
    /// A sentence for the help.
    pub help: &'static str,
    intent: UserIntent,
}

use KeyCode::{BackTab, Backspace, Down, End, Enter, Esc, Home, Left, PageDown, PageUp, Right, Tab, Up};
use KeyPress::{Char, Code, Ctrl, Shift};

const SCREEN: &[InputMode] = &[InputMode::Screen];
const LISTS: &[InputMode] = &[InputMode::Screen, InputMode::Detail, InputMode::Help];
const MOVES: &[InputMode] = &[InputMode::Screen, InputMode::Detail, InputMode::Help, InputMode::Form];
const FORM: &[InputMode] = &[InputMode::Form];
const CONFIRM: &[InputMode] = &[InputMode::Confirm];
const OPEN: &[InputMode] =
    &[InputMode::Detail, InputMode::Help, InputMode::Form, InputMode::Confirm, InputMode::Filter, InputMode::Palette];
const PALETTE: &[InputMode] = &[InputMode::Palette];
const ANYWHERE: &[InputMode] = &[
    InputMode::Screen,
    InputMode::Help,
    InputMode::Filter,
    InputMode::Palette,
    InputMode::Detail,
    InputMode::Form,
    InputMode::Confirm,
];

macro_rules! bindings {
    ($($modes:expr, [$($press:expr),+], $keys:literal, $hint:literal, $help:literal, $intent:expr;)*) => {
        pub const BINDINGS: &[KeyBinding] = &[$(KeyBinding {
            modes: $modes, presses: &[$($press),+], keys: $keys, hint: $hint, help: $help, intent: $intent,
        }),*];
    };
}

bindings! {
    SCREEN, [Char('?')], "?", "help", "Show this help.", UserIntent::Help;
    SCREEN, [Char('q')], "q", "quit", "Quit.", UserIntent::Quit;
    SCREEN, [Char('d'), Char('e')], "d", "delta", "Change the threshold, or any other setting.", UserIntent::EditDelta;
    SCREEN, [Char('s')], "s", "route", "Change which models answer: RSD, the draft alone, or the target alone.", UserIntent::EditRoute;
    SCREEN, [Char('b')], "b", "budget", "Change the budget mode and its target rate.", UserIntent::EditBudget;
    SCREEN, [Char('p')], "p", "", "Change a preset, which is the policy of one model name.", UserIntent::EditPresets;
    SCREEN, [Char('u')], "u", "undo", "Undo the newest revision.", UserIntent::Undo;
    SCREEN, [Char('U')], "U", "", "Undo the last change of all servers.", UserIntent::UndoAll;
    SCREEN, [Char('c'), Char('K')], "c", "", "Confirm a change that would otherwise be reverted.", UserIntent::Confirm;
    SCREEN, [Char('1')], "1", "", "Overview: acceptance rates, speedup, FLOP savings.", UserIntent::Show(Screen::Overview);
    SCREEN, [Char('2')], "2", "", "Rewards: their histogram, the threshold, the prediction for others.", UserIntent::Show(Screen::Rewards);
    SCREEN, [Char('3')], "3", "", "Models: decode and prefill, tokens and seconds, caches.", UserIntent::Show(Screen::Models);
    SCREEN, [Char('4')], "4", "", "Requests: recent answers, step by step.", UserIntent::Show(Screen::Requests);
    SCREEN, [Char('5')], "5", "", "Fleet: all servers.", UserIntent::Show(Screen::Fleet);
    SCREEN, [Char('6')], "6", "", "History: who changed what.", UserIntent::Show(Screen::History);
    SCREEN, [Char('7')], "7", "", "Alerts, and attempts to change settings.", UserIntent::Show(Screen::Alerts);
    SCREEN, [Char('8')], "8", "", "Logs of this console.", UserIntent::Show(Screen::Logs);
    SCREEN, [Code(Right), Char('l'), Code(Tab)], "right l Tab", "", "The next screen.", UserIntent::NextScreen;
    SCREEN, [Code(Left), Char('h'), Code(BackTab), Shift(BackTab)], "left h", "", "The previous screen.", UserIntent::PreviousScreen;
    SCREEN, [Char(']')], "]", "", "The next server.", UserIntent::NextServer;
    SCREEN, [Char('[')], "[", "", "The previous server.", UserIntent::PreviousServer;
    SCREEN, [Char(':')], ":", "command", "Type a command: every key has a name, too.", UserIntent::Palette;
    SCREEN, [Char('o')], "o", "", "Sort the fleet or the requests by the next column.", UserIntent::SortColumn;
    SCREEN, [Char('O')], "O", "", "Turn the order of the list around.", UserIntent::ReverseOrder;
    SCREEN, [Char('/')], "/", "filter", "Show only lines with this text.", UserIntent::Filter;
    SCREEN, [Char(' ')], "space", "freeze", "Freeze or unfreeze the view. No data are lost meanwhile.", UserIntent::Freeze;
    SCREEN, [Char('v')], "v", "compare", "Compare the numbers with those of an hour ago.", UserIntent::Compare;
    SCREEN, [Code(Enter)], "Enter", "open", "Open the selected line: a request, a server, or the return to a revision.", UserIntent::Enter;
    SCREEN, [Char('r')], "r", "", "Fetch everything from the server now.", UserIntent::Refresh;
    MOVES, [Code(Down), Char('j')], "down j", "", "The next line; among the rewards, a lower threshold to look at.", UserIntent::Down;
    MOVES, [Code(Up), Char('k')], "up k", "", "The previous line; among the rewards, a higher threshold to look at.", UserIntent::Up;
    LISTS, [Code(PageDown), Ctrl('d')], "PgDn", "", "A page down.", UserIntent::PageDown;
    LISTS, [Code(PageUp), Ctrl('u')], "PgUp", "", "A page up.", UserIntent::PageUp;
    LISTS, [Code(Home), Char('g')], "Home g", "", "The first line.", UserIntent::Top;
    LISTS, [Code(End), Char('G')], "End G", "", "The last line.", UserIntent::Bottom;
    FORM, [Code(Left), Char('h')], "left h", "lower", "In the settings: decrease the value.", UserIntent::Left;
    FORM, [Code(Right), Char('l')], "right l", "higher", "In the settings: increase the value.", UserIntent::Right;
    FORM, [Shift(Left), Char('H')], "H", "", "In the settings: decrease the value by ten steps.", UserIntent::FarLeft;
    FORM, [Shift(Right), Char('L')], "L", "", "In the settings: increase the value by ten steps.", UserIntent::FarRight;
    FORM, [Code(Backspace)], "Backspace", "", "In the settings: delete a typed character, or the new value.", UserIntent::Erase;
    FORM, [Char('t')], "t", "trial", "In the settings: revert the change after 60 s unless it is confirmed.", UserIntent::Trial;
    FORM, [Char('a')], "a", "all", "In the settings: change all servers, not only this one.", UserIntent::AllServers;
    FORM, [Char('w')], "w", "write", "In the settings: also write the change into the deployment file.", UserIntent::Persist;
    FORM, [Code(Enter)], "Enter", "review", "In the settings: review what the server would do, before anything changes.", UserIntent::Enter;
    CONFIRM, [Code(Left), Char('h'), Code(BackTab), Shift(BackTab)], "left h", "", "In a question: the left answer.", UserIntent::Left;
    CONFIRM, [Code(Right), Char('l'), Code(Tab)], "right l Tab", "choose", "In a question: the right answer.", UserIntent::Right;
    CONFIRM, [Code(Enter)], "Enter", "confirm", "In a question: give the selected answer. The preselected one changes nothing.", UserIntent::Enter;
    &[InputMode::Help], [Char('?'), Char('q')], "?", "", "Close the help.", UserIntent::Close;
    &[InputMode::Detail], [Char('q')], "q", "", "Back to the list.", UserIntent::Close;
    &[InputMode::Filter], [Code(Enter)], "Enter", "apply", "In the filter: apply it.", UserIntent::Enter;
    &[InputMode::Filter], [Code(Backspace)], "Backspace", "", "In the filter: delete a character.", UserIntent::Erase;
    PALETTE, [Code(Enter)], "Enter", "run", "In the commands: run the selected one.", UserIntent::Enter;
    PALETTE, [Code(Tab)], "Tab", "complete", "In the commands: complete the name.", UserIntent::Complete;
    PALETTE, [Code(Down)], "down", "", "In the commands: select the one below.", UserIntent::Down;
    PALETTE, [Code(Up)], "up", "", "In the commands: select the one above.", UserIntent::Up;
    PALETTE, [Code(Backspace)], "Backspace", "", "In the commands: delete a character.", UserIntent::Erase;
    OPEN, [Code(Esc)], "Esc", "back", "Close what is open and change nothing.", UserIntent::Close;
    SCREEN, [Code(Esc)], "Esc", "", "Close the comparison, or clear the filter or the cursor among the rewards.", UserIntent::Close;
    ANYWHERE, [Ctrl('c')], "Ctrl-C", "", "Quit at once.", UserIntent::Quit;
    ANYWHERE, [Ctrl('z')], "Ctrl-Z", "", "Give the terminal back to the shell; fg returns.", UserIntent::Suspend;
}

impl KeyBinding {
    /// Whether the key works on the screens themselves.
    #[must_use]
    pub fn on_screens(&self) -> bool {
        self.modes.contains(&InputMode::Screen)
    }

    /// What the key asks for.
    #[must_use]
    pub fn intent(&self) -> UserIntent {
        self.intent
    }
}

/// What a key does in a mode.
#[must_use]
pub fn intent(mode: InputMode, key: KeyEvent) -> Option<UserIntent> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let shift = key.modifiers.contains(KeyModifiers::SHIFT);
    let press = match key.code {
        KeyCode::Char(c) if control => Ctrl(c),
        KeyCode::Char(c) => Char(c),
        code if shift => Shift(code),
        code => Code(code),
    };
    let bound = |binding: &&KeyBinding| binding.modes.contains(&mode) && binding.presses.contains(&press);
    if let Some(binding) = BINDINGS.iter().find(bound) {
        return Some(binding.intent);
    }
    match (mode, press) {
        (InputMode::Filter | InputMode::Form | InputMode::Palette, Char(c)) => Some(UserIntent::Text(c)),
        _ => None,
    }
}

/// The keys of a mode for the hint bar, each with its word.
pub fn hints(mode: InputMode) -> impl Iterator<Item = (&'static str, &'static str)> {
    BINDINGS
        .iter()
        .filter(move |binding| binding.modes.contains(&mode) && !binding.hint.is_empty())
        .map(|binding| (binding.keys, binding.hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_mode() {
        for mode in ANYWHERE {
            let mut seen = Vec::new();
            for binding in BINDINGS.iter().filter(|binding| binding.modes.contains(mode)) {
                for press in binding.presses {
                    assert!(!seen.contains(press), "{mode:?}: {press:?} ({})", binding.help);
                    seen.push(*press);
                }
            }
        }
    }

    #[test]
    fn every_screen_has_its_number_and_every_mode_its_way_out() {
        for (n, screen) in Screen::ALL.into_iter().enumerate() {
            let digit = char::from_digit(u32::try_from(n).unwrap() + 1, 10).unwrap();
            let key = KeyEvent::new(KeyCode::Char(digit), KeyModifiers::NONE);
            assert_eq!(intent(InputMode::Screen, key), Some(UserIntent::Show(screen)));
            assert_eq!(intent(InputMode::Form, key), Some(UserIntent::Text(digit)), "in the settings digits are typed");
        }
        for mode in ANYWHERE {
            assert_eq!(intent(*mode, KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)), Some(UserIntent::Close));
            let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            assert_eq!(intent(*mode, ctrl_c), Some(UserIntent::Quit));
        }
    }
}
