//! Reads the rollouts that `prm collect` wrote: solutions, whether they are right, and the draft's states at their
//! steps.

use std::{
    collections::HashSet,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use rsd_files::FileError;
use serde::Deserialize;

use super::{error::TrainingError, tensors::F32File};
use crate::{
    check_counts::CheckCounts,
    collect::store::{features_path, graded},
    prefix_statistics::PrefixStatistics,
};

/// The only format of a collection that this version reads.
const FORMAT: u64 = 1;

/// Solutions with the features of their steps. Rows of the matrices are steps, solution after solution.
#[derive(Debug, Clone)]
pub struct RolloutDataset {
    /// SHA-256 of the draft's GGUF.
    pub draft: String,
    /// Length H of the draft's hidden state.
    pub hidden_size: usize,
    /// Names of the K token statistics.
    pub statistics: Vec<String>,
    /// The solutions, in the order of the files.
    pub solutions: Vec<RolloutSolution>,
    /// The steps, in the order of the rows.
    pub steps: Vec<RolloutStep>,
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
    /// `[rows, 2]`: for the solution up to the step's end.
    pub(super) checks_so_far: Vec<f32>,
    /// A line that does not say where its steps end, so that their equations are not known.
    pub(super) without_ends: Option<String>,
}

#[derive(Debug, Clone)]
pub struct RolloutSolution {
    /// The problem's name. Data is held out by problem.
    pub problem: String,
    /// Whether the final answer is right.
    pub correct: bool,
    /// The rows of its steps.
    pub rows: Range<usize>,
}

#[derive(Debug, Clone, Copy)]
pub struct RolloutStep {
    /// Index of its solution.
    pub solution: usize,
    /// 0 for the solution's first step.
    pub position: usize,
    /// Whether the solution ends here.
    pub last: bool,
    /// The probability that the step is good, from another reward model or from continuations.
    pub label: Option<f32>,
}

#[derive(Deserialize)]
struct CollectionHeader {
    format: u64,
    draft: String,
    hidden_size: usize,
    statistics: Vec<String>,
}

#[derive(Deserialize)]
struct RolloutLine {
    problem: String,
    sample: usize,
    tokens: Vec<u32>,
    #[serde(default)]
    text: String,
    steps: Vec<usize>,
    #[serde(default)]
    ends: Option<Vec<usize>>,
    #[serde(deserialize_with = "graded")]
    correct: bool,
    #[serde(default)]
    labels: Option<Vec<Option<f32>>>,
}

impl RolloutDataset {
    /// Reads directories that `prm collect` wrote; all must be of the same draft.
    ///
    /// # Errors
    /// A file is missing, damaged or of another draft, or there are no solutions.
    pub fn read(directories: &[PathBuf]) -> Result<Self, TrainingError> {
        let Some((first, others)) = directories.split_first() else {
            return Err(TrainingError::Unfit(
                "no data was named; name a directory that `prm collect` wrote".to_owned(),
            ));
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
        let header: CollectionHeader = serde_json::from_slice(&fs::read(&path).map_err(FileError::io("read", &path))?)
            .map_err(|error| {
                TrainingError::invalid(&path, format!("{error}; name a directory that `prm collect` wrote"))
            })?;
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
            checks_so_far: Vec::new(),
            without_ends: None,
        };
        let path = directory.join("rollouts.jsonl");
        let text = fs::read_to_string(&path).map_err(FileError::io("read", &path))?;
        let mut seen = HashSet::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = || format!("{}, line {}", path.display(), index + 1);
            let invalid = |reason: String| TrainingError::Invalid { place: place(), reason };
            let line: RolloutLine = serde_json::from_str(line).map_err(|error| invalid(error.to_string()))?;
            line.check().map_err(invalid)?;
            if !seen.insert((line.problem.clone(), line.sample)) {
                return Err(invalid(format!("sample {} of {} occurs twice", line.sample, line.problem)));
            }
            if line.ends.is_none() && data.without_ends.is_none() {
                data.without_ends = Some(place());
            }
            let features = features_path(directory, &line.problem, line.sample);
            data.push(line, &features)?;
        }
        if data.solutions.is_empty() {
            return Err(TrainingError::invalid(&path, "it has no solutions; run `prm collect` first"));
        }
        Ok(data)
    }

    fn push(&mut self, line: RolloutLine, features: &Path) -> Result<(), TrainingError> {
        let file = F32File::read(features)?;
        let rows = line.steps.len();
        let mean = file.matrix("mean", rows, self.hidden_size)?;
        let statistic = file.matrix("statistics", rows, self.statistics.len())?;
        let mut prefix = PrefixStatistics::new(self.hidden_size, &self.statistics);
        for row in 0..line.steps.len() {
            let (h, k) = (self.hidden_size, self.statistics.len());
            prefix.add(&mean[row * h..(row + 1) * h], &statistic[row * k..(row + 1) * k]);
            self.mean_so_far.extend(prefix.mean());
            self.statistic_so_far.extend(prefix.statistics());
        }
        self.checks_so_far.extend(line.checks_so_far());
        self.last.extend(file.matrix("last", rows, self.hidden_size)?);
        self.mean.extend(mean);
        self.statistic.extend(statistic);
        let start = self.steps.len();
        self.steps.extend((0..rows).map(|position| RolloutStep {
            solution: self.solutions.len(),
            position,
            last: position + 1 == rows,
            label: line.labels.as_ref().and_then(|labels| labels[position]),
        }));
        self.solutions.push(RolloutSolution {
            problem: line.problem,
            correct: line.correct,
            rows: start..start + rows,
        });
        Ok(())
    }

    /// Appends the rows of another dataset. The same problem in both is one problem.
    fn append(&mut self, more: Self, directory: &Path) -> Result<(), TrainingError> {
        let path = directory.join("collection.json");
        if more.draft != self.draft {
            let reason = format!(
                "was collected with the draft {}, the data before it with {}; a head is for one draft",
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
        self.solutions.extend(more.solutions.into_iter().map(|solution| RolloutSolution {
            rows: solution.rows.start + rows..solution.rows.end + rows,
            ..solution
        }));
        self.steps
            .extend(more.steps.into_iter().map(|step| RolloutStep { solution: step.solution + solutions, ..step }));
        self.last.extend(more.last);
        self.mean.extend(more.mean);
        self.statistic.extend(more.statistic);
        self.mean_so_far.extend(more.mean_so_far);
        self.statistic_so_far.extend(more.statistic_so_far);
        self.checks_so_far.extend(more.checks_so_far);
        self.without_ends = self.without_ends.take().or(more.without_ends);
        Ok(())
    }

    /// Whether the solution that a row belongs to is right.
    pub fn correct(&self, row: usize) -> bool {
        self.solutions[self.steps[row].solution].correct
    }

    /// The names of the problems, sorted and without duplicates.
    pub fn problems(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.solutions.iter().map(|solution| solution.problem.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The values of a statistic, by row. `None` if it was not collected.
    pub(super) fn statistic(&self, name: &str) -> Option<Vec<f64>> {
        self.column(&self.statistic, name)
    }

    /// The same for the solution up to the step's end.
    pub(super) fn statistic_so_far(&self, name: &str) -> Option<Vec<f64>> {
        self.column(&self.statistic_so_far, name)
    }

    fn column(&self, statistics: &[f32], name: &str) -> Option<Vec<f64>> {
        let column = self.statistics.iter().position(|statistic| statistic == name)?;
        Some(statistics.chunks_exact(self.statistics.len()).map(|row| f64::from(row[column])).collect())
    }
}

impl RolloutLine {
    /// `[rows, 2]`; zeros where the line does not say where its steps end.
    fn checks_so_far(&self) -> Vec<f32> {
        let Some(ends) = &self.ends else { return vec![0.0; self.steps.len() * CheckCounts::WIDTH] };
        let (mut counts, mut start, mut earlier) = (CheckCounts::default(), 0, Vec::new());
        let features = ends.iter().flat_map(|&end| {
            let step = &self.text[start..end];
            counts.add(&earlier, step);
            earlier.push(step.to_owned());
            start = end;
            counts.features()
        });
        features.collect()
    }

    fn check(&self) -> Result<(), String> {
        // If a draft ends its answer right after a boundary, the last step is the end token alone.
        let has_empty_step = self.steps.split_last().is_none_or(|(_, earlier)| earlier.contains(&0));
        if has_empty_step {
            return Err(format!(
                "steps are {:?}: there must be at least one, and only the last may be empty",
                self.steps
            ));
        }
        let counted: usize = self.steps.iter().sum();
        if counted != self.tokens.len() {
            return Err(format!("steps add up to {counted} tokens, but tokens has {}", self.tokens.len()));
        }
        let ends = self.ends.as_deref().unwrap_or_default();
        let is_place = |end: &usize| self.text.is_char_boundary(*end);
        if self.ends.is_some() && (ends.len() != self.steps.len() || !ends.is_sorted() || !ends.iter().all(is_place)) {
            return Err(format!(
                "ends are {ends:?}: there must be one for each of the {} steps, in order, each a byte of the text",
                self.steps.len()
            ));
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
