//! Chooses the threshold that meets a goal best among thresholds that were run, and says how certain the choice is.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Serialize;

use crate::{
    question::Question,
    run_log::{Answer, StepSource},
    statistics::{BootstrapResamples, Estimate},
};

/// What a threshold is chosen for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CalibrationGoal {
    /// The highest accuracy.
    Accuracy,
    /// The fewest FLOPs at an accuracy at most this far below the target's.
    Within(f64),
    /// The highest accuracy at no more than this multiple of the target's FLOPs (`with_prm`).
    Flops(f64),
    /// The highest accuracy in no more than this multiple of the target's time.
    Time(f64),
    /// The highest accuracy with at most this share of drafted steps rejected.
    TargetCalls(f64),
}

/// A goal cannot be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GoalError {
    /// The text names no goal.
    #[error("expected accuracy, within:X, flops:X, time:X or target-calls:X")]
    Unknown,
    /// The number after the colon is missing or out of range.
    #[error("`{text}`: expected a number from 0 to {most}")]
    Number {
        /// What stands after the colon.
        text: String,
        /// The largest number allowed.
        most: f64,
    },
}

impl FromStr for CalibrationGoal {
    type Err = GoalError;

    fn from_str(text: &str) -> Result<Self, GoalError> {
        let share = |text: &str, most: f64| {
            let share = text.parse().ok().filter(|share| (0.0..=most).contains(share));
            share.ok_or_else(|| GoalError::Number { text: text.to_owned(), most })
        };
        match text.split_once(':') {
            None if text == "accuracy" => Ok(Self::Accuracy),
            Some(("within", x)) => share(x, 1.0).map(Self::Within),
            Some(("flops", x)) => share(x, 10.0).map(Self::Flops),
            Some(("time", x)) => share(x, 10.0).map(Self::Time),
            Some(("target-calls", x)) => share(x, 1.0).map(Self::TargetCalls),
            _ => Err(GoalError::Unknown),
        }
    }
}

impl fmt::Display for CalibrationGoal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accuracy => f.write_str("the highest accuracy"),
            Self::Within(x) => {
                write!(f, "the fewest FLOPs at an accuracy at most {:.1} points below the target's", x * 100.0)
            }
            Self::Flops(x) => write!(f, "the highest accuracy at no more than {x:.2} times the target's FLOPs"),
            Self::Time(x) => write!(f, "the highest accuracy in no more than {x:.2} times the target's time"),
            Self::TargetCalls(x) => {
                write!(f, "the highest accuracy with at most {:.0} % of the drafted steps rejected", x * 100.0)
            }
        }
    }
}

/// The results of one threshold, on the questions that every threshold and the target answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThresholdCandidate {
    pub delta: f64,
    /// Share of right answers; without known answers, of answers that agree with the target's.
    pub accuracy: Estimate,
    /// Accuracy minus the target's.
    pub difference: Estimate,
    /// FLOPs (`with_prm`) over the target's.
    pub flops: Estimate,
    /// FLOPs over the target's, including every prompt token that had to be computed.
    pub total_flops: Estimate,
    /// Time over the target's. The thresholds share steps, so it is not measured but computed from the tokens, at what
    /// they cost in the answers of target and draft; `None` if these were not timed.
    pub time: Option<Estimate>,
    /// Share of drafted steps that were rejected, each of which calls the target.
    pub target_calls: Estimate,
    /// Share of resamples of the questions that satisfy the goal's condition.
    pub holds: f64,
    /// Share of resamples of the questions on which this threshold would have been chosen.
    pub chosen: f64,
}

/// The chosen threshold, with all that were compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThresholdChoice {
    /// All thresholds that were run, in ascending order.
    pub candidates: Vec<ThresholdCandidate>,
    /// Place of the chosen candidate; `None` if no threshold meets the goal.
    pub best: Option<usize>,
    /// Number of questions compared.
    pub questions: usize,
    /// Whether the right answers were known.
    pub graded: bool,
}

/// No threshold can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalibrationError {
    /// No question has an answer of the target and of every threshold.
    #[error(
        "no question has been answered by the target and at every threshold yet; run the same command again to resume"
    )]
    NoQuestions,
    /// A model's size is not known.
    #[error("FLOPs cannot be estimated because the size of a model is not known: set `parameters` for its role")]
    NoFlops,
    /// The goal is a time, and none was measured.
    #[error("the answers of target and draft were not timed; choose another goal, or a new --out")]
    NoTimes,
}

