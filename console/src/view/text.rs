//! Formatting of numbers and of text from elsewhere. An absent number is "-"; a number that is NaN is "NaN".

use ratatui::text::{Line, Span};
use rsd_protocol::preview::ConfidenceInterval;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Formats a number with `format`, unless it is absent or NaN.
fn number_text(value: Option<f64>, shape: impl FnOnce(f64) -> String) -> String {
    match value {
        None => "-".into(),
        Some(value) if value.is_nan() => "NaN".into(),
        Some(value) => shape(value),
    }
}

/// A fraction in percent.
#[must_use]
pub fn percent(value: Option<f64>) -> String {
    number_text(value, |value| format!("{:.0} %", 100.0 * value))
}

#[must_use]
pub fn factor(value: Option<f64>) -> String {
    number_text(value, |value| format!("{value:.2} x"))
}

/// A threshold with two to four decimals.
#[must_use]
pub fn threshold(value: Option<f64>) -> String {
    number_text(value, |value| {
        let long = format!("{value:.4}");
        let short = long.trim_end_matches('0');
        let decimals = short.len() - short.find('.').map_or(0, |dot| dot + 1);
        format!("{value:.*}", decimals.max(2))
    })
}

/// Seconds in a fitting unit.
#[must_use]
pub fn seconds(value: Option<f64>) -> String {
    number_text(value, |value| match value {
        _ if value.is_infinite() => "very long".into(),
        _ if value < 0.0995 => format!("{:.0} ms", 1000.0 * value),
        _ if value < 9.95 => format!("{value:.2} s"),
        _ if value < 600.0 => format!("{value:.0} s"),
        _ => format!("{:.0} min", value / 60.0),
    })
}

/// A count in at most eight characters.
#[must_use]
pub fn count(value: Option<f64>) -> String {
    number_text(value, |value| match value.abs() {
        size if size < 9_999.5 => format!("{value:.0}"),
        size if size < 999_500.0 => format!("{:.1} k", value / 1e3),
        size if size < 999.5e6 => format!("{:.1} M", value / 1e6),
        size if size < 999.5e9 => format!("{:.1} G", value / 1e9),
        _ => format!("{value:.2e}"),
    })
}

#[must_use]
pub fn rate(value: Option<f64>) -> String {
    number_text(value, |value| if value < 99.95 { format!("{value:.1}") } else { count(Some(value)) })
}

/// Money per hour in its currency; `None` where there are no prices.
#[must_use]
pub fn money_per_hour(amount: Option<f64>, currency: Option<&str>) -> Option<String> {
    let (amount, currency) = (amount?, harmless(currency?));
    let shown = match amount.abs() {
        size if size >= 9_999.5 => count(Some(amount)),
        size if size < 0.000_05 => "0.00".into(),
        size if size < 0.095 => format!("{amount:.4}"),
        _ => format!("{amount:.2}"),
    };
    Some(format!("{shown} {currency}/h"))
}

/// An estimate in percent, with its confidence interval.
#[must_use]
pub fn percent_interval(interval: Option<ConfidenceInterval>) -> String {
    interval.map_or_else(
        || "-".into(),
        |i| format!("{:.0} % ({:.0} to {:.0})", 100.0 * i.value, 100.0 * i.low, 100.0 * i.high),
    )
}

/// An estimated factor, with its confidence interval.
#[must_use]
pub fn factor_interval(interval: Option<ConfidenceInterval>) -> String {
    interval.map_or_else(|| "-".into(), |i| format!("{:.2} x ({:.2} to {:.2})", i.value, i.low, i.high))
}

