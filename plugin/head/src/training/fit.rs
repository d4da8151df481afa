//! Fits a head to steps.

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{
    dataset::RolloutDataset,
    error::TrainingError,
    features::FeatureSet,
    folds, lbfgs,
    network::{HeadNetwork, TrainingExamples},
};

/// One problem in this many is set aside to decide when to stop.
const WATCHED: usize = 8;
/// Epochs without a better loss on the problems set aside before training stops.
const PATIENCE: usize = 15;
/// Statistics are few and each says more than a column of a state, so the penalty should affect them less: they are
/// scaled up by this factor. On GSM8K rollouts that raised the AUC at the last step by 0.02.
const STATISTICS_FACTOR: f64 = 5.0;
/// A column with a smaller standard deviation than this has no information and is left out.
const CONSTANT: f64 = 1e-6;

/// Everything besides the data that determines the head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecipe {
    /// The input of the head.
    pub features: FeatureSet,
    /// Hidden units; 0 for logistic regression.
    pub hidden: usize,
    /// Penalty on the squares of the weights, for standardized features and a mean loss.
    pub l2: f64,
    /// Whether good and bad steps have the same total weight.
    pub balanced: bool,
    /// Whether solutions have the same weight, however many steps they have.
    pub by_solution: bool,
    /// Whether the target is the steps' own labels instead of the correctness of the final answer.
    pub labels: bool,
    /// Upper limit of the passes over the data.
    pub epochs: usize,
    /// Seed of the split and of the initial hidden units.
    pub seed: u64,
}

/// Trains on some of the solutions. On problems set aside it finds the number of epochs with the lowest loss; then it
/// trains for as many epochs on all.
///
/// # Errors
/// The steps have no labels, or all are good or all are bad.
pub fn fit(data: &RolloutDataset, solutions: &[usize], recipe: &TrainingRecipe) -> Result<HeadNetwork, TrainingError> {
    let (watched, others) = folds::split(data, solutions, WATCHED, recipe.seed);
    let mut epochs = recipe.epochs;
    if let Ok(trial) = FittingTask::new(data, &others, recipe) {
        let watched = trial.examples(data, &watched, recipe)?;
        if !watched.labels.is_empty() {
            epochs = trial.best_epochs(recipe, &watched)?;
        }
    }
    let task = FittingTask::new(data, solutions, recipe)?;
    let numbers = task.run(recipe, epochs, |_, _| Ok(true))?;
    Ok(task.scale.fold_into(HeadNetwork::from_numbers(&task.widths, &numbers)))
}

/// The logits of all steps of some solutions, in the order of their rows.
pub(super) fn logits(
    data: &RolloutDataset,
    solutions: &[usize],
    features: &FeatureSet,
    network: &HeadNetwork,
) -> Result<Vec<f32>, TrainingError> {
    network.logits(features.gather(data, &rows(data, solutions)))
}

/// The rows of some solutions.
pub(super) fn rows(data: &RolloutDataset, solutions: &[usize]) -> Vec<usize> {
    solutions.iter().flat_map(|&solution| data.solutions[solution].rows.clone()).collect()
}

struct FittingTask {
    widths: Vec<usize>,
    scale: FeatureScale,
    examples: TrainingExamples,
}

impl FittingTask {
    fn new(data: &RolloutDataset, solutions: &[usize], recipe: &TrainingRecipe) -> Result<Self, TrainingError> {
        recipe.features.check_data(data)?;
        let width = recipe.features.width_for(data);
        if width == 0 {
            return Err(TrainingError::Unfit(format!("the data has no {}; choose other features", recipe.features)));
        }
        let known = known(data, solutions, recipe);
        let mut scale = FeatureScale::from_features(&recipe.features.gather(data, &known), width);
        for (factor, statistic) in scale.factor.iter_mut().zip(recipe.features.are_statistics(data)) {
            *factor *= if statistic { STATISTICS_FACTOR } else { 1.0 };
        }
        let widths = if recipe.hidden == 0 { vec![width, 1] } else { vec![width, recipe.hidden, 1] };
        let examples = examples(data, &known, recipe, &scale)?;
        let good: f64 = examples.labels.iter().sum();
        if good <= 0.0 || good >= examples.labels.len() as f64 {
            return Err(TrainingError::Unfit(format!(
                "the {} steps to learn from are all {}; collect more solutions",
                examples.labels.len(),
                if good <= 0.0 { "bad" } else { "good" }
            )));
        }
        Ok(Self { widths, scale, examples })
    }

    fn examples(
        &self,
        data: &RolloutDataset,
        solutions: &[usize],
        recipe: &TrainingRecipe,
    ) -> Result<TrainingExamples, TrainingError> {
        examples(data, &known(data, solutions, recipe), recipe, &self.scale)
    }

