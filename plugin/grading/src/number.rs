//! Numbers as answers, as in GSM8K.

use super::braces::braced;

/// The final number of a solution: in its last `\boxed{}`, otherwise the last number in the text.
#[must_use]
pub fn final_number(solution: &str) -> Option<f64> {
    let boxed = solution.rfind("\\boxed{").and_then(|at| braced(&solution[at + "\\boxed{".len()..]));
    boxed.and_then(last_number).or_else(|| last_number(solution))
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

/// The last decimal number in a text; commas between digits are thousands separators. Powers of units, as in `cm^2`, and
/// indices are no numbers of their own.
fn last_number(text: &str) -> Option<f64> {
    let mut end = text.len();
    loop {
        let last = text[..end].rfind(|c: char| c.is_ascii_digit())? + 1;
        let (first, digits) = digits_before(&text[..last]);
        end = first;
        if is_power_of_unit(&text[..first]) {
            continue;
        }
        let number: f64 = digits.parse().ok()?;
        return Some(if is_negative(&text[..first]) { -number } else { number });
    }
}

/// The number at the end of a text: where it begins, and its digits without commas.
fn digits_before(text: &str) -> (usize, String) {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    // A separator counts only between digits: the full stop after a number ends a sentence.
    let inside = |at: usize| {
        digit(at) || (matches!(bytes.get(at), Some(b'.' | b',')) && at > 0 && digit(at - 1) && digit(at + 1))
    };
    let mut first = (0..bytes.len()).rev().take_while(|&at| inside(at)).last().unwrap_or(bytes.len());
    if first > 0 && bytes[first - 1] == b'.' {
        first -= 1;
    }
    (first, text[first..].chars().filter(|c| *c != ',').collect())
}

/// Whether a number after this text is the power of a unit, as in `36 cm^2`, or an index, as in `x_1`.
fn is_power_of_unit(before: &str) -> bool {
    let before = before.trim_end_matches(['{', '-', '\u{2212}']);
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
    let before = before.trim_end_matches(['$', '\\', '\u{20ac}', '\u{a3}']);
    let before = before.strip_suffix(['-', '\u{2212}']);
    before.is_some_and(|before| !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | '}' | '%')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_box_comes_before_other_numbers() {
        assert_eq!(final_number(r"So \(\boxed{72}\), in 2 months."), Some(72.0));
        assert_eq!(final_number(r"\boxed{1} then \boxed{\text{about } \$1,234.50}"), Some(1234.5));
        assert_eq!(final_number(r"\boxed{\frac{1}{4}}"), Some(4.0));
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
