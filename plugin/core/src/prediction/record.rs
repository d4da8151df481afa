//! The newest decided steps, answer by answer.

use std::collections::{HashMap, VecDeque};

use crate::{pipeline::observe::StepDecision, policy::Decision};

/// One step: a draft step that was decided, or a step that the target decoded after it went on alone.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct RecordedStep {
    /// Whether the target decoded it without a draft step; then it has `target_tokens` and nothing else.
    pub alone: bool,
    pub reward: Option<f64>,
    pub draft_tokens: usize,
    pub accepted: bool,
    /// Tokens that the target generated in its place.
    pub target_tokens: Option<usize>,
    pub at_ms: u64,
}

#[derive(Debug)]
struct RecordedAnswer {
    id: u64,
    steps: VecDeque<RecordedStep>,
}

/// Bounded by the number of steps. When it is full, the answer that began first is dropped; its later steps, if any,
/// count as a new answer.
#[derive(Debug)]
pub(super) struct StepRecord {
    capacity: usize,
    answers: VecDeque<RecordedAnswer>,
    /// How many answers were dropped, which is the number of the first one here.
    dropped: usize,
    /// The number of each answer, by its id.
    numbers: HashMap<u64, usize>,
    steps: usize,
}

impl StepRecord {
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { capacity, answers: VecDeque::new(), dropped: 0, numbers: HashMap::new(), steps: 0 }
    }

    pub fn record_decision(&mut self, id: u64, decided: &StepDecision, at_ms: u64) {
        let step = RecordedStep {
            reward: decided.reward.filter(|reward| (0.0..=1.0).contains(reward)),
            alone: false,
            draft_tokens: decided.tokens,
            accepted: decided.decision == Decision::Accept,
            target_tokens: None,
            at_ms,
        };
        self.add(id, step);
    }

    /// Records a step that the target decoded after it went on alone.
    pub fn record_alone(&mut self, id: u64, tokens: usize, at_ms: u64) {
        self.add(id, RecordedStep { alone: true, target_tokens: Some(tokens), at_ms, ..RecordedStep::default() });
    }

    fn add(&mut self, id: u64, step: RecordedStep) {
        if let Some(answer) = self.answer(id) {
            answer.steps.push_back(step);
        } else {
            self.numbers.insert(id, self.dropped + self.answers.len());
            self.answers.push_back(RecordedAnswer { id, steps: VecDeque::from([step]) });
        }
        self.steps += 1;
        self.drop_oldest();
    }

    pub fn record_replacement(&mut self, id: u64, target_tokens: usize) {
        let Some(answer) = self.answer(id) else { return };
        if let Some(step) = answer.steps.iter_mut().rev().find(|step| !step.accepted && !step.alone) {
            step.target_tokens = step.target_tokens.or(Some(target_tokens));
        }
    }

    fn answer(&mut self, id: u64) -> Option<&mut RecordedAnswer> {
        let number = self.numbers.get(&id)?;
        self.answers.get_mut(number - self.dropped)
    }

    fn drop_oldest(&mut self) {
        while self.steps > self.capacity {
            match self.answers.front_mut() {
                Some(only) if self.numbers.len() == 1 => {
                    only.steps.pop_front();
                    self.steps -= 1;
                }
                _ => {
                    let Some(oldest) = self.answers.pop_front() else { return };
                    self.numbers.remove(&oldest.id);
                    self.dropped += 1;
                    self.steps -= oldest.steps.len();
                }
            }
        }
    }

    pub fn copy(&self) -> RecordCopy {
        let mut copy =
            RecordCopy { steps: Vec::with_capacity(self.steps), ends: Vec::with_capacity(self.answers.len()) };
        for answer in &self.answers {
            copy.steps.extend(&answer.steps);
            copy.ends.push(copy.steps.len());
        }
        copy
    }
}

/// A copy of the record, which predictions are made from.
#[derive(Debug, Default)]
pub(super) struct RecordCopy {
    pub steps: Vec<RecordedStep>,
    /// The index after the last step of each answer.
    pub ends: Vec<usize>,
}

