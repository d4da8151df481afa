//! Math-Shepherd: the question and its steps as plain text, each closed by "ки"; the logits of "+" and "-" there are
//! the verdict (model card).

use super::{Format, FormatError, Spelling, softmax};

const TAG: &str = "ки";

pub(super) struct MathShepherd {
    spelling: Spelling,
    tag: u32,
    verdict: [u32; 2],
}

impl MathShepherd {
    pub(super) fn new(spelling: Spelling) -> Result<Self, FormatError> {
        let spelt = spelling.part(TAG)?;
        let &[tag] = spelt.as_slice() else {
            return Err(FormatError(format!(
                "its tokenizer makes {} tokens of \"{TAG}\" instead of one, so it is no model of this kind",
                spelt.len()
            )));
        };
        // Spelt together, as the card does: each with the blank that words of this vocabulary begin with.
        let verdict = spelling.part("+ -")?;
        let verdict = <[u32; 2]>::try_from(verdict).map_err(|ids| {
            FormatError(format!(
                "its tokenizer makes {} tokens of \"+ -\" instead of two, so it is no model of this kind",
                ids.len()
            ))
        })?;
        Ok(Self { spelling, tag, verdict })
    }
}

impl Format for MathShepherd {
    fn prompt(&self, question: &str, steps: &[&str]) -> Result<Vec<u32>, FormatError> {
        let steps: Vec<String> = steps.iter().map(|step| format!("{step} {TAG}")).collect();
        let ids = self.spelling.whole(&format!("{question} {}", steps.join("\n")))?;
        if ids.last() == Some(&self.tag) {
            Ok(ids)
        } else {
            Err(FormatError(format!("its tokenizer does not keep {TAG} as one token at the end of a step")))
        }
    }

    fn verdict_tokens(&self) -> Option<[u32; 2]> {
        Some(self.verdict)
    }

    fn reward(&self, values: &[f32]) -> f64 {
        softmax(values).first().copied().unwrap_or(f64::NAN)
    }
}
