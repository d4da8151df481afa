//! Log-probabilities in the formats of chat and of plain completions.

use std::collections::BTreeMap;

use rsd_core::pipeline::roles::{Generator, TokenLogprob};
use schemars::JsonSchema;
use serde::Serialize;

/// What stands for a log-probability that is lower, as at OpenAI: JSON has no infinity.
const LOWEST: f64 = -9999.0;

/// Log-probabilities of a chat completion.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChatLogprobs {
    content: Vec<TokenEntry>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TokenEntry {
    token: String,
    logprob: f64,
    bytes: Vec<u8>,
    /// The most likely tokens at this position, best first.
    top_logprobs: Vec<TopToken>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TopToken {
    token: String,
    logprob: f64,
    bytes: Vec<u8>,
}

/// Log-probabilities of a plain completion; the lists have one entry for each token.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
pub(super) struct TextLogprobs {
    /// A token that is no whole text has the form `bytes:\xe2\x82`, a special token is empty.
    tokens: Vec<String>,
    /// Null for the first token of an echoed prompt, which nothing precedes, and for an end token.
    token_logprobs: Vec<Option<f64>>,
    /// The most likely tokens with their log-probabilities, and the token itself.
    top_logprobs: Vec<Option<BTreeMap<String, f64>>>,
    /// Where the tokens begin, in characters from the beginning of the prompt, whether or not it is echoed.
    text_offset: Vec<usize>,
}

impl ChatLogprobs {
    pub fn new(model: &dyn Generator, tokens: &[TokenLogprob]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let top = |&(id, logprob): &(u32, f32)| {
            let bytes = model.token_bytes(id);
            TopToken { token: text(&bytes), logprob: finite(logprob), bytes }
        };
        let entry = |token: &TokenLogprob| {
            let bytes = model.token_bytes(token.id);
            let top_logprobs = token.top.iter().map(top).collect();
            TokenEntry { token: text(&bytes), logprob: finite(token.logprob), bytes, top_logprobs }
        };
        Self { content: tokens.iter().map(entry).collect() }
    }
}

impl TextLogprobs {
    /// Adds tokens that begin after so many characters, and moves that number behind them.
    pub fn push_all(&mut self, model: &dyn Generator, tokens: &[TokenLogprob], characters: &mut usize) {
        for token in tokens {
            self.push_token(&model.token_bytes(token.id), characters);
            self.token_logprobs.push(Some(finite(token.logprob)));
            let own = (token.id, token.logprob);
            let mut top = BTreeMap::new();
            // Best first: of two tokens with one text, the likelier is the one that is shown.
            for &(id, logprob) in token.top.iter().chain([&own]) {
                top.entry(token_text(&model.token_bytes(id))).or_insert_with(|| finite(logprob));
            }
            self.top_logprobs.push(Some(top));
        }
    }

    /// Adds a token without a log-probability.
    pub fn push_unscored(&mut self, bytes: &[u8], characters: &mut usize) {
        self.push_token(bytes, characters);
        self.token_logprobs.push(None);
        self.top_logprobs.push(None);
    }

    fn push_token(&mut self, bytes: &[u8], characters: &mut usize) {
        let continues = bytes.first().is_some_and(|byte| is_continuation(*byte));
        self.text_offset.push(characters.saturating_sub(usize::from(continues)));
        *characters += bytes.iter().filter(|byte| !is_continuation(**byte)).count();
        self.tokens.push(token_text(bytes));
    }
}

/// Whether a byte of UTF-8 continues a character.
fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

/// The text of a token. One that is no whole text is spelled byte by byte, so that different tokens differ.
fn token_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold("bytes:".to_owned(), |text, byte| format!("{text}\\x{byte:02x}")),
    }
}

fn finite(logprob: f32) -> f64 {
    f64::from(logprob).max(LOWEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rsd_core::pipeline::testing::ScriptedModel;

    use super::*;

    fn token(id: u32, logprob: f32, top: &[(u32, f32)]) -> TokenLogprob {
        TokenLogprob { id, logprob, top: top.to_vec() }
    }

    #[test]
    fn tokens_inside_a_character_are_spelled_and_stand_at_that_character() {
        let model = ScriptedModel::new("target", 0);
        let euro = "a€b".bytes().map(|byte| token(byte.into(), -1.0, &[(0xE2, -0.5), (0x82, -0.7)]));
        let mut lists = TextLogprobs::default();
        lists.push_all(&model, &euro.collect::<Vec<_>>(), &mut 10);
        assert_eq!(lists.tokens, ["a", r"bytes:\xe2", r"bytes:\x82", r"bytes:\xac", "b"]);
        assert_eq!(lists.text_offset, [10, 11, 11, 11, 12]);
        let top = lists.top_logprobs[0].as_ref().unwrap();
        assert_eq!(top.keys().collect::<Vec<_>>(), ["a", r"bytes:\x82", r"bytes:\xe2"]);
    }

    #[test]
    fn a_token_that_cannot_be_has_a_number_too() {
        let mut lists = TextLogprobs::default();
        lists.push_all(&ScriptedModel::new("target", 0), &[token(97, f32::NEG_INFINITY, &[])], &mut 0);
        assert_eq!(lists.token_logprobs, [Some(LOWEST)]);
    }

    proptest! {
        #[test]
        fn an_offset_is_where_the_token_begins_in_the_text(before in 0usize..5, text in "[a€é🎉]{0,12}") {
            let model = ScriptedModel::new("target", 0);
            let tokens: Vec<_> = text.bytes().map(|byte| token(byte.into(), -1.0, &[])).collect();
            let (mut lists, mut characters) = (TextLogprobs::default(), before);
            lists.push_all(&model, &tokens, &mut characters);
            prop_assert_eq!(characters, before + text.chars().count());
            for (index, offset) in lists.text_offset.iter().enumerate() {
                let character = text.chars().nth(offset - before).unwrap();
                let begin: usize = text.chars().take(offset - before).map(char::len_utf8).sum();
                prop_assert!((begin..begin + character.len_utf8()).contains(&index));
            }
        }
    }
}
