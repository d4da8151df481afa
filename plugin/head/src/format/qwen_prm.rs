//! Qwen2.5-Math-PRM and Qwen2.5-Math-7B-PRM800K: a chat whose answer has `<extra_0>` after every step, at which a
//! head with two classes is read (model card).

use std::fmt::Write as _;

use super::{FormatError, PrmTokenizer, PromptFormat, softmax};

const SYSTEM: &str = "Please reason step by step, and put your final answer within \\boxed{}.";
const SEPARATOR: &str = "<extra_0>";

pub(super) struct QwenPrmFormat(PrmTokenizer);

impl QwenPrmFormat {
    pub(super) fn new(tokenizer: PrmTokenizer) -> Result<Self, FormatError> {
        for token in [SEPARATOR, "<|im_start|>", "<|im_end|>"] {
            tokenizer.token_id(token)?;
        }
        Ok(Self(tokenizer.with_control(SEPARATOR)))
    }
}

impl PromptFormat for QwenPrmFormat {
    fn prompt(&self, question: &str, steps: &[&str]) -> Result<Vec<u32>, FormatError> {
        self.0.encode_text(question, steps, |question, steps| {
            let mut text = format!(
                "<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
            );
            for step in steps {
                // Writing to a String cannot fail.
                let _ = write!(text, "{step}{SEPARATOR}");
            }
            text
        })
    }

    fn reward(&self, values: &[f32]) -> f64 {
        softmax(values).get(1).copied().unwrap_or(f64::NAN)
    }
}
