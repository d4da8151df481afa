//! `head.safetensors`: a trained head with everything that serving must know to reject it for another draft.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

use serde_json::json;

use super::{
    calibration::Calibration,
    dataset::RolloutDataset,
    error::TrainingError,
    features::FeatureSet,
    fit::{self, TrainingRecipe},
    network::{HeadNetwork, sigmoid},
    tensors::{self, F32File},
};
use crate::layer::DenseLayer;

/// The value of `format` in these files.
const FORMAT: &str = "rsd-head-1";

/// A head as it is on disk. The reward is sigmoid(logit / temperature).
///
/// Tensors: `layers.N.weight` `[outputs, inputs]` and `layers.N.bias` `[outputs]`, `ReLU` between layers, and one
/// output at the end; the input are raw features. The rest is in the header's string map; lists are JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadFile {
    /// SHA-256 of the GGUF of the draft that it was trained for.
    pub draft: String,
    /// Length of the draft's hidden state.
    pub hidden_size: usize,
    pub features: FeatureSet,
    /// The names of the statistics, in order.
    pub statistics: Vec<String>,
    /// The logit is divided by it.
    pub temperature: f64,
    /// The value that calibration has added to the bias of the last layer.
    pub offset: f64,
    pub delta: f64,
    pub network: HeadNetwork,
    /// How it was trained. `None` if that is unknown.
    pub recipe: Option<TrainingRecipe>,
    /// The problems it was trained on.
    pub problems: Vec<String>,
}

impl HeadFile {
    /// # Errors
    /// It is incomplete, not a head, or has numbers that are not finite.
    pub fn read(path: &Path) -> Result<Self, TrainingError> {
        let file = F32File::read(path)?;
        let text = HeaderText { map: file.metadata()?, file: &file };
        if text.get("format")? != FORMAT {
            return Err(file.invalid(format!("format is {:?}, expected {FORMAT:?}", text.get("format")?)));
        }
        let head = Self {
            draft: text.get("draft")?.to_owned(),
            hidden_size: text.parse("hidden_size")?,
            features: text.parse("features")?,
            statistics: text.parse("statistics")?,
            temperature: text.parse("temperature")?,
            offset: if text.map.contains_key("offset") { text.parse("offset")? } else { 0.0 },
            delta: text.parse("delta")?,
            network: HeadNetwork::new(layers(&file)?).map_err(|reason| file.invalid(reason))?,
            recipe: if text.map.contains_key("recipe") { Some(text.parse("recipe")?) } else { None },
            problems: if text.map.contains_key("problems") { text.parse("problems")? } else { Vec::new() },
        };
        let expected = head.features.width(head.hidden_size, head.statistics.len());
        if head.network.inputs() != expected {
            let reason = format!("layer 0 takes {} numbers, {} are {expected}", head.network.inputs(), head.features);
            return Err(file.invalid(reason));
        }
        if !(head.temperature.is_finite() && head.temperature > 0.0 && head.delta.is_finite()) {
            let reason = format!("temperature {} and delta {} are not valid", head.temperature, head.delta);
            return Err(file.invalid(reason));
        }
        Ok(head)
    }

