//! Time as the console counts it: milliseconds since 1970 that never jump, whatever somebody does to the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A clock that starts at the wall clock's time and then only runs.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
    began_ms: u64,
}

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { began: Instant::now(), began_ms: wall_ms() }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.began_ms + millis(self.began.elapsed())
    }

    /// By how much the wall clock is ahead of this one, in milliseconds: what has jumped since the start.
    #[must_use]
    pub fn wall_ahead_ms(&self) -> i64 {
        i64::try_from(wall_ms()).unwrap_or(0) - i64::try_from(self.now_ms()).unwrap_or(0)
    }
}

/// A duration in milliseconds.
#[must_use]
pub fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

/// Time of day in UTC, such as `14:03:22`.
#[must_use]
pub fn time_of_day(at_ms: u64) -> String {
    let seconds = at_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// How long ago, in words of at most seven characters.
#[must_use]
pub fn ago(now_ms: u64, at_ms: u64) -> String {
    span(now_ms.saturating_sub(at_ms) / 1000)
}

/// A number of seconds in at most seven characters.
#[must_use]
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds / 60),
        6_000..=359_999 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(time_of_day(86_400_000 + 3_723_000), "01:02:03");
        let words: Vec<_> = [0, 99, 100, 7_200, 400_000].map(span).into();
        assert_eq!(words, ["0 s", "99 s", "1 min", "2 h", "4 d"]);
        assert_eq!(ago(5_000, 9_000), "0 s", "a server's clock may be ahead");
    }
}
