//! `ReasonEval`: the question in a fixed frame, then the steps, each tokenized alone. Near the end of a step a head
//! with three classes (wrong, neutral, right) is read; the reward is the probability that the step is not wrong
//! (`examples.py` of the authors' repository, which marks the positions with the padding token and removes the
//! marks).
//!
//! The 34B model is read at a step's last token. The 7B model's padding token is also its first token of a text. The
//! authors' code removes it with the marks and puts it back without moving the positions, so this model is read one
//! token before the last. The published scores were made this way, so this code does the same.

use super::{FormatError, PrmTokenizer, PromptFormat, softmax};

pub(super) struct ReasonEvalFormat {
    tokenizer: PrmTokenizer,
    /// Number of tokens of a step after the one that is read.
    unread: usize,
}

impl ReasonEvalFormat {
    pub(super) fn new(tokenizer: PrmTokenizer) -> Self {
        let specials = tokenizer.special_tokens();
        let unread = usize::from(specials.pad.is_some() && specials.pad == specials.bos);
        Self { tokenizer, unread }
    }
}

impl PromptFormat for ReasonEvalFormat {
    fn prompt(&self, question: &str, steps: &[&str]) -> Result<Vec<u32>, FormatError> {
        let mut ids = self.tokenizer.encode_text(question, &[], |question, _| {
            format!("Question:\n{question}\nAnswer:\nLet's think step by step.\n")
        })?;
        for step in steps {
            ids.extend(self.tokenizer.encode_bare(step, &[], |step, _| step.to_owned())?);
        }
        ids.truncate(ids.len().saturating_sub(self.unread));
        Ok(ids)
    }

    fn reward(&self, values: &[f32]) -> f64 {
        let classes = softmax(values);
        classes.get(1).zip(classes.get(2)).map_or(f64::NAN, |(neutral, right)| neutral + right)
    }
}
