//! Themes from files.
//!
//! ```yaml
//! base: dark
//! background: "#1b1f27"
//! colors:
//!   accent: bold lightblue
//!   bad: "white on #b00020"
//! ```

use std::{fmt, marker::PhantomData, str::FromStr};

use ratatui::style::{Color, Modifier, Style};
use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

use super::{
    contrast::unreadable_texts,
    theme::{Theme, ThemeName},
};

/// Why there is no such theme.
#[derive(Debug, Error)]
pub enum ThemeError {
    #[error("--theme {name}: neither a theme (dark, light, mono) nor a file that can be read: {cause}")]
    Unknown { name: String, cause: std::io::Error },
    /// The file is not a theme.
    #[error("{place}: {cause}")]
    Invalid { place: String, cause: String },
}

/// A theme, and what about it is hard to read.
#[derive(Debug, Clone)]
pub struct LoadedTheme {
    pub theme: Theme,
    pub warnings: Vec<String>,
}

/// The theme with this name, or the one in this file. A name comes first.
pub fn load_theme(name: &str, ascii: bool) -> Result<LoadedTheme, ThemeError> {
    if let Ok(name) = <ThemeName as clap::ValueEnum>::from_str(name, false) {
        return Ok(LoadedTheme { theme: Theme::new(name, ascii), warnings: Vec::new() });
    }
    let text = std::fs::read_to_string(name).map_err(|cause| ThemeError::Unknown { name: name.to_owned(), cause })?;
    parse_theme(name, &text, ascii)
}

/// Reads a theme from the text of a file; `path` is for messages.
pub fn parse_theme(path: &str, text: &str, ascii: bool) -> Result<LoadedTheme, ThemeError> {
    let file: ThemeFile = serde_yaml::from_str(text).map_err(|error| {
        let mut cause = error.to_string();
        let place = error.location().map_or_else(
            || path.to_owned(),
            |at| {
                cause = cause.replace(&format!(" at line {} column {}", at.line(), at.column()), "");
                format!("{path}:{}", at.line())
            },
        );
        ThemeError::Invalid { place, cause }
    })?;
    let mut theme = Theme::new(file.base, ascii);
    file.colors.apply_to(&mut theme);
    let background = file.background.map_or_else(|| usual_background(file.base), |color| color.0);
    let warnings =
        unreadable_texts(&theme, background).into_iter().map(|warning| format!("{path}: {warning}")).collect();
    Ok(LoadedTheme { theme, warnings })
}

fn usual_background(base: ThemeName) -> Color {
    if base == ThemeName::Light { Color::White } else { Color::Black }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ThemeFile {
    /// What the colors change.
    #[serde(default)]
    base: ThemeName,
    /// The terminal's own background, for the check whether text can be read.
    background: Option<BackgroundColor>,
    #[serde(default)]
    colors: RoleStyles,
}

/// The styles of a theme, by the names of its fields.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RoleStyles {
    text: RoleStyle,
    dim: RoleStyle,
    accent: RoleStyle,
    figure: RoleStyle,
    bar: RoleStyle,
    good: RoleStyle,
    warn: RoleStyle,
    bad: RoleStyle,
    chosen: RoleStyle,
}

impl RoleStyles {
    fn apply_to(&self, theme: &mut Theme) {
        for (style, own) in [
            (&mut theme.text, &self.text),
            (&mut theme.dim, &self.dim),
            (&mut theme.accent, &self.accent),
            (&mut theme.figure, &self.figure),
            (&mut theme.bar, &self.bar),
            (&mut theme.good, &self.good),
            (&mut theme.warn, &self.warn),
            (&mut theme.bad, &self.bad),
            (&mut theme.chosen, &self.chosen),
        ] {
            *style = style.patch(own.0);
        }
    }
}

/// `[plain] [bold] [dim] [reversed] [underlined] [COLOR] [on COLOR]`.
#[derive(Debug, Default)]
struct RoleStyle(Style);

#[derive(Debug)]
struct BackgroundColor(Color);

