//! The threshold for a goal, chosen among thresholds that were run, and how sure the choice is.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Serialize;

use crate::{
    grade,
    question::Question,
    record::{Answer, Source},
    statistics::{Draws, Figure},
};

/// What a threshold is chosen for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// The highest accuracy.
    Accuracy,
    /// The fewest FLOPs at an accuracy no more than this below the target's.
    Within(f64),
    /// The highest accuracy at no more than this share of the target's FLOPs (`with_prm`).
    Flops(f64),
    /// The highest accuracy with no more than this share of drafted steps written anew.
    TargetCalls(f64),
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = |text: &str, most: f64| {
            let share = text.parse().ok().filter(|share| (0.0..=most).contains(share));
            share.ok_or_else(|| format!("`{text}`: expected a number from 0 to {most}"))
        };
        match text.split_once(':') {
            None if text == "accuracy" => Ok(Self::Accuracy),
            Some(("within", x)) => share(x, 1.0).map(Self::Within),
            Some(("flops", x)) => share(x, 10.0).map(Self::Flops),
            Some(("target-calls", x)) => share(x, 1.0).map(Self::TargetCalls),
            _ => Err("expected accuracy, within:X, flops:X or target-calls:X".to_owned()),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accuracy => f.write_str("the highest accuracy"),
            Self::Within(x) => {
                write!(f, "the fewest FLOPs at an accuracy no more than {:.1} points below the target's", x * 100.0)
            }
            Self::Flops(x) => write!(f, "the highest accuracy at {x:.2} of the target's FLOPs or less"),
            Self::TargetCalls(x) => {
                write!(f, "the highest accuracy with {:.0} % of the steps written anew or less", x * 100.0)
            }
        }
    }
}

/// What a threshold came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// The threshold.
    pub delta: f64,
    /// Share of right answers; of answers that agree with the target's where no right ones are known.
    pub accuracy: Figure,
    /// By how much that is above the target's.
    pub difference: Figure,
    /// FLOPs (`with_prm`) over the target's.
    pub flops: Figure,
    /// FLOPs over the target's, with every prompt token that had to be computed.
    pub total_flops: Figure,
    /// Share of drafted steps that the target wrote anew.
    pub target_calls: Figure,
    /// Share of draws of questions on which the goal's condition holds.
    pub holds: f64,
    /// Share of draws of questions on which this threshold would have been chosen.
    pub chosen: f64,
}

/// A choice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// All thresholds that were run, from the lowest.
    pub candidates: Vec<Candidate>,
    /// Which is chosen; none where no threshold meets the goal.
    pub best: Option<usize>,
    /// Questions it rests on.
    pub questions: usize,
    /// Whether the right answers were known.
    pub graded: bool,
}

/// Why nothing can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalibrationError {
    /// No question has answers of the target and of every threshold.
    #[error("no question is answered by the target and at every threshold yet")]
    NoQuestions,
    /// FLOPs are not known.
    #[error("the size of a model is not known, so its FLOPs are not: set `parameters` for its role")]
    NoFlops,
}

/// One question at one threshold.
struct Cell {
    right: f64,
    flops: f64,
    total_flops: f64,
    judged: f64,
    rejected: f64,
}

