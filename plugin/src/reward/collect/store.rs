//! Where collected solutions go: `collection.json`, `rollouts.jsonl`, and `features/` with one file per solution.
//!
//! A solution counts once its line is in `rollouts.jsonl`, which is written after its features. So a run that was
//! killed goes on where it was, and nothing half-written is ever read.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    models::{atomic, lock, on_stderr},
    reward::features::{STATISTICS, StepFeatures},
};

/// Version of the folder's format.
const FORMAT: u32 = 1;

/// What all solutions of a folder have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Collection {
    /// Version of the folder's format.
    pub format: u32,
    /// sha256 of the draft's GGUF as it was published.
    pub draft: String,
    /// Name of the draft as loaded.
    pub model: String,
    /// Length of a state.
    pub hidden_size: usize,
    /// Names of the columns of `statistics`.
    pub statistics: Vec<String>,
    /// How the solutions were written, in words and numbers.
    pub settings: BTreeMap<String, Value>,
}

impl Collection {
    /// A collection of solutions by one draft.
    #[must_use]
    pub fn new(draft: String, model: String, hidden_size: usize, settings: BTreeMap<String, Value>) -> Self {
        let statistics = STATISTICS.map(str::to_owned).to_vec();
        Self { format: FORMAT, draft, model, hidden_size, statistics, settings }
    }
}

/// One solution, as a line of `rollouts.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The problem's id.
    pub problem: String,
    /// Which of the problem's solutions.
    pub sample: usize,
    /// Its tokens, the end token left out.
    pub tokens: Vec<u32>,
    /// Its text.
    pub text: String,
    /// Number of tokens of each step; the last is 0 where the model ended its answer right after a boundary.
    pub steps: Vec<usize>,
    /// `end_of_text`, or `length` for one that was cut off.
    pub end: String,
    /// The final answer found in it.
    pub answer: Option<f64>,
    /// Whether that is the right one.
    pub correct: bool,
    /// Per step, the probability that it is good, from another source than the final answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<Option<f64>>>,
}

/// A folder that is being filled.
pub struct Store {
    folder: PathBuf,
    /// One process fills a folder at a time.
    _lock: File,
    lines: File,
    done: HashSet<(String, usize)>,
    /// Solutions in the folder, and how many of them are right.
    pub count: usize,
    /// How many are right.
    pub correct: usize,
}

impl Store {
    /// Opens a folder, or begins it. One that holds another collection is refused.
    ///
    /// # Errors
    /// The folder cannot be written, is damaged, or was collected otherwise.
    pub fn open(folder: &Path, collection: &Collection) -> anyhow::Result<Self> {
        fs::create_dir_all(folder.join("features")).with_context(|| format!("creating {}", folder.display()))?;
        let lock = lock::acquire(&folder.join(".lock"), on_stderr().as_ref())?;
        let card = folder.join("collection.json");
        if card.exists() {
            let text = fs::read(&card).with_context(|| format!("reading {}", card.display()))?;
            let there: Collection = serde_json::from_slice(&text).with_context(|| card.display().to_string())?;
            if let Some(difference) = difference(&there, collection) {
                bail!(
                    "{} holds solutions that were collected otherwise: {difference}. Name another --out, or collect as before",
                    folder.display()
                );
            }
        } else {
            atomic::write_json(&card, collection)?;
        }
        let path = folder.join("rollouts.jsonl");
        let (mut done, mut count, mut correct) = (HashSet::new(), 0, 0);
        let mut whole = 0;
        let text =
            if path.exists() { fs::read(&path).with_context(|| path.display().to_string())? } else { Vec::new() };
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            // The last line of a run that was killed may be cut short; the solution is then made again.
            if !line.ends_with(b"\n") {
                break;
            }
            let rollout: Rollout =
                serde_json::from_slice(line).with_context(|| format!("{}, line {}", path.display(), index + 1))?;
            whole += line.len();
            count += 1;
            correct += usize::from(rollout.correct);
            done.insert((rollout.problem, rollout.sample));
        }
        let lines = OpenOptions::new().create(true).append(true).open(&path);
        let lines = lines.with_context(|| format!("opening {}", path.display()))?;
        lines.set_len(whole as u64).with_context(|| format!("cutting {} to whole lines", path.display()))?;
        Ok(Self { folder: folder.to_owned(), _lock: lock, lines, done, count, correct })
    }

    /// Whether a solution is there.
    #[must_use]
    pub fn has(&self, problem: &str, sample: usize) -> bool {
        self.done.contains(&(problem.to_owned(), sample))
    }

    /// Adds a solution, its features first.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn add(&mut self, rollout: &Rollout, features: &[StepFeatures]) -> anyhow::Result<()> {
        let path = features_path(&self.folder, &rollout.problem, rollout.sample);
        atomic::write(&path, &serialise(features)?)?;
        let mut line = serde_json::to_vec(rollout)?;
        line.push(b'\n');
        self.lines.write_all(&line).and_then(|()| self.lines.sync_data()).context("writing rollouts.jsonl")?;
        self.done.insert((rollout.problem.clone(), rollout.sample));
        self.count += 1;
        self.correct += usize::from(rollout.correct);
        Ok(())
    }
}