const COLORS: &str = "black, red, green, yellow, blue, magenta, cyan, gray, darkgray, lightred, lightgreen, lightyellow, \
                      lightblue, lightmagenta, lightcyan, white, reset, a number from 0 to 255, or \"#rrggbb\" in quotes";

fn color(word: &str) -> Result<Color, String> {
    // Quotes within a value are a part of it in YAML, but nobody means them.
    Color::from_str(word.trim_matches(['"', '\''])).map_err(|_| format!("`{word}` is not a color; colors are {COLORS}"))
}

impl FromStr for RoleStyle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut style = Style::new();
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            style = match word {
                "plain" => Style { sub_modifier: Modifier::all(), ..style },
                "bold" => style.add_modifier(Modifier::BOLD),
                "dim" => style.add_modifier(Modifier::DIM),
                "reversed" => style.add_modifier(Modifier::REVERSED),
                "underlined" => style.add_modifier(Modifier::UNDERLINED),
                "on" => style.bg(color(words.next().ok_or("a color is missing behind `on`; a value with # needs quotes, because # begins a comment")?)?),
                _ if style.fg.is_some() => {
                    return Err(format!("`{word}` is a second color; write `on {word}` for a background"));
                }
                word => style.fg(color(word).map_err(|error| {
                    format!("{error}; before a color may be plain, bold, dim, reversed, underlined, and behind it `on` a color")
                })?),
            };
        }
        Ok(Self(style))
    }
}

impl FromStr for BackgroundColor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        color(text.trim()).map(Self)
    }
}

/// Reads what is written as a text or as a number.
struct TextVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err = String>> de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a color, such as cyan, 39 or \"#56d4dd\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        Err(E::custom("no color is given; a value with # needs quotes, because # begins a comment"))
    }
}

impl<'de> Deserialize<'de> for RoleStyle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for BackgroundColor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changes_the_roles_that_it_names_and_leaves_the_rest_as_in_its_base() {
        let text = "base: light\ncolors:\n  accent: lightblue\n  bad: plain white on \"#b00020\"\n  dim: 244\n";
        let theme = parse_theme("my.yaml", text, true).unwrap().theme;
        let base = Theme::new(ThemeName::Light, true);
        assert_eq!(theme.accent, base.accent.fg(Color::LightBlue), "still bold");
        assert_eq!((theme.bad.fg, theme.bad.bg), (Some(Color::White), Some(Color::Rgb(0xb0, 0, 0x20))));
        assert!(!theme.bad.add_modifier.contains(Modifier::BOLD), "plain takes bold away");
        assert_eq!((theme.dim.fg, theme.good), (Some(Color::Indexed(244)), base.good));
        assert!(theme.symbols.ascii);
        let quoted = "colors: {accent: 'bold underlined on #1b1f27'}";
        let theme = parse_theme("my.yaml", quoted, false).unwrap().theme;
        assert_eq!(theme.accent.bg, Some(Color::Rgb(0x1b, 0x1f, 0x27)));
    }

    #[test]
    fn text_that_cannot_be_read_is_told_by_the_background() {
        let warnings = |text: &str| parse_theme("my.yaml", text, false).unwrap().warnings;
        assert!(warnings("colors: {accent: blue}")[0].starts_with("my.yaml: `accent` is hard to read: Blue on Black"));
        assert!(warnings("base: light\ncolors: {accent: blue}").is_empty());
        assert!(warnings("background: white\ncolors: {accent: blue}").iter().all(|text| !text.contains("`accent`")));
        assert_eq!(warnings("base: mono\ncolors: {text: \"black on white\"}"), Vec::<String>::new());
    }

    #[test]
    fn a_name_is_a_theme_and_anything_else_a_file() {
        let dark = load_theme("dark", false).unwrap();
        assert_eq!((dark.theme.accent, dark.warnings.len()), (Theme::new(ThemeName::Dark, false).accent, 0));
        let error = load_theme("pink", false).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("--theme pink: neither a theme (dark, light, mono) nor a file"), "{error}");
    }
}
