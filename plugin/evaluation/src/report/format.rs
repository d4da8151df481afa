//! Formats numbers, texts and tables for Markdown.

use crate::{markup::visible, statistics::Estimate};

/// The content of an empty cell.
pub(super) const NONE: &str = "–";

/// A share in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A share with its interval.
pub(super) fn share(estimate: Estimate) -> String {
    let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(|share| 100.0 * share);
    format!("{value:.1} % [{low:.1}, {high:.1}]")
}

/// A difference of shares in points, with its interval.
pub(super) fn points(estimate: Estimate) -> String {
    // Zero after rounding has no sign.
    let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(|share| {
        let points = (1000.0 * share).round() / 10.0;
        if points == 0.0 { "0.0".to_owned() } else { format!("{points:+.1}") }
    });
    format!("{value} [{low}, {high}]")
}

/// A ratio with its interval.
pub(super) fn ratio(estimate: Estimate) -> String {
    let Estimate { value, low, high } = estimate;
    format!("{value:.2} [{low:.2}, {high:.2}]")
}

/// A whole number with thousands separators.
pub(super) fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with about three digits.
pub(super) fn rough(number: f64) -> String {
    match number {
        n if n >= 100.0 => count(n),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

/// A number with one decimal, or none if it is whole.
pub(super) fn plain(number: f64) -> String {
    if number.fract() == 0.0 { count(number) } else { format!("{number:.1}") }
}

/// A p-value.
pub(super) fn chance(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// A cell that may be empty.
pub(super) fn cell<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), show)
}

/// A number of questions in words.
pub(super) fn questions(number: usize) -> String {
    format!("{} question{}", count(number as f64), if number == 1 { "" } else { "s" })
}

/// A name as code, safe inside a table cell.
pub(super) fn code(text: &str) -> String {
    let fence = "`".repeat(longest_fence(text) + 1);
    let room = if text.contains('`') { " " } else { "" };
    format!("{fence}{room}{}{room}{fence}", in_one_line(text).replace('|', "\\|"))
}

/// A text that Markdown shows as it is, also inside a table cell.
pub(super) fn literal(text: &str) -> String {
    let characters: Vec<char> = in_one_line(text).chars().collect();
    let letter = |place: Option<usize>| {
        place.and_then(|place| characters.get(place)).is_some_and(|other| other.is_alphanumeric())
    };
    let mut out = String::new();
    for (place, &c) in characters.iter().enumerate() {
        let special = match c {
            '\\' | '`' | '*' | '<' | '[' | ']' | '|' | '~' | '&' => true,
            // Inside a word it is no emphasis.
            '_' => !(letter(place.checked_sub(1)) && letter(Some(place + 1))),
            _ => false,
        };
        out.extend(special.then_some('\\'));
        out.push(c);
    }
    out
}

/// A block of code, fenced so that nothing in it ends it.
pub(super) fn fenced(language: &str, text: &str) -> String {
    let fence = "`".repeat(longest_fence(text).max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}\n", visible(text))
}

/// The number of backticks in the longest row of them.
fn longest_fence(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

fn in_one_line(text: &str) -> String {
    visible(text).replace('\n', "\u{240a}")
}

/// Columns are aligned up to this width. A setting can be longer than a whole file should be wide.
const WIDEST: usize = 120;

/// A table with aligned source text. The first `words` columns are text, the others numbers.
pub(super) fn table(words: usize, header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([header[column].chars().count(), 3]).max().unwrap_or(3).min(WIDEST)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < words { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    };
    let rule = |(column, width): (usize, &usize)| {
        if column < words { "-".repeat(*width) } else { format!("{}:", "-".repeat(width - 1)) }
    };
    let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
    let mut text = line(header) + &line(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    for row in rows {
        text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_are_known() {
        let estimate = |value, low, high| Estimate { value, low, high };
        assert_eq!(share(estimate(0.725, 0.6301, 1.0)), "72.5 % [63.0, 100.0]");
        assert_eq!(points(estimate(-0.0125, -0.05, 0.0251)), "-1.3 [-5.0, +2.5]");
        assert_eq!(points(estimate(-0.000_01, -0.0, 0.0)), "0.0 [0.0, 0.0]");
        assert_eq!(ratio(estimate(0.456, 0.4, 1.0)), "0.46 [0.40, 1.00]");
        assert_eq!([count(0.0), count(999.0), count(1000.0), count(1_234_567.0)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([rough(0.1234), rough(12.34), rough(1234.5)], ["0.12", "12.3", "1,234"]);
        assert_eq!([plain(45.0), plain(45.25)], ["45", "45.2"]);
        assert_eq!([chance(1.0), chance(0.04), chance(0.0001)], ["1.000", "0.040", "< 0.001"]);
    }

    #[test]
    fn a_cell_of_any_length_has_its_row() {
        let long = "x".repeat(100_000);
        assert!(table(1, &["name"], &[vec![long.clone()]]).contains(&long));
    }

    #[test]
    fn no_cell_ends_its_row() {
        let rows =
            [("a|b", "1"), ("`", "10"), ("a\n``", "x_1 _y_ *|<b>")].map(|(name, n)| vec![code(name), literal(n)]);
        insta::assert_snapshot!(table(1, &["name", "n"], &rows), @r"
    | name         |                  n |
    | ------------ | -----------------: |
    | `a\|b`       |                  1 |
    | `` ` ``      |                 10 |
    | ``` a␊`` ``` | x_1 \_y\_ \*\|\<b> |
    ");
    }
}
