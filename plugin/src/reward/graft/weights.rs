//! One file of weights: what tensors it holds, and one tensor at a time.
//!
//! A `.bin` file is a zip of a pickle and raw numbers. candle's reader takes the pickle apart without running anything
//! in it, so an untrusted file can at worst be refused.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor, pickle::PthTensors};
use serde_json::Value;

use super::GraftError;

/// Longest safetensors header that is read, as in the format's own library.
const HEADER_LIMIT: u64 = 100_000_000;

/// A tensor in a safetensors file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    /// First byte and the one after the last, counted from the header's end.
    pub(super) range: (u64, u64),
}

/// A file of weights.
pub(super) enum Weights {
    Safetensors { path: PathBuf, tensors: BTreeMap<String, Entry>, data: u64 },
    Pickle { path: PathBuf, tensors: PthTensors },
}

impl Weights {
    pub(super) fn open(path: &Path) -> Result<Self, GraftError> {
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            return Self::open_safetensors(path);
        }
        let tensors = PthTensors::new(path, None).map_err(|error| unreadable(path, &error))?;
        if tensors.tensor_infos().is_empty() {
            return Err(GraftError::file(path, format!("it holds no tensors that can be read. {CONVERT}")));
        }
        Ok(Self::Pickle { path: path.to_path_buf(), tensors })
    }

    fn open_safetensors(path: &Path) -> Result<Self, GraftError> {
        let wrong = || GraftError::file(path, "is no whole safetensors file; fetch it again");
        let mut file = File::open(path).map_err(GraftError::io("open", path))?;
        let size = file.metadata().map_err(GraftError::io("read", path))?.len();
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

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Safetensors { path, .. } | Self::Pickle { path, .. } => path,
        }
    }

    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::Safetensors { tensors, .. } => tensors.keys().map(String::as_str).collect(),
            Self::Pickle { tensors, .. } => tensors.tensor_infos().keys().map(String::as_str).collect(),
        }
    }

    pub(super) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match self {
            Self::Safetensors { tensors, .. } => tensors.get(name).map(|entry| entry.shape.clone()),
            Self::Pickle { tensors, .. } => tensors.tensor_infos().get(name).map(|info| info.layout.dims().to_vec()),
        }
    }

    /// One tensor, on the CPU and in the file's type.
    pub(super) fn read(&self, name: &str) -> Result<Tensor, GraftError> {
        match self {
            Self::Safetensors { path, tensors, data } => {
                let entry = tensors.get(name).ok_or_else(|| GraftError::file(path, format!("has no tensor {name}")))?;
                let (begin, end) = entry.range;
                let mut file = File::open(path).map_err(GraftError::io("open", path))?;
                file.seek(SeekFrom::Start(data + begin)).map_err(GraftError::io("read", path))?;
                let mut bytes = Vec::new();
                file.take(end - begin).read_to_end(&mut bytes).map_err(GraftError::io("read", path))?;
                let dtype = dtype(&entry.dtype)
                    .ok_or_else(|| GraftError::file(path, format!("{name} is of type {}", entry.dtype)))?;
                if bytes.len() != entry.shape.iter().product::<usize>() * dtype.size_in_bytes() {
                    return Err(GraftError::file(path, format!("{name} has another size than its shape says")));
                }
                let tensor = Tensor::from_raw_buffer(&bytes, dtype, &entry.shape, &Device::Cpu);
                tensor.map_err(|error| unreadable(path, &error))
            }
            Self::Pickle { path, tensors } => {
                let tensor = tensors.get(name).map_err(|error| unreadable(path, &error))?;
                tensor.ok_or_else(|| GraftError::file(path, format!("has no tensor {name}")))
            }
        }
    }
}

/// What a user can do about a pickle that cannot be read.
const CONVERT: &str = "Convert it where you trust it, in Python: `sd = torch.load(FILE, map_location=\"cpu\", weights_only=True); safetensors.torch.save_file({k: v.contiguous().clone() for k, v in sd.items()}, \"model.safetensors\")`";

fn unreadable(path: &Path, error: &candle_core::Error) -> GraftError {
    let advice =
        if path.extension().is_some_and(|extension| extension == "safetensors") { "Fetch it again" } else { CONVERT };
    GraftError::file(path, format!("cannot be read ({error}). {advice}"))
}

fn entry(tensor: &Value) -> Option<Entry> {
    let numbers = |name: &str| -> Option<Vec<u64>> { tensor[name].as_array()?.iter().map(Value::as_u64).collect() };
    let shape = numbers("shape")?.into_iter().map(|n| usize::try_from(n).ok()).collect::<Option<_>>()?;
    let &[begin, end] = numbers("data_offsets")?.as_slice() else { return None };
    Some(Entry { dtype: tensor["dtype"].as_str()?.to_owned(), shape, range: (begin, end) })
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
