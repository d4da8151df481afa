//! `ReasonEval`: the question in a fixed frame, then the steps, each tokenised alone; near the end of a step a head of
//! three classes (wrong, neutral, right) is read, and a step is valid that is not wrong (`examples.py` of the authors'
//! repository, which marks the places with the padding token and takes the marks out again).
//!
//! The 34B model is read at a step's last token. The 7B model's padding token is the one that begins a text; their code
//! takes it out with the marks and puts it back without moving the places, so it is read one token before the last.
//! The published scores are made so, and so are ours.

use super::{Format, FormatError, Spelling, softmax};

pub(super) struct ReasonEval {
    spelling: Spelling,
    /// Tokens of a step after the one that is read.
    unread: usize,
}

impl ReasonEval {
    pub(super) fn new(spelling: Spelling) -> Self {
        let specials = spelling.specials();
        let unread = usize::from(specials.pad.is_some() && specials.pad == specials.bos);
        Self { spelling, unread }
    }
}

impl Format for ReasonEval {
    fn prompt(&self, question: &str, steps: &[&str]) -> Result<Vec<u32>, FormatError> {
        let frame = format!("Question:\n{question}\nAnswer:\nLet's think step by step.\n");
        let mut ids = self.spelling.whole(&frame)?;
        for step in steps {
            ids.extend(self.spelling.part(step)?);
        }
        ids.truncate(ids.len().saturating_sub(self.unread));
        Ok(ids)
    }

    fn reward(&self, values: &[f32]) -> f64 {
        let classes = softmax(values);
        classes.get(1).zip(classes.get(2)).map_or(f64::NAN, |(neutral, right)| neutral + right)
    }
}
