//! Time as the console counts it: milliseconds since 1970 that never jump, whatever somebody does to the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A jump of the wall clock that is worth a word.
const JUMP_MS: i64 = 2_000;

/// A clock that starts at the wall clock's time and then only runs.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
    began_ms: u64,
    wall: fn() -> u64,
}

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self::beside(wall_ms)
    }

    /// Starts now, by this wall clock.
    #[must_use]
    pub fn beside(wall: fn() -> u64) -> Self {
        Self { began: Instant::now(), began_ms: wall(), wall }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.began_ms + millis(self.began.elapsed())
    }

    /// By how much the wall clock is ahead of this one, in milliseconds: what has jumped since the start.
    fn wall_ahead_ms(&self) -> i64 {
        ahead_ms((self.wall)(), self.now_ms())
    }
}

/// Notices when somebody sets the wall clock.
#[derive(Debug)]
pub struct Jumps {
    clock: Clock,
    ahead_ms: i64,
}

impl Jumps {
    /// From now on.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, ahead_ms: clock.wall_ahead_ms() }
    }

    /// By how many seconds it has jumped since the last call, if it has.
    pub fn since(&mut self) -> Option<i64> {
        let ahead_ms = self.clock.wall_ahead_ms();
        let jump = ahead_ms - std::mem::replace(&mut self.ahead_ms, ahead_ms);
        (jump.abs() > JUMP_MS).then_some(jump / 1000)
    }
}

/// By how much one time is ahead of another, in milliseconds.
#[must_use]
pub fn ahead_ms(one: u64, other: u64) -> i64 {
    i64::try_from(one).unwrap_or(i64::MAX).saturating_sub(i64::try_from(other).unwrap_or(i64::MAX))
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
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(time_of_day(86_400_000 + 3_723_000), "01:02:03");
        let words: Vec<_> = [0, 99, 100, 7_200, 400_000].map(span).into();
        assert_eq!(words, ["0 s", "99 s", "1 min", "2 h", "4 d"]);
    }

    static WALL: AtomicU64 = AtomicU64::new(1_700_000_000_000);

    #[tokio::test(start_paused = true)]
    async fn the_clock_runs_on_whatever_somebody_does_to_the_wall_clock() {
        let clock = Clock::beside(|| WALL.load(Ordering::SeqCst));
        let mut jumps = Jumps::new(clock);
        let mut now = clock.now_ms();
        for (jump_s, told) in [(0, None), (-3_600, Some(-3_600)), (0, None), (86_400, Some(86_400)), (1, None)] {
            let wall = WALL.load(Ordering::SeqCst).saturating_add_signed(1_000 * (5 + jump_s));
            WALL.store(wall, Ordering::SeqCst);
            tokio::time::advance(Duration::from_secs(5)).await;
            now += 5_000;
            assert_eq!(clock.now_ms(), now);
            assert_eq!(jumps.since(), told);
        }
    }
}