    /// Replaces the file atomically. The same head gives the same bytes.
    pub fn write(&self, path: &Path) -> Result<(), TrainingError> {
        let mut map = BTreeMap::from([
            ("format", FORMAT.to_owned()),
            ("draft", self.draft.clone()),
            ("hidden_size", self.hidden_size.to_string()),
            ("features", json!(self.features).to_string()),
            ("statistics", json!(self.statistics).to_string()),
            ("temperature", self.temperature.to_string()),
            ("offset", self.offset.to_string()),
            ("delta", self.delta.to_string()),
            ("created_by", concat!("mistralrs-rsd ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("problems", json!(self.problems).to_string()),
        ]);
        if let Some(recipe) = &self.recipe {
            map.insert("recipe", json!(recipe).to_string());
        }
        let mut tensors = Vec::new();
        for (index, layer) in self.network.layers.iter().enumerate() {
            tensors.push((format!("layers.{index}.weight"), vec![layer.outputs, layer.inputs], &layer.weight[..]));
            tensors.push((format!("layers.{index}.bias"), vec![layer.outputs], &layer.bias[..]));
        }
        tensors::write(path, &tensors, &map)
    }

    /// Applies a calibration that was fitted to the current logits.
    #[allow(clippy::cast_possible_truncation, reason = "the head is f32")]
    pub fn calibrate(&mut self, calibration: Calibration) {
        self.temperature = calibration.temperature;
        self.offset += calibration.offset;
        if let Some(bias) = self.network.layers.last_mut().and_then(|layer| layer.bias.first_mut()) {
            *bias = (f64::from(*bias) + calibration.offset) as f32;
        }
    }

    /// The logits of all rows.
    ///
    /// # Errors
    /// The data is of another draft or has other statistics.
    pub fn logits(&self, data: &RolloutDataset) -> Result<Vec<f64>, TrainingError> {
        if data.draft != self.draft {
            return Err(TrainingError::Unfit(format!(
                "the head is for the draft {}, the data is of {}; use this draft's head or train one",
                self.draft, data.draft
            )));
        }
        if data.hidden_size != self.hidden_size || data.statistics != self.statistics {
            return Err(TrainingError::Unfit(format!(
                "the head needs states of length {} and the statistics {:?}, the data has {} and {:?}",
                self.hidden_size, self.statistics, data.hidden_size, data.statistics
            )));
        }
        self.features.check_data(data)?;
        let all: Vec<usize> = (0..data.solutions.len()).collect();
        let logits = fit::logits(data, &all, &self.features, &self.network)?;
        if let Some(logit) = logits.iter().find(|logit| !logit.is_finite()) {
            return Err(TrainingError::Unfit(format!("the head gives {logit} on this data; train it again")));
        }
        Ok(logits.into_iter().map(f64::from).collect())
    }

    /// The rewards of all rows.
    pub fn rewards(&self, data: &RolloutDataset) -> Result<Vec<f64>, TrainingError> {
        Ok(self.logits(data)?.into_iter().map(|logit| sigmoid(logit / self.temperature)).collect())
    }

    /// The solutions of problems that the head was not trained on.
    pub fn unseen(&self, data: &RolloutDataset) -> Vec<usize> {
        let seen: HashSet<&str> = self.problems.iter().map(String::as_str).collect();
        let solutions = data.solutions.iter().enumerate();
        solutions.filter(|(_, solution)| !seen.contains(solution.problem.as_str())).map(|(index, _)| index).collect()
    }
}

/// Reads the layers 0, 1, ... and rejects any other tensor.
fn layers(file: &F32File) -> Result<Vec<DenseLayer>, TrainingError> {
    let shapes = file.shapes()?;
    let count = shapes.len() / 2;
    let read = |index| {
        let (weight, bias) = (format!("layers.{index}.weight"), format!("layers.{index}.bias"));
        let Some(&[outputs, inputs]) = shapes.get(&weight).map(Vec::as_slice) else {
            let found: Vec<&String> = shapes.keys().collect();
            return Err(file.invalid(format!("no matrix {weight:?}; the tensors are {found:?}")));
        };
        if outputs == 0 || inputs == 0 {
            return Err(file.invalid(format!("{weight} is empty")));
        }
        Ok(DenseLayer {
            inputs,
            outputs,
            weight: file.tensor(&weight, &[outputs, inputs])?,
            bias: file.tensor(&bias, &[outputs])?,
        })
    };
    let layers = (0..count).map(read).collect::<Result<Vec<_>, _>>()?;
    if shapes.len() != 2 * count || count == 0 {
        return Err(file.invalid(format!("{} tensors; expected a weight and a bias for every layer", shapes.len())));
    }
    Ok(layers)
}

struct HeaderText<'a> {
    map: HashMap<String, String>,
    file: &'a F32File,
}

impl HeaderText<'_> {
    fn get(&self, key: &str) -> Result<&str, TrainingError> {
        let missing = || self.file.invalid(format!("the header has no {key:?}; is it a head file?"));
        self.map.get(key).map(String::as_str).ok_or_else(missing)
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<T, TrainingError> {
        let text = self.get(key)?;
        serde_json::from_str(text)
            .map_err(|error| self.file.invalid(format!("{key} in the header is {text:?}: {error}")))
    }
}
