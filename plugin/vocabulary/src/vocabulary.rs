//! The bytes of a model's tokens, its end tokens, and a token that can end a request.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;
use toktrie::TokEnv;
use toktrie_hf_tokenizers::ByteTokenizer;

use crate::control_tokens::{ControlMask, ControlTokens};

/// Tokens with which models end text and that chat templates do not put into prompts, in order of preference.
const SENTINELS: [&str; 6] = ["<|endoftext|>", "<|end_of_text|>", "<|end▁of▁sentence|>", "<unk>", "<pad>", "</s>"];

/// Tokens that end an answer whenever a model samples them, even if the model's file lists only one of them.
const END_TOKENS: [&str; 8] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|end|>",
    "</s>",
    "<end_of_turn>",
    "<|end▁of▁sentence|>",
];

/// The tokens of one model.
pub struct Vocabulary {
    tokenizer: Arc<Tokenizer>,
    trie: TokEnv,
    /// The bytes of tokens that the tokenizer takes for control tokens and that are text.
    text_tokens: BTreeMap<u32, Vec<u8>>,
    control: ControlTokens,
    ends: BTreeSet<u32>,
    sentinel: u32,
    fingerprint: Arc<str>,
    /// Tokens, added ones included. The tokenizer counts them on a copy of them all, which is too slow to be done again.
    size: usize,
}

impl Vocabulary {
    /// `trie` holds the bytes of the tokenizer's tokens, `ends` are the end tokens that the model's files list.
    ///
    /// # Errors
    /// No token can end a request.
    pub fn new(tokenizer: Arc<Tokenizer>, trie: TokEnv, ends: &[u32]) -> Result<Self, String> {
        let mut all: BTreeSet<u32> = ends.iter().copied().collect();
        all.extend(END_TOKENS.iter().filter_map(|text| tokenizer.token_to_id(text)));
        // mistral.rs rejects a stop token that is a prefix of other tokens, unless the model lists it as an end token.
        let stops = |id: &u32| {
            let tokens = trie.tok_trie();
            ends.contains(id) || !tokens.has_extensions(tokens.token(*id))
        };
        let named = SENTINELS.iter().filter_map(|text| tokenizer.token_to_id(text));
        let sentinel = named.chain(ends.iter().copied()).find(stops).ok_or(
            "the tokenizer has no end token that can end a request (looked for <|endoftext|>, <unk>, </s> and the like)",
        )?;
        all.insert(sentinel);
        let size = tokenizer.get_vocab_size(true);
        let fingerprint = fingerprint(&tokenizer).into();
        let control = ControlTokens::new(&tokenizer, &BTreeMap::new());
        Ok(Self { tokenizer, trie, text_tokens: BTreeMap::new(), control, ends: all, sentinel, fingerprint, size })
    }

    /// The same vocabulary, in which these tokens are text: `<tool_call>` and `<think>` are such tokens. The tokenizer of
    /// a GGUF takes every token that is not normal for a control token.
    #[must_use]
    pub fn with_text_tokens(mut self, ids: impl IntoIterator<Item = u32>) -> Self {
        let text = |id| self.tokenizer.id_to_token(id).map(|text| (id, text.into_bytes()));
        self.text_tokens = ids.into_iter().filter_map(text).collect();
        self.control = ControlTokens::new(&self.tokenizer, &self.text_tokens);
        self
    }

