//! L-BFGS (Nocedal and Wright, *Numerical Optimization*, algorithm 7.5) with a bisecting line search for the weak Wolfe
//! conditions. It suits these heads: few examples, full passes, and no learning rate to tune. It is not the `argmin`
//! crate's, because published heads and their committed figures follow from these very steps.

use std::collections::VecDeque;

/// Number of past steps that shape the next one.
const MEMORY: usize = 12;
/// A step must reach this share of the predicted decrease.
const DECREASE: f64 = 1e-4;
/// At most this share of the slope may be left after a step.
const SLOPE: f64 = 0.9;
/// Line search attempts for one step.
const TRIES: usize = 25;
/// The search ends after a step that gains less than this share of the loss.
const ENOUGH: f64 = 1e-8;

/// Minimizes `objective` (value and gradient at a point) from `start` in at most `iterations` steps.
///
/// `visit` is called after each step with the number of steps and the point. It ends the search by returning false.
pub(super) fn minimize<E>(
    start: Vec<f64>,
    iterations: usize,
    mut objective: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), E>,
    mut visit: impl FnMut(usize, &[f64]) -> Result<bool, E>,
) -> Result<Vec<f64>, E> {
    let mut point = start;
    let (mut value, mut gradient) = objective(&point)?;
    let mut past: VecDeque<CurvaturePair> = VecDeque::new();
    for iteration in 1..=iterations {
        let mut direction = descent(&gradient, &past);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            past.clear();
            direction = descent(&gradient, &past);
            slope = dot(&direction, &gradient);
        }
        if slope == 0.0 || !slope.is_finite() {
            break;
        }
        let (mut low, mut high) = (0.0, f64::INFINITY);
        // Without past steps nothing scales the direction.
        let mut length = if past.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt().max(1.0) } else { 1.0 };
        let mut found = None;
        for _ in 0..TRIES {
            let next: Vec<f64> = point.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            let (at, slopes) = objective(&next)?;
            let fell = at <= value + DECREASE * length * slope;
            let flat = dot(&direction, &slopes) >= SLOPE * slope;
            if fell {
                found = Some((next, at, slopes));
                if flat {
                    break;
                }
                low = length;
            } else {
                high = length;
            }
            length = if high.is_finite() { f64::midpoint(low, high) } else { 2.0 * length };
        }
        let Some((next, at, slopes)) = found else { break };
        let pair = CurvaturePair::new(&point, &next, &gradient, &slopes);
        let gained = value - at;
        (point, value, gradient) = (next, at, slopes);
        if pair.curvature > 0.0 {
            past.push_back(pair);
            if past.len() > MEMORY {
                past.pop_front();
            }
        }
        if !visit(iteration, &point)? || gained <= ENOUGH * value.abs() {
            break;
        }
    }
    Ok(point)
}

/// The change of the point and of the gradient in one step.
struct CurvaturePair {
    point: Vec<f64>,
    gradient: Vec<f64>,
    curvature: f64,
}

impl CurvaturePair {
    fn new(from: &[f64], to: &[f64], gradient_from: &[f64], gradient_to: &[f64]) -> Self {
        let point: Vec<f64> = to.iter().zip(from).map(|(a, b)| a - b).collect();
        let gradient: Vec<f64> = gradient_to.iter().zip(gradient_from).map(|(a, b)| a - b).collect();
        let curvature = dot(&point, &gradient);
        Self { point, gradient, curvature }
    }
}

/// The negative gradient times the approximate inverse Hessian (the two-loop recursion).
fn descent(gradient: &[f64], past: &VecDeque<CurvaturePair>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
    let mut shares = Vec::with_capacity(past.len());
    for pair in past.iter().rev() {
        let share = dot(&pair.point, &direction) / pair.curvature;
        add(&mut direction, -share, &pair.gradient);
        shares.push(share);
    }
    if let Some(newest) = past.back() {
        let scale = newest.curvature / dot(&newest.gradient, &newest.gradient);
        for part in &mut direction {
            *part *= scale;
        }
    }
    for (pair, share) in past.iter().zip(shares.into_iter().rev()) {
        let correction = share - dot(&pair.gradient, &direction) / pair.curvature;
        add(&mut direction, correction, &pair.point);
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], factor: f64, what: &[f64]) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += factor * what);
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[allow(clippy::unnecessary_wraps, reason = "an objective may fail")]
    fn rosenbrock(x: &[f64]) -> Result<(f64, Vec<f64>), Infallible> {
        let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
        Ok((a * a + 100.0 * b * b, vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b]))
    }

    #[test]
    fn finds_the_bottom_of_a_curved_valley() {
        let Ok(x) = minimize(vec![-1.2, 1.0], 200, rosenbrock, |_, _| Ok(true));
        assert!((x[0] - 1.0).abs() < 1e-3 && (x[1] - 1.0).abs() < 1e-3, "{x:?}");
    }

    #[test]
    fn goes_down_at_every_step_and_stops_on_request() {
        let mut values = vec![rosenbrock(&[-1.2, 1.0]).unwrap().0];
        let Ok(x) = minimize(vec![-1.2, 1.0], 200, rosenbrock, |steps, x| {
            values.push(rosenbrock(x).unwrap().0);
            Ok(steps < 7)
        });
        assert_eq!(values.len(), 8);
        assert!(values.is_sorted_by(|a, b| a > b), "{values:?}");
        assert_eq!(rosenbrock(&x).unwrap().0, values[7]);
    }

    #[test]
    fn a_point_that_is_already_lowest_does_not_move() {
        let Ok(x) = minimize(vec![1.0, 1.0], 10, rosenbrock, |_, _| Ok(true));
        assert_eq!(x, [1.0, 1.0]);
    }
}
