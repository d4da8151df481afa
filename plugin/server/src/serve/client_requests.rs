//! Counts the requests in progress of each client address.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

/// The requests in progress of each address, and how many one may have.
#[derive(Debug)]
pub(super) struct ClientRequests {
    max: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One request in progress; it ends when dropped.
#[derive(Debug)]
pub(super) struct ClientPermit {
    requests: Arc<ClientRequests>,
    client: IpAddr,
}

impl ClientRequests {
    pub fn new(max: usize) -> Self {
        Self { max, counts: Mutex::default() }
    }

    /// Begins a request; `None` if the client has as many as it may.
    pub fn begin(self: &Arc<Self>, client: IpAddr) -> Option<ClientPermit> {
        let mut counts = self.counts.lock();
        let count = counts.entry(client).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(ClientPermit { requests: self.clone(), client })
    }
}

impl Drop for ClientPermit {
    fn drop(&mut self) {
        let mut counts = self.requests.counts.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_bound_and_none_is_remembered_after_its_requests() {
        let requests = Arc::new(ClientRequests::new(2));
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = requests.begin(one).unwrap();
        let second = requests.begin(one).unwrap();
        assert!(requests.begin(one).is_none());
        let third = requests.begin(other).unwrap();
        drop(first);
        let fourth = requests.begin(one).unwrap();
        drop((second, third, fourth));
        assert!(requests.counts.lock().is_empty());
    }
}
