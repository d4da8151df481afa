//! The rollouts that `prm collect` wrote: solutions, how they ended, and what the draft's states were at their steps.

use std::{
    collections::HashSet,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{error::TrainingError, tensors::F32File};
use crate::reward::{collect::store::features_path, so_far::SoFar};

/// The only format of a collection that this version reads.
const FORMAT: u64 = 1;

/// Solutions with the features of their steps. Rows of the matrices are steps, solution after solution.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// sha256 of the draft's GGUF.
    pub draft: String,
    /// Width of the draft's states, H.
    pub hidden_size: usize,
    /// Names of the K token statistics.
    pub statistics: Vec<String>,
    /// The solutions, in the order of the files.
    pub solutions: Vec<Solution>,
    /// The steps, in the order of the rows.
    pub steps: Vec<Step>,
    /// `[rows, H]`: the state that predicted each step's last token.
    pub(super) last: Vec<f32>,
    /// `[rows, H]`: the mean of the states that predicted each step's tokens.
    pub(super) mean: Vec<f32>,
    /// `[rows, K]`.
    pub(super) statistic: Vec<f32>,
    /// `[rows, H]`: the mean over the solution up to the step's end.
    pub(super) mean_so_far: Vec<f32>,
    /// `[rows, K]`: for the solution up to the step's end.
    pub(super) statistic_so_far: Vec<f32>,
}

/// One solution.
#[derive(Debug, Clone)]
pub struct Solution {
    /// The problem's name; what is held out is held out by it.
    pub problem: String,
    /// Whether the final answer is right.
    pub correct: bool,
    /// Its rows.
    pub rows: Range<usize>,
}

/// One step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Index of its solution.
    pub solution: usize,
    /// 0 for the solution's first step.
    pub position: usize,
    /// Whether the solution ends here.
    pub last: bool,
    /// The chance that it is good, from another reward model or from continuations.
    pub label: Option<f32>,
}

#[derive(Deserialize)]
struct Header {
    format: u64,
    draft: String,
    hidden_size: usize,
    statistics: Vec<String>,
}

#[derive(Deserialize)]
struct Line {
    problem: String,
    sample: usize,
    tokens: Vec<u32>,
    steps: Vec<usize>,
    correct: bool,
    #[serde(default)]
    labels: Option<Vec<Option<f32>>>,
}

impl Dataset {
    /// Reads directories that `prm collect` wrote; all must be of the same draft.
    ///
    /// # Errors
    /// A file is missing, does not hold what it must, or belongs to another draft; or there are no solutions.
    pub fn read(directories: &[PathBuf]) -> Result<Self, TrainingError> {
        let Some((first, others)) = directories.split_first() else {
            return Err(TrainingError::Unfit("no data: name a directory that `prm collect` wrote".to_owned()));
        };
        let mut all = Self::read_one(first)?;
        for directory in others {
            let more = Self::read_one(directory)?;
            all.append(more, directory)?;
        }
        Ok(all)
    }

