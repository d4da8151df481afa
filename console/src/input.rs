//! Keys: one table says which key means what, where, and in what words. The hint bar, the help and the reader of keys
//! all use it.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// The screens, in the order of their number keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Screen {
    /// Whether it pays.
    #[default]
    Overview,
    /// Rewards, threshold, preview.
    Rewards,
    /// The models.
    Models,
    /// Recent requests.
    Requests,
    /// All servers.
    Fleet,
    /// Who changed what.
    History,
    /// What is wrong.
    Alerts,
    /// The console's own log.
    Logs,
}

impl Screen {
    /// All of them.
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

    /// Its name.
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

    /// Its place.
    #[must_use]
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|screen| *screen == self).unwrap_or(0)
    }

    /// The screen so many places on, around the end.
    #[must_use]
    pub fn next(self, by: usize) -> Self {
        Self::ALL[(self.index() + by) % Self::ALL.len()]
    }
}

/// Where keys go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A screen.
    Screen,
    /// The help.
    Help,
    /// The filter's line.
    Filter,
    /// One request.
    Detail,
    /// The panel of settings.
    Draft,
    /// A change that waits for a yes, or one that came second.
    Confirm,
}

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Leave the program.
    Quit,
    /// Show or hide the help.
    Help,
    /// Leave what is open.
    Close,
    /// Another screen.
    Show(Screen),
    /// The next screen.
    NextScreen,
    /// The one before.
    PreviousScreen,
    /// The next server.
    NextServer,
    /// The one before.
    PreviousServer,
    /// Up.
    Up,
    /// Down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first.
    Top,
    /// To the last.
    Bottom,
    /// Open, or do, what is chosen.
    Enter,
    /// Lower, or the left of two.
    Left,
    /// Higher, or the right of two.
    Right,
    /// Much lower.
    FarLeft,
    /// Much higher.
    FarRight,
    /// Stop or go on showing what is new.
    Freeze,
    /// Choose lines by text.
    Filter,
    /// A typed character.
    Text(char),
    /// Take the last one back.
    Erase,
    /// Change the threshold.
    EditDelta,
    /// Change who answers.
    EditAnswers,
    /// Change the budget.
    EditBudget,
    /// Change what a preset says.
    EditPresets,
    /// Undo the newest revision.
    Undo,
    /// Keep a change that would be taken back.
    Keep,
    /// Make the change for a trial only, or for good.
    Trial,
    /// Write the change into the deployment file too, or not.
    Persist,
    /// Ask for everything now.
    Refresh,
}

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Press {
    Char(char),
    Ctrl(char),
    Code(KeyCode),
    Shift(KeyCode),
}

/// One line of the table.
pub struct Binding {
    modes: &'static [Mode],
    presses: &'static [Press],
    /// The keys as they are shown.
    pub keys: &'static str,
    /// A word for the hint bar; empty where it is not in it.
    pub hint: &'static str,
    /// A sentence for the help.
    pub help: &'static str,
    intent: Intent,
}

use KeyCode::{BackTab, Backspace, Down, End, Enter, Esc, Home, Left, PageDown, PageUp, Right, Tab, Up};
use Press::{Char, Code, Ctrl, Shift};

const SCREEN: &[Mode] = &[Mode::Screen];
const LISTS: &[Mode] = &[Mode::Screen, Mode::Detail, Mode::Help];
const MOVES: &[Mode] = &[Mode::Screen, Mode::Detail, Mode::Help, Mode::Draft];
const CHANGE: &[Mode] = &[Mode::Draft];
const CONFIRM: &[Mode] = &[Mode::Confirm];
const OPEN: &[Mode] = &[Mode::Detail, Mode::Help, Mode::Draft, Mode::Confirm, Mode::Filter];
const ANYWHERE: &[Mode] = &[Mode::Screen, Mode::Help, Mode::Filter, Mode::Detail, Mode::Draft, Mode::Confirm];

macro_rules! bindings {
    ($($modes:expr, [$($press:expr),+], $keys:literal, $hint:literal, $help:literal, $intent:expr;)*) => {
        /// Every key.
        pub const BINDINGS: &[Binding] = &[$(Binding {
            modes: $modes, presses: &[$($press),+], keys: $keys, hint: $hint, help: $help, intent: $intent,
        }),*];
    };
}

