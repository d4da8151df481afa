//! One file of weights: lists its tensors and reads one at a time.
//!
//! A `.bin` file is a zip of a pickle and raw numbers. candle parses the pickle without running anything in it, so an
//! untrusted file can at worst fail to load.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor, pickle::PthTensors};
use rsd_files::{FileError, open_regular};
use serde_json::Value;

use super::CheckpointError;

/// The longest safetensors header that is read, the same as in the format's own library.
const HEADER_LIMIT: u64 = 100_000_000;

/// A tensor in a safetensors file.
#[derive(Debug, Clone)]
pub(crate) struct TensorEntry {
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    /// First byte and one past the last, counted from the end of the header.
    pub(super) range: (u64, u64),
}

pub(crate) enum WeightFile {
    /// `data` is the offset of the first byte after the header.
    Safetensors {
        path: PathBuf,
        tensors: BTreeMap<String, TensorEntry>,
        data: u64,
    },
    Pickle {
        path: PathBuf,
        tensors: PthTensors,
    },
}

impl WeightFile {
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            return Self::open_safetensors(path);
        }
        let tensors = PthTensors::new(path, None).map_err(|error| unreadable(path, &error))?;
        if tensors.tensor_infos().is_empty() {
            return Err(CheckpointError::invalid(path, format!("it has no tensors that can be read. {CONVERT}")));
        }
        Ok(Self::Pickle { path: path.to_path_buf(), tensors })
    }

    fn open_safetensors(path: &Path) -> Result<Self, CheckpointError> {
        let wrong = || CheckpointError::invalid(path, "is not a complete safetensors file; fetch it again");
        let mut file = open_regular(path)?;
        let size = file.metadata().map_err(FileError::io("read", path))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| wrong())?;
        let length = u64::from_le_bytes(length);
        if length > HEADER_LIMIT {
            return Err(wrong());
        }
        let data = 8 + length;
        let header: Value = serde_json::from_reader(file.take(length)).map_err(|_| wrong())?;
        let mut tensors = BTreeMap::new();
        for (name, tensor) in header.as_object().ok_or_else(wrong)? {
            if name == "__metadata__" {
                continue;
            }
            let entry = entry(tensor).filter(|entry| entry.range.0 <= entry.range.1 && entry.range.1 <= size - data);
            tensors.insert(name.clone(), entry.ok_or_else(wrong)?);
        }
        Ok(Self::Safetensors { path: path.to_path_buf(), tensors, data })
    }

    pub fn path(&self) -> &Path {
        match self {
            Self::Safetensors { path, .. } | Self::Pickle { path, .. } => path,
        }
    }

    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Safetensors { tensors, .. } => tensors.keys().map(String::as_str).collect(),
            Self::Pickle { tensors, .. } => tensors.tensor_infos().keys().map(String::as_str).collect(),
        }
    }

    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match self {
            Self::Safetensors { tensors, .. } => tensors.get(name).map(|entry| entry.shape.clone()),
            Self::Pickle { tensors, .. } => tensors.tensor_infos().get(name).map(|info| info.layout.dims().to_vec()),
        }
    }

    /// Reads one tensor to the CPU, in the file's type.
    pub fn read(&self, name: &str) -> Result<Tensor, CheckpointError> {
        match self {
            Self::Safetensors { path, tensors, data } => {
                let entry =
                    tensors.get(name).ok_or_else(|| CheckpointError::invalid(path, format!("has no tensor {name}")))?;
                let (begin, end) = entry.range;
                let mut file = File::open(path).map_err(FileError::io("open", path))?;
                file.seek(SeekFrom::Start(data + begin)).map_err(FileError::io("read", path))?;
                let mut bytes = Vec::new();
                file.take(end - begin).read_to_end(&mut bytes).map_err(FileError::io("read", path))?;
                let dtype = dtype(&entry.dtype).ok_or_else(|| {
                    CheckpointError::invalid(
                        path,
                        format!("{name} has the type {}; supported are F16, BF16, F32 and F64", entry.dtype),
                    )
                })?;
                if bytes.len() != entry.shape.iter().product::<usize>() * dtype.size_in_bytes() {
                    return Err(CheckpointError::invalid(
                        path,
                        format!("the size of {name} does not match its shape; fetch the file again"),
                    ));
                }
                let tensor = Tensor::from_raw_buffer(&bytes, dtype, &entry.shape, &Device::Cpu);
                tensor.map_err(|error| unreadable(path, &error))
            }
            Self::Pickle { path, tensors } => {
                let tensor = tensors.get(name).map_err(|error| unreadable(path, &error))?;
                tensor.ok_or_else(|| CheckpointError::invalid(path, format!("has no tensor {name}")))
            }
        }
    }
}

/// Advice for a pickle that cannot be read.
const CONVERT: &str = "If you trust it, convert it in Python: `sd = torch.load(FILE, map_location=\"cpu\", weights_only=True); safetensors.torch.save_file({k: v.contiguous().clone() for k, v in sd.items()}, \"model.safetensors\")`";

fn unreadable(path: &Path, error: &candle_core::Error) -> CheckpointError {
    let advice =
        if path.extension().is_some_and(|extension| extension == "safetensors") { "Fetch it again" } else { CONVERT };
    CheckpointError::invalid(path, format!("cannot be read ({error}). {advice}"))
}

fn entry(tensor: &Value) -> Option<TensorEntry> {
    let numbers = |name: &str| -> Option<Vec<u64>> { tensor[name].as_array()?.iter().map(Value::as_u64).collect() };
    let shape = numbers("shape")?.into_iter().map(|n| usize::try_from(n).ok()).collect::<Option<_>>()?;
    let &[begin, end] = numbers("data_offsets")?.as_slice() else { return None };
    Some(TensorEntry { dtype: tensor["dtype"].as_str()?.to_owned(), shape, range: (begin, end) })
}

fn dtype(name: &str) -> Option<DType> {
    match name {
        "F32" => Some(DType::F32),
        "F16" => Some(DType::F16),
        "BF16" => Some(DType::BF16),
        "F64" => Some(DType::F64),
        _ => None,
    }
}
