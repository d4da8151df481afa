//! The prompt and the answer so far in the token ids of one model.
//!
//! Models that share a vocabulary share all ids. Otherwise each model keeps the ids of its own steps, and the steps of
//! the other model are tokenized from their text, step by step.

use std::sync::Arc;

use super::roles::{Generator, Prompt, RoleError, Step};

/// The prompt and the answer so far, in the ids of one model.
pub(super) struct Transcript {
    model: Arc<dyn Generator>,
    ids: Vec<u32>,
    prompt: usize,
    /// The last bytes of a step of the other model, if it ended inside a character.
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

    /// Tokens of the prompt that the model must compute.
    pub(super) fn uncached_prompt(&self) -> usize {
        let prompt = &self.ids[..self.prompt];
        prompt.len() - self.model.cached_prompt(prompt).min(prompt.len())
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
            // The step's own tokens cannot complete a character of the other model's step any more.
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
