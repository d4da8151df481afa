//! Bounded admission: a limited number of requests runs, a limited number waits, and further ones are refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// The longest `Retry-After`, in seconds.
const MAX_RETRY_SECONDS: u64 = 60;

/// The queue in front of the models.
#[derive(Debug)]
pub(crate) struct Admission {
    running: Arc<Semaphore>,
    slots: usize,
    waiting: AtomicUsize,
    max_waiting: usize,
    /// Moving average of how long a request runs, in milliseconds.
    mean_ms: AtomicU64,
}

/// A place in the queue; released when dropped.
#[derive(Debug)]
pub(crate) struct QueuePlace {
    admission: Arc<Admission>,
    /// The slot, if one was free on arrival.
    permit: Option<OwnedSemaphorePermit>,
    is_waiting: bool,
}

/// The permission to run one request; released, and its time recorded, when dropped.
#[derive(Debug)]
pub(crate) struct RunPermit {
    admission: Arc<Admission>,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub fn new(running: usize, waiting: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(running)),
            slots: running,
            waiting: AtomicUsize::new(0),
            max_waiting: waiting,
            mean_ms: AtomicU64::new(0),
        }
    }

    /// Whether there is a place now. If the queue is full, the error is the number of seconds after which to try again.
    pub fn check_room(&self) -> Result<(), u64> {
        let is_full = self.running.available_permits() == 0 && self.waiting() >= self.max_waiting;
        if is_full { Err(self.retry_after()) } else { Ok(()) }
    }

    /// Takes a place. If the queue is full, the error is the number of seconds after which to try again.
    pub fn enter(self: &Arc<Self>) -> Result<QueuePlace, u64> {
        // A free slot is taken at once: two requests that arrive together must not both rely on it.
        if let Ok(permit) = self.running.clone().try_acquire_owned() {
            return Ok(QueuePlace { admission: self.clone(), permit: Some(permit), is_waiting: false });
        }
        let max = self.max_waiting;
        let taken = self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1));
        match taken {
            Ok(_) => Ok(QueuePlace { admission: self.clone(), permit: None, is_waiting: true }),
            Err(_) => Err(self.retry_after()),
        }
    }

    /// Number of requests that run.
    pub fn running(&self) -> usize {
        self.slots.saturating_sub(self.running.available_permits())
    }

    /// Number of requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn retry_after(&self) -> u64 {
        let mean = self.mean_ms.load(Ordering::Relaxed);
        (mean / self.slots.max(1) as u64 / 1000).clamp(1, MAX_RETRY_SECONDS)
    }

    fn record_duration(&self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mean = self.mean_ms.load(Ordering::Relaxed);
        self.mean_ms.store(if mean == 0 { took } else { mean - mean / 8 + took / 8 }, Ordering::Relaxed);
    }
}

impl QueuePlace {
    /// Waits for a slot, first come first served.
    pub async fn run(mut self) -> Option<RunPermit> {
        let permit = match self.permit.take() {
            Some(permit) => permit,
            None => self.admission.running.clone().acquire_owned().await.ok()?,
        };
        Some(RunPermit { admission: self.admission.clone(), since: Instant::now(), _permit: permit })
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        if self.is_waiting {
            self.admission.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for RunPermit {
    fn drop(&mut self) {
        self.admission.record_duration(self.since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_runs_one_waits_the_third_is_sent_away() {
        let admission = Arc::new(Admission::new(1, 1));
        let first = admission.enter().unwrap().run().await.unwrap();
        let second = admission.enter().unwrap();
        assert_eq!(admission.enter().unwrap_err(), 1);
        assert_eq!((admission.running(), admission.waiting()), (1, 1));
        tokio::time::advance(Duration::from_secs(20)).await;
        drop(first);
        let second = second.run().await.unwrap();
        let third = admission.enter().unwrap();
        assert_eq!(admission.enter().unwrap_err(), 20);
        drop(third);
        assert!(admission.enter().is_ok());
        drop(second);
    }

    #[tokio::test]
    async fn a_burst_before_anybody_runs_is_bounded_too() {
        let admission = Arc::new(Admission::new(1, 1));
        let places: Vec<_> = (0..4).filter_map(|_| admission.enter().ok()).collect();
        assert_eq!(places.len(), 2);
    }
}
