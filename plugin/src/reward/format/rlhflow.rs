//! `RLHFlow`'s Llama-3.1 PRMs: a chat in which the user says one step after the other and the assistant always answers
//! "+"; how sure it is of "+" rather than "-" is the reward (`prm_evaluate.py` of the authors' repository).
//!
//! The chat is written out here and not left to a template, so that prompts are the same whatever file the model
//! came in. It is Llama-3.1's own, whose date is a fixed one.

use std::fmt::Write as _;

use super::{Format, FormatError, Spelling, softmax};

const SYSTEM: &str = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>";
const GOOD: &str = "+";
const BAD: &str = "-";

pub(super) struct Rlhflow {
    spelling: Spelling,
    verdict: [u32; 2],
}

impl Rlhflow {
    pub(super) fn new(spelling: Spelling) -> Result<Self, FormatError> {
        for token in ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"] {
            spelling.token(token)?;
        }
        let verdict = [spelling.last(GOOD)?, spelling.last(BAD)?];
        Ok(Self { spelling, verdict })
    }
}

impl Format for Rlhflow {
    fn prompt(&self, question: &str, steps: &[&str]) -> Result<Vec<u32>, FormatError> {
        let mut text = SYSTEM.to_owned();
        for (index, step) in steps.iter().enumerate() {
            let answered = if index == 0 { String::new() } else { format!("{GOOD}<|eot_id|>") };
            let said = if index == 0 { format!("{question} {step}") } else { (*step).to_owned() };
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "{answered}<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
                said.trim()
            );
        }
        self.spelling.part(&text)
    }

    fn verdict_tokens(&self) -> Option<[u32; 2]> {
        Some(self.verdict)
    }

    fn reward(&self, values: &[f32]) -> f64 {
        softmax(values).first().copied().unwrap_or(f64::NAN)
    }
}
