//! A chat model as a reward model (LLM as a judge): it is asked to grade the newest step, and the expected grade is the
//! reward (after SpecReason, arXiv 2504.07891).
//!
//! Nothing is generated. The logits of the ten digits are read at the end of the prompt, in one forward pass. The
//! prompt only grows at its end, so each score costs a prefill of the new step and of the question only.

use std::{fmt::Write as _, sync::Arc};

use async_trait::async_trait;
use rsd_core::pipeline::{
    prompt_reader::{KNOWN_QUESTION, KNOWN_STEPS, PromptReader, answer_key},
    roles::{CacheUse, ChatMessage, ModelHealth, RemoteTraffic, RewardModel, RoleError, StepScore, Trajectory},
};

const INSTRUCTIONS: &str = "You check solutions of problems step by step. You are given a problem and the steps of a solution up to now. \
Grade the last step: 9 if its reasoning and arithmetic are right and it helps to solve the problem, 0 if it is wrong. \
Answer with one digit from 0 to 9 and nothing else.";

const QUESTION: &str = "\nWhat is the grade of the last step?";

/// The possible grades. Each must be a single token of the model.
const GRADES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// A reward model that asks a chat model for a grade.
pub struct JudgeReward {
    reader: Arc<dyn PromptReader>,
}

impl JudgeReward {
    /// The tokens of the grades. Their logits, in this order, are what the reader of a judge reads.
    ///
    /// # Errors
    /// The model's tokenizer spells a digit with more than one token.
    pub fn grade_tokens(model: &str, single_token: impl Fn(&str) -> Option<u32>) -> Result<Vec<u32>, RoleError> {
        let grades: Option<Vec<u32>> = GRADES.iter().map(|grade| single_token(grade)).collect();
        grades.ok_or_else(|| {
            RoleError::Invalid(format!(
                "reward: {model} cannot be a judge, because its tokenizer does not have a single token for each digit; name another model"
            ))
        })
    }

    /// Uses a model that is read at the [grades](Self::grade_tokens). It may be the target.
    #[must_use]
    pub fn new(reader: Arc<dyn PromptReader>) -> Self {
        Self { reader }
    }

    /// Asks for the grade of a known step.
    ///
    /// # Errors
    /// The model does not answer, or not with a grade.
    pub async fn check(&self) -> Result<(), RoleError> {
        let score = self.grade(KNOWN_QUESTION, &KNOWN_STEPS).await?;
        if (0.0..=1.0).contains(&score.reward) {
            return Ok(());
        }
        Err(RoleError::Invalid(format!(
            "reward: {} was asked for the grade of {:?} and its log-probabilities of the digits make no grade ({}); is it \
             a chat model?",
            self.reader.model(),
            KNOWN_STEPS[1],
            score.reward
        )))
    }

    async fn grade(&self, question: &str, steps: &[&str]) -> Result<StepScore, RoleError> {
        let prompt = self.reader.encode_chat(&messages(question, steps)).await?;
        let reading = self.reader.read(prompt, answer_key(question)).await?;
        Ok(reading.score(expected_grade(&reading.values)))
    }
}

#[async_trait]
impl RewardModel for JudgeReward {
    fn name(&self) -> &'static str {
        "judge"
    }

    fn parameters(&self) -> Option<u64> {
        self.reader.parameters()
    }

    fn cache(&self) -> CacheUse {
        self.reader.cache()
    }

    fn health(&self) -> ModelHealth {
        self.reader.health()
    }

    fn traffic(&self) -> Option<RemoteTraffic> {
        self.reader.traffic()
    }

    async fn clear_cache(&self) -> Result<(), RoleError> {
        self.reader.clear_cache().await
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let steps: Vec<&str> = trajectory.steps.iter().map(String::as_str).chain([trajectory.step]).collect();
        self.grade(&trajectory.prompt.question(), &steps).await
    }
}

fn messages(question: &str, steps: &[&str]) -> Vec<ChatMessage> {
    let mut content = format!("Problem:\n{}\n\nSolution:\n", question.trim());
    // A step without text only ends the solution, so the step before it is the one to grade.
    let steps = steps.iter().map(|step| step.trim()).filter(|step| !step.is_empty());
    for (index, step) in steps.enumerate() {
        let _ = writeln!(content, "Step {}: {step}", index + 1);
    }
    content.push_str(QUESTION);
    vec![
        ChatMessage { role: "system".to_owned(), content: INSTRUCTIONS.to_owned() },
        ChatMessage { role: "user".to_owned(), content },
    ]
}

/// The expected grade under the softmax of the ten logits, scaled to [0, 1].
fn expected_grade(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|logit| f64::from(logit - max).exp()).collect();
    let total: f64 = weights.iter().sum();
    let grade: f64 = weights.iter().enumerate().map(|(grade, weight)| grade as f64 * weight).sum();
    grade / total / (GRADES.len() - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_are_scaled_and_certain_ones_reach_the_ends() {
        let mut logits = [0.0f32; 10];
        assert!((expected_grade(&logits) - 0.5).abs() < 1e-12);
        logits[9] = 1e4;
        assert!((expected_grade(&logits) - 1.0).abs() < 1e-12);
        assert!(expected_grade(&[f32::NAN; 10]).is_nan());
    }

    #[test]
    fn a_grade_that_the_engine_does_not_report_has_no_weight() {
        let mut logprobs = [f32::NEG_INFINITY; 10];
        logprobs[9] = -0.5;
        assert!((expected_grade(&logprobs) - 1.0).abs() < 1e-12);
        logprobs[0] = -0.5;
        assert!((expected_grade(&logprobs) - 0.5).abs() < 1e-12);
        assert!(expected_grade(&[f32::NEG_INFINITY; 10]).is_nan(), "nothing is no grade");
    }

    #[test]
    fn the_prompt_grows_at_its_end_only() {
        let content = |steps: &[&str]| messages("2+2?", steps).remove(1).content;
        let first = content(&["One.\n\n"]);
        let second = content(&["One.\n\n", "Two."]);
        let shared = first.strip_suffix(QUESTION).unwrap();
        assert_eq!(shared, "Problem:\n2+2?\n\nSolution:\nStep 1: One.\n");
        assert_eq!(second, format!("{shared}Step 2: Two.\n{QUESTION}"));
        assert_eq!(content(&["One.\n\n", "\n"]), first);
    }

    #[test]
    fn a_tokenizer_without_a_token_for_each_digit_makes_no_judge() {
        assert_eq!(JudgeReward::grade_tokens("m", |digit| digit.parse().ok()).unwrap().len(), 10);
        let error = JudgeReward::grade_tokens("m", |digit| digit.parse().ok().filter(|digit| *digit != 7));
        assert!(error.unwrap_err().to_string().contains("m cannot be a judge"));
    }
}
