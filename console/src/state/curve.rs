//! What a curve of the preview says between its points.

use rsd_protocol::preview::{Interval, Point};

/// A point of a curve, linear between its points and as at its ends beyond them.
#[must_use]
pub fn between(curve: &[Point], delta: f64) -> Option<Point> {
    let after = curve.partition_point(|point| point.delta < delta);
    let (Some(low), Some(high)) =
        (curve.get(after.saturating_sub(1)), curve.get(after.min(curve.len().saturating_sub(1))))
    else {
        return None;
    };
    let width = high.delta - low.delta;
    let t = if width > 0.0 { ((delta - low.delta) / width).clamp(0.0, 1.0) } else { 0.0 };
    let mix = |a: f64, b: f64| a + (b - a) * t;
    let mixed = |a: Interval, b: Interval| Interval {
        value: mix(a.value, b.value),
        low: mix(a.low, b.low),
        high: mix(a.high, b.high),
    };
    Some(Point {
        delta,
        acceptance: mixed(low.acceptance, high.acceptance),
        token_acceptance: mixed(low.token_acceptance, high.token_acceptance),
        speed_up: low.speed_up.zip(high.speed_up).map(|(a, b)| mixed(a, b)),
        flops_saving: low.flops_saving.zip(high.flops_saving).map(|(a, b)| mixed(a, b)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_linear_between_its_points() {
        let at = |value| Interval { value, low: value, high: value };
        let point = |delta, acceptance| Point {
            delta,
            acceptance: at(acceptance),
            token_acceptance: at(acceptance),
            speed_up: None,
            flops_saving: None,
        };
        let curve = [point(0.0, 1.0), point(0.5, 0.6)];
        let accepted = |delta| between(&curve, delta).unwrap().acceptance.value;
        assert!((accepted(0.25) - 0.8).abs() < 1e-12);
        assert_eq!((accepted(-1.0), accepted(2.0)), (1.0, 0.6));
        assert!(between(&[], 0.5).is_none());
    }
}
