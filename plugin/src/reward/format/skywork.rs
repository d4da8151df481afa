//! Skywork-o1-Open-PRM: the question, then every step tokenised alone and closed by a separator token, at which a
//! one-output head is read (model card and `prepare_input` of the authors' inference code).

use super::{Family, Format, FormatError, Spelling};

/// Begins a text where `tokenizer_config.json` names no such token.
const BOS: &str = "<|endoftext|>";

pub(super) struct Skywork {
    spelling: Spelling,
    bos: String,
    separator: String,
    separator_id: u32,
}

impl Skywork {
    pub(super) fn new(spelling: Spelling, separator: Option<&str>) -> Result<Self, FormatError> {
        let separator = separator.or(Family::Skywork.default_separator()).unwrap_or_default().to_owned();
        let separator_id = spelling.last(&separator)?;
        let bos = spelling.specials().bos.as_deref().unwrap_or(BOS).to_owned();
        spelling.token(&bos)?;
        Ok(Self { spelling, bos, separator, separator_id })
    }
}

impl Format for Skywork {
    fn prompt(&self, question: &str, steps: &[&str]) -> Result<Vec<u32>, FormatError> {
        let mut ids = self.spelling.whole(&format!("{}{question}\n", self.bos))?;
        for step in steps {
            // A step of ours that holds the separator is several of theirs; the last one's verdict counts.
            let mut pieces = step.split(&self.separator).filter(|piece| !piece.is_empty()).peekable();
            if pieces.peek().is_none() {
                ids.push(self.separator_id);
            }
            for piece in pieces {
                ids.extend(self.spelling.whole(piece)?);
                ids.push(self.separator_id);
            }
        }
        Ok(ids)
    }

    fn reward(&self, values: &[f32]) -> f64 {
        values.first().map_or(f64::NAN, |value| 1.0 / (1.0 + (-f64::from(*value)).exp()))
    }
}
