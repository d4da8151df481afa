//! Parsers of option values that several commands share.

use std::time::Duration;

/// A fraction from 0 to 1, such as an acceptance rate.
pub(super) fn fraction(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// A fraction over 0 and up to 1.
pub(super) fn positive_fraction(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| *value > 0.0 && *value <= 1.0);
    value.ok_or_else(|| "expected a number over 0 and up to 1".to_owned())
}

/// A number over 0.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0);
    value.ok_or_else(|| "expected a number over 0".to_owned())
}

/// A number that is not negative.
pub(super) fn non_negative(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
    value.ok_or_else(|| "expected 0 or a number over 0".to_owned())
}

/// A sampling temperature.
pub(super) fn temperature(text: &str) -> Result<f32, String> {
    let value = text.parse().ok().filter(|value| (0.0..=2.0).contains(value));
    value.ok_or_else(|| "expected a number from 0 to 2".to_owned())
}

/// A number of parameters, such as 1.5B or 500M.
pub(super) fn parameters(text: &str) -> Result<u64, String> {
    let expected = || format!("`{text}`: expected a number of parameters, such as 1.5B or 500M");
    let (number, unit) = match text.to_ascii_uppercase() {
        text if text.ends_with('B') => (text.trim_end_matches('B').to_owned(), 1e9),
        text if text.ends_with('M') => (text.trim_end_matches('M').to_owned(), 1e6),
        text => (text, 1.0),
    };
    let number: f64 = number.parse().map_err(|_| expected())?;
    let size = number * unit;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    if (0.0..1e14).contains(&size) { Ok(size.round() as u64) } else { Err(expected()) }
}

/// A time with its unit, such as 90m or 1.5h.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with s, m or h, such as 90m".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(expected)?;
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(expected()),
    };
    let number: f64 = number.parse().map_err(|_| expected())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(duration("90m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        for wrong in ["", "90", "m", "-1s", "1d", "1é"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(parameters("1.5B"), Ok(1_500_000_000));
        assert_eq!(parameters("500m"), Ok(500_000_000));
        assert_eq!(parameters("0"), Ok(0));
        for wrong in ["", "B", "-1B", "1e30", "7 billion", "NaN"] {
            assert!(parameters(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_rejected() {
        assert_eq!((fraction("0"), positive_fraction("1"), non_negative("0")), (Ok(0.0), Ok(1.0), Ok(0.0)));
        for wrong in ["-0.1", "1.1", "NaN", "x"] {
            assert!(fraction(wrong).is_err() && positive_fraction(wrong).is_err(), "{wrong}");
        }
        assert!(positive_fraction("0").is_err() && positive("0").is_err() && positive("inf").is_err());
        assert!(non_negative("-1").is_err() && temperature("2.5").is_err() && temperature("NaN").is_err());
    }
}
