//! Collects rollouts of the draft on questions with known answers: the data that a reward head is trained on.
//!
//! Every solution is stored with the features of each step, whether it is right, and on request a label for each step. The draft generates the solutions, or prefills solutions that a file has.

mod error;
pub mod existing_solutions;
pub mod grade;
pub mod labels;
pub mod store;

use std::sync::Arc;

use rsd_core::{
    features::StepFeatures,
    pipeline::{
        roles::{ChatMessage, Generator, Prompt, RoleError, RunRequest, Step, StepEnd},
        segment::Segmentation,
    },
    sampling::{RandomStream, Sampling, choice_seed},
};
use rsd_evaluation::{
    grades::{self, PythonSandbox},
    question::Question,
};
use rsd_grading::{AnswerKind, number};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use self::error::CollectionError;
use self::{existing_solutions::ExistingSolution, labels::StepLabeler, store::RolloutRecord};

/// How solutions are generated.
#[derive(Debug, Clone)]
pub struct CollectionRecipe {
    /// System message; empty for none.
    pub system: String,
    /// Sampling parameters. Each solution's seed is derived from the seed here.
    pub sampling: Sampling,
    /// Upper limit of the tokens of a solution, including those of a continuation.
    pub max_tokens: usize,
    /// How text is split into steps, as in serving.
    pub segmentation: Segmentation,
}

/// A solution with the features of its steps.
pub struct CollectedSolution {
    pub rollout: RolloutRecord,
    /// One entry per step.
    pub features: Vec<StepFeatures>,
}

/// Generates or prefills solutions with one draft.
pub struct RolloutCollector {
    /// The draft, loaded so that its hidden states are exposed.
    pub draft: Arc<dyn Generator>,
    pub recipe: CollectionRecipe,
    /// Labels the steps. `None` for solutions without labels.
    pub labels: Option<StepLabeler>,
    /// Runs the code of solutions. `None` where no question asks for code.
    pub sandbox: Option<PythonSandbox>,
}

impl RolloutCollector {
    /// One solution of a problem: `existing`, or one that the draft generates.
    ///
    /// # Errors
    /// The prompt or solution does not fit the draft's context, its engine failed, or the solution cannot be graded.
    pub async fn solve(
        &self,
        problem: &Question,
        sample: usize,
        existing: Option<&ExistingSolution>,
    ) -> Result<CollectedSolution, CollectionError> {
        let prompt = self.prompt(problem);
        let request =
            self.request(&prompt, choice_seed(self.recipe.sampling.seed ^ stable_hash(&problem.id), sample as u64));
        let request = request.await?;
        let steps = match existing {
            Some(solution) => self.prefill(problem, solution, request.clone()).await?,
            None => self.generate(request.clone()).await?,
        };
        let grader = SolutionGrader { question: problem, sandbox: self.sandbox.as_ref() };
        let labels = match &self.labels {
            Some(labels) => Some(labels.label(&*self.draft, &prompt, &request, grader, &steps).await?),
            None => None,
        };
        let bytes: Vec<u8> = steps.iter().flat_map(|step| step.bytes.iter().copied()).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let ended = steps.last().is_some_and(|step| step.end == StepEnd::EndOfText);
        let rollout = RolloutRecord {
            problem: problem.id.clone(),
            sample,
            tokens: steps.iter().flat_map(|step| step.tokens.iter().copied()).collect(),
            steps: steps.iter().map(|step| step.tokens.len()).collect(),
            ends: Some(ends(&steps)),
            end: if ended { "end_of_text" } else { "length" }.to_owned(),
            correct: grader.is_right(&text).await?,
            answer: final_answer(problem.kind, &text),
            text,
            labels,
        };
        let features = steps.into_iter().filter_map(|step| step.features.map(|features| *features)).collect();
        Ok(CollectedSolution { rollout, features })
    }

    fn prompt(&self, problem: &Question) -> Prompt {
        let mut messages = vec![ChatMessage { role: "user".to_owned(), content: problem.text.clone() }];
        if !self.recipe.system.is_empty() {
            messages.insert(0, ChatMessage { role: "system".to_owned(), content: self.recipe.system.clone() });
        }
        Prompt::Chat(messages)
    }

    async fn request(&self, prompt: &Prompt, seed: u64) -> Result<RunRequest, RoleError> {
        let prefix = self.draft.encode_prompt(prompt).await?;
        Ok(RunRequest {
            sampling: Sampling { seed, ..self.recipe.sampling.clone() },
            stream: RandomStream::Draft { rejections: 0 }.id(),
            features: true,
            ..RunRequest::greedy(prefix, self.recipe.segmentation.clone(), self.recipe.max_tokens)
        })
    }

    async fn generate(&self, request: RunRequest) -> Result<Vec<Step>, RoleError> {
        let mut run = self.draft.start(request).await?;
        let mut steps = Vec::new();
        while let Some(step) = run.next().await {
            steps.push(step?);
        }
        Ok(steps)
    }

    async fn prefill(
        &self,
        problem: &Question,
        solution: &ExistingSolution,
        request: RunRequest,
    ) -> Result<Vec<Step>, RoleError> {
        let tokens = match &solution.tokens {
            Some(tokens) => tokens.clone(),
            None => self.draft.encode_text(&solution.text)?,
        };
        if tokens.is_empty() {
            return Err(RoleError::Invalid(format!("the solution of {} has no tokens", problem.id)));
        }
        // One more token leaves room for the end token.
        let max_tokens = tokens.len() + usize::from(solution.finished);
        self.draft.replay(RunRequest { max_tokens, ..request }, tokens).await
    }
}

/// A hash of a problem's id that never changes, because seeds and file names are made from it.
fn stable_hash(id: &str) -> u64 {
    let digest = Sha256::digest(id.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Whether solutions of a question are right.
#[derive(Clone, Copy)]
pub struct SolutionGrader<'a> {
    pub question: &'a Question,
    /// Runs the code of solutions.
    pub sandbox: Option<&'a PythonSandbox>,
}

impl SolutionGrader<'_> {
    /// Grades the whole text of a solution, which may be cut off.
    ///
    /// # Errors
    /// It has code that cannot be run.
    pub async fn is_right(self, text: &str) -> Result<bool, CollectionError> {
        Ok(grades::is_right(self.question, text, self.sandbox).await?)
    }
}

/// What a record shows as the final answer. Code is in the text as it is.
fn final_answer(kind: AnswerKind, text: &str) -> Option<Value> {
    match kind {
        AnswerKind::Number => number::final_number(text).map(Value::from),
        AnswerKind::Code => None,
        AnswerKind::Expression | AnswerKind::Choice => rsd_grading::final_answer(kind, text).map(Value::from),
    }
}

/// Where each step ends in the text of all.
fn ends(steps: &[Step]) -> Vec<usize> {
    let mut bytes = Vec::new();
    let end = steps.iter().map(|step| {
        bytes.extend_from_slice(&step.bytes);
        String::from_utf8_lossy(&bytes).len()
    });
    end.collect()
}
