//! Numbers as answers, as in GSM8K.

use super::{braces::braced, characters};

/// The final number of a solution: in its last `\boxed{}`, otherwise the last number in the text.
#[must_use]
pub fn final_number(solution: &str) -> Option<f64> {
    let boxed = solution.rfind("\\boxed{").and_then(|at| braced(&solution[at + "\\boxed{".len()..]));
    // A minus at the beginning of a text may be the mark of a list, but not in a box.
    let boxed = boxed.and_then(|boxed| match boxed.trim_start().strip_prefix(['-', '\u{2212}', '\u{2013}']) {
        Some(rest) => last_number(&format!("-{}", rest.trim_start())),
        None => last_number(boxed),
    });
    boxed.or_else(|| last_number(solution))
}

/// The number of a reference answer: after `####`, as in GSM8K, otherwise the last one.
#[must_use]
pub fn reference_number(reference: &str) -> Option<f64> {
    last_number(reference.rsplit("####").next().unwrap_or(reference))
}

/// Whether two numbers are equal: whole numbers exactly, others to a precision of 1e-6, which is relative below 1 and
/// absolute above.
#[must_use]
pub fn same_number(a: f64, b: f64) -> bool {
    let size = a.abs().max(b.abs());
    let whole = a.fract() == 0.0 && b.fract() == 0.0;
    let precision = if whole { 0.0 } else { 1e-6 * size.min(1.0) };
    (a - b).abs() <= precision
}

/// A number without its sign, and where it begins in its text.
#[derive(Clone, Copy)]
struct FoundNumber {
    start: usize,
    value: f64,
}

/// The last number in a text. Powers of units, as in `cm^2`, and indices are no numbers of their own; a fraction, a mixed
/// number and a number with a power of ten are one.
fn last_number(text: &str) -> Option<f64> {
    let text = characters::plain(text);
    let mut end = text.len();
    loop {
        let last = text[..end].rfind(|c: char| c.is_ascii_digit())? + 1;
        let number = decimal_before(&text[..last])?;
        end = number.start;
        if is_power_of_unit(&text[..number.start]) {
            continue;
        }
        let FoundNumber { start, value } = whole_number(&text, number);
        return Some(if is_negative(&text[..start]) { -value } else { value });
    }
}

/// The number of which this decimal is the last part.
fn whole_number(text: &str, last: FoundNumber) -> FoundNumber {
    let before = &text[..last.start];
    power(before, last.value)
        .or_else(|| exponent(before, &text[last.start..]))
        .or_else(|| fraction(before, last.value))
        .or_else(|| short_fraction(before, &text[last.start..]))
        .unwrap_or(last)
}

/// `2 \times 10^3` and `2^{10}`, without the exponent.
fn power(before: &str, exponent: f64) -> Option<FoundNumber> {
    let (before, exponent) = match before.strip_suffix('-') {
        Some(before) => (before, -exponent),
        None => (before, exponent),
    };
    let base = before.strip_suffix('{').unwrap_or(before).strip_suffix('^')?;
    let base = decimal_at_end(base)?;
    let value = base.value.powf(exponent);
    let power = FoundNumber { value, ..base };
    let times = before[..base.start].trim_end();
    let factor = ["\u{d7}", "\\times", "\\cdot", "\u{b7}", "*", "x"].iter().find_map(|sign| times.strip_suffix(sign));
    let is_ten = (base.value - 10.0).abs() < f64::EPSILON;
    let factor = factor.filter(|_| is_ten).and_then(|factor| decimal_at_end(factor.trim_end()));
    Some(factor.map_or(power, |factor| FoundNumber { value: factor.value * value, ..factor }))
}

/// `1.5e-3`, of which `exponent` begins with the 3.
fn exponent(before: &str, exponent: &str) -> Option<FoundNumber> {
    let digits: String = exponent.chars().take_while(char::is_ascii_digit).collect();
    let sign = if before.ends_with('-') { "-" } else { "" };
    let before = before.strip_suffix(['-', '+']).unwrap_or(before);
    let number = decimal_at_end(before.strip_suffix(['e', 'E'])?)?;
    let power: f64 = format!("1e{sign}{digits}").parse().ok()?;
    Some(FoundNumber { value: number.value * power, ..number })
}

/// `3/4`, `1 3/4`, `\frac{3}{4}` and `1\frac{3}{4}`, without the number below.
fn fraction(before: &str, below: f64) -> Option<FoundNumber> {
    let in_line = || {
        let above = decimal_at_end(before.trim_end().strip_suffix('/')?.trim_end())?;
        // `3/4/2020` is a date.
        (!before[..above.start].ends_with('/')).then_some((above.value, above.start))
    };
    let in_latex = || {
        let above = decimal_at_end(before.strip_suffix("}{")?)?;
        let open = &before[..above.start];
        let (open, value) = match open.strip_suffix('-') {
            Some(open) => (open, -above.value),
            None => (open, above.value),
        };
        let command = open.strip_suffix("frac{")?.trim_end_matches(['d', 't', 'c']).strip_suffix('\\')?;
        Some((value, command.len()))
    };
    let (above, start) = in_line().or_else(in_latex).filter(|_| below != 0.0)?;
    let value = above / below;
    let whole = decimal_at_end(before[..start].trim_end_matches([' ', '\\']));
    let mixed = whole.filter(|whole| (0.0..1.0).contains(&value) && whole.value.fract() == 0.0);
    Some(mixed.map_or(FoundNumber { start, value }, |whole| FoundNumber { value: whole.value + value, ..whole }))
}

