//! Rolling the draft out on problems with known answers: the data a reward head is trained on.
//!
//! Every solution is kept with the features of each step and whether its final answer is right, and where it is asked
//! for with a label for each step. Solutions come from the draft itself, or from a file; then the draft only reads them.

pub mod labels;
pub mod problems;
pub mod store;

use rsd_evaluation::grade::number;
use sha2::{Digest, Sha256};

use self::{
    labels::Labels,
    problems::{Problem, Written},
    store::Rollout,
};
use super::features::StepFeatures;
use crate::{
    engine::Engine,
    pipeline::{
        roles::{Generator, Message, Prompt, RoleError, RunRequest, Step, StepEnd},
        segment::Segmentation,
    },
    sampling::{Sampling, Stream, choice_seed},
};

/// How solutions are written.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// System message; empty for none.
    pub system: String,
    /// Sampling parameters; the seed is the collection's, each solution has its own made from it.
    pub sampling: Sampling,
    /// Most tokens of a solution, continued or not.
    pub max_tokens: usize,
    /// How text is cut into steps, as in serving.
    pub segmentation: Segmentation,
}

/// A solution with the features of its steps.
pub struct Collected {
    /// The solution.
    pub rollout: Rollout,
    /// One entry per step.
    pub features: Vec<StepFeatures>,
}

/// Writes, or reads, solutions with one draft.
pub struct Collector {
    /// The draft, loaded so that its states can be seen.
    pub draft: Engine,
    /// How.
    pub recipe: Recipe,
    /// Where labels of single steps come from, if anywhere.
    pub labels: Option<Labels>,
}

impl Collector {
    /// One solution of a problem: written by the draft, or read where it is there already.
    ///
    /// # Errors
    /// The prompt or solution does not fit the draft's context, or its engine failed.
    pub async fn solve(
        &self,
        problem: &Problem,
        sample: usize,
        written: Option<&Written>,
    ) -> Result<Collected, RoleError> {
        let prompt = self.prompt(problem);
        let request = self.request(&prompt, choice_seed(self.recipe.sampling.seed ^ hash(&problem.id), sample as u64));
        let request = request.await?;
        let steps = match written {
            Some(written) => self.read(problem, written, request.clone()).await?,
            None => self.write(request.clone()).await?,
        };
        let labels = match &self.labels {
            Some(labels) => Some(labels.of(&self.draft, &prompt, &request, problem.answer, &steps).await?),
            None => None,
        };
        Ok(collected(problem, sample, steps, labels))
    }

    fn prompt(&self, problem: &Problem) -> Prompt {
        let mut messages = vec![Message { role: "user".to_owned(), content: problem.question.clone() }];
        if !self.recipe.system.is_empty() {
            messages.insert(0, Message { role: "system".to_owned(), content: self.recipe.system.clone() });
        }
        Prompt::Chat(messages)
    }

    async fn request(&self, prompt: &Prompt, seed: u64) -> Result<RunRequest, RoleError> {
        let prefix = self.draft.encode_prompt(prompt).await?;
        Ok(RunRequest {
            sampling: Sampling { seed, ..self.recipe.sampling.clone() },
            stream: Stream::Draft { rejections: 0 }.id(),
            features: true,
            ..RunRequest::greedy(prefix, self.recipe.segmentation.clone(), self.recipe.max_tokens)
        })
    }

    async fn write(&self, request: RunRequest) -> Result<Vec<Step>, RoleError> {
        let mut run = self.draft.start(request).await?;
        let mut steps = Vec::new();
        while let Some(step) = run.next().await {
            steps.push(step?);
        }
        Ok(steps)
    }

    async fn read(&self, problem: &Problem, written: &Written, request: RunRequest) -> Result<Vec<Step>, RoleError> {
        let tokens = match &written.tokens {
            Some(tokens) => tokens.clone(),
            None => self.draft.encode_text(&written.text)?,
        };
        if tokens.is_empty() {
            return Err(RoleError::Invalid(format!("{}: a solution without tokens", problem.id)));
        }
        // One more than there are leaves room for the end token.
        let max_tokens = tokens.len() + usize::from(written.finished);
        self.draft.replay(RunRequest { max_tokens, ..request }, tokens).await
    }
}

/// The same for the same id, whatever the order of the file.
fn hash(id: &str) -> u64 {
    let digest = Sha256::digest(id.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn collected(problem: &Problem, sample: usize, steps: Vec<Step>, labels: Option<Vec<Option<f64>>>) -> Collected {
    let bytes: Vec<u8> = steps.iter().flat_map(|step| step.bytes.iter().copied()).collect();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let answer = number::final_number(&text);
    let ended = steps.last().is_some_and(|step| step.end == StepEnd::EndOfText);
    let rollout = Rollout {
        problem: problem.id.clone(),
        sample,
        tokens: steps.iter().flat_map(|step| step.tokens.iter().copied()).collect(),
        steps: steps.iter().map(|step| step.tokens.len()).collect(),
        end: if ended { "end_of_text" } else { "length" }.to_owned(),
        correct: answer.is_some_and(|answer| number::same_number(answer, problem.answer)),
        answer,
        text,
        labels,
    };
    Collected { rollout, features: steps.into_iter().filter_map(|step| step.features.map(|f| *f)).collect() }
}
