//! Untrained reward heads. Each weight is a function of its position, so the scores are arbitrary but reproducible.

use std::{collections::HashMap, path::Path};

use candle_core::{Device, Tensor};
use rsd_core::features::STATISTICS;

use crate::tiny_model::HIDDEN;

/// What the logits of these heads are divided by.
pub const TEMPERATURE: f64 = 1.5;

/// Writes a head with one hidden layer over the states of a tiny model and the statistics, for the draft file with the
/// SHA-256 `draft`.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, draft: &str) -> anyhow::Result<()> {
    let inputs = 2 * HIDDEN + STATISTICS.len();
    let tensors = HashMap::from([
        ("layers.0.weight", tensor(&[5, inputs], 0.2)?),
        ("layers.0.bias", tensor(&[5], 0.2)?),
        ("layers.1.weight", tensor(&[1, 5], 0.2)?),
        ("layers.1.bias", tensor(&[1], 0.2)?),
    ]);
    save(path, draft, HIDDEN, r#"["last","mean","statistics"]"#, &tensors)
}

/// Writes a head of one layer on the state at the end of a step, for a draft with states of `hidden_size` numbers.
///
/// # Errors
/// The file cannot be written.
pub fn write_for_last_state(path: &Path, draft: &str, hidden_size: usize) -> anyhow::Result<()> {
    let tensors =
        HashMap::from([("layers.0.weight", tensor(&[1, hidden_size], 0.02)?), ("layers.0.bias", tensor(&[1], 0.02)?)]);
    save(path, draft, hidden_size, r#"["last"]"#, &tensors)
}

fn tensor(shape: &[usize], scale: f32) -> candle_core::Result<Tensor> {
    let number = |i: usize| ((i as f32) * 0.37).sin() * scale;
    let count = shape.iter().product();
    Tensor::from_vec((0..count).map(number).collect::<Vec<f32>>(), shape, &Device::Cpu)
}

fn save(
    path: &Path,
    draft: &str,
    hidden_size: usize,
    features: &str,
    tensors: &HashMap<&str, Tensor>,
) -> anyhow::Result<()> {
    let metadata = [
        ("format", "rsd-head-1".to_owned()),
        ("draft", draft.to_owned()),
        ("hidden_size", hidden_size.to_string()),
        ("features", features.to_owned()),
        ("statistics", serde_json::to_string(&STATISTICS)?),
        ("temperature", TEMPERATURE.to_string()),
        ("delta", "0.5".to_owned()),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
    Ok(safetensors::serialize_to_file(tensors, Some(metadata), path)?)
}
