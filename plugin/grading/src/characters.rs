//! Characters that say what ASCII can say: full-width digits and signs, other minus signs, raised digits, fractions of
//! one character.

use std::borrow::Cow;

/// Fractions of one character.
const FRACTIONS: [(char, u8, u8); 15] = [
    ('½', 1, 2),
    ('⅓', 1, 3),
    ('⅔', 2, 3),
    ('¼', 1, 4),
    ('¾', 3, 4),
    ('⅕', 1, 5),
    ('⅖', 2, 5),
    ('⅗', 3, 5),
    ('⅘', 4, 5),
    ('⅙', 1, 6),
    ('⅚', 5, 6),
    ('⅛', 1, 8),
    ('⅜', 3, 8),
    ('⅝', 5, 8),
    ('⅞', 7, 8),
];

/// The text with these characters in ASCII and LaTeX.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut raised = false;
    for character in text.chars() {
        let digit = raised_sign(character);
        match (raised, digit) {
            (false, Some(_)) => plain.push_str("^{"),
            (true, None) => plain.push('}'),
            _ => {}
        }
        raised = digit.is_some();
        match character {
            _ if raised => plain.extend(digit),
            '−' | '–' | '﹣' | '－' => plain.push('-'),
            '\u{3000}' | '\u{a0}' => plain.push(' '),
            '，' => plain.push_str(", "),
            '。' => plain.push_str(". "),
            '\u{ff01}'..='\u{ff5e}' => plain.push(from_full_width(character)),
            other => match FRACTIONS.iter().find(|(fraction, ..)| *fraction == other) {
                Some((_, above, below)) => plain.extend([r"\frac{", &above.to_string(), "}{", &below.to_string(), "}"]),
                None => plain.push(other),
            },
        }
    }
    if raised {
        plain.push('}');
    }
    plain.into()
}

fn raised_sign(character: char) -> Option<char> {
    const RAISED: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻";
    RAISED.chars().zip("0123456789-".chars()).find(|(raised, _)| *raised == character).map(|(_, sign)| sign)
}

/// Full-width characters are ASCII at another place.
fn from_full_width(character: char) -> char {
    u32::from(character).checked_sub(0xfee0).and_then(char::from_u32).unwrap_or(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ascii_can_say_is_said_in_ascii() {
        for (text, expected) in [
            ("x = 3", "x = 3"),
            ("−3 – 4", "-3 - 4"),
            ("36 cm²", "36 cm^{2}"),
            ("10⁻¹² m", "10^{-12} m"),
            ("3½", r"3\frac{1}{2}"),
            ("（１，２）", "(1, 2)"),
            ("数学π", "数学π"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }
}
