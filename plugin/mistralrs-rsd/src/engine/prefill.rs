//! Prefills a long prompt in windows.
//!
//! A forward pass cannot be interrupted, and a prompt of thousands of tokens takes a CPU most of a minute. So what the
//! cache does not hold of a prompt is computed by several requests, each of which extends the cached beginning, and
//! between two of them a caller that has gone away is noticed.
//!
//! Each window leaves a key in the prefix cache, and each key has a copy of the keys and values before it. So the windows
//! end where their copies would take too much memory, and the rest is computed at once.

use std::sync::{Arc, atomic::Ordering};

use parking_lot::Mutex;

use super::{
    DeviceKind, EngineCore,
    logit_reader::{LogitReader, LogitSelection},
    request::RequestEnd,
    step_sampler::TokenSelector,
};
use rsd_core::pipeline::roles::RoleError;

/// Tokens per window: one block of a key.
const WINDOW: usize = 512;
/// Bytes of prefix cache that the windows of one prompt may take.
const WINDOW_BYTES: usize = 512 << 20;

/// What the windows of a prompt have done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct PrefilledWindows {
    /// Tokens that they computed.
    pub computed: usize,
    /// The caller has gone away.
    pub abandoned: bool,
}

impl EngineCore {
    /// Computes all but the last part of a long prompt. `begins` is true if a new answer begins. The caller holds the
    /// engine permit.
    ///
    /// # Errors
    /// The engine's thread cannot be reached. A failure of a window is none: the request for the whole prompt follows.
    pub(super) async fn prefill_windows(
        &self,
        prompt: &[u32],
        begins: bool,
        abandoned: impl Fn() -> bool,
    ) -> Result<PrefilledWindows, RoleError> {
        let mut done = PrefilledWindows::default();
        if self.device != DeviceKind::Cpu || !self.extends_prefixes.load(Ordering::Relaxed) {
            return Ok(done);
        }
        let (cached, key_bytes) = {
            let cache = self.cache.lock();
            let begins = begins || self.answer_begins.load(Ordering::Relaxed);
            (cache.served(prompt, begins), cache.block_bytes())
        };
        let mut flushes = self.cache_gauge.flushes();
        for (index, end) in window_ends(cached, prompt.len(), key_bytes).enumerate() {
            done.abandoned = abandoned();
            if done.abandoned {
                return Ok(done);
            }
            let Ok(computed) = self.put_into_cache(&prompt[..end], begins && index == 0).await? else {
                return Ok(done);
            };
            done.computed += computed;
            if index == 0 {
                flushes = self.cache_gauge.flushes();
            } else if computed == end {
                // The window before was not found, so the next ones would compute everything again and again. If nothing
                // has emptied the cache meanwhile, this kind of model has none.
                let emptied = self.cache_gauge.flushes() != flushes;
                self.extends_prefixes.fetch_and(emptied, Ordering::Relaxed);
                return Ok(done);
            }
        }
        done.abandoned = done.computed > 0 && abandoned();
        Ok(done)
    }

    /// Runs a request that leaves these tokens in the prefix cache. Returns how many of them had to be computed, or why
    /// the request failed. The caller holds the engine permit.
    pub(super) async fn put_into_cache(
        &self,
        tokens: &[u32],
        begins: bool,
    ) -> Result<Result<usize, String>, RoleError> {
        let Some((&last, head)) = tokens.split_last() else { return Ok(Ok(0)) };
        let reader = LogitReader::new(last, LogitSelection::Tokens(Vec::new()), self.vocabulary.sentinel());
        let reader = Arc::new(Mutex::new(reader));
        Ok(match self.run_request(head.to_vec(), &reader, begins).await? {
            RequestEnd::Ended => Ok(reader.lock().computed_prompt()),
            RequestEnd::Died(reason) | RequestEnd::Failed(reason) => Err(reason),
        })
    }
}

/// Where the windows of a prompt end of which the cache holds `cached` tokens. The key of a window has a sentinel at its
/// end and so fills its blocks of `block_bytes` exactly.
fn window_ends(cached: usize, length: usize, block_bytes: usize) -> impl Iterator<Item = usize> {
    let first = cached / WINDOW + 1;
    let mut bytes = 0;
    (first..)
        .map(|blocks| (blocks, blocks * WINDOW - 1))
        .take_while(move |(_, end)| length.saturating_sub(cached) > WINDOW && *end < length)
        .take_while(move |(blocks, _)| {
            bytes += blocks * block_bytes;
            bytes <= WINDOW_BYTES
        })
        .map(|(_, end)| end)
        .filter(move |end| *end > cached)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(cached: usize, length: usize, block_bytes: usize) -> Vec<usize> {
        window_ends(cached, length, block_bytes).collect()
    }

    #[test]
    fn a_short_prompt_and_a_short_rest_have_no_windows() {
        assert!(ends(0, WINDOW, 1).is_empty());
        assert!(ends(5000, 5000 + WINDOW, 1).is_empty());
    }

    #[test]
    fn no_part_of_a_long_prompt_is_longer_than_a_window_and_a_bit() {
        for (cached, length) in [(0, 513), (0, 2000), (1, 700), (511, 1100), (512, 4000), (1300, 3333)] {
            let mut parts = ends(cached, length, 1);
            parts.push(length);
            let mut before = cached;
            for end in parts {
                assert!(end > before && end - before <= WINDOW + 1, "{cached} {length} {before} {end}");
                before = end;
            }
        }
    }

    #[test]
    fn windows_stop_where_their_keys_would_take_too_much() {
        let third = WINDOW_BYTES / 3;
        // One block and two blocks are all.
        assert_eq!(ends(0, 4000, third), [WINDOW - 1, 2 * WINDOW - 1]);
        assert!(ends(0, 4000, WINDOW_BYTES + 1).is_empty());
    }
}
