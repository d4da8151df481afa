//! The console's time: milliseconds since 1970 that do not jump when somebody sets the wall clock.

use rsd_protocol::clock::now_ms;
use tokio::time::Instant;

/// Jumps of the wall clock from this length on are logged.
const JUMP_MS: i64 = 2_000;

/// A clock that starts at the wall clock's time and then follows the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct SteadyClock {
    began: Instant,
    began_ms: u64,
    wall: fn() -> u64,
}

impl SteadyClock {
    /// Starts at the current time.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at(now_ms)
    }

    /// Starts at the time of this wall clock.
    #[must_use]
    pub fn start_at(wall: fn() -> u64) -> Self {
        Self { began: Instant::now(), began_ms: wall(), wall }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.began_ms + millis(self.began.elapsed())
    }

    /// By how many milliseconds the wall clock is ahead of this clock, which is the sum of its jumps since the start.
    fn wall_ahead_ms(&self) -> i64 {
        ahead_ms((self.wall)(), self.now_ms())
    }
}

/// Detects that the wall clock was set or that the machine slept.
#[derive(Debug)]
pub struct ClockJumpDetector {
    clock: SteadyClock,
    ahead_ms: i64,
}

impl ClockJumpDetector {
    /// Detects jumps from now on.
    #[must_use]
    pub fn new(clock: SteadyClock) -> Self {
        Self { clock, ahead_ms: clock.wall_ahead_ms() }
    }

    /// The jump in seconds since the last call, if there was one.
    pub fn take_jump(&mut self) -> Option<i64> {
        let ahead_ms = self.clock.wall_ahead_ms();
        let jump = ahead_ms - std::mem::replace(&mut self.ahead_ms, ahead_ms);
        (jump.abs() > JUMP_MS).then_some(jump / 1000)
    }
}

/// By how many milliseconds `one` is ahead of `other`.
#[must_use]
pub fn ahead_ms(one: u64, other: u64) -> i64 {
    i64::try_from(one).unwrap_or(i64::MAX).saturating_sub(i64::try_from(other).unwrap_or(i64::MAX))
}

#[must_use]
pub fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Time of day in UTC, such as `14:03:22`. Whoever prints it says that it is UTC.
#[must_use]
pub fn utc_time_of_day(at_ms: u64) -> String {
    let seconds = at_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A number of seconds with a unit that keeps it short, such as `99 s` or `2 h`.
#[must_use]
pub fn short_duration(seconds: u64) -> String {
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds / 60),
        6_000..=359_999 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(utc_time_of_day(86_400_000 + 3_723_000), "01:02:03");
        let words: Vec<_> = [0, 99, 100, 7_200, 400_000].map(short_duration).into();
        assert_eq!(words, ["0 s", "99 s", "1 min", "2 h", "4 d"]);
    }

    static WALL: AtomicU64 = AtomicU64::new(1_700_000_000_000);

    #[tokio::test(start_paused = true)]
    async fn the_clock_runs_on_whatever_somebody_does_to_the_wall_clock() {
        let clock = SteadyClock::start_at(|| WALL.load(Ordering::SeqCst));
        let mut jumps = ClockJumpDetector::new(clock);
        let mut now = clock.now_ms();
        for (jump_s, reported) in [(0, None), (-3_600, Some(-3_600)), (0, None), (86_400, Some(86_400)), (1, None)] {
            let wall = WALL.load(Ordering::SeqCst).saturating_add_signed(1_000 * (5 + jump_s));
            WALL.store(wall, Ordering::SeqCst);
            tokio::time::advance(Duration::from_secs(5)).await;
            now += 5_000;
            assert_eq!(clock.now_ms(), now);
            assert_eq!(jumps.take_jump(), reported);
        }
    }
}
