//! `mistralrs-rsd prm train`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::{WishArgs, say};
use crate::{
    models::atomic,
    reward::training::{
        Calibration, Dataset, FeatureSet, HeadFile, Recipe, Wish,
        card::{self, Card},
        delta, fit,
        metrics::Sample,
        report, table,
        validate::{self, Folds, L2_GRID},
    },
};

/// Train a head.
#[derive(Debug, Clone, Args)]
pub(super) struct Train {
    /// A directory that `prm collect` wrote; may be repeated
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
    /// Where the head goes; its model card gets the same name with .md
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the head looks at: last, mean, statistics of the step, `mean_so_far`, `statistics_so_far` of the solution
    #[arg(long, value_name = "LIST", default_value = "last,mean_so_far,statistics_so_far")]
    features: FeatureSet,
    /// Hidden units; 0 for logistic regression
    #[arg(long, value_name = "N", default_value_t = 0)]
    hidden: usize,
    /// Penalty on the squares of the weights; of several the best is taken; a grid if not given
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = penalty)]
    l2: Vec<f64>,
    /// How steps of right and of wrong solutions weigh
    #[arg(long, value_enum, default_value_t = Weights::None)]
    weights: Weights,
    /// What counts the same
    #[arg(long, value_enum, default_value_t = Unit::Step)]
    unit: Unit,
    /// Learn the steps' own labels instead of the correctness of the final answer
    #[arg(long)]
    labels: bool,
    /// Parts of the cross-validation
    #[arg(long, value_name = "K", default_value_t = 5)]
    folds: usize,
    /// Seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Most passes over the data
    #[arg(long, value_name = "N", default_value_t = 300)]
    epochs: usize,
    /// Also tell what fewer problems would have given; for these numbers of problems, or for eighths and quarters
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 0.., require_equals = true)]
    learning_curve: Option<Vec<usize>>,
    #[command(flatten)]
    wish: WishArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Weights {
    /// Both kinds weigh the same in sum
    Balanced,
    /// Every step weighs what it weighs
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Unit {
    /// Every step
    Step,
    /// Every solution, however many steps it has
    Solution,
}

fn penalty(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(penalty) if penalty >= 0.0 && f64::is_finite(penalty) => Ok(penalty),
        _ => Err("expected a number from 0 on".to_owned()),
    }
}

impl Train {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let data = Dataset::read(&self.data)?;
        let grid = if self.l2.is_empty() { L2_GRID.to_vec() } else { self.l2.clone() };
        let sizes = match &self.learning_curve {
            None => Vec::new(),
            Some(sizes) if sizes.is_empty() => validate::sizes(&data, self.folds),
            Some(sizes) => sizes.clone(),
        };
        let bar = bar(grid.len() * self.folds * (1 + sizes.len()));
        let tick = || bar.inc(1);
        let recipe = self.recipe();
        let folds = Folds { count: self.folds, problems: None };
        bar.set_message("cross-validating");
        let trials = validate::try_all(&data, &recipe, &grid, folds, &tick)?;
        bar.set_message("learning curve");
        let learned = validate::learning_curve(&data, &recipe, &grid, self.folds, &sizes, &tick)?;
        bar.finish_and_clear();

        let recipe = Recipe { l2: trials[0].l2, ..recipe };
        let held_out = samples(&data, trials[0].logits.iter().copied());
        let calibration = Calibration::fit(&held_out)?;
        let rewards: Vec<f64> = trials[0].logits.iter().map(|&logit| calibration.reward(logit)).collect();
        let wish = self.wish.wish().unwrap_or(Wish::Acceptance(0.5));
        let at_delta = delta(&samples(&data, rewards.iter().copied()), wish)?;
        let everything: Vec<usize> = (0..data.solutions.len()).collect();
        let report = report(&data, &everything, &rewards);

        let mut head = HeadFile {
            draft: data.draft.clone(),
            hidden_size: data.hidden_size,
            features: recipe.features.clone(),
            statistics: data.statistics.clone(),
            temperature: 1.0,
            offset: 0.0,
            delta: at_delta.threshold,
            network: fit(&data, &everything, &recipe)?,
            recipe: Some(recipe.clone()),
            problems: data.problems().into_iter().map(str::to_owned).collect(),
        };
        head.calibrate(calibration);
        head.write(&self.out)?;
        let card = card::markdown(&Card {
            head: &head,
            recipe: &recipe,
            data: &self.data.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
            trials: &trials,
            folds: self.folds,
            report: &report,
            at_delta,
            learned: &learned,
            command: &command(),
        });
        let card_path = self.out.with_extension("md");
        atomic::write(&card_path, card.as_bytes())?;
        say(&format!(
            "Cross-validated by problem in {} folds, L2 {}: {}",
            self.folds,
            recipe.l2,
            table::markdown(&report)
        ))?;
        if !learned.is_empty() {
            say(&card::learning_curve(&learned))?;
        }
        say(&format!("{}: temperature {:.4}, delta {}", self.out.display(), head.temperature, head.delta))?;
        say(&format!("{}: model card", card_path.display()))?;
        Ok(())
    }

    fn recipe(&self) -> Recipe {
        Recipe {
            features: self.features.clone(),
            hidden: self.hidden,
            l2: 0.0,
            balanced: self.weights == Weights::Balanced,
            by_solution: self.unit == Unit::Solution,
            labels: self.labels,
            epochs: self.epochs,
            seed: self.seed,
        }
    }
}

/// All steps with a score each.
pub(super) fn samples(data: &Dataset, scores: impl Iterator<Item = f64>) -> Vec<Sample> {
    scores.enumerate().map(|(row, score)| Sample { score, good: data.correct(row), weight: 1.0 }).collect()
}

/// A bar over fits; invisible if stderr is no terminal.
pub(super) fn bar(fits: usize) -> ProgressBar {
    let bar = ProgressBar::new(fits as u64);
    // The template is a constant that parses; the default style stands in if indicatif ever disagrees.
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos} of {len} fits, {eta} left") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// The command line as it was typed, but for the path of the program.
fn command() -> String {
    let mut words: Vec<String> = std::env::args().collect();
    if let Some(program) = words.first_mut()
        && let Some(name) = Path::new(program).file_name()
    {
        *program = name.to_string_lossy().into_owned();
    }
    words.join(" ")
}
