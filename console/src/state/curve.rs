//! Interpolation of a predicted curve.

use rsd_protocol::preview::{ConfidenceInterval, PredictedPoint};

/// The point of the curve at `delta`: linear between its points, constant beyond its ends. `None` for an empty curve.
#[must_use]
pub fn interpolate(curve: &[PredictedPoint], delta: f64) -> Option<PredictedPoint> {
    let after = curve.partition_point(|point| point.delta < delta);
    let (Some(low), Some(high)) =
        (curve.get(after.saturating_sub(1)), curve.get(after.min(curve.len().saturating_sub(1))))
    else {
        return None;
    };
    let width = high.delta - low.delta;
    let t = if width > 0.0 { ((delta - low.delta) / width).clamp(0.0, 1.0) } else { 0.0 };
    let mix = |a: f64, b: f64| a + (b - a) * t;
    let mixed = |a: ConfidenceInterval, b: ConfidenceInterval| ConfidenceInterval {
        value: mix(a.value, b.value),
        low: mix(a.low, b.low),
        high: mix(a.high, b.high),
    };
    Some(PredictedPoint {
        delta,
        acceptance: mixed(low.acceptance, high.acceptance),
        token_acceptance: mixed(low.token_acceptance, high.token_acceptance),
        speedup: low.speedup.zip(high.speedup).map(|(a, b)| mixed(a, b)),
        flops_saving: low.flops_saving.zip(high.flops_saving).map(|(a, b)| mixed(a, b)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_linear_between_its_points() {
        let at = |value| ConfidenceInterval { value, low: value, high: value };
        let point = |delta, acceptance| PredictedPoint {
            delta,
            acceptance: at(acceptance),
            token_acceptance: at(acceptance),
            speedup: None,
            flops_saving: None,
        };
        let curve = [point(0.0, 1.0), point(0.5, 0.6)];
        let accepted = |delta| interpolate(&curve, delta).unwrap().acceptance.value;
        assert!((accepted(0.25) - 0.8).abs() < 1e-12);
        assert_eq!((accepted(-1.0), accepted(2.0)), (1.0, 0.6));
        assert!(interpolate(&[], 0.5).is_none());
    }
}
