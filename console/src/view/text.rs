//! Numbers and foreign text as people read them. What is absent is "-", what is no number is "NaN".

use rsd_protocol::preview::Interval;

/// A number in the shape given, or what it is instead.
fn or_not(value: Option<f64>, shape: impl FnOnce(f64) -> String) -> String {
    match value {
        None => "-".into(),
        Some(value) if value.is_nan() => "NaN".into(),
        Some(value) => shape(value),
    }
}

/// A fraction as per cent.
#[must_use]
pub fn percent(value: Option<f64>) -> String {
    or_not(value, |value| format!("{:.0} %", 100.0 * value))
}

/// A factor.
#[must_use]
pub fn factor(value: Option<f64>) -> String {
    or_not(value, |value| format!("{value:.2} x"))
}

/// A threshold, with as many decimals as it has, up to four.
#[must_use]
pub fn threshold(value: Option<f64>) -> String {
    or_not(value, |value| {
        let long = format!("{value:.4}");
        let short = long.trim_end_matches('0');
        let decimals = short.len() - short.find('.').map_or(0, |dot| dot + 1);
        format!("{value:.*}", decimals.max(2))
    })
}

/// Seconds, in the unit that fits.
#[must_use]
pub fn seconds(value: Option<f64>) -> String {
    or_not(value, |value| match value {
        _ if value.is_infinite() => "very long".into(),
        _ if value < 0.0995 => format!("{:.0} ms", 1000.0 * value),
        _ if value < 9.95 => format!("{value:.2} s"),
        _ if value < 600.0 => format!("{value:.0} s"),
        _ => format!("{:.0} min", value / 60.0),
    })
}

/// A count, short.
#[must_use]
pub fn count(value: Option<f64>) -> String {
    or_not(value, |value| match value.abs() {
        size if size < 9_999.5 => format!("{value:.0}"),
        size if size < 999_500.0 => format!("{:.1} k", value / 1e3),
        size if size < 999.5e6 => format!("{:.1} M", value / 1e6),
        size if size < 999.5e9 => format!("{:.1} G", value / 1e9),
        _ => format!("{value:.2e}"),
    })
}

/// A rate.
#[must_use]
pub fn rate(value: Option<f64>) -> String {
    or_not(value, |value| if value < 99.95 { format!("{value:.1}") } else { count(Some(value)) })
}

/// An estimate with its interval, as per cent.
#[must_use]
pub fn percent_interval(interval: Option<Interval>) -> String {
    interval.map_or_else(
        || "-".into(),
        |i| format!("{:.0} % ({:.0} to {:.0})", 100.0 * i.value, 100.0 * i.low, 100.0 * i.high),
    )
}

/// An estimate with its interval, as a factor.
#[must_use]
pub fn factor_interval(interval: Option<Interval>) -> String {
    interval.map_or_else(|| "-".into(), |i| format!("{:.2} x ({:.2} to {:.2})", i.value, i.low, i.high))
}

/// Text from elsewhere without what would move the cursor or colour the terminal.
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

/// The same on one line, cut to so many characters.
#[must_use]
pub fn one_line(text: &str, width: usize, cut: &str) -> String {
    let flat: String = harmless(text).chars().map(|c| if c == '\n' { ' ' } else { c }).collect();
    if flat.chars().count() <= width {
        return flat;
    }
    let kept: String = flat.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}{cut}")
}

/// A text in lines of at most so many characters, broken at spaces where it can be; later lines are indented.
#[must_use]
pub fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let width = width.max(indent + 8);
    let mut lines = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    while rest.len() > width {
        let first_word = rest.iter().take_while(|c| **c == ' ').count();
        let space = (first_word + 1..=width).rev().find(|at| rest[*at] == ' ').filter(|at| *at > indent);
        let (cut, skip) = space.map_or((width, 0), |at| (at, 1));
        lines.push(rest[..cut].iter().collect());
        let mut after = vec![' '; indent];
        after.extend(&rest[cut + skip..]);
        rest = after;
    }
    lines.push(rest.into_iter().collect());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_they_are() {
        assert_eq!([percent(None), percent(Some(f64::NAN)), percent(Some(0.705))], ["-", "NaN", "70 %"]);
        assert_eq!([threshold(Some(0.7)), threshold(Some(0.1825)), threshold(Some(2.0))], ["0.70", "0.1825", "2.00"]);
        let times = [0.0123, 0.5, 42.0, 1200.0, f64::INFINITY].map(|s| seconds(Some(s)));
        assert_eq!(times, ["12 ms", "0.50 s", "42 s", "20 min", "very long"]);
        let counts = [0.0, 9_999.0, 12_345.0, 5.1e6, 2e9, 3e15].map(|n| count(Some(n)));
        assert_eq!(counts, ["0", "9999", "12.3 k", "5.1 M", "2.0 G", "3.00e15"]);
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
}
