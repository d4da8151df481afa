//! The folder of collected solutions: `collection.json`, `rollouts.jsonl`, and `features/` with one file per solution.
//!
//! A solution counts once its line is in `rollouts.jsonl`, which is written after its features. So a run that was
//! killed can be resumed, and nothing half-written is ever read.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use candle_core::{Device, Tensor};
use rsd_core::features::{STATISTICS, StepFeatures};
use rsd_files::{FileAccess, FileError, lock, replace, replace_json};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

use super::{CollectionError, stable_hash};
use crate::progress::ProgressReporter;

/// Version of the folder's format.
const FORMAT: u32 = 1;

/// The content of `collection.json`: what all solutions of a folder have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectionInfo {
    /// Version of the folder's format.
    pub format: u32,
    /// SHA-256 of the draft's GGUF as it was published.
    pub draft: String,
    /// Name of the draft as loaded.
    pub model: String,
    /// Length of the draft's hidden state.
    pub hidden_size: usize,
    /// Names of the columns of `statistics`.
    pub statistics: Vec<String>,
    /// The settings that the solutions were generated with.
    pub settings: BTreeMap<String, Value>,
}

impl CollectionInfo {
    /// A collection of solutions by one draft.
    #[must_use]
    pub fn new(draft: String, model: String, hidden_size: usize, settings: BTreeMap<String, Value>) -> Self {
        let statistics = STATISTICS.map(str::to_owned).to_vec();
        Self { format: FORMAT, draft, model, hidden_size, statistics, settings }
    }
}

/// One solution, as a line of `rollouts.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutRecord {
    pub problem: String,
    /// Which of the problem's solutions.
    pub sample: usize,
    /// The solution's tokens without the end token.
    pub tokens: Vec<u32>,
    pub text: String,
    /// Number of tokens of each step; the last is 0 if the model ended its answer right after a boundary.
    pub steps: Vec<usize>,
    /// The byte of `text` at which each step ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Vec<usize>>,
    /// `end_of_text`, or `length` for one that was cut off.
    pub end: String,
    /// The final answer found in the text: a number where the question asks for one, else a text. None for code.
    pub answer: Option<Value>,
    /// Whether the solution is right.
    #[serde(deserialize_with = "graded")]
    pub correct: bool,
    /// For each step the probability that it is good, from another source than the final answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<Option<f64>>>,
}

/// Another program may leave the grade open, as `rollouts.py` does for code.
pub(crate) fn graded<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    Option::<bool>::deserialize(value)?
        .ok_or_else(|| D::Error::custom("the solution has no grade; `prm grade` grades the folder"))
}

/// A folder that is being filled with solutions.
pub struct RolloutStore {
    folder: PathBuf,
    /// Only one process fills a folder at a time.
    _lock: File,
    lines: File,
    done: HashSet<(String, usize)>,
    /// Number of solutions in the folder.
    pub count: usize,
    /// Number of right solutions.
    pub correct: usize,
}

