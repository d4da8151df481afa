//! Bounds retries to a share of the requests, so that they do not multiply the load of an engine in trouble.

/// Retries that may follow one another without any success.
const CAPACITY: f64 = 10.0;
/// What each request adds: one retry for five requests in the long run.
const SHARE: f64 = 0.2;

/// The retries that may still be made.
#[derive(Debug)]
pub(super) struct RetryBudget(f64);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(CAPACITY)
    }
}

impl RetryBudget {
    /// A request was made that is no retry.
    pub fn add_request(&mut self) {
        self.0 = (self.0 + SHARE).min(CAPACITY);
    }

    /// Takes a retry, if one is left.
    pub fn take_retry(&mut self) -> bool {
        let left = self.0 >= 1.0;
        if left {
            self.0 -= 1.0;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_an_outage_retries_are_a_fifth_of_the_requests() {
        let mut budget = RetryBudget::default();
        let mut retries = 0;
        for _ in 0..1000 {
            budget.add_request();
            while budget.take_retry() {
                retries += 1;
            }
        }
        assert!((200..=212).contains(&retries), "{retries}");
    }
}
