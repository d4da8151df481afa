//! Tracks from outside what mistral.rs's CPU prefix cache holds, because of three of its behaviors.
//!
//! The cache never evicts. A prompt that is contained in a key finds *nothing*, and that key hides every shorter one. A
//! prompt that contains a whole key reuses a slot that was never computed. The engine asks the mirror before every
//! request and empties the cache if it would do harm or exceeds its budget.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Tokens by which the buffers of a key grow.
const BLOCK: usize = 512;

/// The keys in the prefix cache of a CPU engine.
#[derive(Debug)]
pub(super) struct CacheMirror {
    keys: Vec<Vec<u32>>,
    gauge: Arc<CacheGauge>,
    bytes_per_token: usize,
    budget: usize,
}

/// The size of the cache, readable without a lock.
#[derive(Debug, Default)]
pub(super) struct CacheGauge {
    bytes: AtomicUsize,
    flushes: AtomicU64,
}

impl CacheGauge {
    /// Estimated bytes in the cache.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How often the cache was emptied while it held something.
    pub(super) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }
}

/// The factor by which the cache may exceed its budget within one answer, because emptying it there would make the
/// engine prefill the whole prefix again.
const WITHIN_ANSWER: usize = 8;
/// Bytes that one answer may fill whatever the budget is. So a budget of 0 means an empty cache *between* answers only.
const WITHIN_ANSWER_LEAST: usize = 2 << 30;

impl CacheMirror {
    /// An empty cache of a model whose keys and values take `bytes_per_token`. `budget` is in bytes.
    pub(super) fn new(bytes_per_token: usize, budget: usize) -> Self {
        Self { keys: Vec::new(), gauge: Arc::default(), bytes_per_token, budget }
    }

    /// Whether the cache must be emptied before this prompt. `begins` is true if a new answer begins.
    pub(super) fn must_empty_before(&self, prompt: &[u32], begins: bool) -> bool {
        let within = || self.budget.saturating_mul(WITHIN_ANSWER).max(WITHIN_ANSWER_LEAST);
        let budget = if begins { self.budget } else { within() };
        self.bytes() > budget || self.keys.iter().any(|key| key.starts_with(prompt) || prompt.starts_with(key))
    }

    /// Records the key that a request left in the cache.
    pub(super) fn insert(&mut self, key: Vec<u32>) {
        if !self.keys.contains(&key) {
            let bytes = key.len().next_multiple_of(BLOCK) * self.bytes_per_token;
            self.gauge.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.keys.push(key);
        }
    }

    /// Records that the cache was emptied.
    pub(super) fn clear(&mut self) {
        if !self.keys.is_empty() {
            self.gauge.flushes.fetch_add(1, Ordering::Relaxed);
        }
        self.keys.clear();
        self.gauge.bytes.store(0, Ordering::Relaxed);
    }

    /// Estimated bytes in the cache.
    pub(super) fn bytes(&self) -> usize {
        self.gauge.bytes()
    }

    /// The size and the number of flushes, readable without the lock of this mirror.
    pub(super) fn gauge(&self) -> Arc<CacheGauge> {
        self.gauge.clone()
    }

    /// Bytes of one block of a key.
    pub(super) fn block_bytes(&self) -> usize {
        BLOCK * self.bytes_per_token
    }

    /// How many tokens of a prompt the cache serves; none if it must be emptied before. `begins` is true if a new answer
    /// begins.
    pub(super) fn served(&self, prompt: &[u32], begins: bool) -> usize {
        if self.must_empty_before(prompt, begins) { 0 } else { self.longest_match(prompt) }
    }

    /// The length of the longest prefix that a prompt shares with a key.
    pub(super) fn longest_match(&self, prompt: &[u32]) -> usize {
        self.keys.iter().map(|key| key.iter().zip(prompt).take_while(|(a, b)| a == b).count()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror() -> CacheMirror {
        let mut mirror = CacheMirror::new(10, 2 * BLOCK * 10);
        mirror.insert(vec![1, 2, 3, 9]);
        mirror
    }

    #[test]
    fn a_prompt_that_leaves_the_key_before_its_end_is_welcome() {
        assert!(!mirror().must_empty_before(&[1, 2, 3, 4], true));
        assert!(!mirror().must_empty_before(&[5], true));
        assert_eq!(mirror().longest_match(&[1, 2, 3, 4, 5]), 3);
    }

    #[test]
    fn a_prompt_inside_a_key_and_a_key_inside_a_prompt_are_not() {
        assert!(mirror().must_empty_before(&[1, 2], true));
        assert!(mirror().must_empty_before(&[1, 2, 3, 9], true));
        assert!(mirror().must_empty_before(&[1, 2, 3, 9, 4], true));
    }

    #[test]
    fn the_budget_is_kept_between_answers_and_stretched_within_one() {
        let mut mirror = mirror();
        mirror.insert(vec![7; BLOCK]);
        assert!(!mirror.must_empty_before(&[8], true));
        mirror.insert(vec![8; BLOCK + 1]);
        assert!(mirror.must_empty_before(&[9], true));
        assert!(!mirror.must_empty_before(&[9], false));
        let gauge = mirror.gauge();
        assert_eq!(gauge.bytes(), 4 * BLOCK * 10);
        mirror.clear();
        mirror.clear();
        assert!(!mirror.must_empty_before(&[9], true));
        assert_eq!((gauge.bytes(), gauge.flushes()), (0, 1));
    }

    #[test]
    fn without_a_budget_nothing_is_kept_between_answers() {
        let mut mirror = CacheMirror::new(10, 0);
        mirror.insert(vec![1, 2]);
        assert!(mirror.must_empty_before(&[9], true));
        assert!(!mirror.must_empty_before(&[9], false));
    }

    #[test]
    fn the_same_key_counts_once() {
        let mut mirror = mirror();
        let before = mirror.bytes();
        mirror.insert(vec![1, 2, 3, 9]);
        assert_eq!(mirror.bytes(), before);
    }
}
