//! Colors and characters. A color only repeats what a word or a character already says.

use clap::ValueEnum;
use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

/// The color themes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThemeName {
    /// For dark terminals.
    #[default]
    Dark,
    /// For light terminals.
    Light,
    /// No colors.
    Mono,
}

/// Styles by meaning, and the set of characters.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    pub text: Style,
    /// Less important text, and old data.
    pub dim: Style,
    /// Titles and highlights.
    pub accent: Style,
    /// Numbers.
    pub figure: Style,
    /// Bars of the graphs over time.
    pub bar: Style,
    pub good: Style,
    pub warn: Style,
    pub bad: Style,
    /// The selected line.
    pub chosen: Style,
    pub symbols: &'static ThemeSymbols,
}

/// The characters to draw with.
#[derive(Debug)]
pub struct ThemeSymbols {
    /// Whether all of them are ASCII.
    pub ascii: bool,
    /// Bars from empty to full.
    pub bars: [&'static str; 9],
    /// Bars below the threshold, from empty to full.
    pub under: [&'static str; 2],
    /// The line of the active threshold.
    pub line: &'static str,
    /// The line of the new threshold that is being entered.
    pub pending_line: &'static str,
    /// Marks a new revision of the policy.
    pub revision: &'static str,
    /// Marks a restart of the server.
    pub restart: &'static str,
    /// Rising, level, falling.
    pub trends: [&'static str; 3],
    /// The line of a threshold that is looked at.
    pub cursor_line: &'static str,
    /// Behind the column by which a list is sorted: the smallest first, the largest first.
    pub orders: [&'static str; 2],
    /// Bars of draft, reward and target.
    pub roles: [&'static str; 3],
    /// Before the selected line.
    pub cursor: &'static str,
    /// Before the word for the connection.
    pub lamp: &'static str,
    /// Where a text was cut.
    pub cut: &'static str,
}

const UNICODE: ThemeSymbols = ThemeSymbols {
    ascii: false,
    bars: [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    under: [" ", "░"],
    line: "│",
    pending_line: "┆",
    revision: "┃",
    restart: "╳",
    trends: ["↗", "→", "↘"],
    cursor_line: "╎",
    orders: ["▲", "▼"],
    roles: ["░", "▒", "█"],
    cursor: "▸",
    lamp: "●",
    cut: "…",
};

const ASCII: ThemeSymbols = ThemeSymbols {
    ascii: true,
    bars: [" ", ".", ".", ":", ":", "-", "=", "#", "#"],
    under: [" ", ":"],
    line: "|",
    pending_line: "!",
    revision: "|",
    restart: "X",
    trends: ["^", ">", "v"],
    cursor_line: "'",
    orders: ["^", "v"],
    roles: [".", "+", "#"],
    cursor: ">",
    lamp: "*",
    cut: "~",
};

/// Green that can be read on white, which the green of most terminals cannot.
const DARK_GREEN: Color = Color::Indexed(28);

impl Theme {
    /// The styles with their names.
    #[must_use]
    pub fn roles(&self) -> [(&'static str, Style); 9] {
        [
            ("text", self.text),
            ("dim", self.dim),
            ("accent", self.accent),
            ("figure", self.figure),
            ("bar", self.bar),
            ("good", self.good),
            ("warn", self.warn),
            ("bad", self.bad),
            ("chosen", self.chosen),
        ]
    }

    /// The style of a headline in this color.
    #[must_use]
    pub fn headline(&self, color: Style) -> Style {
        color.add_modifier(Modifier::BOLD)
    }

    /// The theme with this name, with Unicode or ASCII characters.
    #[must_use]
    pub fn new(name: ThemeName, ascii: bool) -> Self {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        let symbols = if ascii { &ASCII } else { &UNICODE };
        let mono = Self {
            text: plain,
            dim: plain.add_modifier(Modifier::DIM),
            accent: bold,
            figure: bold,
            bar: plain,
            good: plain,
            warn: bold,
            bad: bold.add_modifier(Modifier::REVERSED),
            chosen: plain.add_modifier(Modifier::REVERSED),
            symbols,
        };
        let [dim, accent, good, warn, bad] = match name {
            ThemeName::Mono => return mono,
            ThemeName::Dark => [Color::DarkGray, Color::Cyan, Color::Green, Color::Yellow, Color::LightRed],
            ThemeName::Light => [Color::DarkGray, Color::Blue, DARK_GREEN, Color::Magenta, Color::Red],
        };
        Self {
            dim: plain.fg(dim),
            bar: plain.fg(Color::Blue),
            accent: bold.fg(accent),
            good: plain.fg(good),
            warn: plain.fg(warn),
            bad: bold.fg(bad),
            ..mono
        }
    }
}