/// `\frac12`, of which `digits` begins with both digits.
fn short_fraction(before: &str, digits: &str) -> Option<FoundNumber> {
    let command = before.strip_suffix("frac")?.trim_end_matches(['d', 't', 'c']).strip_suffix('\\')?;
    let mut digits = digits.chars().map_while(|digit| digit.to_digit(10)).map(f64::from);
    let (above, below) = (digits.next()?, digits.next().filter(|below| *below > 0.0)?);
    digits.next().is_none().then_some(FoundNumber { start: command.len(), value: above / below })
}

/// The decimal with which a text ends, if it does.
fn decimal_at_end(text: &str) -> Option<FoundNumber> {
    if text.ends_with(|c: char| c.is_ascii_digit()) { decimal_before(text) } else { None }
}

/// The decimal at the end of a text that ends with a digit.
fn decimal_before(text: &str) -> Option<FoundNumber> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    // A separator counts only between digits: the full stop after a number ends a sentence.
    let inside = |at: usize| {
        digit(at) || (matches!(bytes.get(at), Some(b'.' | b',')) && at > 0 && digit(at - 1) && digit(at + 1))
    };
    let mut start = (0..bytes.len()).rev().take_while(|&at| inside(at)).last().unwrap_or(bytes.len());
    if start > 0 && bytes[start - 1] == b'.' {
        start -= 1;
    }
    let written = &text[start..];
    let (written, start) = match written.rsplit_once(',') {
        None => (written.to_owned(), start),
        Some(_) if has_thousands(written) => (written.replace(',', ""), start),
        // One comma that separates no thousands is a decimal comma; more make a list.
        Some((whole, rest)) if !written.contains('.') && !whole.contains(',') => (format!("{whole}.{rest}"), start),
        Some((_, last)) => (last.to_owned(), text.len() - last.len()),
    };
    Some(FoundNumber { start, value: written.parse().ok()? })
}

/// Whether the commas separate thousands: three digits after the last one, two (as in India) or three between others.
fn has_thousands(written: &str) -> bool {
    let whole = written.split('.').next().unwrap_or(written);
    let mut groups: Vec<usize> = whole.split(',').map(str::len).collect();
    let last = groups.pop();
    let first = groups.first().copied().unwrap_or(0);
    last == Some(3) && (1..=3).contains(&first) && groups.iter().skip(1).all(|group| (2..=3).contains(group))
}

/// Whether a number after this text is the power of a unit, as in `36 cm^2`, or an index, as in `x_1`.
fn is_power_of_unit(before: &str) -> bool {
    let before = before.trim_end_matches(['{', '-']);
    if before.ends_with('_') {
        return true;
    }
    let Some(unit) = before.strip_suffix('^') else {
        // `36 m2`: a number, a space, and a unit of length.
        let unit = before.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number = unit.trim_end().ends_with(|c: char| c.is_ascii_digit());
        return number && ["m", "cm", "mm", "km", "ft", "in"].contains(&&before[unit.len()..]);
    };
    unit.trim_end().trim_end_matches('}').ends_with(|c: char| c.is_ascii_alphabetic())
}

/// Whether a number after this text is negative: a minus before it is not the one of a subtraction or a range.
fn is_negative(before: &str) -> bool {
    let before = before.trim_end_matches(['$', '\\', '€', '£', '¥', '₹']);
    match before.strip_suffix('-') {
        Some(before) => !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | '}' | '%')),
        // With a space it is a sign only where nothing can be subtracted from: `x = - 5`.
        None => before.trim_end().strip_suffix('-').is_some_and(|before| before.trim_end().ends_with('=')),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_box_comes_before_other_numbers() {
        assert_eq!(final_number(r"So \(\boxed{72}\), in 2 months."), Some(72.0));
        assert_eq!(final_number(r"\boxed{1} then \boxed{\text{about } \$1,234.50}"), Some(1234.5));
        assert_eq!(final_number(r"\boxed{\frac{1}{4}}"), Some(0.25));
        assert_eq!(final_number(r"The answer is 5. \boxed{"), Some(5.0));
        assert_eq!(final_number(r"It is \boxed{unknown}, or 8."), Some(8.0));
        assert_eq!(final_number("no number"), None);
    }

    #[test]
    fn numbers_are_read_in_their_usual_forms() {
        for (text, number) in [
            ("x = -3.", -3.0),
            ("10-3", 3.0),
            ("$12,000", 12000.0),
            ("1.50 dollars", 1.5),
            (".5", 0.5),
            ("5%", 5.0),
            ("in 1, 2, 3", 3.0),
            ("a: -0.25!", -0.25),
        ] {
            assert_eq!(final_number(text), Some(number), "{text}");
        }
        assert_eq!(reference_number("He has 3 left. #### 1,080"), Some(1080.0));
        assert_eq!(reference_number("72"), Some(72.0));
        assert!(same_number(72.0, 72.000_000_1) && !same_number(72.0, 72.5));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,80}") {
            let _ = (final_number(&text), reference_number(&text));
        }

        #[test]
        fn a_number_in_a_box_is_found(number in -1_000_000i32..1_000_000, words in "[a-z ]{0,20}") {
            let text = format!("{words}\\boxed{{{number}}} {words}");
            prop_assert_eq!(final_number(&text), Some(f64::from(number)));
        }
    }
}
