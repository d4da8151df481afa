//! A checkpoint folder as its authors ship it: looked at, recognised, its reward head read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{GraftError, weights::Weights};
use crate::reward::{
    format::{Family, Specials},
    linear::Linear,
};

/// The output matrix, where a checkpoint has one of its own.
pub(super) const OUTPUT: &str = "lm_head.weight";
const EMBEDDINGS: &str = "model.embed_tokens.weight";

/// A checkpoint in a local folder.
pub struct Checkpoint {
    pub(super) folder: PathBuf,
    pub(super) config: Map<String, Value>,
    /// Safetensors files, or `.bin` files where there are none, by name.
    pub(super) files: Vec<Weights>,
}

impl Checkpoint {
    /// Reads the headers of a checkpoint.
    ///
    /// # Errors
    /// The folder holds no `config.json` or no weights, or they are damaged.
    pub fn open(folder: &Path) -> Result<Self, GraftError> {
        let path = folder.join("config.json");
        let text = fs::read(&path).map_err(GraftError::io("read", &path))?;
        let config = serde_json::from_slice(&text)
            .map_err(|error| GraftError::file(&path, format!("is no JSON object: {error}; fetch it again")))?;
        let files = weight_files(folder)?.iter().map(|file| Weights::open(file)).collect::<Result<_, _>>()?;
        Ok(Self { folder: folder.to_path_buf(), config, files })
    }

    /// The family of this checkpoint: told by its head's tensors, else by `name`, the model's name where that is not
    /// the folder's. `wanted` is the family the user named.
    ///
    /// # Errors
    /// It is not the one wanted, or nothing tells.
    pub fn family(&self, wanted: Option<Family>, name: &str) -> Result<Family, GraftError> {
        let by_head = Family::of_tensors(|name| self.has(name));
        match (wanted, by_head) {
            (None, Some(found)) => Ok(found),
            (Some(wanted), Some(found)) if wanted == found => Ok(found),
            // A family that reads ordinary logits takes any language model; its tokenizer is looked at later.
            (Some(wanted), None) if wanted.head().is_empty() && self.has_logits() => Ok(wanted),
            (Some(wanted), _) => {
                let path = self.folder.clone();
                Err(GraftError::WrongFamily { path, wanted: wanted.name(), found: self.found() })
            }
            (None, None) => {
                let names = [name.to_owned(), self.folder.to_string_lossy().into_owned(), self.text("_name_or_path")];
                let by_name = names.iter().find_map(|name| Family::of_name(name));
                by_name
                    .filter(|_| self.has_logits())
                    .ok_or_else(|| GraftError::Unknown { path: self.folder.clone(), found: self.found() })
            }
        }
    }

    /// The layers of the family's head; none for a family that reads ordinary logits.
    ///
    /// # Errors
    /// A layer is missing, of a wrong shape, or holds a number that is not finite.
    pub fn head(&self, family: Family) -> Result<Vec<Linear>, GraftError> {
        let wrong = |layer: &str, reason: String| {
            GraftError::file(&self.folder, format!("the reward head's {layer}: {reason}"))
        };
        let mut layers = Vec::new();
        let mut inputs = self.hidden_size()?;
        for layer in family.head() {
            let weight = self.tensor(&format!("{layer}.weight"))?;
            let [outputs, columns] = weight.1[..] else {
                return Err(wrong(layer, format!("expected a matrix, found shape {:?}", weight.1)));
            };
            if columns != inputs {
                return Err(wrong(layer, format!("expected {inputs} inputs, found shape {:?}", weight.1)));
            }
            let bias = format!("{layer}.bias");
            let bias = if self.has(&bias) { self.tensor(&bias)?.0 } else { vec![0.0; outputs] };
            if bias.len() != outputs {
                return Err(wrong(layer, format!("expected {outputs} biases, found {}", bias.len())));
            }
            let layer = Linear::new(weight.0, bias)
                .ok_or_else(|| wrong(layer, "a number is not finite; the file is damaged".to_owned()))?;
            inputs = layer.outputs();
            layers.push(layer);
        }
        if !layers.is_empty() && inputs != family.head_outputs() {
            let reason = format!("expected {} outputs, found {inputs}", family.head_outputs());
            return Err(wrong("last layer", reason));
        }
        Ok(layers)
    }

