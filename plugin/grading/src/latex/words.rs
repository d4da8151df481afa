//! Words in answers: function names without a backslash, units, and answers that consist of words.

use super::super::braces::closing;

/// The command that a bare word means.
#[must_use]
pub fn command(word: &str) -> Option<&'static str> {
    const COMMANDS: [&str; 21] = [
        "sqrt", "pi", "infty", "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh",
        "tanh", "ln", "log", "exp", "cup", "theta", "alpha",
    ];
    match word {
        "inf" | "infinity" | "oo" => Some("infty"),
        "union" | "U" => Some("cup"),
        word => COMMANDS.into_iter().find(|command| *command == word),
    }
}

/// Whether a word ends an ordinal, as in `12th`.
#[must_use]
pub fn is_ordinal_end(word: &str) -> bool {
    ["st", "nd", "rd", "th"].contains(&word)
}

/// The base of a number in digits, if it is written in words.
#[must_use]
pub fn base(index: &str) -> String {
    const BASES: [&str; 15] = [
        "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
        "fourteen", "fifteen", "sixteen",
    ];
    let index = index.trim().to_lowercase();
    let index = index.strip_prefix("base").unwrap_or(&index).trim();
    BASES.iter().position(|name| *name == index).map_or_else(|| index.to_owned(), |at| (at + 2).to_string())
}

/// Whether a bare word is a unit and not a product of variables.
#[must_use]
pub fn is_unit(word: &str) -> bool {
    const UNITS: [&str; 56] = [
        "cm", "mm", "km", "kg", "mg", "ml", "mL", "cc", "ft", "in", "yd", "mi", "lb", "lbs", "oz", "hr", "hrs", "min",
        "mph", "kph", "deg", "sq", "unit", "units", "inch", "inches", "foot", "feet", "yard", "yards", "mile", "miles",
        "meter", "meters", "degree", "degrees", "cent", "cents", "dollar", "dollars", "hour", "hours", "day", "days",
        "year", "years", "percent", "square", "cubic", "times", "ways", "week", "weeks", "second", "seconds",
        "minutes",
    ];
    UNITS.contains(&word)
}

/// The text before the brace that closes a brace opened before `text`.
#[must_use]
pub fn braced(text: &[char]) -> Option<&[char]> {
    closing(text.iter().copied().enumerate()).map(|at| &text[..at])
}

/// A text as words alone: lower case, without commands, brackets and spaces.
#[must_use]
pub fn plain(text: &str) -> String {
    let text: String = squeezed(text).chars().filter(|c| !"{}*\"".contains(*c)).collect();
    // Quotes come in pairs; a single one is a prime.
    let text = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(&text);
    text.trim_end_matches(['.', ',']).to_lowercase()
}

/// A text without spaces and without commands that only change its look.
#[must_use]
pub fn squeezed(text: &str) -> String {
    const LOOKS: [&str; 20] = [
        "\\textbf",
        "\\textit",
        "\\textrm",
        "\\text",
        "\\mathrm",
        "\\mathbf",
        "\\operatorname",
        "\\mbox",
        "\\left",
        "\\right",
        "\\dfrac",
        "\\tfrac",
        "\\displaystyle",
        "\\boxed",
        "\\!",
        "\\,",
        "\\;",
        "\\:",
        "\\ ",
        "\\$",
    ];
    let mut text = text.to_owned();
    for look in LOOKS {
        let replacement = match look {
            "\\dfrac" | "\\tfrac" => "\\frac",
            "\\," | "\\;" | "\\:" | "\\ " => " ",
            _ => "",
        };
        text = text.replace(look, replacement);
    }
    // A space between digits is no look: `1 1/2` is not `11/2`.
    let mut squeezed = String::with_capacity(text.len());
    let mut space = false;
    for c in text.chars() {
        if c.is_whitespace() || c == '~' {
            space = true;
        } else if c != '$' {
            if space && c.is_ascii_digit() && squeezed.ends_with(|last: char| last.is_ascii_digit()) {
                squeezed.push(' ');
            }
            space = false;
            squeezed.push(c);
        }
    }
    squeezed
}

/// The letter of an answer that consists of one letter: `E`, `(E)`, `\text{E.}`.
#[must_use]
pub fn lone_letter(text: &str) -> Option<char> {
    let plain = plain(text);
    let inside = plain.trim_matches(['(', ')', '.', '[', ']']);
    let mut letters = inside.chars();
    letters.next().filter(|c| c.is_ascii_alphabetic() && letters.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_equal_in_any_typeface() {
        for text in ["Evelyn", r"\text{Evelyn}", r"\textbf{ evelyn }", r"\mathrm{Evelyn}."] {
            assert_eq!(plain(text), "evelyn", "{text}");
        }
        for text in ["E", "(E)", r"\text{(E)}", r"\textbf{E.}"] {
            assert_eq!(lone_letter(text), Some('e'), "{text}");
        }
        assert_eq!(lone_letter("EF"), None);
    }

    #[test]
    fn braces_are_matched() {
        let braced =
            |text: &str| braced(&text.chars().collect::<Vec<_>>()).map(|inside| inside.iter().collect::<String>());
        assert_eq!(braced(r"a{b}c} d").as_deref(), Some("a{b}c"));
        assert_eq!(braced(r"a\}b}").as_deref(), Some(r"a\}b"));
        assert_eq!(braced("a{b}"), None);
    }
}
