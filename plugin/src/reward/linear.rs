//! A dense layer on the CPU, for heads of a few hundred inputs: `y = W x + b`.

/// Weights in rows: `weight[o * inputs + i]`, shape `[outputs, inputs]`; `bias` has one entry per output.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    weight: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

impl Linear {
    /// A layer, or `None` where the sizes do not fit or a number is not finite.
    #[must_use]
    pub fn new(weight: Vec<f32>, bias: Vec<f32>) -> Option<Self> {
        let inputs = weight.len().checked_div(bias.len())?;
        let fits = inputs > 0 && inputs * bias.len() == weight.len();
        let finite = weight.iter().chain(&bias).all(|value| value.is_finite());
        (fits && finite).then_some(Self { weight, bias, inputs })
    }

    /// Length of `x`.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Length of `y`.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Numbers in the layer.
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

/// Layers one after the other with `ReLU` between them.
#[must_use]
pub fn apply_layers(layers: &[Linear], x: &[f32]) -> Vec<f32> {
    let mut values = x.to_vec();
    for (index, layer) in layers.iter().enumerate() {
        if index > 0 {
            // Not `max`: that would make a zero of what is not a number.
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
    fn layers_multiply_add_and_cut_below_zero() {
        let first = Linear::new(vec![1.0, 2.0, -1.0, 0.5], vec![0.0, -10.0]).unwrap();
        let second = Linear::new(vec![3.0, 7.0], vec![0.25]).unwrap();
        assert_eq!(first.apply(&[1.0, 2.0]), [5.0, -10.0]);
        assert_eq!(apply_layers(&[first.clone(), second.clone()], &[1.0, 2.0]), [15.25]);
        assert!(apply_layers(&[first, second], &[f32::NAN, 2.0])[0].is_nan(), "what is no number stays none");
    }

    #[test]
    fn wrong_sizes_and_bad_numbers_are_refused() {
        assert!(Linear::new(vec![1.0; 5], vec![0.0; 2]).is_none());
        assert!(Linear::new(vec![], vec![]).is_none());
        assert!(Linear::new(vec![f32::NAN], vec![0.0]).is_none());
        assert!(Linear::new(vec![1.0], vec![f32::INFINITY]).is_none());
    }
}
