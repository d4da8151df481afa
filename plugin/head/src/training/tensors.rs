//! Reads and writes safetensors files of f32 tensors. The same content is always written as the same bytes.

use std::{collections::BTreeMap, collections::HashMap, path::Path, path::PathBuf};

use rsd_files::{FileAccess, read_regular, replace};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use super::error::TrainingError;

/// Largest file. A head has a few megabytes, the features of a collection some gigabytes.
const MAX_BYTES: u64 = 16 << 30;

/// A safetensors file in memory.
pub(super) struct F32File {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl F32File {
    /// Reads the whole file, which must be a regular one.
    pub(super) fn read(path: &Path) -> Result<Self, TrainingError> {
        let bytes = read_regular(path, MAX_BYTES)?;
        let file = Self { path: path.to_path_buf(), bytes };
        file.parse()?;
        Ok(file)
    }

    fn parse(&self) -> Result<SafeTensors<'_>, TrainingError> {
        SafeTensors::deserialize(&self.bytes)
            .map_err(|error| self.invalid(format!("not a complete safetensors file: {error}")))
    }

    /// The string map of the header; empty if it has none.
    pub(super) fn metadata(&self) -> Result<HashMap<String, String>, TrainingError> {
        let (_, header) = SafeTensors::read_metadata(&self.bytes)
            .map_err(|error| self.invalid(format!("not a complete safetensors file: {error}")))?;
        Ok(header.metadata().clone().unwrap_or_default())
    }

    /// The tensors' names with their shapes.
    pub(super) fn shapes(&self) -> Result<BTreeMap<String, Vec<usize>>, TrainingError> {
        Ok(self.parse()?.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec())).collect())
    }

    /// A matrix of finite numbers of exactly this shape.
    pub(super) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Vec<f32>, TrainingError> {
        self.tensor(name, &[rows, columns])
    }

    /// A tensor of finite numbers of exactly this shape.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TrainingError> {
        let file = self.parse()?;
        let view = file.tensor(name).map_err(|_| self.invalid(format!("no tensor {name:?}")))?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            return Err(self.invalid(format!(
                "{name} is {:?} {:?}, expected F32 {shape:?}",
                view.dtype(),
                view.shape()
            )));
        }
        let numbers: Vec<f32> =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        match numbers.iter().position(|number| !number.is_finite()) {
            Some(at) => Err(self.invalid(format!("{name} has {} at index {at}", numbers[at]))),
            None => Ok(numbers),
        }
    }

    /// An error about this file.
    pub(super) fn invalid(&self, reason: impl std::fmt::Display) -> TrainingError {
        TrainingError::invalid(&self.path, reason)
    }
}

/// Atomically replaces a file by one with these tensors (name, shape, values) and this string map.
pub(super) fn write(
    path: &Path,
    tensors: &[(String, Vec<usize>, &[f32])],
    metadata: &BTreeMap<&str, String>,
) -> Result<(), TrainingError> {
    // The library writes the map in an order that changes from run to run.
    let mut header = BTreeMap::from([("__metadata__", json!(metadata))]);
    let mut body: Vec<u8> = Vec::new();
    for (name, shape, numbers) in tensors {
        let start = body.len();
        body.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": [start, body.len()]}));
    }
    let mut text = Value::from_iter(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut text);
    bytes.append(&mut body);
    Ok(replace(path, &bytes, FileAccess::Shared)?)
}
