//! Step-level beam search: the draft writes several next steps of each of the best answers so far, the reward keeps
//! the best of all.

use crate::{
    pipeline::{
        Rsd,
        roles::{Prompt, RoleError, RunReport, RunRequest, Score, Step, StepEnd, Trajectory},
        segment::Segmentation,
    },
    reward::features::StepFeatures,
    sampling::{Sampling, Stream, choice_seed},
};

/// How wide the search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    /// Answers kept after each step.
    pub beams: usize,
    /// Next steps tried for each.
    pub expansions: usize,
}

/// What the search does of one question.
pub(super) struct Search<'a> {
    pub(super) rsd: &'a Rsd,
    pub(super) prompt: &'a Prompt,
    pub(super) sampling: Sampling,
    pub(super) segmentation: Segmentation,
    pub(super) width: Width,
    pub(super) max_tokens: usize,
    pub(super) max_steps: usize,
}

/// An answer so far.
#[derive(Clone, Default)]
pub(super) struct Path {
    pub(super) tokens: Vec<u32>,
    pub(super) steps: Vec<String>,
    /// Tokens and reward of each step.
    pub(super) marks: Vec<(usize, f64)>,
    bytes: Vec<u8>,
    drafted: Vec<StepFeatures>,
    /// Whether nothing can follow; and whether that is the model's own end.
    pub(super) over: bool,
    pub(super) finished: bool,
}

impl Path {
    fn reward(&self) -> f64 {
        self.marks.last().map_or(0.0, |(_, reward)| *reward)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// The best answer found, and what finding it took.
pub(super) struct Found {
    pub(super) path: Path,
    pub(super) prompt_tokens: usize,
    pub(super) runs: Vec<RunReport>,
    pub(super) scores: Vec<Score>,
}

impl Search<'_> {
    pub(super) async fn run(&self) -> Result<Found, RoleError> {
        let prompt = self.rsd.draft.encode_prompt(self.prompt).await?;
        let _turn = self.rsd.draft.turn().await;
        let mut found = Found { path: Path::default(), prompt_tokens: prompt.len(), runs: vec![], scores: vec![] };
        let mut paths = vec![Path::default()];
        for _ in 0..self.max_steps {
            let mut candidates: Vec<Path> = paths.iter().filter(|path| path.over).cloned().collect();
            for path in paths.iter().filter(|path| !path.over) {
                for _ in 0..self.width.expansions * if path.steps.is_empty() { self.width.beams } else { 1 } {
                    let seed = choice_seed(self.sampling.seed, found.runs.len() as u64);
                    let (step, report) = self.expand(&prompt, path, seed).await?;
                    found.runs.push(report);
                    let (path, score) = self.judge(path, step).await?;
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
        // An answer that came to its end is better than one that was cut off.
        let best = paths.into_iter().max_by(|a, b| a.finished.cmp(&b.finished).then(a.reward().total_cmp(&b.reward())));
        found.path = best.unwrap_or_default();
        Ok(found)
    }

    async fn expand(&self, prompt: &[u32], path: &Path, seed: u64) -> Result<(Step, RunReport), RoleError> {
        let (prefix, position) = ([prompt, &path.tokens].concat(), path.tokens.len());
        let run = self.rsd.draft.start(RunRequest {
            position,
            sampling: Sampling { seed, ..self.sampling.clone() },
            stream: Stream::Draft { rejections: 0 }.id(),
            max_steps: Some(1),
            lookahead: 0,
            features: self.rsd.reward.reads_features(),
            ..RunRequest::greedy(prefix, self.segmentation.clone(), self.max_tokens - position)
        });
        let mut run = run.await?;
        let step = run.next().await;
        let report = run.finish().await;
        let ended =
            || RoleError::Failed { role: "draft".to_owned(), reason: "its run ended without a step".to_owned() };
        Ok((step.ok_or_else(ended)??, report))
    }

    async fn judge(&self, path: &Path, step: Step) -> Result<(Path, Score), RoleError> {
        let text = step.text();
        let trajectory =
            Trajectory { prompt: self.prompt, steps: &path.steps, step: &text, written: &step, drafted: &path.drafted };
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