    fn run(
        &self,
        recipe: &TrainingRecipe,
        epochs: usize,
        visit: impl FnMut(usize, &[f64]) -> Result<bool, TrainingError>,
    ) -> Result<Vec<f64>, TrainingError> {
        let start = HeadNetwork::start(&self.widths, &mut ChaCha8Rng::seed_from_u64(recipe.seed));
        let objective = |numbers: &[f64]| self.examples.objective(&self.widths, numbers, recipe.l2);
        lbfgs::minimize(start, epochs, objective, visit)
    }

    fn best_epochs(&self, recipe: &TrainingRecipe, watched: &TrainingExamples) -> Result<usize, TrainingError> {
        let (mut best, mut lowest) = (1, f64::INFINITY);
        self.run(recipe, recipe.epochs, |epoch, numbers| {
            let loss = watched.plain_loss(&HeadNetwork::from_numbers(&self.widths, numbers))?;
            if loss < lowest {
                (best, lowest) = (epoch, loss);
            }
            Ok(epoch < best + PATIENCE)
        })?;
        Ok(best)
    }
}

/// The rows of some solutions that have a target.
fn known(data: &RolloutDataset, solutions: &[usize], recipe: &TrainingRecipe) -> Vec<usize> {
    let mut rows = rows(data, solutions);
    rows.retain(|&row| !recipe.labels || data.steps[row].label.is_some());
    rows
}

fn examples(
    data: &RolloutDataset,
    rows: &[usize],
    recipe: &TrainingRecipe,
    scale: &FeatureScale,
) -> Result<TrainingExamples, TrainingError> {
    let label = |&row: &usize| match data.steps[row].label {
        Some(label) if recipe.labels => f64::from(label),
        _ => f64::from(u8::from(data.correct(row))),
    };
    let labels: Vec<f64> = rows.iter().map(label).collect();
    let weight = |row: &usize| {
        let steps = data.solutions[data.steps[*row].solution].rows.len() as f64;
        if recipe.by_solution { 1.0 / steps } else { 1.0 }
    };
    let mut weights: Vec<f64> = rows.iter().map(weight).collect();
    if recipe.balanced {
        let good: f64 = labels.iter().zip(&weights).map(|(label, weight)| label * weight).sum();
        let bad = weights.iter().sum::<f64>() - good;
        let balance = |(weight, label): (&mut f64, &f64)| *weight *= label / good + (1.0 - label) / bad;
        // With good or bad steps only there is nothing to balance.
        if good > 0.0 && bad > 0.0 {
            weights.iter_mut().zip(&labels).for_each(balance);
        }
    }
    let total: f64 = weights.iter().sum();
    for weight in &mut weights {
        *weight /= total;
    }
    let mut features = recipe.features.gather(data, rows);
    scale.apply(&mut features);
    let features = Tensor::from_vec(features, (rows.len(), scale.mean.len()), &Device::Cpu)?;
    Ok(TrainingExamples { features, labels, weights })
}

/// Mean and inverse of the standard deviation of each column.
struct FeatureScale {
    mean: Vec<f64>,
    factor: Vec<f64>,
}

impl FeatureScale {
    fn from_features(features: &[f32], width: usize) -> Self {
        let rows = (features.len() / width).max(1) as f64;
        let mut mean = vec![0.0; width];
        for row in features.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(sum, number)| *sum += f64::from(*number) / rows);
        }
        let mut variance = vec![0.0; width];
        for row in features.chunks_exact(width) {
            let columns = variance.iter_mut().zip(row).zip(&mean);
            columns.for_each(|((sum, number), mean)| *sum += (f64::from(*number) - mean).powi(2) / rows);
        }
        let factor = variance.iter().map(|variance: &f64| {
            let deviation = variance.sqrt();
            if deviation < CONSTANT { 0.0 } else { 1.0 / deviation }
        });
        Self { factor: factor.collect(), mean }
    }

    #[allow(clippy::cast_possible_truncation, reason = "back to the width of the tensors")]
    fn apply(&self, features: &mut [f32]) {
        for row in features.chunks_exact_mut(self.mean.len()) {
            for ((number, mean), factor) in row.iter_mut().zip(&self.mean).zip(&self.factor) {
                *number = ((f64::from(*number) - mean) * factor) as f32;
            }
        }
    }

    /// The network that gives the same logits on raw features.
    #[allow(clippy::cast_possible_truncation, reason = "the head is f32")]
    fn fold_into(&self, mut network: HeadNetwork) -> HeadNetwork {
        if let Some(first) = network.layers.first_mut() {
            for (row, bias) in first.weight.chunks_exact_mut(first.inputs).zip(&mut first.bias) {
                let mut shift = 0.0;
                for ((weight, mean), factor) in row.iter_mut().zip(&self.mean).zip(&self.factor) {
                    let raw = f64::from(*weight) * factor;
                    shift += raw * mean;
                    *weight = raw as f32;
                }
                *bias = (f64::from(*bias) - shift) as f32;
            }
        }
        network
    }
}
