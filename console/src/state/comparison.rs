//! The numbers of now beside those of an hour ago.

use super::{
    headline::ENOUGH_STEPS,
    metric_history::{COARSE_MS, HistorySpan},
    proposal::SAME_SPEED,
    server::ServerState,
    summary::MetricSummary,
};

/// How far back, in milliseconds.
const BACK_MS: u64 = 3_600_000;
/// The shortest windows that are compared: so far back not every scrape is stored.
const LEAST_WINDOW_MS: u64 = 3 * COARSE_MS;
/// Differences of FLOP savings that are called none.
const SAME_SAVINGS: f64 = 0.02;

/// Now against an hour ago.
#[derive(Debug, Clone, PartialEq)]
pub enum HourComparison {
    /// The metrics were not scraped twice yet.
    NoMetrics,
    /// The console has not watched for long enough.
    TooEarly { watched_seconds: u64, wait_seconds: u64 },
    /// Nothing was scraped around that time, in milliseconds since 1970: the server did not answer, or the console slept.
    NothingThen { at_ms: u64 },
    /// Windows of the same length: an hour ago, and now.
    Compared(Box<[MetricSummary; 2]>),
}

impl HourComparison {
    /// Compares windows of this length, or of a minute if it is shorter.
    #[must_use]
    pub fn of(server: &ServerState, window_ms: u64) -> Self {
        let length_ms = window_ms.max(LEAST_WINDOW_MS);
        let history = &server.readings;
        let newest = HistorySpan::Newest(length_ms);
        let (Some(first_ms), Some(now_ms), Some(_)) =
            (history.first_ms(), history.last_ms(newest), history.span_seconds(newest))
        else {
            return Self::NoMetrics;
        };
        let needed_ms = BACK_MS + length_ms;
        let watched_ms = now_ms.saturating_sub(first_ms);
        if watched_ms < needed_ms {
            let wait_seconds = (needed_ms - watched_ms).div_ceil(1000);
            return Self::TooEarly { watched_seconds: watched_ms / 1000, wait_seconds };
        }
        let at_ms = now_ms - BACK_MS;
        let then = HistorySpan::Ending { at_ms, length_ms };
        match (history.last_ms(then), history.span_seconds(then)) {
            (Some(end_ms), Some(_)) if at_ms - end_ms <= length_ms => Self::Compared(Box::new([
                MetricSummary::from_history(history, end_ms, then),
                MetricSummary::from_history(history, now_ms, newest),
            ])),
            _ => Self::NothingThen { at_ms },
        }
    }
}

/// What has changed, in a sentence or two.
#[must_use]
pub fn change_in_words(then: &MetricSummary, now: &MetricSummary) -> String {
    let few = |summary: &MetricSummary| summary.decided_steps.unwrap_or(0.0) < ENOUGH_STEPS;
    if few(then) || few(now) {
        let when = if few(now) { "Now" } else { "An hour ago" };
        return format!("{when} there are fewer than {ENOUGH_STEPS:.0} decided steps in the window: nothing follows.");
    }
    let speed = match (then.speedup, now.speedup) {
        (Some(then), Some(now)) if now > then + SAME_SPEED => {
            format!("RSD is faster than an hour ago: {now:.2}x instead of {then:.2}x.")
        }
        (Some(then), Some(now)) if now < then - SAME_SPEED => {
            format!("RSD is slower than an hour ago: {now:.2}x instead of {then:.2}x.")
        }
        (Some(_), Some(now)) => format!("RSD is as fast as an hour ago: {now:.2}x."),
        _ => "The speedup is not known for both windows.".into(),
    };
    let savings = match (then.flop_savings_total, now.flop_savings_total) {
        (Some(then), Some(now)) if (now - then).abs() > SAME_SAVINGS => {
            format!(" It saves {:.0} % of FLOPs instead of {:.0} %.", 100.0 * now, 100.0 * then)
        }
        _ => String::new(),
    };
    let policy = match (then.revision, now.revision) {
        (Some(then), Some(now)) if (then - now).abs() > 0.5 => {
            format!(" The policy changed, revision {then:.0} to {now:.0}; screen 6 says who.")
        }
        _ => String::new(),
    };
    format!("{speed}{savings}{policy}")
}

