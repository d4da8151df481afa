//! A dense layer of a reward head: `y = W x + b`.

/// A dense layer: `outputs` weighted sums of `inputs` numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseLayer {
    /// Length of `x`.
    pub inputs: usize,
    /// Length of `y`.
    pub outputs: usize,
    /// `[outputs, inputs]`.
    pub weight: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

impl DenseLayer {
    /// `None` if the sizes do not fit or a number is not finite.
    #[must_use]
    pub fn new(weight: Vec<f32>, bias: Vec<f32>) -> Option<Self> {
        let (inputs, outputs) = (weight.len().checked_div(bias.len())?, bias.len());
        let fits = inputs > 0 && inputs * outputs == weight.len();
        let finite = weight.iter().chain(&bias).all(|value| value.is_finite());
        (fits && finite).then_some(Self { inputs, outputs, weight, bias })
    }

    /// Number of weights and biases.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        (self.weight.len() + self.bias.len()) as u64
    }

    /// `W x + b`, summed in f64.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "layers are f32")]
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let rows = self.weight.chunks_exact(self.inputs);
        rows.zip(&self.bias)
            .map(|(row, bias)| {
                let dot: f64 = row.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
                (dot + f64::from(*bias)) as f32
            })
            .collect()
    }
}

/// Applies layers one after the other, with `ReLU` between them.
#[must_use]
pub fn apply_layers(layers: &[DenseLayer], x: &[f32]) -> Vec<f32> {
    let mut values = x.to_vec();
    for (index, layer) in layers.iter().enumerate() {
        if index > 0 {
            // `max` would turn NaN into zero.
            values.iter_mut().filter(|value| **value < 0.0).for_each(|value| *value = 0.0);
        }
        values = layer.apply(&values);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_multiply_add_and_rectify() {
        let first = DenseLayer::new(vec![1.0, 2.0, -1.0, 0.5], vec![0.0, -10.0]).unwrap();
        let second = DenseLayer::new(vec![3.0, 7.0], vec![0.25]).unwrap();
        assert_eq!(first.apply(&[1.0, 2.0]), [5.0, -10.0]);
        assert_eq!(apply_layers(&[first.clone(), second.clone()], &[1.0, 2.0]), [15.25]);
        assert!(apply_layers(&[first, second], &[f32::NAN, 2.0])[0].is_nan(), "NaN remains NaN");
    }

    #[test]
    fn wrong_sizes_and_bad_numbers_are_rejected() {
        assert!(DenseLayer::new(vec![1.0; 5], vec![0.0; 2]).is_none());
        assert!(DenseLayer::new(vec![], vec![]).is_none());
        assert!(DenseLayer::new(vec![f32::NAN], vec![0.0]).is_none());
        assert!(DenseLayer::new(vec![1.0], vec![f32::INFINITY]).is_none());
    }
}
