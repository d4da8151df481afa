//! Cross-validation by problem: what a recipe is worth on problems it has not seen.

use serde::Serialize;

use super::{
    dataset::Dataset,
    error::TrainingError,
    fit::{Recipe, fit, logits},
    folds,
    metrics::{Sample, auc},
    network::cross_entropy,
};

/// Penalties tried when none is given.
pub const L2_GRID: [f64; 6] = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// What one penalty gave.
#[derive(Debug, Clone, Serialize)]
pub struct Trial {
    /// The penalty.
    pub l2: f64,
    /// AUC over the last steps.
    pub last: f64,
    /// AUC over all steps.
    pub all: f64,
    /// Mean cross entropy over all steps, before calibration.
    pub log_loss: f64,
    /// The logit of each row, from a head that has not seen its problem.
    #[serde(skip)]
    pub logits: Vec<f64>,
}

/// How to validate.
#[derive(Debug, Clone, Copy)]
pub struct Folds {
    /// Parts, each held out once.
    pub count: usize,
    /// Learn from at most so many problems in each turn.
    pub problems: Option<usize>,
}

/// Tries every penalty; `tick` is called after each fit. The first trial of the result is the best: the one with the
/// highest sum of both AUCs.
///
/// # Errors
/// There are fewer problems than folds, or nothing to learn in one of them.
pub fn try_all(
    data: &Dataset,
    recipe: &Recipe,
    penalties: &[f64],
    folds: Folds,
    tick: &dyn Fn(),
) -> Result<Vec<Trial>, TrainingError> {
    let mut trials = Vec::with_capacity(penalties.len());
    for &l2 in penalties {
        let logits = held_out(data, &Recipe { l2, ..recipe.clone() }, folds, tick)?;
        let good = |row: usize| data.correct(row);
        let score = |only_last: bool| {
            let rows = (0..logits.len()).filter(|&row| !only_last || data.steps[row].last);
            let samples: Vec<Sample> =
                rows.map(|row| Sample { score: logits[row], good: good(row), weight: 1.0 }).collect();
            auc(&samples).ok_or_else(|| {
                TrainingError::Unfit("the solutions are all right or all wrong; collect more".to_owned())
            })
        };
        let losses = logits.iter().enumerate().map(|(row, &z)| cross_entropy(z, f64::from(u8::from(good(row)))));
        let log_loss = losses.sum::<f64>() / logits.len() as f64;
        trials.push(Trial { l2, last: score(true)?, all: score(false)?, log_loss, logits });
    }
    trials.sort_by(|a, b| (b.last + b.all).total_cmp(&(a.last + a.all)));
    Ok(trials)
}

/// The logit of each row, from a head trained on the other folds.
pub fn held_out(data: &Dataset, recipe: &Recipe, folds: Folds, tick: &dyn Fn()) -> Result<Vec<f64>, TrainingError> {
    let problems = data.problems().len();
    if folds.count < 2 || problems < folds.count {
        return Err(TrainingError::Unfit(format!(
            "{problems} problems cannot be held out in {} folds; collect more, or choose from 2 folds up to as many as \
             there are problems",
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
            others = folds::some(data, &others, problems, recipe.seed);
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
pub struct Learned {
    /// Problems learned from.
    pub problems: usize,
    /// The best penalty for so many, and its figures.
    pub best: Trial,
}

/// What fewer problems would have given: the best penalty of `penalties` for each size.
pub fn learning_curve(
    data: &Dataset,
    recipe: &Recipe,
    penalties: &[f64],
    folds: usize,
    sizes: &[usize],
    tick: &dyn Fn(),
) -> Result<Vec<Learned>, TrainingError> {
    let learn = |&problems: &usize| {
        let folds = Folds { count: folds, problems: Some(problems) };
        let best = try_all(data, recipe, penalties, folds, tick)?.swap_remove(0);
        Ok(Learned { problems, best })
    };
    sizes.iter().map(learn).collect()
}

/// Sizes for a learning curve: eighths and quarters of what each turn of a cross-validation learns from.
pub fn sizes(data: &Dataset, folds: usize) -> Vec<usize> {
    let most = data.problems().len() * (folds - 1) / folds;
    let mut sizes: Vec<usize> = [1, 2, 4, 6, 8].iter().map(|eighths| most * eighths / 8).collect();
    sizes.retain(|&size| size >= 2);
    sizes.dedup();
    sizes
}