/// Chooses among these thresholds of a log for a goal.
///
/// # Errors
/// There is nothing to choose from.
pub fn choose(
    goal: Goal,
    deltas: &[f64],
    questions: &[Question],
    answers: &[Answer],
) -> Result<Choice, CalibrationError> {
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
    let whole = |question: &&Question| {
        let there = |method: &str| by.contains_key(&(method, question.id.as_str()));
        there("target") && thresholds.values().all(|(_, method)| there(method))
    };
    let asked: Vec<&Question> = questions.iter().filter(whole).collect();
    if asked.is_empty() || thresholds.is_empty() {
        return Err(CalibrationError::NoQuestions);
    }
    let graded = asked.iter().all(|question| !question.answers.is_empty());
    let row = |method: &str| -> Result<Vec<Cell>, CalibrationError> {
        let cell = |question: &&Question| {
            let of = |method: &str| by[&(method, question.id.as_str())];
            cell(question, of(method), of("target"), graded).ok_or(CalibrationError::NoFlops)
        };
        asked.iter().map(cell).collect()
    };
    let target = row("target")?;
    let rows = thresholds.values().map(|(delta, method)| Ok((*delta, row(method)?))).collect::<Result<Vec<_>, _>>()?;
    let draws = Draws::new(asked.len());
    let choices = draws.each(|drawn| best(goal, &rows, &target, drawn));
    let share = |yes: &dyn Fn(&Option<usize>) -> bool| {
        choices.iter().filter(|choice| yes(choice)).count() as f64 / choices.len() as f64
    };
    let all: Vec<usize> = (0..asked.len()).collect();
    let candidates = rows.iter().enumerate().map(|(index, (delta, cells))| {
        let figure = |of: &dyn Fn(&[usize]) -> f64| draws.figure(of).unwrap_or(Figure::exact(0.0));
        let holds = draws.each(|drawn| meets(goal, cells, &target, drawn));
        Candidate {
            delta: *delta,
            accuracy: figure(&|drawn| mean(cells, drawn, |cell| cell.right)),
            difference: figure(&|drawn| {
                mean(cells, drawn, |cell| cell.right) - mean(&target, drawn, |cell| cell.right)
            }),
            flops: figure(&|drawn| flops(cells, &target, drawn)),
            total_flops: figure(&|drawn| {
                sum(cells, drawn, |cell| cell.total_flops) / sum(&target, drawn, |cell| cell.total_flops)
            }),
            target_calls: figure(&|drawn| target_calls(cells, drawn)),
            holds: holds.iter().filter(|holds| **holds).count() as f64 / holds.len() as f64,
            chosen: share(&|choice| *choice == Some(index)),
        }
    });
    Ok(Choice {
        candidates: candidates.collect(),
        best: best(goal, &rows, &target, &all),
        questions: asked.len(),
        graded,
    })
}

/// A key that sorts as the number does.
fn ordered(number: f64) -> u64 {
    let bits = number.to_bits();
    if number.is_sign_negative() { !bits } else { bits | 1 << 63 }
}

fn cell(question: &Question, answer: &Answer, target: &Answer, graded: bool) -> Option<Cell> {
    let right = if graded {
        grade::is_right(question, &answer.text)
    } else {
        let says = |text: &str| grade::final_answer(question.kind, text);
        let both = says(&answer.text).zip(says(&target.text).filter(|_| target.finished));
        both.is_some_and(|(a, b)| grade::same(question.kind, &a, &b))
    };
    let rejected = answer.steps.iter().filter(|step| step.rejected.is_some()).count();
    let kept = answer.steps.iter().filter(|step| step.source == Source::Draft).count();
    Some(Cell {
        right: f64::from(u8::from(right && answer.finished)),
        flops: answer.flops?.with_prm,
        total_flops: answer.flops?.total,
        judged: (rejected + kept) as f64,
        rejected: rejected as f64,
    })
}

fn sum(cells: &[Cell], drawn: &[usize], of: impl Fn(&Cell) -> f64) -> f64 {
    drawn.iter().map(|&place| of(&cells[place])).sum()
}

fn mean(cells: &[Cell], drawn: &[usize], of: impl Fn(&Cell) -> f64) -> f64 {
    sum(cells, drawn, of) / drawn.len() as f64
}

fn flops(cells: &[Cell], target: &[Cell], drawn: &[usize]) -> f64 {
    sum(cells, drawn, |cell| cell.flops) / sum(target, drawn, |cell| cell.flops)
}

fn target_calls(cells: &[Cell], drawn: &[usize]) -> f64 {
    sum(cells, drawn, |cell| cell.rejected) / sum(cells, drawn, |cell| cell.judged).max(1.0)
}

/// Whether a threshold satisfies the goal's condition on these questions.
fn meets(goal: Goal, cells: &[Cell], target: &[Cell], drawn: &[usize]) -> bool {
    // Shares are sums of rounded numbers.
    const SLACK: f64 = 1e-9;
    match goal {
        Goal::Accuracy => true,
        Goal::Within(x) => mean(cells, drawn, |cell| cell.right) >= mean(target, drawn, |cell| cell.right) - x - SLACK,
        Goal::Flops(x) => flops(cells, target, drawn) <= x + SLACK,
        Goal::TargetCalls(x) => target_calls(cells, drawn) <= x + SLACK,
    }
}

/// The threshold for the goal: what it asks for first, then fewer FLOPs, then the lower threshold.
fn best(goal: Goal, rows: &[(f64, Vec<Cell>)], target: &[Cell], drawn: &[usize]) -> Option<usize> {
    let worth = |cells: &[Cell]| {
        let cheap = -flops(cells, target, drawn);
        match goal {
            Goal::Within(_) => (cheap, 0.0),
            Goal::Accuracy | Goal::Flops(_) | Goal::TargetCalls(_) => (mean(cells, drawn, |cell| cell.right), cheap),
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

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod tests;
