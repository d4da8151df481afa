//! How each published process reward model is prompted and read, one file per family.
//!
//! A prompt is a function of the tokenizer, the question and the steps, and nothing else. It ends at the token where
//! the newest step is judged, and the prompt of one more step begins with it: so the prefix cache holds all but the
//! new step, and the states before it are those the authors' code computes for the whole solution at once (every
//! model here is causal).

mod family;
mod math_shepherd;
mod qwen_prm;
mod reason_eval;
mod rlhflow;
mod skywork;
mod spelling;
#[cfg(test)]
mod tests;

pub use family::Family;
pub use spelling::{FormatError, Specials, Spelling};

/// One family's prompts and how its verdict is read.
pub trait Format: Send + Sync {
    /// Token ids up to and including the one where the last of `steps` is judged. Steps come without the blanks
    /// around them; there is at least one.
    ///
    /// # Errors
    /// The tokenizer refuses the text.
    fn prompt(&self, question: &str, steps: &[&str]) -> Result<Vec<u32>, FormatError>;

    /// The tokens whose logits are the verdict, for a model without a head of its own.
    fn verdict_tokens(&self) -> Option<[u32; 2]> {
        None
    }

    /// The reward in [0, 1]: from the head's outputs, or from the logits of [`Self::verdict_tokens`].
    fn reward(&self, values: &[f32]) -> f64;
}

impl Family {
    /// The format of this family for one model's tokenizer. `separator` replaces the family's own where it has one.
    ///
    /// # Errors
    /// The tokenizer lacks a token that the family needs: then the model is of another family.
    pub fn format(self, spelling: Spelling, separator: Option<&str>) -> Result<Box<dyn Format>, FormatError> {
        Ok(match self {
            Self::Skywork => Box::new(skywork::Skywork::new(spelling, separator)?),
            Self::QwenPrm => Box::new(qwen_prm::QwenPrm::new(spelling)?),
            Self::Rlhflow => Box::new(rlhflow::Rlhflow::new(spelling)?),
            Self::MathShepherd => Box::new(math_shepherd::MathShepherd::new(spelling)?),
            Self::ReasonEval => Box::new(reason_eval::ReasonEval::new(spelling)),
        })
    }
}

/// Probabilities of logits; NaN where a logit is.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|logit| f64::from(logit - max).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}
