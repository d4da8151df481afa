//! The prompts of each published process reward model and how its score is read, one file per family.
//!
//! A prompt depends only on the tokenizer, the question and the steps. A control token that the question or a step
//! spells stays plain text, so nobody can close a step or begin a turn by typing one. A prompt ends at the token where the newest step is
//! scored, and the prompt with one more step begins with it. So the prefix cache has everything but the new step, and
//! the states before it are those that the authors' code computes for the whole solution at once (every model here is
//! causal).

mod math_shepherd;
mod prm_tokenizer;
mod qwen_prm;
mod reason_eval;
mod rlhflow;
mod skywork;
#[cfg(test)]
mod tests;

use rsd_config::PrmFamily;

pub use self::prm_tokenizer::{FormatError, PrmTokenizer, SpecialTokens};

/// One family's prompts, and how its score is read.
pub trait PromptFormat: Send + Sync {
    /// Token ids up to and including the one where the last of `steps` is scored. There is at least one step, and steps
    /// have no leading or trailing whitespace.
    ///
    /// # Errors
    /// The text cannot be tokenized.
    fn prompt(&self, question: &str, steps: &[&str]) -> Result<Vec<u32>, FormatError>;

    /// The tokens whose logits are the score, for a model without a head.
    fn score_tokens(&self) -> Option<[u32; 2]> {
        None
    }

    /// The reward in [0, 1], from the head's outputs or from the logits of [`Self::score_tokens`].
    fn reward(&self, values: &[f32]) -> f64;
}

/// The prompt format of `family` for one model's tokenizer. `separator` replaces the family's separator, if it has one.
///
/// # Errors
/// The tokenizer lacks a token that the family needs, so the model is of another family.
pub fn prompt_format(
    family: PrmFamily,
    tokenizer: PrmTokenizer,
    separator: Option<&str>,
) -> Result<Box<dyn PromptFormat>, FormatError> {
    Ok(match family {
        PrmFamily::Skywork => Box::new(skywork::SkyworkFormat::new(tokenizer, separator)?),
        PrmFamily::QwenPrm => Box::new(qwen_prm::QwenPrmFormat::new(tokenizer)?),
        PrmFamily::Rlhflow => Box::new(rlhflow::RlhflowFormat::new(tokenizer)?),
        PrmFamily::MathShepherd => Box::new(math_shepherd::MathShepherdFormat::new(tokenizer)?),
        PrmFamily::ReasonEval => Box::new(reason_eval::ReasonEvalFormat::new(tokenizer)),
    })
}

/// Probabilities of logits; NaN if a logit is NaN.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|logit| f64::from(logit - max).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}
