//! The axis of a diagram: its range, its ticks and the place of a value on it.

/// A horizontal or vertical axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub(super) title: String,
    low: f64,
    high: f64,
    logarithmic: bool,
    pub(super) ticks: Vec<(f64, String)>,
    /// Whether grid lines run through the panel at the ticks.
    pub(super) lines: bool,
}

impl Axis {
    /// A linear axis from the round number below `low` to the one above `high`.
    #[must_use]
    pub fn linear(title: &str, low: f64, high: f64, label: impl Fn(f64) -> String) -> Self {
        let step = round_step((high - low).max(1e-9) / 8.0);
        let (first, last) = ((low / step + 1e-6).floor(), (high / step - 1e-6).ceil());
        let count = (last - first).clamp(1.0, 100.0);
        let ticks = std::iter::successors(Some(0.0), |n| Some(n + 1.0)).take_while(|n| *n <= count);
        Self {
            title: title.to_owned(),
            low: first * step,
            high: (first + count) * step,
            logarithmic: false,
            ticks: ticks.map(|n| (first + n) * step).map(|at| (at, label(at))).collect(),
            lines: true,
        }
    }

    /// A logarithmic axis; `low` and `high` must be above 0.
    #[must_use]
    pub fn logarithmic(title: &str, low: f64, high: f64, label: impl Fn(f64) -> String) -> Self {
        let room = (high / low).powf(0.08).max(1.15);
        let (low, high) = (low / room, high * room);
        let powers = std::iter::successors(Some(10f64.powf(low.log10().floor())), |at| Some(at * 10.0));
        let steps: &[f64] = match high / low {
            ..12.0 => &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
            12.0..300.0 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let ticks = powers.take_while(|at| *at <= high).flat_map(|power| steps.iter().map(move |step| power * step));
        Self {
            title: title.to_owned(),
            low,
            high,
            logarithmic: true,
            ticks: ticks.filter(|at| (low..=high).contains(at)).map(|at| (at, label(at))).collect(),
            lines: true,
        }
    }

    /// An axis of names side by side; the middle of the first is at 0.5.
    #[must_use]
    pub fn names(title: &str, names: &[String]) -> Self {
        let ticks = names.iter().enumerate().map(|(place, name)| (place as f64 + 0.5, name.clone())).collect();
        let high = names.len().max(1) as f64;
        Self { title: title.to_owned(), low: 0.0, high, logarithmic: false, ticks, lines: false }
    }

    /// The place of a value: 0 at the low end and 1 at the high end.
    pub(super) fn at(&self, value: f64) -> f64 {
        let at = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        at.clamp(0.0, 1.0)
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * power >= least * 0.999_999);
    step.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        let percent = |at: f64| format!("{:.0}", 100.0 * at);
        assert_eq!(labels(&Axis::linear("", 0.43, 0.86, percent)), ["40", "50", "60", "70", "80", "90"]);
        let plain = |at: f64| format!("{at:.2}");
        assert_eq!(labels(&Axis::logarithmic("", 0.08, 1.9, plain)), ["0.10", "0.20", "0.50", "1.00", "2.00"]);
    }

    proptest! {
        #[test]
        fn all_values_and_ticks_are_inside(low in -10.0f64..10.0, span in 1e-6f64..100.0) {
            let linear = Axis::linear("", low, low + span, |at| at.to_string());
            prop_assert!(linear.low <= low + 1e-9 && linear.high >= low + span - 1e-9 * span.max(1.0), "{:?}", linear);
            prop_assert!((2..=12).contains(&linear.ticks.len()), "{:?}", linear);
            let logarithmic = Axis::logarithmic("", span, span * (low.abs() + 1.0), |at| at.to_string());
            prop_assert!(logarithmic.low < span && logarithmic.high > span * (low.abs() + 1.0));
        }
    }
}
