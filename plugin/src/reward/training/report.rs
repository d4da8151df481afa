//! How good rewards are on data: every figure with the range that other problems could have given.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{
    dataset::Dataset,
    metrics::{
        Bin, Kept, Sample, at_coverage, auc, bins_by_mass, bins_by_width, brier, calibration_error, kept, log_loss,
        share_good,
    },
};

/// Bins of the calibration curve.
const BINS: usize = 10;
/// Positions with fewer solutions than this are put together.
const FEW: usize = 30;
/// Times that problems are drawn anew for the intervals.
const DRAWS: usize = 1000;

/// A figure and its 95 % interval by bootstrap over problems.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// On the data as it is.
    pub value: f64,
    /// 2.5 % of the draws are lower.
    pub low: f64,
    /// 2.5 % of the draws are higher.
    pub high: f64,
}

/// AUC of one way to score.
#[derive(Debug, Clone, Serialize)]
pub struct Ranking {
    /// What scores.
    pub name: String,
    /// Over the last steps of the solutions.
    pub last: Option<Figure>,
    /// Over all steps.
    pub all: Option<Figure>,
}

/// AUC over the steps at some positions.
#[derive(Debug, Clone, Serialize)]
pub struct AtPosition {
    /// The first position, from 1.
    pub from: usize,
    /// Whether all later positions are in it too.
    pub and_later: bool,
    /// Steps.
    pub steps: usize,
    /// AUC, if there are good and bad ones.
    pub auc: Option<Figure>,
}

/// How far rewards can be taken for probabilities.
#[derive(Debug, Clone, Serialize)]
pub struct Quality {
    /// Steps.
    pub steps: usize,
    /// Share that belongs to right solutions.
    pub good: Option<Figure>,
    /// Brier score.
    pub brier: Option<Figure>,
    /// Log loss, in nats.
    pub log_loss: Option<Figure>,
    /// Expected calibration error with bins of one width.
    pub ece: Option<Figure>,
    /// Expected calibration error with bins of one size.
    pub ece_by_mass: Option<Figure>,
    /// The calibration curve, bins of one width.
    pub bins: Vec<Bin>,
    /// The calibration curve, bins of one size.
    pub bins_by_mass: Vec<Bin>,
    /// The share of right solutions among the best-scored tenth, two tenths, ...
    pub coverage: Vec<Kept>,
}

/// All figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Problems.
    pub problems: usize,
    /// Solutions.
    pub solutions: usize,
    /// Steps.
    pub steps: usize,
    /// Right solutions.
    pub right: usize,
    /// Ranking by the reward, then by the log-probability alone.
    pub rankings: Vec<Ranking>,
    /// By how much the reward's AUC is above that of the better log-probability: last steps, all steps.
    pub advantage: Ranking,
    /// The reward's AUC by position.
    pub positions: Vec<AtPosition>,
    /// Over the last steps.
    pub last: Quality,
    /// Over all steps.
    pub all: Quality,
}

/// Judges `rewards`, one for each row of `data`, over the rows of `solutions`.
pub fn report(data: &Dataset, solutions: &[usize], rewards: &[f64]) -> Report {
    let rows = super::fit::rows(data, solutions);
    let last: Vec<usize> = rows.iter().copied().filter(|&row| data.steps[row].last).collect();
    let draws = Draws::new(data, solutions);
    let ranking = |name: &str, scores: &[f64]| Ranking {
        name: name.to_owned(),
        last: draws.figure(&last, scores, auc),
        all: draws.figure(&rows, scores, auc),
    };
    let baselines = baselines(data);
    let mut rankings = vec![ranking("reward", rewards)];
    rankings.extend(baselines.iter().map(|(name, scores)| ranking(name, scores)));
    let better = |rows: &[usize]| draws.advantage(rows, rewards, &baselines);
    let advantage =
        Ranking { name: "reward above the better of these".to_owned(), last: better(&last), all: better(&rows) };
    Report {
        problems: draws.problems,
        solutions: solutions.len(),
        steps: rows.len(),
        right: solutions.iter().filter(|&&solution| data.solutions[solution].correct).count(),
        rankings,
        advantage,
        positions: positions(data, &rows, |rows| draws.figure(rows, rewards, auc)),
        last: quality(&draws, &last, rewards),
        all: quality(&draws, &rows, rewards),
    }
}

/// Mean log-probability of the step, and of the solution up to the step's end.
fn baselines(data: &Dataset) -> Vec<(&'static str, Vec<f64>)> {
    let Some(step) = data.statistic("mean_logprob") else { return Vec::new() };
    let so_far = data.statistic_so_far("mean_logprob").unwrap_or_default();
    vec![("mean log-probability of the step", step), ("mean log-probability so far", so_far)]
}

