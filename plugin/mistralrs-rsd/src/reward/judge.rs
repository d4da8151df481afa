//! A chat model as a reward model (LLM as a judge): it is asked to grade the newest step, and the expected grade is the
//! reward (after SpecReason, arXiv 2504.07891).
//!
//! Nothing is generated. The logits of the ten digits are read at the end of the prompt, in one forward pass. The
//! prompt only grows at its end, so each score costs a prefill of the new step and of the question only.

use std::fmt::Write as _;

use async_trait::async_trait;

use crate::engine::Engine;

use rsd_core::pipeline::roles::{
    CacheUse, ChatMessage, Generator, ModelHealth, RewardModel, RoleError, StepScore, Trajectory,
};

const INSTRUCTIONS: &str = "You check solutions of problems step by step. You are given a problem and the steps of a solution up to now. \
Grade the last step: 9 if its reasoning and arithmetic are right and it helps to solve the problem, 0 if it is wrong. \
Answer with one digit from 0 to 9 and nothing else.";

const QUESTION: &str = "\nWhat is the grade of the last step?";

/// The possible grades. Each must be a single token of the model.
const GRADES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// A reward model that asks a chat model for a grade.
pub struct JudgeReward {
    engine: Engine,
    grades: Vec<u32>,
}

impl JudgeReward {
    /// Uses an engine as the judge. It may be the target's engine.
    ///
    /// # Errors
    /// The model's tokenizer spells a digit with more than one token.
    pub fn new(engine: Engine) -> Result<Self, RoleError> {
        let grades: Option<Vec<u32>> = GRADES.iter().map(|grade| engine.single_token(grade)).collect();
        let grades = grades.ok_or_else(|| {
            RoleError::Invalid(format!(
                "reward: {} cannot be a judge, because its tokenizer does not have a single token for each digit; name another model",
                engine.model()
            ))
        })?;
        Ok(Self { engine, grades })
    }
}

#[async_trait]
impl RewardModel for JudgeReward {
    fn name(&self) -> &'static str {
        "judge"
    }

    fn parameters(&self) -> Option<u64> {
        self.engine.parameters()
    }

    fn cache(&self) -> CacheUse {
        // The cache of the target is reported by the target, even if the target is the judge.
        if self.engine.role() == "target" { CacheUse::default() } else { self.engine.cache() }
    }

    fn health(&self) -> ModelHealth {
        self.engine.health()
    }

    async fn clear_cache(&self) -> Result<(), RoleError> {
        self.engine.clear_cache().await
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let prompt = self.engine.encode_chat(&messages(trajectory)).await?;
        let reading = self.engine.read_logits(prompt, self.grades.clone()).await?;
        Ok(StepScore {
            reward: expected_grade(&reading.logits),
            prompt: reading.prompt,
            prefilled: reading.prefilled,
            seconds: reading.seconds,
            ..StepScore::default()
        })
    }
}

fn messages(trajectory: Trajectory<'_>) -> Vec<ChatMessage> {
    let mut content = format!("Problem:\n{}\n\nSolution:\n", trajectory.prompt.question().trim());
    // A step without text only ends the solution, so the step before it is the one to grade.
    let steps = trajectory.steps.iter().map(String::as_str).chain([trajectory.step]);
    for (index, step) in steps.map(str::trim).filter(|step| !step.is_empty()).enumerate() {
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
    use rsd_core::pipeline::roles::{Prompt, Step, StepEnd};

    #[test]
    fn grades_are_scaled_and_certain_ones_reach_the_ends() {
        let mut logits = [0.0f32; 10];
        assert!((expected_grade(&logits) - 0.5).abs() < 1e-12);
        logits[9] = 1e4;
        assert!((expected_grade(&logits) - 1.0).abs() < 1e-12);
        assert!(expected_grade(&[f32::NAN; 10]).is_nan());
    }

    #[test]
    fn the_prompt_grows_at_its_end_only() {
        let prompt = Prompt::Text("2+2?".to_owned());
        let generated_step = Step {
            tokens: vec![],
            bytes: vec![],
            end: StepEnd::Boundary,
            features: None,
            logprobs: vec![],
            seconds: 0.0,
        };
        let content = |steps: &[String], step: &str| {
            messages(Trajectory { prompt: &prompt, steps, step, generated_step: &generated_step, draft_features: &[] })
                .remove(1)
                .content
        };
        let first = content(&[], "One.\n\n");
        let second = content(&["One.\n\n".to_owned()], "Two.");
        let shared = first.strip_suffix(QUESTION).unwrap();
        assert_eq!(shared, "Problem:\n2+2?\n\nSolution:\nStep 1: One.\n");
        assert_eq!(second, format!("{shared}Step 2: Two.\n{QUESTION}"));
        assert_eq!(content(&["One.\n\n".to_owned()], "\n"), first);
    }
}
