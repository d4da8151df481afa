//! The commands that can be typed after `:`, completed as they are typed. Each is an intent that a key has, too.

use crate::input::{BINDINGS, KeyBinding, Screen, UserIntent};

/// The longest text that can be typed.
const MAX_TYPED: usize = 60;

/// The name of an intent.
pub struct PaletteCommand {
    pub name: &'static str,
    pub intent: UserIntent,
}

const fn command(name: &'static str, intent: UserIntent) -> PaletteCommand {
    PaletteCommand { name, intent }
}

/// Every command, in the order in which they are offered.
pub const COMMANDS: &[PaletteCommand] = &[
    command("delta", UserIntent::EditDelta),
    command("route", UserIntent::EditRoute),
    command("budget", UserIntent::EditBudget),
    command("presets", UserIntent::EditPresets),
    command("undo", UserIntent::Undo),
    command("undo-all", UserIntent::UndoAll),
    command("confirm", UserIntent::Confirm),
    command("overview", UserIntent::Show(Screen::Overview)),
    command("rewards", UserIntent::Show(Screen::Rewards)),
    command("models", UserIntent::Show(Screen::Models)),
    command("requests", UserIntent::Show(Screen::Requests)),
    command("fleet", UserIntent::Show(Screen::Fleet)),
    command("history", UserIntent::Show(Screen::History)),
    command("alerts", UserIntent::Show(Screen::Alerts)),
    command("logs", UserIntent::Show(Screen::Logs)),
    command("sort", UserIntent::SortColumn),
    command("reverse", UserIntent::ReverseOrder),
    command("compare", UserIntent::Compare),
    command("filter", UserIntent::Filter),
    command("freeze", UserIntent::Freeze),
    command("refresh", UserIntent::Refresh),
    command("open", UserIntent::Enter),
    command("next-server", UserIntent::NextServer),
    command("previous-server", UserIntent::PreviousServer),
    command("next-screen", UserIntent::NextScreen),
    command("previous-screen", UserIntent::PreviousScreen),
    command("down", UserIntent::Down),
    command("up", UserIntent::Up),
    command("page-down", UserIntent::PageDown),
    command("page-up", UserIntent::PageUp),
    command("top", UserIntent::Top),
    command("bottom", UserIntent::Bottom),
    command("clear", UserIntent::Close),
    command("help", UserIntent::Help),
    command("suspend", UserIntent::Suspend),
    command("quit", UserIntent::Quit),
];

impl PaletteCommand {
    /// The key that does the same.
    #[must_use]
    pub fn binding(&self) -> Option<&'static KeyBinding> {
        BINDINGS.iter().find(|binding| binding.on_screens() && binding.intent() == self.intent)
    }
}

/// What is being typed after `:`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandPalette {
    pub typed: String,
    /// Index of the selected command among those that match.
    pub cursor: usize,
}

impl CommandPalette {
    /// The commands that the typed word may mean: those that begin with it, those whose name contains it, and those whose
    /// help does.
    #[must_use]
    pub fn matches(&self) -> Vec<&'static PaletteCommand> {
        let word = self.word().to_lowercase();
        let rank = |command: &PaletteCommand| {
            let in_help = || command.binding().is_some_and(|binding| binding.help.to_lowercase().contains(&word));
            match command.name.find(&word) {
                Some(0) => Some(0),
                Some(_) => Some(1),
                None => in_help().then_some(2),
            }
        };
        let mut found: Vec<_> = COMMANDS.iter().filter_map(|command| Some((rank(command)?, command))).collect();
        found.sort_by_key(|(rank, _)| *rank);
        found.into_iter().map(|(_, command)| command).collect()
    }

    /// The selected command.
    #[must_use]
    pub fn selected(&self) -> Option<&'static PaletteCommand> {
        self.matches().get(self.cursor).copied()
    }

    /// What was typed behind the command, such as a threshold.
    #[must_use]
    pub fn argument(&self) -> &str {
        self.typed.split_once(' ').map_or("", |(_, argument)| argument.trim())
    }

    fn word(&self) -> &str {
        self.typed.split(' ').next().unwrap_or_default()
    }

    pub fn type_char(&mut self, c: char) {
        if !c.is_control() && self.typed.len() < MAX_TYPED {
            self.typed.push(c);
            self.cursor = 0;
        }
    }

    pub fn erase(&mut self) {
        self.typed.pop();
        self.cursor = 0;
    }

    /// Replaces what was typed by the name of the selected command.
    pub fn complete(&mut self) {
        if let Some(command) = self.selected() {
            command.name.clone_into(&mut self.typed);
            self.cursor = 0;
        }
    }

    /// Selects the command below or above.
    pub fn move_cursor(&mut self, down: bool) {
        let last = self.matches().len().saturating_sub(1);
        self.cursor = if down { (self.cursor + 1).min(last) } else { self.cursor.saturating_sub(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_intent_that_a_key_has_on_the_screens_has_one_name() {
        for binding in BINDINGS.iter().filter(|binding| binding.on_screens()) {
            let named = COMMANDS.iter().filter(|command| command.intent == binding.intent()).count();
            let expected = usize::from(binding.intent() != UserIntent::Palette);
            assert_eq!(named, expected, "{:?}: {}", binding.intent(), binding.help);
        }
        for command in COMMANDS {
            assert!(command.binding().is_some(), "{} has no key", command.name);
            assert_eq!(COMMANDS.iter().filter(|other| other.name == command.name).count(), 1);
        }
    }

    #[test]
    fn what_is_typed_is_completed_to_the_nearest_name() {
        let names = |typed: &str| {
            let palette = CommandPalette { typed: typed.into(), cursor: 0 };
            palette.matches().iter().map(|command| command.name).collect::<Vec<_>>()
        };
        assert_eq!(names("re")[..5], ["rewards", "requests", "reverse", "refresh", "presets"]);
        assert_eq!(names("thresh")[0], "delta", "words of the help are found, too");
        assert_eq!(names("").len(), COMMANDS.len());
        assert!(names("xyzzy").is_empty());
        let mut palette = CommandPalette::default();
        "del".chars().for_each(|c| palette.type_char(c));
        palette.complete();
        assert_eq!(palette.typed, "delta");
        " 0.6".chars().for_each(|c| palette.type_char(c));
        assert_eq!((palette.selected().unwrap().intent, palette.argument()), (UserIntent::EditDelta, "0.6"));
    }
}