    /// The tokens that `tokenizer_config.json` names for a purpose.
    #[must_use]
    pub fn specials(&self) -> Specials {
        let text = fs::read(self.folder.join("tokenizer_config.json")).unwrap_or_default();
        let config: Value = serde_json::from_slice(&text).unwrap_or_default();
        // A token is spelt plainly or as an object with its content.
        let token = |name: &str| config[name].as_str().or(config[name]["content"].as_str()).map(str::to_owned);
        Specials { bos: token("bos_token"), pad: token("pad_token") }
    }

    /// The model's hidden size.
    pub(super) fn hidden_size(&self) -> Result<usize, GraftError> {
        self.embeddings().map(|(_, hidden)| hidden)
    }

    /// Rows and columns of the embeddings.
    pub(super) fn embeddings(&self) -> Result<(usize, usize), GraftError> {
        match self.files.iter().find_map(|file| file.shape(EMBEDDINGS)).as_deref() {
            Some(&[rows, columns]) => Ok((rows, columns)),
            found => {
                Err(GraftError::file(&self.folder, format!("expected {EMBEDDINGS} to be a matrix, found {found:?}")))
            }
        }
    }

    /// The architecture under the head, by the name that mistral.rs knows it by.
    pub(super) fn base_architecture(&self) -> Result<&'static str, GraftError> {
        match self.text("model_type").as_str() {
            "qwen2" => Ok("Qwen2ForCausalLM"),
            "llama" => Ok("LlamaForCausalLM"),
            "mistral" => Ok("MistralForCausalLM"),
            "qwen3" => Ok("Qwen3ForCausalLM"),
            other => Err(GraftError::file(
                &self.folder.join("config.json"),
                format!("model_type is {other:?}; reward heads are read on qwen2, qwen3, llama and mistral"),
            )),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.shape(name).is_some())
    }

    /// Whether it is a language model: it has an output matrix, or its embeddings are one.
    fn has_logits(&self) -> bool {
        self.has(OUTPUT) || self.config.get("tie_word_embeddings").and_then(Value::as_bool) == Some(true)
    }

    /// The numbers of a tensor and its shape.
    fn tensor(&self, name: &str) -> Result<(Vec<f32>, Vec<usize>), GraftError> {
        let missing = || GraftError::file(&self.folder, format!("has no tensor {name}"));
        let file = self.files.iter().find(|file| file.shape(name).is_some()).ok_or_else(missing)?;
        let tensor = file.read(name)?;
        let numbers = tensor.to_dtype(candle_core::DType::F32).and_then(|tensor| tensor.flatten_all()?.to_vec1());
        let numbers = numbers.map_err(|error| GraftError::file(file.path(), format!("{name}: {error}")))?;
        Ok((numbers, tensor.dims().to_vec()))
    }

    fn text(&self, field: &str) -> String {
        self.config.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// What was found, for a message: architecture and the tensors that are no part of a language model.
    fn found(&self) -> String {
        let architecture = self.config.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
        let mut heads: Vec<&str> = self.files.iter().flat_map(Weights::names).collect();
        heads.retain(|name| !name.starts_with("model.") && *name != OUTPUT);
        heads.sort_unstable();
        let heads = match heads.as_slice() {
            [] => "no tensor of a reward head".to_owned(),
            [some @ .., _] if some.len() > 6 => {
                format!("{} tensors outside the model, such as {}", heads.len(), heads[0])
            }
            all => format!("the tensors {}", all.join(", ")),
        };
        format!("config.json says {} and the weights have {heads}", architecture.unwrap_or("no architecture"))
    }
}

fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, GraftError> {
    let entries = fs::read_dir(folder).map_err(GraftError::io("read", folder))?;
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    let of = |begin: &str, end: &str| -> Vec<PathBuf> {
        names
            .iter()
            .filter(|name| name.starts_with(begin) && name.ends_with(end))
            .map(|name| folder.join(name))
            .collect()
    };
    let found = [of("model", ".safetensors"), of("pytorch_model", ".bin")].into_iter().find(|files| !files.is_empty());
    found.ok_or_else(|| GraftError::file(folder, "holds no weights: expected model*.safetensors or pytorch_model*.bin"))
}