    fn read_one(directory: &Path) -> Result<Self, TrainingError> {
        let path = directory.join("collection.json");
        let header: Header = serde_json::from_slice(&fs::read(&path).map_err(TrainingError::io("read", &path))?)
            .map_err(|error| TrainingError::invalid(&path, format!("{error}; is it from `prm collect`?")))?;
        if header.format != FORMAT {
            let reason = format!("format is {}, this version reads {FORMAT}; collect again", header.format);
            return Err(TrainingError::invalid(&path, reason));
        }
        if header.hidden_size == 0 {
            return Err(TrainingError::invalid(&path, "hidden_size is 0"));
        }
        let mut data = Self {
            draft: header.draft,
            hidden_size: header.hidden_size,
            statistics: header.statistics,
            solutions: Vec::new(),
            steps: Vec::new(),
            last: Vec::new(),
            mean: Vec::new(),
            statistic: Vec::new(),
            mean_so_far: Vec::new(),
            statistic_so_far: Vec::new(),
        };
        let path = directory.join("rollouts.jsonl");
        let text = fs::read_to_string(&path).map_err(TrainingError::io("read", &path))?;
        let mut seen = HashSet::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let invalid = |reason: String| TrainingError::Invalid {
                place: format!("{}, line {}", path.display(), index + 1),
                reason,
            };
            let line: Line = serde_json::from_str(line).map_err(|error| invalid(error.to_string()))?;
            line.check().map_err(invalid)?;
            if !seen.insert((line.problem.clone(), line.sample)) {
                return Err(invalid(format!("sample {} of {} is there twice", line.sample, line.problem)));
            }
            let features = features_path(directory, &line.problem, line.sample);
            data.push(line, &features)?;
        }
        if data.solutions.is_empty() {
            return Err(TrainingError::invalid(&path, "no solutions; has `prm collect` run?"));
        }
        Ok(data)
    }

    fn push(&mut self, line: Line, features: &Path) -> Result<(), TrainingError> {
        let file = F32File::read(features)?;
        let rows = line.steps.len();
        let mean = file.matrix("mean", rows, self.hidden_size)?;
        let statistic = file.matrix("statistics", rows, self.statistics.len())?;
        let mut so_far = SoFar::new(self.hidden_size, &self.statistics);
        for row in 0..line.steps.len() {
            let (h, k) = (self.hidden_size, self.statistics.len());
            so_far.add(&mean[row * h..(row + 1) * h], &statistic[row * k..(row + 1) * k]);
            self.mean_so_far.extend(so_far.mean());
            self.statistic_so_far.extend(so_far.statistics());
        }
        self.last.extend(file.matrix("last", rows, self.hidden_size)?);
        self.mean.extend(mean);
        self.statistic.extend(statistic);
        let start = self.steps.len();
        self.steps.extend((0..rows).map(|position| Step {
            solution: self.solutions.len(),
            position,
            last: position + 1 == rows,
            label: line.labels.as_ref().and_then(|labels| labels[position]),
        }));
        self.solutions.push(Solution { problem: line.problem, correct: line.correct, rows: start..start + rows });
        Ok(())
    }

    /// The same problem in two directories stays one problem.
    fn append(&mut self, more: Self, directory: &Path) -> Result<(), TrainingError> {
        let path = directory.join("collection.json");
        if more.draft != self.draft {
            let reason = format!(
                "is of the draft {}, the data before it of {}; a head is for one draft",
                more.draft, self.draft
            );
            return Err(TrainingError::invalid(&path, reason));
        }
        if (more.hidden_size, &more.statistics) != (self.hidden_size, &self.statistics) {
            let reason = format!(
                "has hidden_size {} and statistics {:?}, the data before it {} and {:?}; collect with one version",
                more.hidden_size, more.statistics, self.hidden_size, self.statistics
            );
            return Err(TrainingError::invalid(&path, reason));
        }
        let (solutions, rows) = (self.solutions.len(), self.steps.len());
        self.solutions.extend(
            more.solutions
                .into_iter()
                .map(|solution| Solution { rows: solution.rows.start + rows..solution.rows.end + rows, ..solution }),
        );
        self.steps.extend(more.steps.into_iter().map(|step| Step { solution: step.solution + solutions, ..step }));
        self.last.extend(more.last);
        self.mean.extend(more.mean);
        self.statistic.extend(more.statistic);
        self.mean_so_far.extend(more.mean_so_far);
        self.statistic_so_far.extend(more.statistic_so_far);
        Ok(())
    }

    /// Whether the solution of a row is right.
    pub fn correct(&self, row: usize) -> bool {
        self.solutions[self.steps[row].solution].correct
    }

    /// The names of the problems, sorted, each once.
    pub fn problems(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.solutions.iter().map(|solution| solution.problem.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// A column of the statistics, by row, if it was collected.
    pub fn statistic(&self, name: &str) -> Option<Vec<f64>> {
        self.column(&self.statistic, name)
    }

    /// The same for the solution up to the step's end.
    pub fn statistic_so_far(&self, name: &str) -> Option<Vec<f64>> {
        self.column(&self.statistic_so_far, name)
    }

    fn column(&self, statistics: &[f32], name: &str) -> Option<Vec<f64>> {
        let column = self.statistics.iter().position(|statistic| statistic == name)?;
        Some(statistics.chunks_exact(self.statistics.len()).map(|row| f64::from(row[column])).collect())
    }
}

impl Line {
    fn check(&self) -> Result<(), String> {
        // A draft may end its answer right after a boundary: then the last step is the end token alone.
        let empty = self.steps.split_last().is_none_or(|(_, earlier)| earlier.contains(&0));
        if empty {
            return Err(format!("steps are {:?}: there must be some, none but the last empty", self.steps));
        }
        let counted: usize = self.steps.iter().sum();
        if counted != self.tokens.len() {
            return Err(format!("steps add up to {counted} tokens, but tokens has {}", self.tokens.len()));
        }
        let Some(labels) = &self.labels else { return Ok(()) };
        if labels.len() != self.steps.len() {
            return Err(format!("{} labels for {} steps", labels.len(), self.steps.len()));
        }
        match labels.iter().flatten().find(|label| !(0.0..=1.0).contains(*label)) {
            Some(label) => Err(format!("label {label} is not a probability")),
            None => Ok(()),
        }
    }
}
