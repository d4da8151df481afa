//! The tokenizer of a process reward model, as the prompt formats use it.

use std::{collections::BTreeMap, sync::Arc};

use rsd_vocabulary::ControlTokens;
use tokenizers::Tokenizer;

/// Why a prompt cannot be built for a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(pub(super) String);

/// The special tokens that `tokenizer_config.json` names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begins a text.
    pub bos: Option<String>,
    /// Pads a batch; some authors' code marks positions with it.
    pub pad: Option<String>,
}

/// A tokenizer with its special tokens.
pub struct PrmTokenizer {
    tokenizer: Arc<Tokenizer>,
    control: ControlTokens,
    specials: SpecialTokens,
}

impl PrmTokenizer {
    #[must_use]
    pub fn new(tokenizer: Arc<Tokenizer>, specials: SpecialTokens) -> Self {
        let control = ControlTokens::new(&tokenizer, &BTreeMap::new());
        Self { tokenizer, control, specials }
    }

    /// The same, in which this token is one of control, whether the tokenizer says so or not.
    pub(super) fn with_control(self, token: &str) -> Self {
        Self { control: self.control.with(token), ..self }
    }

    /// Ids of the text that `render` makes of a question and steps, which users and models wrote, with the special tokens
    /// that the tokenizer adds, as `tokenizer.encode(text)` in Python. A control token that they spell is plain text.
    pub(super) fn encode_text(
        &self,
        question: &str,
        steps: &[&str],
        render: impl FnOnce(&str, &[&str]) -> String,
    ) -> Result<Vec<u32>, FormatError> {
        self.encode_around(question, steps, render, true)
    }

    /// The same without added special tokens.
    pub(super) fn encode_bare(
        &self,
        question: &str,
        steps: &[&str],
        render: impl FnOnce(&str, &[&str]) -> String,
    ) -> Result<Vec<u32>, FormatError> {
        self.encode_around(question, steps, render, false)
    }

    fn encode_around(
        &self,
        question: &str,
        steps: &[&str],
        render: impl FnOnce(&str, &[&str]) -> String,
        special: bool,
    ) -> Result<Vec<u32>, FormatError> {
        let parts: Vec<&str> = [question].into_iter().chain(steps.iter().copied()).collect();
        let Some(mask) = self.control.mask(&parts).map_err(FormatError)? else {
            return self.encode(&render(question, steps), special);
        };
        let masked: Vec<String> = steps.iter().map(|step| mask.masked(step)).collect();
        let steps: Vec<&str> = masked.iter().map(String::as_str).collect();
        let rendered = render(&mask.masked(question), &steps);
        self.control.encode_rendered(&self.tokenizer, &rendered, &mask, special).map_err(FormatError)
    }

    /// Ids of a text of the format itself, without added special tokens.
    pub(super) fn encode_part(&self, text: &str) -> Result<Vec<u32>, FormatError> {
        self.encode(text, false)
    }

    fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, FormatError> {
        let encoding = self.tokenizer.encode_fast(text, special);
        let ids = encoding.map(|encoding| encoding.get_ids().to_vec());
        ids.map_err(|error| FormatError(format!("the text cannot be tokenized: {error}")))
    }

    pub(super) fn special_tokens(&self) -> &SpecialTokens {
        &self.specials
    }

    /// The last token of a text.
    pub(super) fn last_token(&self, text: &str) -> Result<u32, FormatError> {
        let ids = self.encode_part(text)?;
        ids.last().copied().ok_or_else(|| FormatError(format!("the tokenizer makes no token of {text:?}")))
    }

    /// The id of a token, which the vocabulary must have.
    pub(super) fn token_id(&self, text: &str) -> Result<u32, FormatError> {
        self.tokenizer.token_to_id(text).ok_or_else(|| {
            FormatError(format!(
                "its tokenizer has no token {text}, so it is not a model of this kind, or the tokenizer is of another model"
            ))
        })
    }
}