impl RecordCopy {
    /// The steps that were decided.
    pub fn decided(&self) -> impl Iterator<Item = &RecordedStep> {
        self.steps.iter().filter(|step| !step.alone)
    }

    /// The probability of accepting each step, from the tokens of the answer with it and from its reward. Steps that were
    /// never drafted have no reward: they count with the mean of the others.
    pub fn probabilities(&self, acceptance: impl Fn(usize, Option<f64>) -> f64) -> Vec<f64> {
        let mut of_steps = Vec::with_capacity(self.steps.len());
        for answer in self.answers() {
            let mut tokens = 0;
            for step in &self.steps[answer] {
                of_steps.push((!step.alone).then(|| acceptance(tokens + step.draft_tokens, step.reward)));
                tokens += if step.accepted { step.draft_tokens } else { step.target_tokens.unwrap_or(0) };
            }
        }
        let decided: Vec<f64> = of_steps.iter().copied().flatten().collect();
        let mean = if decided.is_empty() { 0.0 } else { decided.iter().sum::<f64>() / decided.len() as f64 };
        of_steps.into_iter().map(|probability| probability.unwrap_or(mean)).collect()
    }

    /// The range of each answer's steps.
    pub fn answers(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| begin..*end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Policy, PolicyConfig};

    /// Records a step at the time `at_ms`.
    fn decide_at(record: &mut StepRecord, answer: u64, accepted: bool, at_ms: u64) {
        let decision = if accepted { Decision::Accept } else { Decision::Reject };
        let policy = Policy { revision: 1, values: PolicyConfig::default() };
        record.record_decision(answer, &StepDecision { tokens: 3, reward: Some(0.5), policy, decision }, at_ms);
    }

    fn decide(record: &mut StepRecord, answer: u64, accepted: bool) {
        decide_at(record, answer, accepted, answer);
    }

    #[test]
    fn memory_is_bounded_after_a_million_steps() {
        let mut record = StepRecord::new(1000);
        for index in 0..1_000_000_u64 {
            // Eight answers at a time, of different lengths.
            let answer = index % 8 + 8 * (index / (100 + index % 8));
            decide(&mut record, answer, index % 3 > 0);
            record.record_replacement(answer, 5);
        }
        let copy = record.copy();
        assert!(record.steps <= 1000 && record.steps > 800, "{}", record.steps);
        assert_eq!(record.steps, copy.steps.len());
        assert_eq!(record.numbers.len(), record.answers.len());
        assert!(record.numbers.capacity() < 10_000 && record.answers.capacity() < 10_000);
    }

    #[test]
    fn whole_answers_are_dropped_the_oldest_first() {
        let mut record = StepRecord::new(5);
        for answer in [1, 2, 1, 2, 3, 3] {
            decide(&mut record, answer, true);
        }
        let copy = record.copy();
        assert_eq!(copy.steps.iter().map(|step| step.at_ms).collect::<Vec<_>>(), [2, 2, 3, 3]);
        assert_eq!(copy.answers().collect::<Vec<_>>(), [0..2, 2..4]);
    }

    #[test]
    fn an_answer_longer_than_the_record_loses_its_oldest_steps() {
        let mut record = StepRecord::new(3);
        for index in 0..10 {
            decide_at(&mut record, 7, true, index);
        }
        assert_eq!(record.copy().steps.iter().map(|step| step.at_ms).collect::<Vec<_>>(), [7, 8, 9]);
    }

    #[test]
    fn the_targets_step_belongs_to_the_newest_rejected_one() {
        let mut record = StepRecord::new(10);
        decide(&mut record, 1, false);
        record.record_replacement(1, 11);
        decide(&mut record, 1, true);
        decide(&mut record, 1, false);
        decide(&mut record, 2, false);
        record.record_replacement(1, 22);
        record.record_replacement(9, 33);
        let tokens: Vec<_> = record.copy().steps.iter().map(|step| step.target_tokens).collect();
        assert_eq!(tokens, [Some(11), None, Some(22), None]);
    }
}