impl RolloutStore {
    /// Opens a folder, or creates it. Waits for another process that is filling it.
    ///
    /// # Errors
    /// The folder cannot be written, is damaged, or holds solutions that were collected with other settings.
    pub fn open(
        folder: &Path,
        collection: &CollectionInfo,
        progress: &ProgressReporter,
    ) -> Result<Self, CollectionError> {
        fs::create_dir_all(folder.join("features")).map_err(FileError::io("create", folder))?;
        let lock = lock::acquire(&folder.join(".lock"), |message| progress.note(message))?;
        let header = folder.join("collection.json");
        if header.exists() {
            let text = fs::read(&header).map_err(FileError::io("read", &header))?;
            let existing: CollectionInfo =
                serde_json::from_slice(&text).map_err(|error| CollectionError::invalid(&header, error))?;
            if let Some(difference) = first_difference(&existing, collection) {
                return Err(CollectionError::OtherSettings { folder: folder.to_owned(), difference });
            }
        } else {
            replace_json(&header, collection, FileAccess::Shared)?;
        }
        let path = folder.join("rollouts.jsonl");
        let (mut done, mut count, mut correct) = (HashSet::new(), 0, 0);
        let mut complete = 0;
        let text = if path.exists() { fs::read(&path).map_err(FileError::io("read", &path))? } else { Vec::new() };
        for (number, line) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
            // The last line of a run that was killed may be cut short; its solution is then made again.
            if !line.ends_with(b"\n") {
                break;
            }
            let rollout: RolloutRecord =
                serde_json::from_slice(line).map_err(|error| CollectionError::line(&path, number, error))?;
            complete += line.len();
            count += 1;
            correct += usize::from(rollout.correct);
            done.insert((rollout.problem, rollout.sample));
        }
        let lines = OpenOptions::new().create(true).append(true).open(&path).map_err(FileError::io("open", &path))?;
        lines.set_len(complete as u64).map_err(FileError::io("cut off the incomplete last line of", &path))?;
        Ok(Self { folder: folder.to_owned(), _lock: lock, lines, done, count, correct })
    }

    /// Whether the folder has this solution.
    #[must_use]
    pub fn has(&self, problem: &str, sample: usize) -> bool {
        self.done.contains(&(problem.to_owned(), sample))
    }

    /// Adds a solution, its features first.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn add(&mut self, rollout: &RolloutRecord, features: &[StepFeatures]) -> Result<(), CollectionError> {
        let failed = |reason: String| CollectionError::Encode {
            problem: rollout.problem.clone(),
            sample: rollout.sample,
            reason,
        };
        let path = features_path(&self.folder, &rollout.problem, rollout.sample);
        let bytes = serialize_features(features).map_err(|error| failed(error.to_string()))?;
        replace(&path, &bytes, FileAccess::Shared)?;
        let mut line = serde_json::to_vec(rollout).map_err(|error| failed(error.to_string()))?;
        line.push(b'\n');
        self.lines
            .write_all(&line)
            .and_then(|()| self.lines.sync_data())
            .map_err(FileError::io("write", &self.folder.join("rollouts.jsonl")))?;
        self.done.insert((rollout.problem.clone(), rollout.sample));
        self.count += 1;
        self.correct += usize::from(rollout.correct);
        Ok(())
    }
}

/// The file of a solution's features: `last` and `mean` of shape `[steps, hidden_size]`, `statistics` of shape
/// `[steps, statistics]`, all f32. Characters that are not safe in file names are replaced.
#[must_use]
pub(crate) fn features_path(folder: &Path, problem: &str, sample: usize) -> PathBuf {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let mut name: String = problem.chars().take(64).map(|c| if plain(c) { c } else { '_' }).collect();
    // Ids that differ only in what was replaced or cut off must not share a file.
    if name != problem {
        name = format!("{name}-{:016x}", stable_hash(problem));
    }
    folder.join("features").join(format!("{name}-{sample}.safetensors"))
}

fn serialize_features(steps: &[StepFeatures]) -> candle_core::Result<Vec<u8>> {
    let matrix = |row: fn(&StepFeatures) -> &[f32]| -> candle_core::Result<Tensor> {
        let columns = steps.first().map_or(0, |step| row(step).len());
        let values: Vec<f32> = steps.iter().flat_map(|step| row(step).iter().copied()).collect();
        Tensor::from_vec(values, (steps.len(), columns), &Device::Cpu)
    };
    let tensors = HashMap::from([
        ("last", matrix(|step| &step.last)?),
        ("mean", matrix(|step| &step.mean)?),
        ("statistics", matrix(|step| &step.statistics)?),
    ]);
    safetensors::serialize(&tensors, None).map_err(candle_core::Error::wrap)
}

