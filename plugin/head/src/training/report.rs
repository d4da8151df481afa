//! Measures rewards on data. Every figure has a 95 % interval by bootstrap over problems.

use rsd_statistics::{BootstrapResamples, Estimate, WeightedSample, auc};
use serde::Serialize;

use super::{
    dataset::RolloutDataset,
    metrics::{
        CalibrationBin, CoveragePoint, at_coverage, bins_by_mass, bins_by_width, brier, calibration_error,
        coverage_curve, log_loss, share_good,
    },
};

/// Bins of the calibration curve.
const BINS: usize = 10;
/// Positions with fewer solutions than this are put together.
const FEW: usize = 30;
/// Resamples of the problems. Model cards say what was measured with this number and seed.
const RESAMPLES: usize = 1000;
const SEED: u64 = 0;

/// AUC of one score.
#[derive(Debug, Clone, Serialize)]
pub struct RankingResult {
    /// The name of the score.
    pub name: String,
    /// Over the last steps of the solutions.
    pub last: Option<Estimate>,
    /// Over all steps.
    pub all: Option<Estimate>,
}

/// AUC over the steps at some positions.
#[derive(Debug, Clone, Serialize)]
pub struct PositionAuc {
    /// The first position, from 1.
    pub from: usize,
    /// Whether all later positions are included.
    pub and_later: bool,
    pub steps: usize,
    /// `None` if all steps are good or all are bad.
    pub auc: Option<Estimate>,
}

/// How well rewards work as probabilities.
#[derive(Debug, Clone, Serialize)]
pub struct CalibrationQuality {
    pub steps: usize,
    /// Share of the steps that belongs to right solutions.
    pub good: Option<Estimate>,
    pub brier: Option<Estimate>,
    /// Log loss, in nats.
    pub log_loss: Option<Estimate>,
    /// Expected calibration error with bins of the same width.
    pub ece: Option<Estimate>,
    /// Expected calibration error with bins of the same number of steps.
    pub ece_by_mass: Option<Estimate>,
    /// The calibration curve with bins of the same width.
    pub bins: Vec<CalibrationBin>,
    /// The calibration curve with bins of the same number of steps.
    pub bins_by_mass: Vec<CalibrationBin>,
    /// The share of right solutions among the best-scored tenth, two tenths, ...
    pub coverage: Vec<CoveragePoint>,
}

#[derive(Debug, Clone, Serialize)]
pub struct RewardReport {
    pub problems: usize,
    pub solutions: usize,
    pub steps: usize,
    /// Number of right solutions.
    pub right: usize,
    /// AUC of the reward, then of log-probabilities alone.
    pub rankings: Vec<RankingResult>,
    /// The reward's AUC minus that of the better log-probability.
    pub advantage: RankingResult,
    /// The reward's AUC by position.
    pub positions: Vec<PositionAuc>,
    /// Over the last steps.
    pub last: CalibrationQuality,
    /// Over all steps.
    pub all: CalibrationQuality,
}

/// Judges `rewards`, one for each row of `data`, over the rows of `solutions`.
pub fn report(data: &RolloutDataset, solutions: &[usize], rewards: &[f64]) -> RewardReport {
    let rows = super::fit::rows(data, solutions);
    let last: Vec<usize> = rows.iter().copied().filter(|&row| data.steps[row].last).collect();
    let resamples = ProblemResamples::new(data, solutions);
    let ranking = |name: &str, scores: &[f64]| RankingResult {
        name: name.to_owned(),
        last: resamples.estimate(&last, scores, auc),
        all: resamples.estimate(&rows, scores, auc),
    };
    let baselines = baselines(data);
    let mut rankings = vec![ranking("reward", rewards)];
    rankings.extend(baselines.iter().map(|(name, scores)| ranking(name, scores)));
    let better = |rows: &[usize]| resamples.advantage(rows, rewards, &baselines);
    let advantage =
        RankingResult { name: "reward above the better of these".to_owned(), last: better(&last), all: better(&rows) };
    RewardReport {
        problems: resamples.problems(),
        solutions: solutions.len(),
        steps: rows.len(),
        right: solutions.iter().filter(|&&solution| data.solutions[solution].correct).count(),
        rankings,
        advantage,
        positions: positions(data, &rows, |rows| resamples.estimate(rows, rewards, auc)),
        last: quality(&resamples, &last, rewards),
        all: quality(&resamples, &rows, rewards),
    }
}

