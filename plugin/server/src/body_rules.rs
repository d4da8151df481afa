//! How request bodies are received: in which time, and in how much memory together.

use std::{sync::Arc, thread::available_parallelism, time::Duration};

use rsd_config::ConnectionLimits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Bytes of each body that the memory of all bodies does not count: a short request is never refused because of the
/// long ones of others. The number of connections bounds them.
const FREE_BYTES: usize = 64 << 10;

/// Memory is counted in pieces of this many bytes.
const PIECE: usize = 1 << 10;

/// The bounds on the bodies of one listener. They reach the handlers in the extensions of a request.
#[derive(Debug)]
pub(crate) struct BodyRules {
    /// For a whole body.
    pub whole: Duration,
    /// Without a byte.
    pub idle: Duration,
    /// Cancelled when no body is of use any more.
    pub refused: CancellationToken,
    /// Bodies that are parsed at the same time. Half of the cores stay free for everything else.
    pub parsers: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// The memory that one body uses of all bodies' memory; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct BodyMemory {
    pieces: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl BodyRules {
    pub fn new(limits: &ConnectionLimits, refused: CancellationToken) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self {
            whole: Duration::from_secs(limits.body_seconds),
            idle: Duration::from_secs(limits.body_idle_seconds),
            refused,
            parsers: Arc::new(Semaphore::new((cores / 2).max(1))),
            memory: Arc::new(Semaphore::new((limits.body_memory / PIECE).min(Semaphore::MAX_PERMITS))),
        }
    }
}

impl Default for BodyRules {
    fn default() -> Self {
        Self::new(&ConnectionLimits::default(), CancellationToken::new())
    }
}

impl BodyMemory {
    /// Counts a body that has grown to `bytes`. False if all bodies together would use too much.
    pub fn grow(&mut self, rules: &BodyRules, bytes: usize) -> bool {
        let pieces = bytes.saturating_sub(FREE_BYTES).div_ceil(PIECE);
        let missing = pieces.saturating_sub(self.pieces);
        if missing == 0 {
            return true;
        }
        let Ok(missing) = u32::try_from(missing) else { return false };
        let Ok(more) = rules.memory.clone().try_acquire_many_owned(missing) else { return false };
        self.pieces = pieces;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_share_the_memory_and_short_ones_always_fit() {
        let limits = ConnectionLimits { body_memory: 1 << 20, ..ConnectionLimits::default() };
        let rules = BodyRules::new(&limits, CancellationToken::new());
        let (mut first, mut second, mut third) = <(BodyMemory, BodyMemory, BodyMemory)>::default();
        assert!(first.grow(&rules, 500 << 10) && first.grow(&rules, 900 << 10) && first.grow(&rules, 900 << 10));
        assert!(second.grow(&rules, 100 << 10) && !second.grow(&rules, 900 << 10));
        assert!(third.grow(&rules, 64 << 10));
        drop(first);
        assert!(second.grow(&rules, 900 << 10));
    }
}
