//! Colours and characters. Colour only ever repeats what a word or a character says already.

use clap::ValueEnum;
use ratatui::style::{Color, Modifier, Style};

/// The themes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// For dark terminals.
    #[default]
    Dark,
    /// For light terminals.
    Light,
    /// Without colours.
    Mono,
}

/// Styles by meaning, and the characters to draw with.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    /// Ordinary text.
    pub text: Style,
    /// What matters less, or is old.
    pub dim: Style,
    /// Titles and what is chosen.
    pub accent: Style,
    /// Figures.
    pub figure: Style,
    /// Going well.
    pub good: Style,
    /// To be looked at.
    pub warn: Style,
    /// Going badly.
    pub bad: Style,
    /// The chosen line.
    pub chosen: Style,
    /// Characters.
    pub symbols: &'static Symbols,
}

/// The characters to draw with.
#[derive(Debug)]
pub struct Symbols {
    /// Only ASCII.
    pub ascii: bool,
    /// Bars from empty to full.
    pub bars: [&'static str; 9],
    /// Bars of what lies under the threshold, from empty to full.
    pub under: [&'static str; 2],
    /// A vertical line, and one that is only drafted.
    pub line: &'static str,
    /// A line that is only drafted.
    pub draft_line: &'static str,
    /// A moment when the policy changed.
    pub revision: &'static str,
    /// A moment when the server was restarted.
    pub restart: &'static str,
    /// Rising, level, falling.
    pub trends: [&'static str; 3],
    /// Points of the three curves.
    pub points: [&'static str; 3],
    /// Before the chosen line.
    pub cursor: &'static str,
    /// Before the connection's word.
    pub lamp: &'static str,
    /// Where text was cut.
    pub cut: &'static str,
}

const UNICODE: Symbols = Symbols {
    ascii: false,
    bars: [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    under: [" ", "░"],
    line: "│",
    draft_line: "┆",
    revision: "┃",
    restart: "╳",
    trends: ["↗", "→", "↘"],
    points: ["•", "+", "~"],
    cursor: "▸",
    lamp: "●",
    cut: "…",
};

const ASCII: Symbols = Symbols {
    ascii: true,
    bars: [" ", ".", ".", ":", ":", "-", "=", "#", "#"],
    under: [" ", ":"],
    line: "|",
    draft_line: "!",
    revision: "|",
    restart: "X",
    trends: ["^", ">", "v"],
    points: ["*", "+", "~"],
    cursor: ">",
    lamp: "*",
    cut: "~",
};

impl Theme {
    /// A theme with its characters.
    #[must_use]
    pub fn new(name: Name, ascii: bool) -> Self {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        let symbols = if ascii { &ASCII } else { &UNICODE };
        let mono = Self {
            text: plain,
            dim: plain.add_modifier(Modifier::DIM),
            accent: bold,
            figure: bold,
            good: plain,
            warn: bold,
            bad: bold.add_modifier(Modifier::REVERSED),
            chosen: plain.add_modifier(Modifier::REVERSED),
            symbols,
        };
        let [dim, accent, good, warn, bad] = match name {
            Name::Mono => return mono,
            Name::Dark => [Color::DarkGray, Color::Cyan, Color::Green, Color::Yellow, Color::LightRed],
            Name::Light => [Color::Gray, Color::Blue, Color::Green, Color::Magenta, Color::Red],
        };
        Self {
            dim: plain.fg(dim),
            accent: bold.fg(accent),
            good: plain.fg(good),
            warn: plain.fg(warn),
            bad: bold.fg(bad),
            ..mono
        }
    }
}