/// One question's result at one threshold.
struct QuestionCell {
    right: f64,
    flops: f64,
    total_flops: f64,
    seconds: Option<f64>,
    decided: f64,
    rejected: f64,
}

/// Chooses among the thresholds `deltas` of a log.
///
/// # Errors
/// No question can be compared, FLOPs are not known, or the goal is a time and none was measured.
pub fn choose(
    goal: CalibrationGoal,
    deltas: &[f64],
    questions: &[Question],
    answers: &[Answer],
) -> Result<ThresholdChoice, CalibrationError> {
    let mut thresholds: BTreeMap<u64, (f64, &str)> = BTreeMap::new();
    let mut by: BTreeMap<(&str, &str), &Answer> = BTreeMap::new();
    for answer in answers {
        by.insert((&answer.method, &answer.question), answer);
        let delta = answer.method.strip_prefix("rsd@").and_then(|delta| delta.parse::<f64>().ok());
        if let Some(delta) = delta.filter(|delta| deltas.contains(delta)) {
            thresholds.insert(ordered(delta), (delta, &answer.method));
        }
    }
    if thresholds.len() < deltas.len() {
        return Err(CalibrationError::NoQuestions);
    }
    let is_complete = |question: &&Question| {
        let has = |method: &str| by.contains_key(&(method, question.id.as_str()));
        has("target") && thresholds.values().all(|(_, method)| has(method))
    };
    let asked: Vec<&Question> = questions.iter().filter(is_complete).collect();
    if asked.is_empty() || thresholds.is_empty() {
        return Err(CalibrationError::NoQuestions);
    }
    let prices = TimedPrices::of(answers);
    if matches!(goal, CalibrationGoal::Time(_)) && prices.is_none() {
        return Err(CalibrationError::NoTimes);
    }
    let graded = asked.iter().all(|question| !question.answers.is_empty());
    let row = |method: &str| -> Result<Vec<QuestionCell>, CalibrationError> {
        let cell = |question: &&Question| {
            let of = |method: &str| by[&(method, question.id.as_str())];
            cell(question, of(method), of("target"), graded, prices).ok_or(CalibrationError::NoFlops)
        };
        asked.iter().map(cell).collect()
    };
    let target = row("target")?;
    let rows = thresholds.values().map(|(delta, method)| Ok((*delta, row(method)?))).collect::<Result<Vec<_>, _>>()?;
    let resamples = BootstrapResamples::new(asked.len());
    let choices = resamples.map(|drawn| best(goal, &rows, &target, drawn));
    let share = |yes: &dyn Fn(&Option<usize>) -> bool| {
        choices.iter().filter(|choice| yes(choice)).count() as f64 / choices.len() as f64
    };
    let all: Vec<usize> = (0..asked.len()).collect();
    let candidates = rows.iter().enumerate().map(|(index, (delta, cells))| {
        let estimate = |of: &dyn Fn(&[usize]) -> f64| resamples.estimate(of).unwrap_or(Estimate::exact(0.0));
        let holds = resamples.map(|drawn| meets(goal, cells, &target, drawn));
        ThresholdCandidate {
            delta: *delta,
            accuracy: estimate(&|drawn| mean(cells, drawn, |cell| cell.right)),
            difference: estimate(&|drawn| {
                mean(cells, drawn, |cell| cell.right) - mean(&target, drawn, |cell| cell.right)
            }),
            flops: estimate(&|drawn| flops(cells, &target, drawn)),
            total_flops: estimate(&|drawn| {
                sum(cells, drawn, |cell| cell.total_flops) / sum(&target, drawn, |cell| cell.total_flops)
            }),
            time: prices.map(|_| estimate(&|drawn| time(cells, &target, drawn))),
            target_calls: estimate(&|drawn| target_calls(cells, drawn)),
            holds: holds.iter().filter(|holds| **holds).count() as f64 / holds.len() as f64,
            chosen: share(&|choice| *choice == Some(index)),
        }
    });
    Ok(ThresholdChoice {
        candidates: candidates.collect(),
        best: best(goal, &rows, &target, &all),
        questions: asked.len(),
        graded,
    })
}

/// A key that sorts like the number.
fn ordered(number: f64) -> u64 {
    let bits = number.to_bits();
    if number.is_sign_negative() { !bits } else { bits | 1 << 63 }
}

