//! The table of open connections: who gets a place, and who must leave when there is none.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use super::phase::ConnectionPhase;

/// The most connections beyond the capacity that may ask for the status of the server, so that probes and scrapes are
/// answered while requests hold every place.
const MAX_STATUS_PLACES: usize = 16;

/// The open connections of one listener.
#[derive(Debug)]
pub(super) struct OpenConnections {
    capacity: usize,
    table: Mutex<PlaceTable>,
}

#[derive(Debug, Default)]
struct PlaceTable {
    next: u64,
    open: BTreeMap<u64, Arc<ConnectionPhase>>,
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct ConnectionPlace {
    connections: Arc<OpenConnections>,
    number: u64,
    pub phase: Arc<ConnectionPhase>,
    /// Whether the place is beyond the capacity, for the status only.
    pub status_only: bool,
}

impl OpenConnections {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, table: Mutex::default() }
    }

    fn status_places(&self) -> usize {
        (self.capacity / 4).clamp(1, MAX_STATUS_PLACES)
    }

    /// A place for a new connection. If there is none, the connection that has been without a request for longest
    /// leaves. `None` if every place has a request.
    pub fn admit(self: &Arc<Self>) -> Option<ConnectionPlace> {
        let mut table = self.table.lock();
        if table.open.len() >= self.capacity {
            table.evict_longest_waiting();
        }
        if table.open.len() >= self.capacity + self.status_places() {
            return None;
        }
        let status_only = table.open.len() >= self.capacity;
        let number = table.next;
        table.next += 1;
        let phase = Arc::new(ConnectionPhase::new());
        table.open.insert(number, phase.clone());
        Some(ConnectionPlace { connections: self.clone(), number, phase, status_only })
    }

    /// Ends the connection that has been without a request for longest, if there is one.
    pub fn evict_longest_waiting(&self) {
        self.table.lock().evict_longest_waiting();
    }

    #[cfg(test)]
    pub fn open(&self) -> usize {
        self.table.lock().open.len()
    }
}

impl PlaceTable {
    fn evict_longest_waiting(&mut self) {
        let waiting = self.open.iter().filter_map(|(number, phase)| Some((phase.waiting_since()?, *number)));
        if let Some((_, number)) = waiting.min()
            && let Some(phase) = self.open.remove(&number)
        {
            phase.evicted.cancel();
        }
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.connections.table.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_waits_longest_makes_room_and_one_with_a_request_does_not() {
        let connections = Arc::new(OpenConnections::new(3));
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(connections.admit().unwrap());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        places[0].phase.begin_request();
        let fourth = connections.admit().unwrap();
        assert!(!fourth.status_only && connections.open() == 3);
        let evicted: Vec<_> = places.iter().map(|place| place.phase.evicted.is_cancelled()).collect();
        assert_eq!(evicted, [false, true, false]);
        drop(places.remove(1));
        assert_eq!(connections.open(), 3);
        // Its request has ended later than the others began to wait.
        places[0].phase.end_request();
        connections.evict_longest_waiting();
        assert!(places[1].phase.evicted.is_cancelled() && !places[0].phase.evicted.is_cancelled());
    }

    #[test]
    fn requests_in_every_place_leave_some_for_the_status() {
        let connections = Arc::new(OpenConnections::new(8));
        let admit = || {
            let place = connections.admit()?;
            place.phase.begin_request();
            Some(place)
        };
        let places: Vec<_> = std::iter::from_fn(admit).collect();
        assert_eq!(places.len(), 10);
        assert_eq!(places.iter().filter(|place| place.status_only).count(), 2);
        drop(places);
        assert!(connections.open() == 0 && !connections.admit().unwrap().status_only);
    }
}