    /// The vocabulary of a `tokenizer.json`.
    ///
    /// # Errors
    /// The file cannot be read, or is not such a file.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let tokenizer = Tokenizer::from_file(path).map_err(|error| error.to_string())?;
        let trie = ByteTokenizer::from_tokenizer(tokenizer.clone()).and_then(|bytes| bytes.into_tok_env(None));
        Self::new(Arc::new(tokenizer), trie.map_err(|error| error.to_string())?, &[])
    }

    /// A token with which an engine in this process ends a request. No chat template uses it.
    #[must_use]
    pub fn sentinel(&self) -> u32 {
        self.sentinel
    }

    /// A digest of all tokens and their ids. It is equal for models whose token ids mean the same.
    #[must_use]
    pub fn fingerprint(&self) -> Arc<str> {
        self.fingerprint.clone()
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> Arc<Tokenizer> {
        self.tokenizer.clone()
    }

    /// Whether an answer ends with this token.
    #[must_use]
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The end token with the highest logit.
    #[must_use]
    pub fn likeliest_end(&self, logits: &[f32]) -> u32 {
        let logit = |end: &u32| logits.get(*end as usize).copied().unwrap_or(f32::NEG_INFINITY);
        self.ends.iter().copied().max_by(|a, b| logit(a).total_cmp(&logit(b))).unwrap_or(self.sentinel)
    }

    /// The bytes of one token; empty for control tokens and for ids that there are not.
    #[must_use]
    pub fn bytes(&self, token: u32) -> Vec<u8> {
        if let Some(text) = self.text_tokens.get(&token) {
            return text.clone();
        }
        let trie = self.trie.tok_trie();
        if (token as usize) < trie.vocab_size() { trie.decode_ext(&[token], false) } else { Vec::new() }
    }

    /// Replaces the control tokens that messages spell; `None` if they spell none.
    ///
    /// # Errors
    /// The messages leave no characters that could stand for them.
    pub fn control_mask(&self, texts: &[&str]) -> Result<Option<ControlMask<'_>>, String> {
        self.control.mask(texts)
    }

    /// Tokenizes a rendered chat template whose messages were masked. `special` adds the special tokens that the
    /// tokenizer puts around a text.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub fn encode_rendered(&self, rendered: &str, mask: &ControlMask<'_>, special: bool) -> Result<Vec<u32>, String> {
        self.control.encode_rendered(&self.tokenizer, rendered, mask, special)
    }

    /// Tokenizes text in which a spelled control token is plain text.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, String> {
        self.control.encode_plain(&self.tokenizer, text)
    }

    /// Checks that there are such tokens: a model has no embedding for others.
    ///
    /// # Errors
    /// There is no token of one of the ids.
    pub fn check(&self, ids: &[u32]) -> Result<(), String> {
        match ids.iter().find(|id| self.tokenizer.id_to_token(**id).is_none()) {
            Some(id) => Err(format!("prompt: there is no token {id}; the vocabulary has {} tokens", self.size)),
            None => Ok(()),
        }
    }

    /// What token ids spell, special tokens included.
    #[must_use]
    pub fn spelled(&self, ids: &[u32]) -> String {
        let mut bytes = Vec::new();
        for &id in ids {
            let token = self.bytes(id);
            if token.is_empty() {
                bytes.extend(self.tokenizer.id_to_token(id).unwrap_or_default().into_bytes());
            } else {
                bytes.extend(token);
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Tokenizes text in which a spelled control token is one. `special` adds the special tokens that the tokenizer puts
    /// around a text.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, String> {
        self.tokenizer
            .encode_fast(text, special)
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|error| format!("the text could not be tokenized: {error}"))
    }
}

fn fingerprint(tokenizer: &Tokenizer) -> String {
    let mut hash = Sha256::new();
    let mut tokens: Vec<(String, u32)> = tokenizer.get_vocab(true).into_iter().collect();
    tokens.sort_unstable_by_key(|token| token.1);
    for (text, id) in tokens {
        hash.update(id.to_le_bytes());
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).fold(String::new(), |mut hex, byte| {
        use std::fmt::Write as _;
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_that_is_text_has_bytes_and_a_control_token_has_none() {
        let token = |id, content| {
            json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false})
        };
        let tokenizer = json!({
            "version": "1.0",
            "added_tokens": [token(2, "<|endoftext|>"), token(3, "<tool_call>")],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, tokenizer.to_string()).unwrap();
        let vocabulary = Vocabulary::from_file(&path).unwrap();
        assert_eq!((vocabulary.bytes(3), vocabulary.spelled(&[0, 3])), (Vec::new(), "a<tool_call>".to_owned()));
        let vocabulary = vocabulary.with_text_tokens([3]);
        assert_eq!((vocabulary.bytes(3), vocabulary.bytes(0)), (b"<tool_call>".to_vec(), b"a".to_vec()));
        assert_eq!(vocabulary.bytes(2), Vec::<u8>::new());
    }
}
