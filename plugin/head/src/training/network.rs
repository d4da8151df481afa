//! A head's network, and the loss on examples with its gradient.

use candle_core::{Device, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::error::TrainingError;
use crate::layer::DenseLayer;

/// Layers with `ReLU` between them. The last has one output, the logit.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadNetwork {
    /// From the features to the logit.
    pub layers: Vec<DenseLayer>,
}

impl HeadNetwork {
    /// Checks that the layers fit each other and end in one output.
    pub fn new(layers: Vec<DenseLayer>) -> Result<Self, String> {
        for (index, layer) in layers.iter().enumerate() {
            let next = layers.get(index + 1).map_or(1, |next| next.inputs);
            if layer.outputs != next {
                return Err(format!("layer {index} has {} outputs, expected {next}", layer.outputs));
            }
            if layer.weight.len() != layer.inputs * layer.outputs || layer.bias.len() != layer.outputs {
                return Err(format!("layer {index} has a number of values that does not match its shape"));
            }
        }
        if layers.is_empty() { Err("no layers".to_owned()) } else { Ok(Self { layers }) }
    }

    /// The weights and biases to start from: zero if the network is linear, else random (He et al., arXiv 1502.01852).
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
    #[allow(clippy::cast_possible_truncation, reason = "the optimizer works in f64, the head in f32")]
    pub(super) fn from_numbers(widths: &[usize], numbers: &[f64]) -> Self {
        let mut numbers = numbers.iter().map(|&number| number as f32);
        let layers = widths.windows(2).map(|pair| DenseLayer {
            inputs: pair[0],
            outputs: pair[1],
            weight: numbers.by_ref().take(pair[0] * pair[1]).collect(),
            bias: numbers.by_ref().take(pair[1]).collect(),
        });
        Self { layers: layers.collect() }
    }

    /// Number of features that the network needs.
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs)
    }

    /// The logits of `[rows, F]` features.
    pub fn logits(&self, features: Vec<f32>) -> Result<Vec<f32>, TrainingError> {
        let rows = features.len() / self.inputs();
        let features = Tensor::from_vec(features, (rows, self.inputs()), &Device::Cpu)?;
        Ok(self.forward(&features)?.1)
    }

    /// The input of each layer, and the logits.
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
fn matrix(layer: &DenseLayer) -> Result<Tensor, TrainingError> {
    Ok(Tensor::from_slice(&layer.weight, (layer.outputs, layer.inputs), &Device::Cpu)?)
}

/// Steps with their targets.
pub(super) struct TrainingExamples {
    /// `[rows, F]`, standardized.
    pub(super) features: Tensor,
    /// The probability that each is good.
    pub(super) labels: Vec<f64>,
    /// The weight of each; the sum is 1.
    pub(super) weights: Vec<f64>,
}

impl TrainingExamples {
    /// The weighted mean of the cross entropy, and its derivative by each logit.
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
    pub(super) fn plain_loss(&self, network: &HeadNetwork) -> Result<f64, TrainingError> {
        Ok(self.loss(&network.forward(&self.features)?.1).0)
    }

    /// The loss plus `l2 / 2` times the squares of the weights (not of the biases), and the gradient in the order of
    /// [`HeadNetwork::from_numbers`].
    pub(super) fn objective(
        &self,
        widths: &[usize],
        numbers: &[f64],
        l2: f64,
    ) -> Result<(f64, Vec<f64>), TrainingError> {
        let network = HeadNetwork::from_numbers(widths, numbers);
        let (inputs, logits) = network.forward(&self.features)?;
        let (mut loss, slopes) = self.loss(&logits);
        let mut slopes = Tensor::from_vec(slopes, (logits.len(), 1), &Device::Cpu)?;
        let mut gradients = Vec::with_capacity(inputs.len());
        for (index, (layer, input)) in network.layers.iter().zip(&inputs).enumerate().rev() {
            let weight: Vec<f32> = slopes.t()?.matmul(input)?.flatten_all()?.to_vec1()?;
            let bias: Vec<f32> = slopes.sum(0)?.to_vec1()?;
            gradients.push((weight, bias));
            if index > 0 {
                // ReLU passes a slope only where its input was positive.
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

    fn examples(random: &mut ChaCha8Rng) -> TrainingExamples {
        let features: Vec<f32> = (0..20 * 5).map(|_| random.random_range(-2.0..2.0)).collect();
        let labels = (0..20).map(|_| random.random_range(0.0..1.0)).collect();
        let weights: Vec<f64> = (0..20).map(|_| random.random_range(0.1..1.0)).collect();
        let total: f64 = weights.iter().sum();
        TrainingExamples {
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
            let count = HeadNetwork::start(widths, &mut random).len();
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
        let layer = |inputs, outputs| DenseLayer {
            inputs,
            outputs,
            weight: vec![0.0; inputs * outputs],
            bias: vec![0.0; outputs],
        };
        assert!(HeadNetwork::new(vec![layer(3, 2), layer(2, 1)]).is_ok());
        assert!(HeadNetwork::new(vec![layer(3, 2), layer(3, 1)]).unwrap_err().contains("layer 0"));
        assert!(HeadNetwork::new(vec![layer(3, 2)]).unwrap_err().contains("expected 1"));
        assert!(HeadNetwork::new(vec![]).is_err());
    }
}