fn cell(
    question: &Question,
    answer: &Answer,
    target: &Answer,
    graded: bool,
    prices: Option<TimedPrices>,
) -> Option<QuestionCell> {
    let right = if graded {
        rsd_grading::is_right(question.kind, &question.answers, &answer.text)
    } else {
        let says = |text: &str| rsd_grading::final_answer(question.kind, text);
        let both = says(&answer.text).zip(says(&target.text).filter(|_| target.finished));
        both.is_some_and(|(a, b)| rsd_grading::same(question.kind, &a, &b))
    };
    let rejected = answer.steps.iter().filter(|step| step.rejected.is_some()).count();
    let accepted = answer.steps.iter().filter(|step| step.source == StepSource::Draft).count();
    Some(QuestionCell {
        right: f64::from(u8::from(right && answer.finished)),
        flops: answer.flops?.with_prm,
        total_flops: answer.flops?.total,
        seconds: prices.map(|prices| prices.seconds(answer)),
        decided: (rejected + accepted) as f64,
        rejected: rejected as f64,
    })
}

fn sum(cells: &[QuestionCell], drawn: &[usize], of: impl Fn(&QuestionCell) -> f64) -> f64 {
    drawn.iter().map(|&place| of(&cells[place])).sum()
}

fn mean(cells: &[QuestionCell], drawn: &[usize], of: impl Fn(&QuestionCell) -> f64) -> f64 {
    sum(cells, drawn, of) / drawn.len() as f64
}

fn flops(cells: &[QuestionCell], target: &[QuestionCell], drawn: &[usize]) -> f64 {
    sum(cells, drawn, |cell| cell.flops) / sum(target, drawn, |cell| cell.flops)
}

/// Infinite where no time is known.
fn time(cells: &[QuestionCell], target: &[QuestionCell], drawn: &[usize]) -> f64 {
    let seconds = |cells| sum(cells, drawn, |cell| cell.seconds.unwrap_or(f64::INFINITY));
    seconds(cells) / sum(target, drawn, |cell| cell.seconds.unwrap_or(0.0))
}

fn target_calls(cells: &[QuestionCell], drawn: &[usize]) -> f64 {
    sum(cells, drawn, |cell| cell.rejected) / sum(cells, drawn, |cell| cell.decided).max(1.0)
}

/// Whether a threshold satisfies the goal's condition on the questions drawn.
fn meets(goal: CalibrationGoal, cells: &[QuestionCell], target: &[QuestionCell], drawn: &[usize]) -> bool {
    // Shares are sums of rounded floating-point numbers.
    const SLACK: f64 = 1e-9;
    match goal {
        CalibrationGoal::Accuracy => true,
        CalibrationGoal::Within(x) => {
            mean(cells, drawn, |cell| cell.right) >= mean(target, drawn, |cell| cell.right) - x - SLACK
        }
        CalibrationGoal::Flops(x) => flops(cells, target, drawn) <= x + SLACK,
        CalibrationGoal::Time(x) => time(cells, target, drawn) <= x + SLACK,
        CalibrationGoal::TargetCalls(x) => target_calls(cells, drawn) <= x + SLACK,
    }
}

/// The best threshold on the questions drawn: by what the goal asks for, then by fewer FLOPs or less time, then the lower
/// one.
fn best(
    goal: CalibrationGoal,
    rows: &[(f64, Vec<QuestionCell>)],
    target: &[QuestionCell],
    drawn: &[usize],
) -> Option<usize> {
    let worth = |cells: &[QuestionCell]| {
        let cheap = -flops(cells, target, drawn);
        match goal {
            CalibrationGoal::Within(_) => (cheap, 0.0),
            CalibrationGoal::Time(_) => (mean(cells, drawn, |cell| cell.right), -time(cells, target, drawn)),
            CalibrationGoal::Accuracy | CalibrationGoal::Flops(_) | CalibrationGoal::TargetCalls(_) => {
                (mean(cells, drawn, |cell| cell.right), cheap)
            }
        }
    };
    let mut found: Option<(usize, (f64, f64))> = None;
    for (index, (_, cells)) in rows.iter().enumerate().filter(|(_, (_, cells))| meets(goal, cells, target, drawn)) {
        let worth = worth(cells);
        if found.is_none_or(|(_, best)| worth.0.total_cmp(&best.0).then(worth.1.total_cmp(&best.1)).is_gt()) {
            found = Some((index, worth));
        }
    }
    found.map(|(index, _)| index)
}

mod picture;
#[cfg(test)]
mod tests;
mod timed_prices;

pub use self::picture::draw;
use self::timed_prices::TimedPrices;
