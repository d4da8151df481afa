//! Synthetic rollouts whose truth is known, for tests, in the format of `prm collect`.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "only tests use it")]

use std::{collections::BTreeMap, fs, path::Path};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::{network::sigmoid, tensors};

/// The size and the truth of the rollouts.
pub struct SyntheticRollouts {
    pub problems: usize,
    pub samples: usize,
    pub hidden_size: usize,
    /// How strongly the direction (1, -1, 0, 0, ...) of `last` decides whether the solution is right.
    pub strength: f64,
    /// Makes right solutions rare if it is negative.
    pub shift: f64,
    pub seed: u64,
    /// Begins the problems' names.
    pub name: &'static str,
    pub draft: &'static str,
}

impl Default for SyntheticRollouts {
    fn default() -> Self {
        Self {
            problems: 120,
            samples: 2,
            hidden_size: 12,
            strength: 3.0,
            shift: 0.0,
            seed: 1,
            name: "made",
            draft: "d0",
        }
    }
}

impl SyntheticRollouts {
    /// Writes the collection. A solution is right with the probability sigmoid(strength * (a - b) + shift), where a
    /// and b are drawn for the problem and the sample; each step's `last` holds them with a little noise, `mean` is
    /// noise, and the statistic `mean_logprob` knows half of it.
    pub fn write(&self, directory: &Path) {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let features = directory.join("features");
        fs::create_dir_all(&features).unwrap();
        let statistics = ["mean_logprob", "tokens"];
        let header = json!({
            "format": 1, "draft": self.draft, "hidden_size": self.hidden_size, "statistics": statistics, "more": "later"
        });
        fs::write(directory.join("collection.json"), header.to_string()).unwrap();
        let mut lines = String::new();
        for problem in 0..self.problems {
            for sample in 0..self.samples {
                let mut noise = |size: f64| size * random.random_range(-1.0..1.0);
                let (a, b) = (noise(1.0), noise(1.0));
                let correct = sigmoid(self.strength * (a - b) + self.shift) > f64::midpoint(noise(1.0), 1.0);
                let steps: Vec<usize> = (0..=(problem + sample) % 4).map(|step| 3 + step).collect();
                let (mut last, mut mean, mut statistic) = (Vec::new(), Vec::new(), Vec::new());
                for &tokens in &steps {
                    #[allow(clippy::cast_possible_truncation)]
                    for column in 0..self.hidden_size {
                        let truth = [a, -b].get(column).copied().unwrap_or(0.0);
                        // Raw features of many sizes, around a mean that is not zero.
                        let scale = 10f64.powi(i32::try_from(column % 4).unwrap() - 2);
                        last.push((5.0 + scale * (truth + noise(if column < 2 { 0.2 } else { 1.0 }))) as f32);
                        mean.push(noise(1.0) as f32);
                    }
                    #[allow(clippy::cast_possible_truncation)]
                    statistic.extend([(a - b + noise(3.0)) as f32, tokens as f32]);
                }
                let tokens: usize = steps.iter().sum();
                let name = format!("{}-{problem}", self.name);
                let line = json!({
                    "problem": name, "sample": sample, "tokens": vec![7; tokens], "text": "a\n\nb", "steps": steps,
                    "end": "end_of_text", "answer": "72", "correct": correct,
                });
                lines.push_str(&line.to_string());
                lines.push('\n');
                let rows = steps.len();
                let all = [
                    ("last".to_owned(), vec![rows, self.hidden_size], &last[..]),
                    ("mean".to_owned(), vec![rows, self.hidden_size], &mean[..]),
                    ("statistics".to_owned(), vec![rows, statistics.len()], &statistic[..]),
                ];
                tensors::write(&features.join(format!("{name}-{sample}.safetensors")), &all, &BTreeMap::new()).unwrap();
            }
        }
        fs::write(directory.join("rollouts.jsonl"), lines).unwrap();
    }

    /// Writes the collection to a new directory.
    pub fn in_a_directory(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        self.write(directory.path());
        directory
    }
}
