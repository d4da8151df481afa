//! Math-Shepherd: the question and its steps as plain text, each step closed by "ки". The logits of "+" and "-" there
//! are the score (model card).

use super::{FormatError, PrmTokenizer, PromptFormat, softmax};

const TAG: &str = "ки";

pub(super) struct MathShepherdFormat {
    tokenizer: PrmTokenizer,
    tag: u32,
    score_ids: [u32; 2],
}

impl MathShepherdFormat {
    pub(super) fn new(tokenizer: PrmTokenizer) -> Result<Self, FormatError> {
        let ids = tokenizer.encode_part(TAG)?;
        let &[tag] = ids.as_slice() else {
            return Err(FormatError(format!(
                "its tokenizer makes {} tokens of \"{TAG}\" instead of one, so it is not a model of this kind",
                ids.len()
            )));
        };
        // Tokenized together, as on the model card, so that each begins with a blank, like words of this vocabulary.
        let score_ids = tokenizer.encode_part("+ -")?;
        let score_ids = <[u32; 2]>::try_from(score_ids).map_err(|ids| {
            FormatError(format!(
                "its tokenizer makes {} tokens of \"+ -\" instead of two, so it is not a model of this kind",
                ids.len()
            ))
        })?;
        Ok(Self { tokenizer, tag, score_ids })
    }
}

impl PromptFormat for MathShepherdFormat {
    fn prompt(&self, question: &str, steps: &[&str]) -> Result<Vec<u32>, FormatError> {
        let ids = self.tokenizer.encode_text(question, steps, |question, steps| {
            let steps: Vec<String> = steps.iter().map(|step| format!("{step} {TAG}")).collect();
            format!("{question} {}", steps.join("\n"))
        })?;
        if ids.last() == Some(&self.tag) {
            Ok(ids)
        } else {
            Err(FormatError(format!("its tokenizer does not make one token of {TAG} at the end of a step")))
        }
    }

    fn score_tokens(&self) -> Option<[u32; 2]> {
        Some(self.score_ids)
    }

    fn reward(&self, values: &[f32]) -> f64 {
        softmax(values).first().copied().unwrap_or(f64::NAN)
    }
}
