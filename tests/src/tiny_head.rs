//! Reward heads for tiny models. Each weight is a function of its position, so the scores are arbitrary but
//! reproducible.

use std::{collections::HashMap, path::Path};

use candle_core::{Device, Tensor};
use rsd_core::features::STATISTICS;

use crate::tiny_model::HIDDEN;

/// Writes a head with one hidden layer over all features, for the draft file with the SHA-256 `draft`.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, draft: &str) -> anyhow::Result<()> {
    let inputs = 2 * HIDDEN + STATISTICS.len();
    let number = |i: usize| ((i as f32) * 0.37).sin() * 0.2;
    let tensor = |shape: &[usize]| {
        let count = shape.iter().product();
        Tensor::from_vec((0..count).map(number).collect::<Vec<f32>>(), shape, &Device::Cpu)
    };
    let tensors = HashMap::from([
        ("layers.0.weight", tensor(&[5, inputs])?),
        ("layers.0.bias", tensor(&[5])?),
        ("layers.1.weight", tensor(&[1, 5])?),
        ("layers.1.bias", tensor(&[1])?),
    ]);
    let metadata = [
        ("format", "rsd-head-1".to_owned()),
        ("draft", draft.to_owned()),
        ("hidden_size", HIDDEN.to_string()),
        ("features", r#"["last","mean","statistics"]"#.to_owned()),
        ("statistics", serde_json::to_string(&STATISTICS)?),
        ("temperature", "1.5".to_owned()),
        ("delta", "0.5".to_owned()),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
    Ok(safetensors::serialize_to_file(&tensors, Some(metadata), path)?)
}