fn positions(data: &Dataset, rows: &[usize], auc: impl Fn(&[usize]) -> Option<Figure>) -> Vec<AtPosition> {
    let mut found = Vec::new();
    for position in 0.. {
        let at = |keep: &dyn Fn(usize) -> bool| -> Vec<usize> {
            rows.iter().copied().filter(|&row| keep(data.steps[row].position)).collect()
        };
        let later = at(&|other| other > position);
        let and_later = !later.is_empty() && at(&|other| other == position + 1).len() < FEW;
        let here = if and_later { at(&|other| other >= position) } else { at(&|other| other == position) };
        found.push(AtPosition { from: position + 1, and_later, steps: here.len(), auc: auc(&here) });
        if and_later || later.is_empty() {
            break;
        }
    }
    found
}

fn quality(draws: &Draws, rows: &[usize], rewards: &[f64]) -> Quality {
    let samples = draws.samples(rows, rewards, None);
    let ways = kept(&samples);
    Quality {
        steps: rows.len(),
        good: draws.figure(rows, rewards, share_good),
        brier: draws.figure(rows, rewards, brier),
        log_loss: draws.figure(rows, rewards, log_loss),
        ece: draws.figure(rows, rewards, |samples| calibration_error(&bins_by_width(samples, BINS))),
        ece_by_mass: draws.figure(rows, rewards, |samples| calibration_error(&bins_by_mass(samples, BINS))),
        bins: bins_by_width(&samples, BINS),
        bins_by_mass: bins_by_mass(&samples, BINS),
        coverage: (1..=10).filter_map(|tenths| at_coverage(&ways, f64::from(tenths) / 10.0)).collect(),
    }
}

/// The same draws of problems for every figure, so that differences are between like and like.
struct Draws<'a> {
    data: &'a Dataset,
    problems: usize,
    /// The number of each solution's problem.
    problem: Vec<usize>,
    /// How often each problem was drawn.
    counts: Vec<Vec<f64>>,
}

impl<'a> Draws<'a> {
    fn new(data: &'a Dataset, solutions: &[usize]) -> Self {
        let mut names: Vec<&str> = solutions.iter().map(|&index| data.solutions[index].problem.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let number = |name: &str| names.binary_search(&name).unwrap_or(0);
        let problem = data.solutions.iter().map(|solution| number(&solution.problem)).collect();
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let counts = (0..DRAWS).map(|_| {
            let mut counts = vec![0.0; names.len()];
            (0..names.len()).for_each(|_| counts[random.random_range(0..names.len())] += 1.0);
            counts
        });
        Self { data, problems: names.len(), problem, counts: counts.collect() }
    }

    fn samples(&self, rows: &[usize], scores: &[f64], counts: Option<&[f64]>) -> Vec<Sample> {
        let weight = |row: usize| counts.map_or(1.0, |counts| counts[self.problem[self.data.steps[row].solution]]);
        let sample = |&row: &usize| Sample { score: scores[row], good: self.data.correct(row), weight: weight(row) };
        rows.iter().map(sample).collect()
    }

    fn interval(&self, of: impl Fn(Option<&[f64]>) -> Option<f64>) -> Option<Figure> {
        let value = of(None)?;
        let mut drawn: Vec<f64> = self.counts.iter().filter_map(|counts| of(Some(counts))).collect();
        drawn.sort_by(f64::total_cmp);
        let tail = drawn.len() / 40;
        let low = drawn.get(tail).copied()?;
        let high = drawn.get(drawn.len() - 1 - tail).copied()?;
        Some(Figure { value, low, high })
    }

    fn figure(&self, rows: &[usize], scores: &[f64], of: impl Fn(&[Sample]) -> Option<f64>) -> Option<Figure> {
        let mut rows = rows.to_vec();
        // Sorting what is sorted is quick, and every draw sorts.
        rows.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        self.interval(|counts| of(&self.samples(&rows, scores, counts)))
    }

    fn advantage(&self, rows: &[usize], rewards: &[f64], others: &[(&str, Vec<f64>)]) -> Option<Figure> {
        self.interval(|counts| {
            let auc = |scores: &[f64]| auc(&self.samples(rows, scores, counts));
            let best = others.iter().filter_map(|(_, scores)| auc(scores)).reduce(f64::max)?;
            Some(auc(rewards)? - best)
        })
    }
}
