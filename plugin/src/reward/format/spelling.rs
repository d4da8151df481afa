//! A model's tokenizer as the formats use it: plain text, single tokens, the token that begins a text.

use std::sync::Arc;

use tokenizers::Tokenizer;

/// Why a prompt cannot be built for a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(pub(super) String);

/// Tokens that `tokenizer_config.json` names for a purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Specials {
    /// Begins a text.
    pub bos: Option<String>,
    /// Fills up a batch; some authors' code marks places with it.
    pub pad: Option<String>,
}

/// A tokenizer as a format uses it.
#[derive(Clone)]
pub struct Spelling {
    tokenizer: Arc<Tokenizer>,
    specials: Specials,
}

impl Spelling {
    /// A tokenizer and the names that its configuration gives to tokens.
    #[must_use]
    pub fn new(tokenizer: Arc<Tokenizer>, specials: Specials) -> Self {
        Self { tokenizer, specials }
    }

    /// Ids of text with what the tokenizer itself puts around one; what `tokenizer.encode(text)` gives in Python.
    pub(super) fn whole(&self, text: &str) -> Result<Vec<u32>, FormatError> {
        self.encode(text, true)
    }

    /// Ids of text alone.
    pub(super) fn part(&self, text: &str) -> Result<Vec<u32>, FormatError> {
        self.encode(text, false)
    }

    fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, FormatError> {
        let encoding = self.tokenizer.encode_fast(text, special);
        let ids = encoding.map(|encoding| encoding.get_ids().to_vec());
        ids.map_err(|error| FormatError(format!("the text could not be tokenised: {error}")))
    }

    /// The tokens named for a purpose.
    pub(super) fn specials(&self) -> &Specials {
        &self.specials
    }

    /// The last token of a text.
    pub(super) fn last(&self, text: &str) -> Result<u32, FormatError> {
        let ids = self.part(text)?;
        ids.last().copied().ok_or_else(|| FormatError(format!("the tokenizer makes nothing of {text:?}")))
    }

    /// A token that the vocabulary must hold whole.
    pub(super) fn token(&self, text: &str) -> Result<u32, FormatError> {
        self.tokenizer.token_to_id(text).ok_or_else(|| {
            FormatError(format!(
                "its tokenizer has no token {text}, so it is no model of this kind, or its tokenizer is another one's"
            ))
        })
    }
}