/// The first thing in which two collections differ.
fn first_difference(there: &CollectionInfo, wanted: &CollectionInfo) -> Option<String> {
    let (there, wanted) = (serde_json::to_value(there).ok()?, serde_json::to_value(wanted).ok()?);
    let fields = |value: &Value| -> BTreeMap<String, Value> {
        let mut fields = value.as_object().cloned().unwrap_or_default();
        let settings = fields.remove("settings").and_then(|s| s.as_object().cloned()).unwrap_or_default();
        fields.into_iter().chain(settings).collect()
    };
    let (there, wanted) = (fields(&there), fields(&wanted));
    let keys: std::collections::BTreeSet<&String> = there.keys().chain(wanted.keys()).collect();
    keys.into_iter().find(|key| there.get(*key) != wanted.get(*key)).map(|key| {
        let show = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
        format!("`{key}` is {} there and {} now", show(there.get(key)), show(wanted.get(key)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collection(seed: u64) -> CollectionInfo {
        CollectionInfo::new("abc".into(), "tiny".into(), 2, BTreeMap::from([("seed".to_owned(), seed.into())]))
    }

    fn open(folder: &Path, seed: u64) -> Result<RolloutStore, CollectionError> {
        RolloutStore::open(folder, &collection(seed), &ProgressReporter::silent())
    }

    fn rollout(sample: usize) -> (RolloutRecord, Vec<StepFeatures>) {
        let rollout = RolloutRecord {
            problem: "a/b".to_owned(),
            sample,
            tokens: vec![1, 2],
            text: "x".to_owned(),
            steps: vec![1, 1],
            ends: Some(vec![1, 1]),
            end: "end_of_text".to_owned(),
            answer: Some(3.0.into()),
            correct: sample == 0,
            labels: None,
        };
        let step = |x| StepFeatures { last: vec![x, 1.0], mean: vec![x, 2.0], statistics: [x; STATISTICS.len()] };
        (rollout, vec![step(0.5), step(1.5)])
    }

    #[test]
    fn a_folder_is_resumed_and_a_cut_line_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), 1).unwrap();
        for sample in 0..2 {
            let (rollout, features) = rollout(sample);
            store.add(&rollout, &features).unwrap();
        }
        assert_eq!((store.count, store.correct), (2, 1));
        drop(store);
        let lines = dir.path().join("rollouts.jsonl");
        let size = fs::metadata(&lines).unwrap().len();
        File::options().write(true).open(&lines).unwrap().set_len(size - 5).unwrap();

        let mut store = open(dir.path(), 1).unwrap();
        assert!(store.has("a/b", 0) && !store.has("a/b", 1));
        let (rollout, features) = rollout(1);
        store.add(&rollout, &features).unwrap();
        assert_eq!(fs::metadata(&lines).unwrap().len(), size);

        assert_ne!(features_path(dir.path(), "a_b", 1), features_path(dir.path(), "a/b", 1));
        let path = features_path(dir.path(), "a/b", 1);
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        assert_eq!(tensors["last"].to_vec2::<f32>().unwrap(), [[0.5, 1.0], [1.5, 1.0]]);
        assert_eq!(tensors["statistics"].dims(), [2, STATISTICS.len()]);
    }

    #[test]
    fn another_collection_is_rejected_by_what_differs() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), 1).unwrap();
        let error = open(dir.path(), 2).err().unwrap().to_string();
        assert!(error.contains("`seed` is 1 there and 2 now"), "{error}");
    }

    #[test]
    fn a_solution_without_a_grade_is_an_error_that_says_what_grades_it() {
        let line = serde_json::to_string(&rollout(0).0).unwrap().replace("\"correct\":true", "\"correct\":null");
        let error = serde_json::from_str::<RolloutRecord>(&line).unwrap_err().to_string();
        assert!(error.contains("prm grade"), "{error}");
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_named() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), 1).unwrap();
        fs::write(dir.path().join("rollouts.jsonl"), "{}\n").unwrap();
        let error = open(dir.path(), 1).err().unwrap().to_string();
        assert!(error.contains("rollouts.jsonl, line 1"), "{error}");
    }
}
