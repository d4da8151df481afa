//! The median of several values with their range.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The median, minimum and maximum of several values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MedianRange {
    /// The median.
    pub median: f64,
    /// The minimum.
    pub low: f64,
    /// The maximum.
    pub high: f64,
}

impl MedianRange {
    /// Median, minimum and maximum of `values`; `None` if empty.
    #[must_use]
    pub fn from_values(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median: f64::midpoint(below, above), low, high })
    }
}

impl fmt::Display for MedianRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(3);
        write!(f, "{:.digits$} ({:.digits$} to {:.digits$})", self.median, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_median_is_the_middle_value_or_between_the_two() {
        let of = |values: &[f64]| MedianRange::from_values(values.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0, 1.0, 7.0]), Some(MedianRange { median: 3.0, low: 1.0, high: 7.0 }));
        assert_eq!(of(&[4.0, 1.0, 7.0, 2.0]), Some(MedianRange { median: 3.0, low: 1.0, high: 7.0 }));
        assert_eq!(format!("{:.1}", of(&[1.25]).unwrap()), "1.2 (1.2 to 1.2)");
    }

    proptest! {
        #[test]
        fn as_many_values_lie_below_the_median_as_above(values in prop::collection::vec(-1e6f64..1e6, 1..40)) {
            let range = MedianRange::from_values(values.iter().copied()).unwrap();
            let count = |holds: &dyn Fn(f64) -> bool| values.iter().filter(|value| holds(**value)).count();
            prop_assert!(2 * count(&|value| value < range.median) <= values.len());
            prop_assert!(2 * count(&|value| value > range.median) <= values.len());
            prop_assert!(values.iter().all(|value| (range.low..=range.high).contains(value)));
        }
    }
}