/// The file of a solution's features: `last` and `mean` of shape `[steps, hidden_size]`, `statistics` of shape
/// `[steps, statistics]`, all f32. Characters that do not belong into file names are replaced.
#[must_use]
pub fn features_path(folder: &Path, problem: &str, sample: usize) -> PathBuf {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let mut name: String = problem.chars().take(64).map(|c| if plain(c) { c } else { '_' }).collect();
    // Ids that differ in what was replaced or cut off must not share a file.
    if name != problem {
        let digest = Sha256::digest(problem.as_bytes());
        let short = digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        name = format!("{name}-{short:016x}");
    }
    folder.join("features").join(format!("{name}-{sample}.safetensors"))
}

fn serialise(steps: &[StepFeatures]) -> anyhow::Result<Vec<u8>> {
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
    Ok(safetensors::serialize(&tensors, None)?)
}

/// The first thing in which two collections differ.
fn difference(there: &Collection, wanted: &Collection) -> Option<String> {
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

    fn collection(seed: u64) -> Collection {
        Collection::new("abc".into(), "tiny".into(), 2, BTreeMap::from([("seed".to_owned(), seed.into())]))
    }

    fn rollout(sample: usize) -> (Rollout, Vec<StepFeatures>) {
        let rollout = Rollout {
            problem: "a/b".to_owned(),
            sample,
            tokens: vec![1, 2],
            text: "x".to_owned(),
            steps: vec![1, 1],
            end: "end_of_text".to_owned(),
            answer: Some(3.0),
            correct: sample == 0,
            labels: None,
        };
        let step = |x| StepFeatures { last: vec![x, 1.0], mean: vec![x, 2.0], statistics: [x; STATISTICS.len()] };
        (rollout, vec![step(0.5), step(1.5)])
    }

    #[test]
    fn a_folder_is_gone_on_with_and_a_cut_line_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), &collection(1)).unwrap();
        for sample in 0..2 {
            let (rollout, features) = rollout(sample);
            store.add(&rollout, &features).unwrap();
        }
        assert_eq!((store.count, store.correct), (2, 1));
        drop(store);
        let lines = dir.path().join("rollouts.jsonl");
        let size = fs::metadata(&lines).unwrap().len();
        File::options().write(true).open(&lines).unwrap().set_len(size - 5).unwrap();

        let mut store = Store::open(dir.path(), &collection(1)).unwrap();
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
    fn another_collection_is_refused_by_what_differs() {
        let dir = tempfile::tempdir().unwrap();
        Store::open(dir.path(), &collection(1)).unwrap();
        let error = Store::open(dir.path(), &collection(2)).err().unwrap().to_string();
        assert!(error.contains("`seed` is 1 there and 2 now"), "{error}");
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_named() {
        let dir = tempfile::tempdir().unwrap();
        Store::open(dir.path(), &collection(1)).unwrap();
        fs::write(dir.path().join("rollouts.jsonl"), "{}\n").unwrap();
        let error = format!("{:#}", Store::open(dir.path(), &collection(1)).err().unwrap());
        assert!(error.contains("rollouts.jsonl, line 1"), "{error}");
    }
}
