//! `RLHFlow`'s Llama-3.1 PRMs: a chat in which the user's messages are the steps and the assistant always answers "+".
//! The probability of "+" rather than "-" is the reward (`prm_evaluate.py` of the authors' repository).
//!
//! The chat template is written out here, so that prompts are the same for every file format of the model. It is
//! Llama-3.1's template, which has a fixed date.

use std::fmt::Write as _;

use super::{FormatError, PrmTokenizer, PromptFormat, softmax};

const SYSTEM: &str = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>";
const GOOD: &str = "+";
const BAD: &str = "-";

pub(super) struct RlhflowFormat {
    tokenizer: PrmTokenizer,
    score_ids: [u32; 2],
}

impl RlhflowFormat {
    pub(super) fn new(tokenizer: PrmTokenizer) -> Result<Self, FormatError> {
        for token in ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"] {
            tokenizer.token_id(token)?;
        }
        let score_ids = [tokenizer.last_token(GOOD)?, tokenizer.last_token(BAD)?];
        Ok(Self { tokenizer, score_ids })
    }
}

impl PromptFormat for RlhflowFormat {
    fn prompt(&self, question: &str, steps: &[&str]) -> Result<Vec<u32>, FormatError> {
        self.tokenizer.encode_bare(question, steps, |question, steps| {
            let mut text = SYSTEM.to_owned();
            for (index, step) in steps.iter().enumerate() {
                let answered = if index == 0 { String::new() } else { format!("{GOOD}<|eot_id|>") };
                let message = if index == 0 { format!("{question} {step}") } else { (*step).to_owned() };
                // Writing to a String cannot fail.
                let _ = write!(
                    text,
                    "{answered}<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
                    message.trim()
                );
            }
            text
        })
    }

    fn score_tokens(&self) -> Option<[u32; 2]> {
        Some(self.score_ids)
    }

    fn reward(&self, values: &[f32]) -> f64 {
        softmax(values).first().copied().unwrap_or(f64::NAN)
    }
}
