//! A checkpoint folder as its authors publish it: recognizes the family and reads the reward head.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rsd_config::PrmFamily;
use rsd_files::FileError;
use serde_json::{Map, Value};

use super::{CheckpointError, tensors::TensorFiles, weights::WeightFile};
use crate::{format::SpecialTokens, layer::DenseLayer};

/// The output matrix. A checkpoint with tied embeddings has none.
pub(super) const OUTPUT: &str = "lm_head.weight";
const EMBEDDINGS: &str = "model.embed_tokens.weight";

/// A checkpoint in a local folder.
pub(crate) struct Checkpoint {
    pub(super) folder: PathBuf,
    pub(super) config: Map<String, Value>,
    pub(super) tensors: TensorFiles,
}

impl Checkpoint {
    /// Reads the headers of a checkpoint.
    ///
    /// # Errors
    /// The folder holds no `config.json` or no weights, or they are damaged.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let path = folder.join("config.json");
        let text = fs::read(&path).map_err(FileError::io("read", &path))?;
        let config = serde_json::from_slice(&text).map_err(|error| {
            CheckpointError::invalid(&path, format!("is not a JSON object: {error}; fetch it again"))
        })?;
        Ok(Self { folder: folder.to_path_buf(), config, tensors: TensorFiles::of_model(folder)? })
    }

    /// The family of this checkpoint. Its head's tensors decide; without a head, `name` does, the model's name if that
    /// is not the folder's. `wanted` is the family that the user named.
    ///
    /// # Errors
    /// It is not the one wanted, or cannot be recognized.
    pub fn family(&self, wanted: Option<PrmFamily>, name: &str) -> Result<PrmFamily, CheckpointError> {
        let by_head = self.tensors.family();
        match (wanted, by_head) {
            (None, Some(found)) => Ok(found),
            (Some(wanted), Some(found)) if wanted == found => Ok(found),
            // A family that reads ordinary logits accepts any language model; its tokenizer is checked later.
            (Some(wanted), None) if wanted.head().is_empty() && self.has_logits() => Ok(wanted),
            (Some(wanted), _) => {
                let path = self.folder.clone();
                Err(CheckpointError::WrongFamily { path, wanted: wanted.name(), found: self.found() })
            }
            (None, None) => {
                let names = [name.to_owned(), self.folder.to_string_lossy().into_owned(), self.text("_name_or_path")];
                let by_name = names.iter().find_map(|name| PrmFamily::of_name(name));
                by_name
                    .filter(|_| self.has_logits())
                    .ok_or_else(|| CheckpointError::UnknownFamily { path: self.folder.clone(), found: self.found() })
            }
        }
    }

    /// The layers of the family's head; empty for a family that reads ordinary logits.
    ///
    /// # Errors
    /// A layer is missing, of a wrong shape, or holds a number that is not finite.
    pub fn head(&self, family: PrmFamily) -> Result<Vec<DenseLayer>, CheckpointError> {
        self.tensors.head(family, self.hidden_size()?)
    }

    #[must_use]
    pub fn special_tokens(&self) -> SpecialTokens {
        special_tokens(&self.folder)
    }

    pub(super) fn hidden_size(&self) -> Result<usize, CheckpointError> {
        self.embeddings().map(|(_, hidden)| hidden)
    }

    /// Rows and columns of the embeddings.
    pub(super) fn embeddings(&self) -> Result<(usize, usize), CheckpointError> {
        match self.tensors.shape(EMBEDDINGS).as_deref() {
            Some(&[rows, columns]) => Ok((rows, columns)),
            found => Err(CheckpointError::invalid(
                &self.folder,
                format!("expected {EMBEDDINGS} to be a matrix, found {found:?}"),
            )),
        }
    }

    /// mistral.rs's name of the architecture under the head.
    pub(super) fn base_architecture(&self) -> Result<&'static str, CheckpointError> {
        match self.text("model_type").as_str() {
            "qwen2" => Ok("Qwen2ForCausalLM"),
            "llama" => Ok("LlamaForCausalLM"),
            "mistral" => Ok("MistralForCausalLM"),
            "qwen3" => Ok("Qwen3ForCausalLM"),
            other => Err(CheckpointError::invalid(
                &self.folder.join("config.json"),
                format!("model_type is {other:?}; reward heads are supported on qwen2, qwen3, llama and mistral"),
            )),
        }
    }

    /// Whether it is a language model: it has an output matrix, or tied embeddings.
    fn has_logits(&self) -> bool {
        self.tensors.shape(OUTPUT).is_some()
            || self.config.get("tie_word_embeddings").and_then(Value::as_bool) == Some(true)
    }

    fn text(&self, field: &str) -> String {
        self.config.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Describes for an error message what was found: the architecture, and the tensors outside the language model.
    fn found(&self) -> String {
        let architecture = self.config.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
        let mut heads: Vec<&str> = self.tensors.files.iter().flat_map(WeightFile::names).collect();
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

/// The special tokens that `tokenizer_config.json` of a folder names; none if it cannot be read.
#[must_use]
pub fn special_tokens(folder: &Path) -> SpecialTokens {
    let text = fs::read(folder.join("tokenizer_config.json")).unwrap_or_default();
    let config: Value = serde_json::from_slice(&text).unwrap_or_default();
    // A token is a string, or an object with its content.
    let token = |name: &str| config[name].as_str().or(config[name]["content"].as_str()).map(str::to_owned);
    SpecialTokens { bos: token("bos_token"), pad: token("pad_token") }
}