bindings! {
    SCREEN, [Char('?')], "?", "help", "Show this help.", Intent::Help;
    SCREEN, [Char('q')], "q", "quit", "Leave.", Intent::Quit;
    SCREEN, [Char('d'), Char('e')], "d", "delta", "Change the threshold, or any other setting.", Intent::EditDelta;
    SCREEN, [Char('s')], "s", "switch", "Change who answers: RSD, the draft alone, the target alone.", Intent::EditAnswers;
    SCREEN, [Char('b')], "b", "budget", "Change the budget mode and its gamma.", Intent::EditBudget;
    SCREEN, [Char('p')], "p", "", "Change what a preset says: the policy of one model name.", Intent::EditPresets;
    SCREEN, [Char('u')], "u", "undo", "Undo the newest revision.", Intent::Undo;
    SCREEN, [Char('K')], "K", "", "Keep a change that would be taken back.", Intent::Keep;
    SCREEN, [Char('1')], "1", "", "Overview: whether it pays.", Intent::Show(Screen::Overview);
    SCREEN, [Char('2')], "2", "", "Rewards: their histogram, the threshold, the preview.", Intent::Show(Screen::Rewards);
    SCREEN, [Char('3')], "3", "", "Models: tokens, seconds, cache.", Intent::Show(Screen::Models);
    SCREEN, [Char('4')], "4", "", "Requests: recent answers, step by step.", Intent::Show(Screen::Requests);
    SCREEN, [Char('5')], "5", "", "Fleet: all servers.", Intent::Show(Screen::Fleet);
    SCREEN, [Char('6')], "6", "", "History: who changed what.", Intent::Show(Screen::History);
    SCREEN, [Char('7')], "7", "", "Alerts: what is wrong.", Intent::Show(Screen::Alerts);
    SCREEN, [Char('8')], "8", "", "Logs of this console.", Intent::Show(Screen::Logs);
    SCREEN, [Code(Right), Char('l'), Code(Tab)], "right l Tab", "", "The next screen.", Intent::NextScreen;
    SCREEN, [Code(Left), Char('h'), Code(BackTab), Shift(BackTab)], "left h", "", "The screen before.", Intent::PreviousScreen;
    SCREEN, [Char(']')], "]", "", "The next server.", Intent::NextServer;
    SCREEN, [Char('[')], "[", "", "The server before.", Intent::PreviousServer;
    SCREEN, [Char('/')], "/", "filter", "Show only lines with this text.", Intent::Filter;
    SCREEN, [Char(' ')], "space", "freeze", "Stop showing what is new, or go on. Nothing is lost meanwhile.", Intent::Freeze;
    SCREEN, [Code(Enter)], "Enter", "open", "Open the chosen line: a request, a server, or the way back to a revision.", Intent::Enter;
    SCREEN, [Char('r')], "r", "", "Ask the server for everything now.", Intent::Refresh;
    MOVES, [Code(Down), Char('j')], "down j", "", "The next line.", Intent::Down;
    MOVES, [Code(Up), Char('k')], "up k", "", "The line before.", Intent::Up;
    LISTS, [Code(PageDown), Ctrl('d')], "PgDn", "", "A page down.", Intent::PageDown;
    LISTS, [Code(PageUp), Ctrl('u')], "PgUp", "", "A page up.", Intent::PageUp;
    LISTS, [Code(Home), Char('g')], "Home g", "", "The first line.", Intent::Top;
    LISTS, [Code(End), Char('G')], "End G", "", "The last line.", Intent::Bottom;
    CHANGE, [Code(Left), Char('h')], "left h", "lower", "In the settings: step the value down.", Intent::Left;
    CHANGE, [Code(Right), Char('l')], "right l", "higher", "In the settings: step it up.", Intent::Right;
    CHANGE, [Shift(Left), Char('H')], "H", "", "In the settings: step it far down.", Intent::FarLeft;
    CHANGE, [Shift(Right), Char('L')], "L", "", "In the settings: step it far up.", Intent::FarRight;
    CHANGE, [Code(Backspace)], "Backspace", "", "In the settings: take back a typed character, or the new value.", Intent::Erase;
    CHANGE, [Char('t')], "t", "trial", "In the settings: only for 60 s unless it is kept.", Intent::Trial;
    CHANGE, [Char('w')], "w", "write", "In the settings: write it into the deployment file too.", Intent::Persist;
    CHANGE, [Code(Enter)], "Enter", "review", "In the settings: see what the server says of it, before anything changes.", Intent::Enter;
    CONFIRM, [Code(Left), Char('h'), Code(BackTab), Shift(BackTab)], "left h", "", "In a question: the left answer.", Intent::Left;
    CONFIRM, [Code(Right), Char('l'), Code(Tab)], "right l Tab", "choose", "In a question: the right answer.", Intent::Right;
    CONFIRM, [Code(Enter)], "Enter", "confirm", "In a question: give the chosen answer. The first is always to change nothing.", Intent::Enter;
    &[Mode::Help], [Char('?'), Char('q')], "?", "", "Leave the help.", Intent::Close;
    &[Mode::Detail], [Char('q')], "q", "", "Back to the list.", Intent::Close;
    &[Mode::Filter], [Code(Enter)], "Enter", "keep", "In the filter: keep it.", Intent::Enter;
    &[Mode::Filter], [Code(Backspace)], "Backspace", "", "In the filter: take back a character.", Intent::Erase;
    OPEN, [Code(Esc)], "Esc", "back", "Leave what is open and change nothing.", Intent::Close;
    SCREEN, [Code(Esc)], "Esc", "", "Forget the filter.", Intent::Close;
    ANYWHERE, [Ctrl('c')], "Ctrl-C", "", "Leave at once.", Intent::Quit;
}

/// What a key means in a mode.
#[must_use]
pub fn intent(mode: Mode, key: KeyEvent) -> Option<Intent> {
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
    let bound = |binding: &&Binding| binding.modes.contains(&mode) && binding.presses.contains(&press);
    if let Some(binding) = BINDINGS.iter().find(bound) {
        return Some(binding.intent);
    }
    match (mode, press) {
        (Mode::Filter | Mode::Draft, Char(c)) => Some(Intent::Text(c)),
        _ => None,
    }
}

/// The hints of a mode: keys and a word.
pub fn hints(mode: Mode) -> impl Iterator<Item = (&'static str, &'static str)> {
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
            assert_eq!(intent(Mode::Screen, key), Some(Intent::Show(screen)));
            assert_eq!(intent(Mode::Draft, key), Some(Intent::Text(digit)), "in the settings digits are typed");
        }
        for mode in ANYWHERE {
            assert_eq!(intent(*mode, KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)), Some(Intent::Close));
            let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            assert_eq!(intent(*mode, ctrl_c), Some(Intent::Quit));
        }
    }
}
