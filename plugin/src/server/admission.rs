//! Bounded admission: so many requests run, so many wait, the next one is told to come back.

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

/// Longest time a client is told to wait, in seconds.
const LONGEST_RETRY: u64 = 60;

/// The server's door.
#[derive(Debug)]
pub(super) struct Admission {
    running: Arc<Semaphore>,
    slots: usize,
    waiting: AtomicUsize,
    most_waiting: usize,
    /// Moving mean of how long a request runs, in milliseconds.
    mean_ms: AtomicU64,
}

/// A place in the queue; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    door: Arc<Admission>,
    /// The slot, where one was free; without it this place is one of the queue's.
    permit: Option<OwnedSemaphorePermit>,
    waits: bool,
}

/// The right to run; given back, and its time noted, when dropped.
#[derive(Debug)]
pub(super) struct Running {
    door: Arc<Admission>,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn new(running: usize, waiting: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(running)),
            slots: running,
            waiting: AtomicUsize::new(0),
            most_waiting: waiting,
            mean_ms: AtomicU64::new(0),
        }
    }

    /// Takes a place, or says after how many seconds to try again.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Place, u64> {
        // A free slot is taken here and now: two requests that arrive together must not both count on it.
        if let Ok(permit) = self.running.clone().try_acquire_owned() {
            return Ok(Place { door: self.clone(), permit: Some(permit), waits: false });
        }
        let most = self.most_waiting;
        let taken = self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < most).then_some(n + 1));
        match taken {
            Ok(_) => Ok(Place { door: self.clone(), permit: None, waits: true }),
            Err(_) => Err(self.retry_after()),
        }
    }

    /// Requests that have a slot.
    pub(super) fn running(&self) -> usize {
        self.slots.saturating_sub(self.running.available_permits())
    }

    /// Requests that wait for one.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn retry_after(&self) -> u64 {
        let mean = self.mean_ms.load(Ordering::Relaxed);
        (mean / self.slots.max(1) as u64 / 1000).clamp(1, LONGEST_RETRY)
    }

    fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mean = self.mean_ms.load(Ordering::Relaxed);
        self.mean_ms.store(if mean == 0 { took } else { mean - mean / 8 + took / 8 }, Ordering::Relaxed);
    }
}

impl Place {
    /// Waits for a slot, first come first served.
    pub(super) async fn run(mut self) -> Option<Running> {
        let permit = match self.permit.take() {
            Some(permit) => permit,
            None => self.door.running.clone().acquire_owned().await.ok()?,
        };
        Some(Running { door: self.door.clone(), since: Instant::now(), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.waits {
            self.door.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.door.note(self.since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_runs_one_waits_the_third_is_sent_away() {
        let door = Arc::new(Admission::new(1, 1));
        let first = door.enter().unwrap().run().await.unwrap();
        let second = door.enter().unwrap();
        assert_eq!(door.enter().unwrap_err(), 1);
        assert_eq!((door.running(), door.waiting()), (1, 1));
        tokio::time::advance(Duration::from_secs(20)).await;
        drop(first);
        let second = second.run().await.unwrap();
        let third = door.enter().unwrap();
        assert_eq!(door.enter().unwrap_err(), 20);
        drop(third);
        assert!(door.enter().is_ok());
        drop(second);
    }

    #[tokio::test]
    async fn a_burst_before_anybody_runs_is_bounded_too() {
        let door = Arc::new(Admission::new(1, 1));
        let places: Vec<_> = (0..4).filter_map(|_| door.enter().ok()).collect();
        assert_eq!(places.len(), 2);
    }
}
