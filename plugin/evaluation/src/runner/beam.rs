//! Step-level beam search: the draft generates several next steps for each of the best partial answers, and the answers
//! with the highest rewards go on.

use rsd_core::{
    features::StepFeatures,
    pipeline::{
        Rsd,
        roles::{Prompt, RoleError, RunReport, RunRequest, Step, StepEnd, StepScore, Trajectory},
        segment::Segmentation,
    },
    sampling::{RandomStream, Sampling, choice_seed},
};

/// The width of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeamWidth {
    /// Partial answers that go on after each step.
    pub beams: usize,
    /// Next steps generated for each.
    pub expansions: usize,
}

/// The search on one question.
pub(super) struct BeamSearch<'a> {
    pub(super) rsd: &'a Rsd,
    pub(super) prompt: &'a Prompt,
    pub(super) sampling: Sampling,
    pub(super) segmentation: Segmentation,
    pub(super) width: BeamWidth,
    pub(super) max_tokens: usize,
    pub(super) max_steps: usize,
}

/// A partial answer.
#[derive(Clone, Default)]
pub(super) struct BeamPath {
    pub(super) tokens: Vec<u32>,
    pub(super) steps: Vec<String>,
    /// Tokens and reward of each step.
    pub(super) marks: Vec<(usize, f64)>,
    bytes: Vec<u8>,
    drafted: Vec<StepFeatures>,
    /// Whether nothing can follow.
    pub(super) over: bool,
    /// Whether the model ended the answer itself.
    pub(super) finished: bool,
}

impl BeamPath {
    fn reward(&self) -> f64 {
        self.marks.last().map_or(0.0, |(_, reward)| *reward)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// The best answer found, and the work of finding it.
pub(super) struct BeamResult {
    pub(super) path: BeamPath,
    pub(super) prompt_tokens: usize,
    pub(super) runs: Vec<RunReport>,
    pub(super) scores: Vec<StepScore>,
}

impl BeamSearch<'_> {
    pub(super) async fn run(&self) -> Result<BeamResult, RoleError> {
        let prompt = self.rsd.draft.encode_prompt(self.prompt).await?;
        let _permit = self.rsd.draft.answer_permit().await;
        let mut found =
            BeamResult { path: BeamPath::default(), prompt_tokens: prompt.len(), runs: vec![], scores: vec![] };
        let mut paths = vec![BeamPath::default()];
        for _ in 0..self.max_steps {
            let mut candidates: Vec<BeamPath> = paths.iter().filter(|path| path.over).cloned().collect();
            for path in paths.iter().filter(|path| !path.over) {
                for _ in 0..self.width.expansions * if path.steps.is_empty() { self.width.beams } else { 1 } {
                    let seed = choice_seed(self.sampling.seed, found.runs.len() as u64);
                    let (step, report) = self.expand(&prompt, path, seed).await?;
                    found.runs.push(report);
                    let (path, score) = self.score(&prompt, path, step).await?;
                    found.scores.push(score);
                    candidates.push(path);
                }
            }
            candidates.sort_by(|a, b| b.reward().total_cmp(&a.reward()));
            candidates.truncate(self.width.beams);
            paths = candidates;
            if paths.iter().all(|path| path.over) {
                break;
            }
        }
        // A finished answer is better than one that was cut off.
        let best = paths.into_iter().max_by(|a, b| a.finished.cmp(&b.finished).then(a.reward().total_cmp(&b.reward())));
        found.path = best.unwrap_or_default();
        Ok(found)
    }

    async fn expand(&self, prompt: &[u32], path: &BeamPath, seed: u64) -> Result<(Step, RunReport), RoleError> {
        let (prefix, position) = ([prompt, &path.tokens].concat(), path.tokens.len());
        let run = self.rsd.draft.start(RunRequest {
            position,
            sampling: Sampling { seed, ..self.sampling.clone() },
            stream: RandomStream::Draft { rejections: 0 }.id(),
            max_steps: Some(1),
            lookahead: 0,
            features: self.rsd.reward.reads_features(),
            ..RunRequest::greedy(prefix, self.segmentation.clone(), self.max_tokens - position)
        });
        let mut run = run.await?;
        let step = run.next().await;
        let report = run.finish().await;
        let ended =
            || RoleError::Failed { role: "draft".to_owned(), reason: "the run ended without a step".to_owned() };
        Ok((step.ok_or_else(ended)??, report))
    }

    async fn score(&self, prompt: &[u32], path: &BeamPath, step: Step) -> Result<(BeamPath, StepScore), RoleError> {
        let text = step.text();
        let prefix = [prompt, &path.tokens].concat();
        let trajectory = Trajectory {
            prompt: self.prompt,
            steps: &path.steps,
            prefix: &prefix,
            step: &text,
            generated_step: &step,
            draft_features: &path.drafted,
        };
        let score = self.rsd.reward.score(trajectory).await?;
        let mut path = path.clone();
        path.tokens.extend_from_slice(&step.tokens);
        path.bytes.extend_from_slice(&step.bytes);
        path.marks.push((step.tokens.len(), score.reward));
        path.steps.push(text);
        path.finished = step.end == StepEnd::EndOfText;
        path.over = step.end.is_final() || path.tokens.len() >= self.max_tokens;
        path.drafted.extend(step.features.map(|features| *features));
        Ok((path, score))
    }
}
