//! Makes the thread of a CPU engine take part in the computation.
//!
//! candle distributes every matrix product of a forward pass over rayon's threads. A thread outside the pool hands each
//! product over and sleeps until it is done, which costs two thread switches some hundred times per token. mistral.rs
//! creates the engine thread, but our logits processor runs on it and can add it to a pool.

use rayon::ThreadPoolBuilder;

/// Makes the calling thread a member of a new pool that is as large as rayon's global pool, unless it belongs to a pool
/// already.
///
/// The pool lives as long as the process. If the calling thread ends, the other threads of its pool sleep.
pub(super) fn compute_here() {
    if rayon::current_thread_index().is_some() {
        return;
    }
    match ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).use_current_thread().build() {
        // Dropping the pool would end its other threads, and this thread would wait for them forever.
        Ok(pool) => std::mem::forget(pool),
        Err(error) => {
            tracing::debug!(%error, "the engine thread cannot join a thread pool, so it does not compute itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rayon::iter::{IntoParallelIterator, ParallelIterator};

    use super::*;

    #[test]
    fn a_thread_joins_once_and_computes_with_as_many_as_before() {
        let (before, first, second, sum) = thread::spawn(|| {
            let before = rayon::current_thread_index();
            compute_here();
            let first = (rayon::current_thread_index(), rayon::current_num_threads());
            compute_here();
            let second = (rayon::current_thread_index(), rayon::current_num_threads());
            (before, first, second, (0..1000u32).into_par_iter().sum::<u32>())
        })
        .join()
        .unwrap();
        assert_eq!(before, None);
        assert_eq!(first, (Some(0), rayon::current_num_threads()));
        assert_eq!(second, first);
        assert_eq!(sum, 499_500);
    }
}
