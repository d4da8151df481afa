//! `mistralrs-rsd prm train`: trains a reward head on collected rollouts and writes its model card.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use super::ThresholdGoalArgs;
use crate::cli::output::print_line;
use crate::cli::{provenance, values};
use rsd_files::FileAccess;
use rsd_head::{
    progress::item_bar,
    training::{
        Calibration, FeatureSet, HeadFile, RolloutDataset, ThresholdGoal, TrainingRecipe, WeightedSample,
        card::{self, ModelCard},
        choose_threshold, fit, report, table,
        validate::{self, FoldPlan, L2_GRID},
    },
};

/// Train a head.
#[derive(Debug, Clone, Args)]
pub(super) struct TrainArgs {
    /// A folder that `prm collect` has written; may be repeated
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
    /// The file for the head; its model card gets the same name with .md
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Features that the head reads: last, mean, statistics of the step, `mean_so_far`, `statistics_so_far`,
    /// `checks_so_far` (how many equations hold) of the solution
    #[arg(long, value_name = "LIST", default_value = "last,mean_so_far,statistics_so_far")]
    features: FeatureSet,
    /// Hidden units; 0 for logistic regression
    #[arg(long, value_name = "N", default_value_t = 0)]
    hidden: usize,
    /// Penalty on the squares of the weights; the best of several is used; without one a grid is tried
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = values::non_negative)]
    l2: Vec<f64>,
    /// How steps of right and of wrong solutions are weighted
    #[arg(long, value_enum, default_value_t = ClassWeights::None)]
    weights: ClassWeights,
    /// What has the same weight
    #[arg(long, value_enum, default_value_t = WeightUnit::Step)]
    unit: WeightUnit,
    /// Learn the labels of the steps instead of the correctness of the final answer
    #[arg(long)]
    labels: bool,
    /// Folds of the cross-validation
    #[arg(long, value_name = "K", default_value_t = 5)]
    folds: usize,
    /// Seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Limit on the passes over the data
    #[arg(long, value_name = "N", default_value_t = 300)]
    epochs: usize,
    /// Also report the results with fewer problems: with these numbers, or with eighths and quarters of the data
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 0.., require_equals = true)]
    learning_curve: Option<Vec<usize>>,
    #[command(flatten)]
    goal: ThresholdGoalArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ClassWeights {
    /// Both classes have the same weight in sum
    Balanced,
    /// No weights
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WeightUnit {
    /// Every step
    Step,
    /// Every solution, however many steps it has
    Solution,
}

impl TrainArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        // Before the training, which takes a while and must not be lost for a missing folder.
        let folder = self.out.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let data = RolloutDataset::read(&self.data)?;
        let grid = if self.l2.is_empty() { L2_GRID.to_vec() } else { self.l2.clone() };
        let sizes = match &self.learning_curve {
            None => Vec::new(),
            Some(sizes) if sizes.is_empty() => validate::sizes(&data, self.folds),
            Some(sizes) => sizes.clone(),
        };
        let bar = fit_bar(grid.len() * self.folds * (1 + sizes.len()));
        let tick = || bar.inc(1);
        let recipe = self.recipe();
        let folds = FoldPlan { count: self.folds, problems: None };
        bar.set_message("cross-validating");
        let trials = validate::try_all(&data, &recipe, &grid, folds, &tick)?;
        bar.set_message("learning curve");
        let learned = validate::learning_curve(&data, &recipe, &grid, self.folds, &sizes, &tick)?;
        bar.finish_and_clear();

        let recipe = TrainingRecipe { l2: trials[0].l2, ..recipe };
        let held_out = samples(&data, trials[0].logits.iter().copied());
        let calibration = Calibration::fit(&held_out)?;
        let rewards: Vec<f64> = trials[0].logits.iter().map(|&logit| calibration.reward(logit)).collect();
        let goal = self.goal.goal().unwrap_or(ThresholdGoal::Acceptance(0.5));
        let at_delta = choose_threshold(&samples(&data, rewards.iter().copied()), goal)?;
        let everything: Vec<usize> = (0..data.solutions.len()).collect();
        let report = report(&data, &everything, &rewards);

        let head = Self::train_head(&data, recipe.clone(), calibration, at_delta.threshold)?;
        head.write(&self.out)?;
        let card = card::markdown(&ModelCard {
            head: &head,
            recipe: &recipe,
            data: &self.data.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
            trials: &trials,
            folds: self.folds,
            report: &report,
            at_delta,
            learned: &learned,
            command: &provenance::command(),
        });
        let card_path = self.out.with_extension("md");
        rsd_files::replace(&card_path, card.as_bytes(), FileAccess::Shared)?;
        let (folds, l2, result) = (self.folds, recipe.l2, table::markdown(&report));
        print_line(&format!("Cross-validated by problem in {folds} folds, L2 {l2}: {result}"))?;
        if !learned.is_empty() {
            print_line(&card::learning_curve(&learned))?;
        }
        print_line(&format!("{}: temperature {:.4}, delta {}", self.out.display(), head.temperature, head.delta))?;
        print_line(&format!("{}: model card", card_path.display()))
    }

    /// Trains a head on all data and calibrates it.
    fn train_head(
        data: &RolloutDataset,
        recipe: TrainingRecipe,
        calibration: Calibration,
        delta: f64,
    ) -> anyhow::Result<HeadFile> {
        let everything: Vec<usize> = (0..data.solutions.len()).collect();
        let mut head = HeadFile {
            draft: data.draft.clone(),
            hidden_size: data.hidden_size,
            features: recipe.features.clone(),
            statistics: data.statistics.clone(),
            temperature: 1.0,
            offset: 0.0,
            delta,
            network: fit(data, &everything, &recipe)?,
            recipe: Some(recipe),
            problems: data.problems().into_iter().map(str::to_owned).collect(),
        };
        head.calibrate(calibration);
        Ok(head)
    }

    fn recipe(&self) -> TrainingRecipe {
        TrainingRecipe {
            features: self.features.clone(),
            hidden: self.hidden,
            l2: 0.0,
            balanced: self.weights == ClassWeights::Balanced,
            by_solution: self.unit == WeightUnit::Solution,
            labels: self.labels,
            epochs: self.epochs,
            seed: self.seed,
        }
    }
}

/// All steps with their scores.
pub(super) fn samples(data: &RolloutDataset, scores: impl Iterator<Item = f64>) -> Vec<WeightedSample> {
    scores.enumerate().map(|(row, score)| WeightedSample { score, good: data.correct(row), weight: 1.0 }).collect()
}

/// A progress bar over fits.
pub(super) fn fit_bar(fits: usize) -> ProgressBar {
    item_bar(fits, "{msg} [{bar:30}] {pos} of {len} fits, {eta} left")
}
