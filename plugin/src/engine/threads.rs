//! Lets the thread of a CPU engine compute, too.
//!
//! candle spreads every product of a forward pass over rayon's threads. A thread that is none of them hands each product
//! over and sleeps until it is done: two switches of threads, some hundred times a token. An engine's thread is mistral.rs's
//! own, but our logits processor runs on it, and there it can be made a thread of a pool.

use rayon::ThreadPoolBuilder;

/// Makes the calling thread, if it belongs to no pool yet, one of a pool of its own as large as the common one.
///
/// The pool lasts as long as the process; beside a thread that has ended its others sleep.
pub(super) fn compute_here() {
    if rayon::current_thread_index().is_some() {
        return;
    }
    match ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).use_current_thread().build() {
        // Dropping it would end the others, while this thread would go on to wait for them.
        Ok(pool) => std::mem::forget(pool),
        Err(error) => tracing::debug!(%error, "the engine's thread computes nothing itself"),
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
