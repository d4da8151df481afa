//! Cross-validation by problem: measures a recipe on problems that it was not trained on.

use rsd_statistics::{WeightedSample, auc};
use serde::Serialize;

use super::{
    dataset::RolloutDataset,
    error::TrainingError,
    fit::{TrainingRecipe, fit, logits},
    folds,
    network::cross_entropy,
};

/// The penalties that are tried if none is given.
pub const L2_GRID: [f64; 6] = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// The result of one penalty.
#[derive(Debug, Clone, Serialize)]
pub struct PenaltyTrial {
    pub l2: f64,
    /// AUC over the last steps.
    pub last: f64,
    /// AUC over all steps.
    pub all: f64,
    /// Mean cross entropy over all steps, before calibration.
    pub log_loss: f64,
    /// The logit of each row, from a head that was not trained on its problem.
    #[serde(skip)]
    pub logits: Vec<f64>,
}

/// How the data is split for cross-validation.
#[derive(Debug, Clone, Copy)]
pub struct FoldPlan {
    /// Number of parts. Each is held out once.
    pub count: usize,
    /// Upper limit of the problems to train on in each fold.
    pub problems: Option<usize>,
}

/// Tries every penalty. `tick` is called after each fit. The first trial of the result is the best: it has the highest
/// sum of both AUCs.
///
/// # Errors
/// There are fewer problems than folds, or a fold has nothing to train on.
pub fn try_all(
    data: &RolloutDataset,
    recipe: &TrainingRecipe,
    penalties: &[f64],
    folds: FoldPlan,
    tick: &dyn Fn(),
) -> Result<Vec<PenaltyTrial>, TrainingError> {
    let mut trials = Vec::with_capacity(penalties.len());
    for &l2 in penalties {
        let logits = held_out(data, &TrainingRecipe { l2, ..recipe.clone() }, folds, tick)?;
        let good = |row: usize| data.correct(row);
        let score = |only_last: bool| {
            let rows = (0..logits.len()).filter(|&row| !only_last || data.steps[row].last);
            let samples: Vec<WeightedSample> =
                rows.map(|row| WeightedSample { score: logits[row], good: good(row), weight: 1.0 }).collect();
            auc(&samples).ok_or_else(|| {
                TrainingError::Unfit("the solutions are all right or all wrong; collect more".to_owned())
            })
        };
        let losses = logits.iter().enumerate().map(|(row, &z)| cross_entropy(z, f64::from(u8::from(good(row)))));
        let log_loss = losses.sum::<f64>() / logits.len() as f64;
        trials.push(PenaltyTrial { l2, last: score(true)?, all: score(false)?, log_loss, logits });
    }
    trials.sort_by(|a, b| (b.last + b.all).total_cmp(&(a.last + a.all)));
    Ok(trials)
}

/// The logit of each row, from a head trained on the other folds.
pub fn held_out(
    data: &RolloutDataset,
    recipe: &TrainingRecipe,
    folds: FoldPlan,
    tick: &dyn Fn(),
) -> Result<Vec<f64>, TrainingError> {
    let problems = data.problems().len();
    if folds.count < 2 || problems < folds.count {
        return Err(TrainingError::Unfit(format!(
            "{problems} problems cannot be held out in {} folds; collect more, or choose at least 2 folds and at most as \
             many as there are problems",
            folds.count
        )));
    }
    let all: Vec<usize> = (0..data.solutions.len()).collect();
    let dealt = folds::deal(data, &all, folds.count, recipe.seed);
    let mut found = vec![f64::NAN; data.steps.len()];
    for (index, held) in dealt.iter().enumerate() {
        let mut others: Vec<usize> =
            dealt.iter().enumerate().filter(|(other, _)| *other != index).flat_map(|(_, part)| part.clone()).collect();
        others.sort_unstable();
        if let Some(problems) = folds.problems {
            others = folds::sample_problems(data, &others, problems, recipe.seed);
        }
        let network = fit(data, &others, recipe)?;
        let scores = logits(data, held, &recipe.features, &network)?;
        for (row, score) in super::fit::rows(data, held).into_iter().zip(scores) {
            found[row] = f64::from(score);
        }
        tick();
    }
    Ok(found)
}

/// A point of the learning curve.
#[derive(Debug, Clone, Serialize)]
pub struct LearningPoint {
    /// Number of problems trained on.
    pub problems: usize,
    /// The best penalty for this number of problems.
    pub best: PenaltyTrial,
}

/// The best penalty of `penalties` for each number of problems in `sizes`.
pub fn learning_curve(
    data: &RolloutDataset,
    recipe: &TrainingRecipe,
    penalties: &[f64],
    folds: usize,
    sizes: &[usize],
    tick: &dyn Fn(),
) -> Result<Vec<LearningPoint>, TrainingError> {
    let learn = |&problems: &usize| {
        let folds = FoldPlan { count: folds, problems: Some(problems) };
        let best = try_all(data, recipe, penalties, folds, tick)?.swap_remove(0);
        Ok(LearningPoint { problems, best })
    };
    sizes.iter().map(learn).collect()
}

/// Sizes for a learning curve: eighths and quarters of the problems that each fold trains on.
pub fn sizes(data: &RolloutDataset, folds: usize) -> Vec<usize> {
    let most = data.problems().len() * (folds - 1) / folds;
    let mut sizes: Vec<usize> = [1, 2, 4, 6, 8].iter().map(|eighths| most * eighths / 8).collect();
    sizes.retain(|&size| size >= 2);
    sizes.dedup();
    sizes
}
