//! Wall-clock time as the admin API gives it.

use std::time::{SystemTime, UNIX_EPOCH};

/// The current time in milliseconds since 1970-01-01 UTC; 0 if the clock is set to an earlier time.
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