/// Text from elsewhere without control characters, which could move the cursor or color the terminal.
#[must_use]
pub fn harmless(text: &str) -> String {
    let hidden = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| match c {
        '\n' => '\n',
        '\t' => ' ',
        c if c.is_control() || hidden(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// The same on one line, cut to this number of columns; `cut` marks that it was cut.
#[must_use]
pub fn one_line(text: &str, width: usize, cut: &str) -> String {
    let flat = harmless(text).replace('\n', " ");
    if flat.width() <= width {
        return flat;
    }
    let room = width.saturating_sub(cut.width());
    let start = split_at_width(&flat, room).0;
    // The first character may be wider than the room for it.
    let start = if start.width() <= room { start } else { "" };
    format!("{start}{cut}")
}

/// The same on one line that takes exactly this number of columns: cut, or filled with spaces behind it.
#[must_use]
pub fn padded(text: &str, width: usize, cut: &str) -> String {
    let line = one_line(text, width, cut);
    let missing = width.saturating_sub(line.width());
    line + &" ".repeat(missing)
}

/// As [`padded`], with the spaces before the text.
#[must_use]
pub fn padded_left(text: &str, width: usize, cut: &str) -> String {
    let line = one_line(text, width, cut);
    " ".repeat(width.saturating_sub(line.width())) + &line
}

/// The end of a text that is being typed, on one line of at most this number of columns; `cut` marks that it was cut.
#[must_use]
pub fn end_of_line(text: &str, width: usize, cut: &str) -> String {
    let flat = harmless(text).replace('\n', " ");
    if flat.width() <= width {
        return flat;
    }
    let room = width.saturating_sub(cut.width());
    let (mut used, mut start) = (0, flat.len());
    for (at, character) in flat.grapheme_indices(true).rev() {
        used += character.width();
        if used > room {
            break;
        }
        start = at;
    }
    format!("{cut}{}", &flat[start..])
}

/// Breaks a text into lines of at most this number of columns, at spaces if possible. All lines but the first are
/// indented.
#[must_use]
pub fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let width = width.max(indent + 8);
    let mut lines = Vec::new();
    let mut rest = text;
    let mut margin = 0;
    while margin + rest.width() > width {
        let (start, after) = split_at_width(rest, width - margin);
        // A space right behind the line is a place to break, too. Leading spaces are not: the line would be empty.
        let leading = rest.len() - rest.trim_start_matches(' ').len();
        let space = if after.starts_with(' ') { Some(start.len()) } else { start.rfind(' ') };
        let (end, skipped) = space.filter(|at| *at > leading).map_or((start.len(), 0), |at| (at, 1));
        lines.push(format!("{}{}", " ".repeat(margin), &rest[..end]));
        rest = &rest[end + skipped..];
        margin = indent;
    }
    lines.push(format!("{}{rest}", " ".repeat(margin)));
    lines
}

/// The lines, of which those that are too wide are broken in the style of their first part. (`Wrap` of a `Paragraph` lets
/// wide characters leave its area.)
#[must_use]
pub fn fitted(lines: Vec<Line<'static>>, width: usize) -> Vec<Line<'static>> {
    let fit = |line: Line<'static>| {
        if line.width() <= width {
            return vec![line];
        }
        let style = line.spans.first().map_or(line.style, |span| line.style.patch(span.style));
        let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
        wrapped(&text, width, 0).into_iter().map(|part| Line::from(Span::styled(part, style))).collect()
    };
    lines.into_iter().flat_map(fit).collect()
}

/// Splits a text after as many whole characters as fit into this number of columns. The first part has at least one
/// character, so that a loop over the rest ends.
fn split_at_width(text: &str, width: usize) -> (&str, &str) {
    let mut used = 0;
    let mut end = 0;
    for (at, character) in text.grapheme_indices(true) {
        used += character.width();
        if used > width && at > 0 {
            break;
        }
        end = at + character.len();
    }
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_what_they_are() {
        assert_eq!([percent(None), percent(Some(f64::NAN)), percent(Some(0.705))], ["-", "NaN", "70 %"]);
        assert_eq!([threshold(Some(0.7)), threshold(Some(0.1825)), threshold(Some(2.0))], ["0.70", "0.1825", "2.00"]);
        let times = [0.0123, 0.5, 42.0, 1200.0, f64::INFINITY].map(|s| seconds(Some(s)));
        assert_eq!(times, ["12 ms", "0.50 s", "42 s", "20 min", "very long"]);
        let counts = [0.0, 9_999.0, 12_345.0, 5.1e6, 2e9, 3e15].map(|n| count(Some(n)));
        assert_eq!(counts, ["0", "9999", "12.3 k", "5.1 M", "2.0 G", "3.00e15"]);
        let money = [0.0, -1e-9, 0.0123, 1.5, -20.0, 12_345.0].map(|n| money_per_hour(Some(n), Some("USD")).unwrap());
        let expected = ["0.00 USD/h", "0.00 USD/h", "0.0123 USD/h", "1.50 USD/h", "-20.00 USD/h", "12.3 k USD/h"];
        assert_eq!(money, expected);
        assert_eq!((money_per_hour(None, Some("USD")), money_per_hour(Some(1.0), None)), (None, None));
    }

    #[test]
    fn foreign_text_cannot_speak_to_the_terminal() {
        assert_eq!(harmless("a\u{1b}[31mb\tc\u{202e}\r"), "a\u{fffd}[31mb c\u{fffd}\u{fffd}");
        assert_eq!(one_line("one\ntwo three", 8, "…"), "one two…");
    }

    #[test]
    fn long_lines_are_broken_at_spaces() {
        assert_eq!(wrapped("one two three four", 9, 1), ["one two", " three", " four"]);
        assert_eq!(wrapped("onetwothreefour five", 9, 0), ["onetwothr", "eefour", "five"]);
        assert_eq!(wrapped("", 9, 0), [""]);
        assert_eq!(wrapped("  a b c d e f", 10, 2), ["  a b c d", "  e f"]);
    }

    #[test]
    fn wide_characters_take_two_columns_and_are_never_split() {
        assert_eq!(wrapped("第一步：计算十七乘以二十三", 12, 0), ["第一步：计算", "十七乘以二十", "三"]);
        assert_eq!(wrapped("abc数学", 8, 0), ["abc数学"]);
        assert_eq!(wrapped("👩‍🔬👩‍🔬👩‍🔬👩‍🔬👩‍🔬", 8, 0), ["👩‍🔬👩‍🔬👩‍🔬👩‍🔬", "👩‍🔬"]);
        assert_eq!(one_line("数学问题", 6, "…"), "数学…");
        assert_eq!(one_line("数学问题", 8, "…"), "数学问题");
        assert_eq!(end_of_line("数学问题", 6, "…"), "…问题");
        assert_eq!(end_of_line("数学问题", 8, "…"), "数学问题");
    }

    proptest! {
        #[test]
        fn a_padded_text_takes_its_columns(text in any::<String>(), width in 1..40_usize) {
            for padded in [padded(&text, width, "…"), padded_left(&text, width, "~")] {
                prop_assert_eq!(padded.width(), width, "{:?}", padded);
            }
        }

        #[test]
        fn no_line_is_wider_than_allowed_and_no_character_is_lost(
            text in r"[a-c 数学👍é]{0,60}", width in 8..30_usize, indent in 0..4_usize,
        ) {
            let lines = wrapped(&text, width, indent);
            let widest = lines.iter().map(|line| line.width()).max().unwrap();
            prop_assert!(widest <= width.max(indent + 8), "{lines:?}");
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
