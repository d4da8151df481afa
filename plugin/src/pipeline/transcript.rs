//! The answer so far in one model's token ids.
//!
//! Models that share a vocabulary share ids end to end. Otherwise each keeps the ids of its own steps and takes
//! the other's as text, tokenised at the step's boundary and nowhere else.

use std::sync::Arc;

use super::roles::{Generator, Prompt, RoleError, Step};

/// One model's view of prompt and answer.
pub(super) struct Transcript {
    model: Arc<dyn Generator>,
    ids: Vec<u32>,
    prompt: usize,
    /// Bytes of a foreign step that end inside a character.
    carry: Vec<u8>,
}

impl Transcript {
    pub(super) async fn new(model: Arc<dyn Generator>, prompt: &Prompt) -> Result<Self, RoleError> {
        let ids = model.encode_prompt(prompt).await?;
        let transcript = Self { prompt: ids.len(), model, ids, carry: Vec::new() };
        if transcript.is_full() {
            return Err(RoleError::ContextExceeded {
                role: transcript.model.role().to_owned(),
                tokens: transcript.prompt,
                context: transcript.model.context_length(),
            });
        }
        Ok(transcript)
    }

    pub(super) fn model(&self) -> &Arc<dyn Generator> {
        &self.model
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub(super) fn prompt_len(&self) -> usize {
        self.prompt
    }

    /// Whether the model has no room for another token.
    pub(super) fn is_full(&self) -> bool {
        self.ids.len() >= self.model.context_length()
    }

    /// Tokens of the answer so far.
    pub(super) fn position(&self) -> usize {
        self.ids.len() - self.prompt
    }

    /// Adds a step; `shared` says that its ids are this model's too.
    pub(super) fn push(&mut self, step: &Step, shared: bool) -> Result<(), RoleError> {
        if shared {
            // What the model goes on after cannot complete a character any more.
            let text = String::from_utf8_lossy(&std::mem::take(&mut self.carry)).into_owned();
            if !text.is_empty() {
                self.ids.extend(self.model.encode_text(&text)?);
            }
            self.ids.extend_from_slice(&step.tokens);
            return Ok(());
        }
        self.carry.extend_from_slice(&step.bytes);
        let whole = match std::str::from_utf8(&self.carry) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.carry.len(),
        };
        let rest = self.carry.split_off(whole);
        let text = String::from_utf8_lossy(&std::mem::replace(&mut self.carry, rest)).into_owned();
        self.ids.extend(self.model.encode_text(&text)?);
        Ok(())
    }
}
