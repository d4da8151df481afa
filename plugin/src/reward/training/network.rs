//! A head's network, the loss on examples, and its gradient.

use candle_core::{Device, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::error::TrainingError;
use crate::reward::layer::Layer;

/// Layers with `ReLU` between them; the last one has one output, the logit.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// From the features to the logit.
    pub layers: Vec<Layer>,
}

impl Network {
    /// Takes layers.
    ///
    /// # Errors
    /// They do not fit each other, or do not end in one output.
    pub fn new(layers: Vec<Layer>) -> Result<Self, String> {
        for (index, layer) in layers.iter().enumerate() {
            let next = layers.get(index + 1).map_or(1, |next| next.inputs);
            if layer.outputs != next {
                return Err(format!("layer {index} has {} outputs, expected {next}", layer.outputs));
            }
            if layer.weight.len() != layer.inputs * layer.outputs || layer.bias.len() != layer.outputs {
                return Err(format!("layer {index} has other numbers than its shape says"));
            }
        }
        if layers.is_empty() { Err("no layers".to_owned()) } else { Ok(Self { layers }) }
    }

    /// A network to start from: zero if it is linear, else random after He et al. (arXiv 1502.01852) with a last
    /// layer of zero mean.
    pub(super) fn start(widths: &[usize], random: &mut ChaCha8Rng) -> Vec<f64> {
        let mut numbers = Vec::new();
        for pair in widths.windows(2) {
            let spread = if widths.len() == 2 { 0.0 } else { (6.0 / pair[0] as f64).sqrt() };
            numbers.extend((0..pair[0] * pair[1]).map(|_| spread * random.random_range(-1.0..1.0)));
            numbers.extend(std::iter::repeat_n(0.0, pair[1]));
        }
        numbers
    }

    /// The network of these widths whose weights and biases, layer by layer, are `numbers`.
    #[allow(clippy::cast_possible_truncation, reason = "the optimiser works in f64, the head in f32")]
    pub(super) fn of(widths: &[usize], numbers: &[f64]) -> Self {
        let mut numbers = numbers.iter().map(|&number| number as f32);
        let layers = widths.windows(2).map(|pair| Layer {
            inputs: pair[0],
            outputs: pair[1],
            weight: numbers.by_ref().take(pair[0] * pair[1]).collect(),
            bias: numbers.by_ref().take(pair[1]).collect(),
        });
        Self { layers: layers.collect() }
    }

    /// Features it takes.
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs)
    }

    /// The logits of `[rows, F]` features.
    pub fn logits(&self, features: Vec<f32>) -> Result<Vec<f32>, TrainingError> {
        let rows = features.len() / self.inputs();
        let features = Tensor::from_vec(features, (rows, self.inputs()), &Device::Cpu)?;
        Ok(self.forward(&features)?.1)
    }

    /// What goes into each layer, and the logits.
    fn forward(&self, features: &Tensor) -> Result<(Vec<Tensor>, Vec<f32>), TrainingError> {
        let mut inputs = vec![features.clone()];
        let mut logits = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let bias = Tensor::from_slice(&layer.bias, layer.outputs, &Device::Cpu)?;
            let sums = inputs[index].matmul(&matrix(layer)?.t()?)?.broadcast_add(&bias)?;
            if index + 1 == self.layers.len() {
                logits = sums.flatten_all()?.to_vec1()?;
            } else {
                inputs.push(sums.relu()?);
            }
        }
        Ok((inputs, logits))
    }
}

/// A layer's weight as a tensor.
fn matrix(layer: &Layer) -> Result<Tensor, TrainingError> {
    Ok(Tensor::from_slice(&layer.weight, (layer.outputs, layer.inputs), &Device::Cpu)?)
}

/// Steps with what is known of them.
pub(super) struct Examples {
    /// `[rows, F]`, standardised.
    pub(super) features: Tensor,
    /// The chance that each is good.
    pub(super) labels: Vec<f64>,
    /// What each counts; they add up to 1.
    pub(super) weights: Vec<f64>,
}

impl Examples {
    /// The weighted mean of the cross entropy, and its slope by each logit.
    fn loss(&self, logits: &[f32]) -> (f64, Vec<f32>) {
        let mut loss = 0.0;
        let rows = logits.iter().zip(&self.labels).zip(&self.weights);
        #[allow(clippy::cast_possible_truncation, reason = "back to the width of the tensors")]
        let slopes = rows.map(|((&logit, label), weight)| {
            let logit = f64::from(logit);
            loss += weight * cross_entropy(logit, *label);
            (weight * (sigmoid(logit) - label)) as f32
        });
        let slopes = slopes.collect();
        (loss, slopes)
    }

