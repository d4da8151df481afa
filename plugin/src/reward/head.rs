//! A resident head: a small classifier over the draft's own states, trained for one draft.
//!
//! `head.safetensors`: tensors `layers.N.weight [outputs, inputs]` and `layers.N.bias [outputs]` in f32, ReLU between
//! layers, one output in the end. Its input is the concatenation of the features that the metadata names. The reward
//! is `sigmoid(output / temperature)`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device};

use super::{
    features::{STATISTICS, StepFeatures},
    linear::{Linear, apply_layers},
};

/// Value of the metadata key `format`.
pub const FORMAT: &str = "rsd-head-1";

/// One part of a head's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// [`StepFeatures::last`].
    Last,
    /// [`StepFeatures::mean`].
    Mean,
    /// [`StepFeatures::statistics`].
    Statistics,
}

/// A trained head.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// sha256 of the draft's GGUF, as downloaded, that it was trained for.
    pub draft: String,
    /// Length of a state.
    pub hidden_size: usize,
    /// Its input, in order.
    pub features: Vec<Feature>,
    /// Its layers; the last has one output.
    pub layers: Vec<Linear>,
    /// Divides the output before the sigmoid.
    pub temperature: f64,
    /// Threshold that its training suggests.
    pub delta: Option<f64>,
}

/// A head that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the reward head {}: {reason}", path.display())]
pub struct HeadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl Head {
    /// Reads a head and checks all that can be checked without its draft.
    ///
    /// # Errors
    /// The file is missing, cut short, of another format, of shapes that do not fit, or has numbers that are none.
    pub fn load(path: &Path) -> Result<Self, HeadError> {
        Self::read(path).map_err(|reason| HeadError { path: path.to_owned(), reason })
    }

    fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)
            .map_err(|error| format!("it is no whole safetensors file ({error}); copy or train it again"))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |key: &str| metadata.get(key).cloned().ok_or_else(|| format!("its metadata has no `{key}`"));
        let found = text("format").unwrap_or_else(|_| "none".to_owned());
        if found != FORMAT {
            return Err(format!("its format is {found}, expected {FORMAT}; it was not written by `prm train`"));
        }
        let hidden_size: usize = number(&text("hidden_size")?, "hidden_size")?;
        let features: Vec<Feature> = serde_json::from_str(&text("features")?)
            .map_err(|error| format!("its metadata `features` is not a list of last, mean, statistics: {error}"))?;
        let statistics: Vec<String> = serde_json::from_str(&text("statistics")?)
            .map_err(|error| format!("its metadata `statistics` is not a list of names: {error}"))?;
        if features.contains(&Feature::Statistics) && statistics != STATISTICS {
            return Err(format!(
                "it was trained on the statistics {statistics:?}, this version computes {STATISTICS:?}; train it again"
            ));
        }
        let temperature: f64 = number(&text("temperature")?, "temperature")?;
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(format!("its temperature is {temperature}, expected a number above 0"));
        }
        let delta = metadata.get("delta").map(|text| number(text, "delta")).transpose()?;
        let layers = layers(&bytes)?;
        let head = Self { draft: text("draft")?, hidden_size, features, layers, temperature, delta };
        head.check()?;
        Ok(head)
    }

    fn check(&self) -> Result<(), String> {
        let mut inputs = self.inputs();
        for (index, layer) in self.layers.iter().enumerate() {
            if layer.inputs() != inputs {
                return Err(format!("layers.{index} takes {} numbers, {inputs} are given to it", layer.inputs()));
            }
            inputs = layer.outputs();
        }
        if inputs != 1 || self.layers.is_empty() {
            return Err(format!("its last layer has {inputs} outputs, expected 1"));
        }
        Ok(())
    }

    /// Length of the input.
    #[must_use]
    pub fn inputs(&self) -> usize {
        let length = |feature: &Feature| match feature {
            Feature::Last | Feature::Mean => self.hidden_size,
            Feature::Statistics => STATISTICS.len(),
        };
        self.features.iter().map(length).sum()
    }

    /// Numbers in all layers.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.layers.iter().map(Linear::parameters).sum()
    }

    /// The reward of a step, in [0, 1]; not a number where the features are none.
    #[must_use]
    pub fn reward(&self, step: &StepFeatures) -> f64 {
        let mut input = Vec::with_capacity(self.inputs());
        for feature in &self.features {
            input.extend_from_slice(match feature {
                Feature::Last => &step.last,
                Feature::Mean => &step.mean,
                Feature::Statistics => &step.statistics,
            });
        }
        let output = apply_layers(&self.layers, &input).first().copied().map_or(f64::NAN, f64::from);
        1.0 / (1.0 + (-output / self.temperature).exp())
    }
}

fn number<T: std::str::FromStr>(text: &str, key: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("its metadata `{key}` is `{text}`, expected a number"))
}

fn layers(bytes: &[u8]) -> Result<Vec<Linear>, String> {
    let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)
        .map_err(|error| format!("its tensors cannot be read: {error}"))?;
    let tensors: BTreeMap<_, _> = tensors.into_iter().collect();
    let mut layers = Vec::new();
    while let Some(weight) = tensors.get(&format!("layers.{}.weight", layers.len())) {
        let index = layers.len();
        let bias = tensors
            .get(&format!("layers.{index}.bias"))
            .ok_or_else(|| format!("layers.{index}.weight has no layers.{index}.bias beside it"))?;
        let flat = |tensor: &candle_core::Tensor| {
            tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()).and_then(|t| t.to_vec1::<f32>())
        };
        let rows = weight.dims2().map_err(|_| format!("layers.{index}.weight is no matrix"))?.0;
        let read = flat(weight).and_then(|w| Ok((w, flat(bias)?)));
        let (weight, bias) = read.map_err(|error| format!("layers.{index} cannot be read: {error}"))?;
        if rows != bias.len() {
            return Err(format!("layers.{index} has {rows} outputs and {} biases", bias.len()));
        }
        let layer = Linear::new(weight, bias)
            .ok_or_else(|| format!("layers.{index} is empty or has numbers that are not finite; train it again"))?;
        layers.push(layer);
    }
    if layers.len() * 2 != tensors.len() {
        let names: Vec<&String> = tensors.keys().collect();
        return Err(format!("expected the tensors layers.0.weight, layers.0.bias and so on, found {names:?}"));
    }
    Ok(layers)
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
