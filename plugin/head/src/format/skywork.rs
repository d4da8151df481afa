//! Skywork-o1-Open-PRM: the question, then every step tokenized alone and closed by a separator token, at which a
//! head with one output is read (model card and `prepare_input` of the authors' inference code).

use super::{FormatError, PrmFamily, PrmTokenizer, PromptFormat};

/// The first token of a text, if `tokenizer_config.json` names none.
const BOS: &str = "<|endoftext|>";

pub(super) struct SkyworkFormat {
    tokenizer: PrmTokenizer,
    bos: String,
    separator: String,
    separator_id: u32,
}

impl SkyworkFormat {
    pub(super) fn new(tokenizer: PrmTokenizer, separator: Option<&str>) -> Result<Self, FormatError> {
        let separator = separator.or(PrmFamily::Skywork.default_separator()).unwrap_or_default().to_owned();
        let separator_id = tokenizer.last_token(&separator)?;
        let bos = tokenizer.special_tokens().bos.as_deref().unwrap_or(BOS).to_owned();
        tokenizer.token_id(&bos)?;
        Ok(Self { tokenizer, bos, separator, separator_id })
    }
}

impl PromptFormat for SkyworkFormat {
    fn prompt(&self, question: &str, steps: &[&str]) -> Result<Vec<u32>, FormatError> {
        let mut ids = self.tokenizer.encode_text(question, &[], |question, _| format!("{}{question}\n", self.bos))?;
        for step in steps {
            // A step that contains the separator is several steps for this model; the score of the last one counts.
            let mut pieces = step.split(&self.separator).filter(|piece| !piece.is_empty()).peekable();
            if pieces.peek().is_none() {
                ids.push(self.separator_id);
            }
            for piece in pieces {
                ids.extend(self.tokenizer.encode_text(piece, &[], |piece, _| piece.to_owned())?);
                ids.push(self.separator_id);
            }
        }
        Ok(ids)
    }

    fn reward(&self, values: &[f32]) -> f64 {
        values.first().map_or(f64::NAN, |value| 1.0 / (1.0 + (-f64::from(*value)).exp()))
    }
}
