//! The newest judged steps, answer by answer.

use std::collections::{HashMap, VecDeque};

use super::Judged;

/// One judged step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Step {
    pub reward: Option<f64>,
    pub draft_tokens: usize,
    pub kept: bool,
    /// What the target wrote in its place.
    pub target_tokens: Option<usize>,
    pub at_ms: u64,
}

#[derive(Debug)]
struct Answer {
    id: u64,
    steps: VecDeque<Step>,
}

/// Bounded by the number of steps. The answer that began first goes first; what it still writes begins a new one.
#[derive(Debug)]
pub(super) struct Record {
    capacity: usize,
    answers: VecDeque<Answer>,
    /// How many answers were forgotten: the number of the first one here.
    forgotten: usize,
    /// An answer's number, by its id.
    numbers: HashMap<u64, usize>,
    steps: usize,
}

impl Record {
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { capacity, answers: VecDeque::new(), forgotten: 0, numbers: HashMap::new(), steps: 0 }
    }

    pub fn judged(&mut self, judged: Judged) {
        let Judged { answer: id, reward, draft_tokens, kept, at_ms } = judged;
        let reward = reward.filter(|reward| (0.0..=1.0).contains(reward));
        let step = Step { reward, draft_tokens, kept, target_tokens: None, at_ms };
        if let Some(answer) = self.answer(id) {
            answer.steps.push_back(step);
        } else {
            self.numbers.insert(id, self.forgotten + self.answers.len());
            self.answers.push_back(Answer { id, steps: VecDeque::from([step]) });
        }
        self.steps += 1;
        self.forget();
    }

    pub fn replaced(&mut self, id: u64, target_tokens: usize) {
        let Some(answer) = self.answer(id) else { return };
        if let Some(step) = answer.steps.iter_mut().rev().find(|step| !step.kept) {
            step.target_tokens = step.target_tokens.or(Some(target_tokens));
        }
    }

    fn answer(&mut self, id: u64) -> Option<&mut Answer> {
        let number = self.numbers.get(&id)?;
        self.answers.get_mut(number - self.forgotten)
    }

    fn forget(&mut self) {
        while self.steps > self.capacity {
            match self.answers.front_mut() {
                Some(only) if self.numbers.len() == 1 => {
                    only.steps.pop_front();
                    self.steps -= 1;
                }
                _ => {
                    let Some(oldest) = self.answers.pop_front() else { return };
                    self.numbers.remove(&oldest.id);
                    self.forgotten += 1;
                    self.steps -= oldest.steps.len();
                }
            }
        }
    }

    pub fn copy(&self) -> Recorded {
        let mut copy = Recorded { steps: Vec::with_capacity(self.steps), ends: Vec::with_capacity(self.answers.len()) };
        for answer in &self.answers {
            copy.steps.extend(&answer.steps);
            copy.ends.push(copy.steps.len());
        }
        copy
    }
}

/// A copy of the record.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub steps: Vec<Step>,
    /// Where each answer ends.
    pub ends: Vec<usize>,
}

impl Recorded {
    /// The range of each answer's steps.
    pub fn answers(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| begin..*end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(answer: u64, kept: bool) -> Judged {
        Judged { answer, reward: Some(0.5), draft_tokens: 3, kept, at_ms: answer }
    }

    #[test]
    fn memory_is_bounded_after_a_million_steps() {
        let mut record = Record::new(1000);
        for index in 0..1_000_000_u64 {
            // Eight answers at a time, of different lengths.
            let answer = index % 8 + 8 * (index / (100 + index % 8));
            record.judged(step(answer, index % 3 > 0));
            record.replaced(answer, 5);
        }
        let copy = record.copy();
        assert!(record.steps <= 1000 && record.steps > 800, "{}", record.steps);
        assert_eq!(record.steps, copy.steps.len());
        assert_eq!(record.numbers.len(), record.answers.len());
        assert!(record.numbers.capacity() < 10_000 && record.answers.capacity() < 10_000);
    }

    #[test]
    fn whole_answers_are_forgotten_the_oldest_first() {
        let mut record = Record::new(5);
        for answer in [1, 2, 1, 2, 3, 3] {
            record.judged(step(answer, true));
        }
        let copy = record.copy();
        assert_eq!(copy.steps.iter().map(|step| step.at_ms).collect::<Vec<_>>(), [2, 2, 3, 3]);
        assert_eq!(copy.answers().collect::<Vec<_>>(), [0..2, 2..4]);
    }

    #[test]
    fn an_answer_longer_than_the_record_loses_its_oldest_steps() {
        let mut record = Record::new(3);
        for index in 0..10 {
            record.judged(Judged { at_ms: index, ..step(7, true) });
        }
        assert_eq!(record.copy().steps.iter().map(|step| step.at_ms).collect::<Vec<_>>(), [7, 8, 9]);
    }

    #[test]
    fn the_targets_step_belongs_to_the_newest_rejected_one() {
        let mut record = Record::new(10);
        record.judged(step(1, false));
        record.replaced(1, 11);
        record.judged(step(1, true));
        record.judged(step(1, false));
        record.judged(step(2, false));
        record.replaced(1, 22);
        record.replaced(9, 33);
        let tokens: Vec<_> = record.copy().steps.iter().map(|step| step.target_tokens).collect();
        assert_eq!(tokens, [Some(11), None, Some(22), None]);
    }
}
