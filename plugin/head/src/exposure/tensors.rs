//! Finds tensors, and a reward head among them, in a few weight files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rsd_config::PrmFamily;
use rsd_files::FileError;

use super::{CheckpointError, weights::WeightFile};
use crate::layer::DenseLayer;

/// Weight files whose headers were read.
pub(crate) struct TensorFiles {
    /// Their folder, or the only file; for messages.
    place: PathBuf,
    pub(super) files: Vec<WeightFile>,
}

impl TensorFiles {
    /// A model's files: safetensors, or `.bin` if there are none.
    ///
    /// # Errors
    /// The folder holds none, or they are damaged.
    pub fn of_model(folder: &Path) -> Result<Self, CheckpointError> {
        Self::in_folder(folder, "model")
    }

    /// The files with a head: one file, or all in a folder, of any name.
    ///
    /// # Errors
    /// There is no such file, or it is damaged.
    pub fn of_head(path: &Path) -> Result<Self, CheckpointError> {
        if path.is_dir() {
            return Self::in_folder(path, "");
        }
        if !path.is_file() {
            return Err(CheckpointError::invalid(path, "there is no such file or folder"));
        }
        Ok(Self { place: path.to_path_buf(), files: vec![WeightFile::open(path)?] })
    }

    fn in_folder(folder: &Path, begin: &str) -> Result<Self, CheckpointError> {
        let entries = fs::read_dir(folder).map_err(FileError::io("read", folder))?;
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        let of = |begin: &str, end: &str| -> Vec<PathBuf> {
            let wanted = names.iter().filter(|name| name.starts_with(begin) && name.ends_with(end));
            wanted.map(|name| folder.join(name)).collect()
        };
        let kinds = [of(begin, ".safetensors"), of("pytorch_model", ".bin")];
        let found = kinds.into_iter().find(|files| !files.is_empty()).ok_or_else(|| {
            let reason = format!("has no weights: expected {begin}*.safetensors or pytorch_model*.bin");
            CheckpointError::invalid(folder, reason)
        })?;
        let files = found.iter().map(|file| WeightFile::open(file)).collect::<Result<_, _>>()?;
        Ok(Self { place: folder.to_path_buf(), files })
    }

    /// The shape of a tensor. `None` if it is missing.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.files.iter().find_map(|file| file.shape(name))
    }

    /// The family whose head is among them.
    #[must_use]
    pub fn family(&self) -> Option<PrmFamily> {
        PrmFamily::of_tensors(|name| self.shape(name).is_some())
    }

    /// The layers of a family's head on states of `inputs` numbers; empty for a family that reads ordinary logits.
    ///
    /// # Errors
    /// A layer is missing, of a wrong shape, or holds a number that is not finite.
    pub fn head(&self, family: PrmFamily, mut inputs: usize) -> Result<Vec<DenseLayer>, CheckpointError> {
        let wrong = |layer: &str, reason: String| {
            CheckpointError::invalid(&self.place, format!("the reward head's {layer}: {reason}"))
        };
        let mut layers = Vec::new();
        for layer in family.head() {
            let (weight, shape) = self.numbers(&format!("{layer}.weight"))?;
            let [outputs, columns] = shape[..] else {
                return Err(wrong(layer, format!("expected a matrix, found shape {shape:?}")));
            };
            if columns != inputs {
                return Err(wrong(layer, format!("expected {inputs} inputs, found shape {shape:?}")));
            }
            let bias = format!("{layer}.bias");
            let bias = if self.shape(&bias).is_some() { self.numbers(&bias)?.0 } else { vec![0.0; outputs] };
            if bias.len() != outputs {
                return Err(wrong(layer, format!("expected {outputs} biases, found {}", bias.len())));
            }
            let layer = DenseLayer::new(weight, bias)
                .ok_or_else(|| wrong(layer, "a number is not finite; the file is damaged".to_owned()))?;
            inputs = layer.outputs;
            layers.push(layer);
        }
        if !layers.is_empty() && inputs != family.head_outputs() {
            let reason = format!("expected {} outputs, found {inputs}", family.head_outputs());
            return Err(wrong("last layer", reason));
        }
        Ok(layers)
    }

    /// The values of a tensor and its shape.
    fn numbers(&self, name: &str) -> Result<(Vec<f32>, Vec<usize>), CheckpointError> {
        let missing = || CheckpointError::invalid(&self.place, format!("has no tensor {name}"));
        let file = self.files.iter().find(|file| file.shape(name).is_some()).ok_or_else(missing)?;
        let tensor = file.read(name)?;
        let numbers = tensor.to_dtype(candle_core::DType::F32).and_then(|tensor| tensor.flatten_all()?.to_vec1());
        let numbers = numbers.map_err(|error| CheckpointError::invalid(file.path(), format!("{name}: {error}")))?;
        Ok((numbers, tensor.dims().to_vec()))
    }
}
