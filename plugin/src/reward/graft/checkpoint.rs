//! A checkpoint folder as its authors ship it: looked at, recognised, its reward head read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{GraftError, tensors::Tensors, weights::Weights};
use crate::reward::{
    format::{Family, Specials},
    layer::Layer,
};

/// The output matrix, where a checkpoint has one of its own.
pub(super) const OUTPUT: &str = "lm_head.weight";
const EMBEDDINGS: &str = "model.embed_tokens.weight";

/// A checkpoint in a local folder.
pub struct Checkpoint {
    pub(super) folder: PathBuf,
    pub(super) config: Map<String, Value>,
    pub(super) tensors: Tensors,
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
        Ok(Self { folder: folder.to_path_buf(), config, tensors: Tensors::of_model(folder)? })
    }

    /// The family of this checkpoint: told by its head's tensors, else by `name`, the model's name where that is not
    /// the folder's. `wanted` is the family the user named.
    ///
    /// # Errors
    /// It is not the one wanted, or nothing tells.
    pub fn family(&self, wanted: Option<Family>, name: &str) -> Result<Family, GraftError> {
        let by_head = self.tensors.family();
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
    pub fn head(&self, family: Family) -> Result<Vec<Layer>, GraftError> {
        self.tensors.head(family, self.hidden_size()?)
    }

    /// The tokens that `tokenizer_config.json` names for a purpose.
    #[must_use]
    pub fn specials(&self) -> Specials {
        specials(&self.folder)
    }

    /// The model's hidden size.
    pub(super) fn hidden_size(&self) -> Result<usize, GraftError> {
        self.embeddings().map(|(_, hidden)| hidden)
    }

    /// Rows and columns of the embeddings.
    pub(super) fn embeddings(&self) -> Result<(usize, usize), GraftError> {
        match self.tensors.shape(EMBEDDINGS).as_deref() {
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

    /// Whether it is a language model: it has an output matrix, or its embeddings are one.
    fn has_logits(&self) -> bool {
        self.tensors.shape(OUTPUT).is_some()
            || self.config.get("tie_word_embeddings").and_then(Value::as_bool) == Some(true)
    }

    fn text(&self, field: &str) -> String {
        self.config.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// What was found, for a message: architecture and the tensors that are no part of a language model.
    fn found(&self) -> String {
        let architecture = self.config.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
        let mut heads: Vec<&str> = self.tensors.files.iter().flat_map(Weights::names).collect();
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

/// The tokens that `tokenizer_config.json` of a folder names for a purpose.
pub fn specials(folder: &Path) -> Specials {
    let text = fs::read(folder.join("tokenizer_config.json")).unwrap_or_default();
    let config: Value = serde_json::from_slice(&text).unwrap_or_default();
    // A token is spelt plainly or as an object with its content.
    let token = |name: &str| config[name].as_str().or(config[name]["content"].as_str()).map(str::to_owned);
    Specials { bos: token("bos_token"), pad: token("pad_token") }
}
