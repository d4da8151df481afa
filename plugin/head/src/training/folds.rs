//! Splits data by problem, so that all solutions of a problem are on one side.

use std::collections::BTreeMap;

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::dataset::RolloutDataset;

/// Deals solutions into `folds` parts. Each gets about the same number of problems of each share of right solutions.
pub(super) fn deal(data: &RolloutDataset, solutions: &[usize], folds: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut dealt = vec![Vec::new(); folds];
    for (turn, group) in shuffled(data, solutions, seed, true).into_iter().enumerate() {
        dealt[turn % folds].extend(group);
    }
    dealt
}

/// The part set aside, one in `every` problems, and the others.
pub(super) fn split(data: &RolloutDataset, solutions: &[usize], every: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut dealt = deal(data, solutions, every, seed).into_iter();
    let first = dealt.next().unwrap_or_default();
    (first, dealt.flatten().collect())
}

/// The solutions of `problems` random problems. With the same seed a smaller choice is a subset of a bigger one.
pub(super) fn sample_problems(data: &RolloutDataset, solutions: &[usize], problems: usize, seed: u64) -> Vec<usize> {
    shuffled(data, solutions, seed, false).into_iter().take(problems).flatten().collect()
}

/// The solutions of each problem, problems in random order; if `sorted`, by their share of right solutions.
fn shuffled(data: &RolloutDataset, solutions: &[usize], seed: u64, sorted: bool) -> Vec<Vec<usize>> {
    let mut problems: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &solution in solutions {
        problems.entry(&data.solutions[solution].problem).or_default().push(solution);
    }
    let mut groups: Vec<Vec<usize>> = problems.into_values().collect();
    groups.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    if sorted {
        let share = |group: &Vec<usize>| {
            let right = group.iter().filter(|&&solution| data.solutions[solution].correct).count();
            right as f64 / group.len() as f64
        };
        groups.sort_by(|a, b| share(a).total_cmp(&share(b)));
    }
    groups
}