/// Requests per minute that ended within the window of these numbers.
#[must_use]
pub fn requests_per_minute(summary: &MetricSummary) -> Option<f64> {
    Some(60.0 * summary.requests? / summary.window_seconds?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceUpdate;

    const WINDOW_MS: u64 = 120_000;

    /// A server that was scraped every ten seconds until this second, but not in the pause. It accepts 9 of 10 steps in
    /// the first hour, and 5 of 10 after it.
    fn scraped_until(second: u64, pause: std::ops::Range<u64>) -> ServerState {
        let mut server = ServerState::new("a", false);
        for at in (0..=second).step_by(10).filter(|at| !pause.contains(at)) {
            let (early, late) = (at.min(3600), at.saturating_sub(3600));
            let accepted = 9 * early + 5 * late;
            let text = format!(
                "rsd_steps_total{{outcome=\"accepted\"}} {accepted}\nrsd_steps_total{{outcome=\"rejected\"}} {}\n\
                 rsd_requests_total{{outcome=\"completed\"}} {at}\nrsd_request_seconds_sum {}\n\
                 rsd_request_seconds_count {at}\nrsd_answer_model_seconds_total {}\n\
                 rsd_target_only_estimated_seconds_total {}\nrsd_policy_revision {}\n",
                10 * at - accepted,
                2 * early + 3 * late,
                10 * at,
                15 * early + 8 * late,
                1 + at / 3600
            );
            server.receive(at * 1000, SourceUpdate::Metrics(text), WINDOW_MS);
        }
        server
    }

    #[test]
    fn windows_of_the_same_length_are_compared_an_hour_apart() {
        let HourComparison::Compared(both) = HourComparison::of(&scraped_until(5_400, 0..0), WINDOW_MS) else {
            panic!("an hour and a half is enough")
        };
        let [then, now] = *both;
        assert_eq!((then.at_ms, now.at_ms), (1_800_000, 5_400_000));
        assert_eq!((then.step_acceptance, now.step_acceptance), (Some(0.9), Some(0.5)));
        assert_eq!((then.speedup, now.speedup), (Some(1.5), Some(0.8)));
        assert_eq!((then.answer_seconds, now.answer_seconds), (Some(2.0), Some(3.0)));
        assert_eq!((then.window_seconds, requests_per_minute(&then)), (Some(120.0), Some(60.0)));
        assert_eq!(
            change_in_words(&then, &now),
            "RSD is slower than an hour ago: 0.80x instead of 1.50x. The policy changed, revision 1 to 2; screen 6 says who."
        );
        assert_eq!(change_in_words(&now, &now), "RSD is as fast as an hour ago: 0.80x.");
        let few = MetricSummary { decided_steps: Some(3.0), ..now };
        assert!(change_in_words(&then, &few).starts_with("Now there are fewer than 20"));
        assert!(change_in_words(&few, &now).starts_with("An hour ago there are fewer than 20"));
    }

    #[test]
    fn too_early_it_says_how_long_to_wait_and_then_it_is_there() {
        assert_eq!(HourComparison::of(&ServerState::new("a", false), WINDOW_MS), HourComparison::NoMetrics);
        assert_eq!(HourComparison::of(&scraped_until(0, 0..0), WINDOW_MS), HourComparison::NoMetrics);
        let early = HourComparison::of(&scraped_until(3_000, 0..0), WINDOW_MS);
        assert_eq!(early, HourComparison::TooEarly { watched_seconds: 3_000, wait_seconds: 720 });
        let almost = HourComparison::of(&scraped_until(3_710, 0..0), WINDOW_MS);
        assert_eq!(almost, HourComparison::TooEarly { watched_seconds: 3_710, wait_seconds: 10 });
        assert!(matches!(HourComparison::of(&scraped_until(3_720, 0..0), WINDOW_MS), HourComparison::Compared(_)));
    }

    #[test]
    fn a_pause_at_that_time_is_not_filled_with_numbers_of_another() {
        let paused = scraped_until(5_400, 1_200..2_400);
        assert_eq!(HourComparison::of(&paused, WINDOW_MS), HourComparison::NothingThen { at_ms: 1_800_000 });
    }
}