/// Mean log-probability of the step, and of the solution up to the step's end.
fn baselines(data: &RolloutDataset) -> Vec<(&'static str, Vec<f64>)> {
    let Some(step) = data.statistic("mean_logprob") else { return Vec::new() };
    let so_far = data.statistic_so_far("mean_logprob").unwrap_or_default();
    vec![("mean log-probability of the step", step), ("mean log-probability so far", so_far)]
}

fn positions(data: &RolloutDataset, rows: &[usize], auc: impl Fn(&[usize]) -> Option<Estimate>) -> Vec<PositionAuc> {
    let mut found = Vec::new();
    for position in 0.. {
        let at = |includes: &dyn Fn(usize) -> bool| -> Vec<usize> {
            rows.iter().copied().filter(|&row| includes(data.steps[row].position)).collect()
        };
        let later = at(&|other| other > position);
        let and_later = !later.is_empty() && at(&|other| other == position + 1).len() < FEW;
        let here = if and_later { at(&|other| other >= position) } else { at(&|other| other == position) };
        found.push(PositionAuc { from: position + 1, and_later, steps: here.len(), auc: auc(&here) });
        if and_later || later.is_empty() {
            break;
        }
    }
    found
}

fn quality(resamples: &ProblemResamples, rows: &[usize], rewards: &[f64]) -> CalibrationQuality {
    let samples = resamples.samples(rows, rewards, None);
    let curve = coverage_curve(&samples);
    CalibrationQuality {
        steps: rows.len(),
        good: resamples.estimate(rows, rewards, share_good),
        brier: resamples.estimate(rows, rewards, brier),
        log_loss: resamples.estimate(rows, rewards, log_loss),
        ece: resamples.estimate(rows, rewards, |samples| calibration_error(&bins_by_width(samples, BINS))),
        ece_by_mass: resamples.estimate(rows, rewards, |samples| calibration_error(&bins_by_mass(samples, BINS))),
        bins: bins_by_width(&samples, BINS),
        bins_by_mass: bins_by_mass(&samples, BINS),
        coverage: (1..=10).filter_map(|tenths| at_coverage(&curve, f64::from(tenths) / 10.0)).collect(),
    }
}

/// The same resamples of problems for every figure, so that differences compare like with like.
struct ProblemResamples<'a> {
    data: &'a RolloutDataset,
    /// The number of each solution's problem.
    problem: Vec<usize>,
    resamples: BootstrapResamples,
}

impl<'a> ProblemResamples<'a> {
    fn new(data: &'a RolloutDataset, solutions: &[usize]) -> Self {
        let mut names: Vec<&str> = solutions.iter().map(|&index| data.solutions[index].problem.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let number = |name: &str| names.binary_search(&name).unwrap_or(0);
        let problem = data.solutions.iter().map(|solution| number(&solution.problem)).collect();
        Self { data, problem, resamples: BootstrapResamples::with_seed(names.len(), RESAMPLES, SEED) }
    }

    fn problems(&self) -> usize {
        self.resamples.items()
    }

    /// Samples that count as often as their problem was drawn. Without `times` each counts once.
    fn samples(&self, rows: &[usize], scores: &[f64], times: Option<&[f64]>) -> Vec<WeightedSample> {
        let weight = |row: usize| times.map_or(1.0, |times| times[self.problem[self.data.steps[row].solution]]);
        let sample =
            |&row: &usize| WeightedSample { score: scores[row], good: self.data.correct(row), weight: weight(row) };
        rows.iter().map(sample).collect()
    }

    fn estimate(
        &self,
        rows: &[usize],
        scores: &[f64],
        statistic: impl Fn(&[WeightedSample]) -> Option<f64>,
    ) -> Option<Estimate> {
        let mut rows = rows.to_vec();
        // The statistics sort the samples of every resample, which is quick if they are sorted already.
        rows.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        self.resamples.estimate_weighted(|times| statistic(&self.samples(&rows, scores, Some(times))))
    }

    /// The reward's AUC minus the highest AUC of the others.
    fn advantage(&self, rows: &[usize], rewards: &[f64], others: &[(&str, Vec<f64>)]) -> Option<Estimate> {
        self.resamples.estimate_weighted(|times| {
            let auc = |scores: &[f64]| auc(&self.samples(rows, scores, Some(times)));
            let best = others.iter().filter_map(|(_, scores)| auc(scores)).reduce(f64::max)?;
            Some(auc(rewards)? - best)
        })
    }
}