    /// The loss without the penalty.
    pub(super) fn plain_loss(&self, network: &Network) -> Result<f64, TrainingError> {
        Ok(self.loss(&network.forward(&self.features)?.1).0)
    }

    /// The loss with `l2 / 2` times the squares of the weights (not of the biases), and its gradient, laid out as
    /// [`Network::of`] reads numbers.
    pub(super) fn objective(
        &self,
        widths: &[usize],
        numbers: &[f64],
        l2: f64,
    ) -> Result<(f64, Vec<f64>), TrainingError> {
        let network = Network::of(widths, numbers);
        let (inputs, logits) = network.forward(&self.features)?;
        let (mut loss, slopes) = self.loss(&logits);
        let mut slopes = Tensor::from_vec(slopes, (logits.len(), 1), &Device::Cpu)?;
        let mut gradients = Vec::with_capacity(inputs.len());
        for (index, (layer, input)) in network.layers.iter().zip(&inputs).enumerate().rev() {
            let weight: Vec<f32> = slopes.t()?.matmul(input)?.flatten_all()?.to_vec1()?;
            let bias: Vec<f32> = slopes.sum(0)?.to_vec1()?;
            gradients.push((weight, bias));
            if index > 0 {
                // ReLU passes a slope on only where it passed its input on.
                let open = input.gt(0f32)?.to_dtype(candle_core::DType::F32)?;
                slopes = slopes.matmul(&matrix(layer)?)?.mul(&open)?;
            }
        }
        let mut gradient = Vec::with_capacity(numbers.len());
        for (weight, bias) in gradients.into_iter().rev() {
            let current = &numbers[gradient.len()..gradient.len() + weight.len()];
            loss += 0.5 * l2 * current.iter().map(|number| number * number).sum::<f64>();
            gradient.extend(weight.iter().zip(current).map(|(slope, number)| f64::from(*slope) + l2 * number));
            gradient.extend(bias.into_iter().map(f64::from));
        }
        Ok((loss, gradient))
    }
}

/// -label ln(r) - (1 - label) ln(1 - r) for r = sigmoid(logit), without overflow.
pub(super) fn cross_entropy(logit: f64, label: f64) -> f64 {
    logit.max(0.0) + (-logit.abs()).exp().ln_1p() - label * logit
}

/// 1 / (1 + exp(-logit)).
pub(super) fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn examples(random: &mut ChaCha8Rng) -> Examples {
        let features: Vec<f32> = (0..20 * 5).map(|_| random.random_range(-2.0..2.0)).collect();
        let labels = (0..20).map(|_| random.random_range(0.0..1.0)).collect();
        let weights: Vec<f64> = (0..20).map(|_| random.random_range(0.1..1.0)).collect();
        let total: f64 = weights.iter().sum();
        Examples {
            features: Tensor::from_vec(features, (20, 5), &Device::Cpu).unwrap(),
            labels,
            weights: weights.iter().map(|weight| weight / total).collect(),
        }
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        for widths in [&[5, 1][..], &[5, 4, 1], &[5, 4, 3, 1]] {
            let mut random = ChaCha8Rng::seed_from_u64(1);
            let examples = examples(&mut random);
            let count = Network::start(widths, &mut random).len();
            let numbers: Vec<f64> = (0..count).map(|_| random.random_range(-1.0..1.0)).collect();
            let (_, gradient) = examples.objective(widths, &numbers, 0.3).unwrap();
            assert_eq!(gradient.len(), count);
            for at in 0..count {
                let loss = |shift: f64| {
                    let mut moved = numbers.clone();
                    moved[at] += shift;
                    examples.objective(widths, &moved, 0.3).unwrap().0
                };
                let slope = (loss(1e-3) - loss(-1e-3)) / 2e-3;
                assert!((slope - gradient[at]).abs() < 2e-3, "{widths:?} {at}: {slope} {}", gradient[at]);
            }
        }
    }

    #[test]
    fn cross_entropy_does_not_overflow() {
        assert!((cross_entropy(0.0, 1.0) - 2f64.ln()).abs() < 1e-12);
        assert!((cross_entropy(800.0, 0.0) - 800.0).abs() < 1e-9);
        assert!(cross_entropy(-800.0, 0.0).abs() < 1e-9);
    }

    #[test]
    fn layers_must_fit() {
        let layer =
            |inputs, outputs| Layer { inputs, outputs, weight: vec![0.0; inputs * outputs], bias: vec![0.0; outputs] };
        assert!(Network::new(vec![layer(3, 2), layer(2, 1)]).is_ok());
        assert!(Network::new(vec![layer(3, 2), layer(3, 1)]).unwrap_err().contains("layer 0"));
        assert!(Network::new(vec![layer(3, 2)]).unwrap_err().contains("expected 1"));
        assert!(Network::new(vec![]).is_err());
    }
}
