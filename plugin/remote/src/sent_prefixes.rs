//! What an engine's prefix cache probably holds, for engines that do not report it.
//!
//! The engine is assumed to have cached the last sequence that each answer sent to it. This is an estimate for counting
//! prefilled tokens: the engine may have evicted it, or may share more with other answers.

use std::collections::{HashMap, VecDeque};

/// Answers whose last sequence is remembered.
const ANSWERS: usize = 256;

/// The last sequence of each of the latest answers, by a key of its prompt.
#[derive(Debug, Default)]
pub(crate) struct SentPrefixes {
    sequences: HashMap<u64, Vec<u32>>,
    oldest_first: VecDeque<u64>,
}

impl SentPrefixes {
    /// How many tokens of `prefix` were sent before. At least the last token is always computed.
    pub fn cached(&self, key: u64, prefix: &[u32]) -> usize {
        let common = self
            .sequences
            .get(&key)
            .map_or(0, |sent| sent.iter().zip(prefix).take_while(|(sent, token)| sent == token).count());
        common.min(prefix.len().saturating_sub(1))
    }

    /// Remembers a sequence in place of the last one of its answer.
    pub fn insert(&mut self, key: u64, sequence: Vec<u32>) {
        if self.sequences.insert(key, sequence).is_none() {
            self.oldest_first.push_back(key);
        }
        if self.oldest_first.len() > ANSWERS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.sequences.remove(&oldest);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_of_an_answer_finds_what_it_sent_before() {
        let mut sent = SentPrefixes::default();
        assert_eq!(sent.cached(1, &[1, 2, 3]), 0);
        sent.insert(1, vec![1, 2, 3, 4]);
        assert_eq!(sent.cached(1, &[1, 2, 3, 4, 5]), 4);
        assert_eq!(sent.cached(1, &[1, 2, 3, 4]), 3, "the last token is computed again");
        assert_eq!(sent.cached(1, &[1, 9, 3, 4]), 1);
        assert_eq!(sent.cached(2, &[1, 2, 3]), 0);
    }

    #[test]
    fn only_the_latest_answers_are_remembered() {
        let mut sent = SentPrefixes::default();
        for key in 0..2 * ANSWERS as u64 {
            sent.insert(key, vec![1, 2]);
            sent.insert(key, vec![1, 2, 3]);
        }
        assert_eq!(sent.sequences.len(), ANSWERS);
        assert_eq!((sent.cached(0, &[1, 2, 3]), sent.cached(2 * ANSWERS as u64 - 1, &[1, 2, 3, 4])), (0, 3));
    }
}
