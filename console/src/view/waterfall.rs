//! The steps of a request on one axis of time: which model worked when, and for how long.

use ratatui::text::{Line, Span};
use rsd_protocol::trace::StepView;

use super::{text, theme::Theme};

/// Steps that are drawn at most; an answer of single tokens has thousands.
const MAX_STEPS: usize = 24;
/// Columns for the number of a step, and for its seconds.
const LABELS: [usize; 2] = [5, 9];

/// One line per step, whose bar begins where the one before ended. The models' times are those of the trace, which adds
/// up what ran at the same time (lookahead), so that the axis is the sum of their work.
pub fn lines(steps: &[StepView], width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let total: f64 = steps.iter().map(|step| times(step).iter().sum::<f64>()).sum();
    let room = width.saturating_sub(LABELS.iter().sum());
    if total <= 0.0 || room < 8 {
        return Vec::new();
    }
    let [draft, reward, target] = theme.symbols.roles;
    let styles = [theme.good, theme.warn, theme.accent];
    let legend = format!(
        "{draft} draft {reward} reward {target} target, {} of model time in all",
        text::seconds(Some(total / 1000.0))
    );
    let mut lines = vec![Line::from(Span::styled(legend, theme.dim))];
    let mut before = 0.0;
    for (n, step) in steps.iter().take(MAX_STEPS).enumerate() {
        let mut spans = vec![Span::styled(format!("{:>4} ", n + 1), theme.dim)];
        let start = column(before, total, room);
        spans.push(Span::raw(" ".repeat(start)));
        let own = times(step);
        let mut drawn = start;
        for ((ms, symbol), style) in own.iter().zip(theme.symbols.roles).zip(styles) {
            before += ms;
            // What took time is at least one column wide, so that it is seen.
            let end = column(before, total, room).max(drawn + usize::from(*ms > 0.0)).min(room);
            spans.push(Span::styled(symbol.repeat(end.saturating_sub(drawn)), style));
            drawn = drawn.max(end);
        }
        let seconds = text::seconds(Some(own.iter().sum::<f64>() / 1000.0));
        spans.push(Span::styled(format!(" {seconds}"), theme.dim));
        lines.push(Line::from(spans));
    }
    if steps.len() > MAX_STEPS {
        lines.push(Line::from(Span::styled(format!("     and {} more steps", steps.len() - MAX_STEPS), theme.dim)));
    }
    lines
}

/// Milliseconds of draft, reward and target. A time that is none counts as zero.
fn times(step: &StepView) -> [f64; 3] {
    [step.draft_ms, step.reward_ms, step.target_ms].map(|ms| if ms.is_finite() { ms.max(0.0) } else { 0.0 })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of the columns")]
fn column(ms: f64, total: f64, room: usize) -> usize {
    ((ms / total).clamp(0.0, 1.0) * room as f64).round() as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::view::theme::ThemeName;

    fn step([draft_ms, reward_ms, target_ms]: [f64; 3]) -> StepView {
        let json = serde_json::json!({
            "source": "draft", "tokens": 3, "delta": 0.5, "revision": 1,
            "draft_ms": draft_ms, "reward_ms": reward_ms, "target_ms": target_ms,
        });
        serde_json::from_value(json).unwrap()
    }

    fn texts(steps: &[StepView], width: usize) -> Vec<String> {
        lines(steps, width, &Theme::new(ThemeName::Mono, true)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_step_begins_where_the_one_before_ended() {
        let steps = [step([500.0, 0.0, 0.0]), step([250.0, 250.0, 1000.0])];
        let drawn = texts(&steps, 14 + 20);
        assert_eq!(drawn[0], ". draft + reward # target, 2.00 s of model time in all");
        assert_eq!(drawn[1], "   1 ..... 0.50 s");
        assert_eq!(drawn[2], "   2      ...++########## 1.50 s");
        assert!(texts(&[step([0.0; 3])], 80).is_empty(), "without times there is nothing to draw");
        assert_eq!(texts(&vec![step([1.0, 0.0, 0.0]); 30], 80).last().unwrap(), "     and 6 more steps");
    }

    proptest! {
        #[test]
        fn no_bar_leaves_its_line(times in proptest::collection::vec(proptest::array::uniform3(0.0..5e4_f64), 1..40), width in 22..120_usize) {
            let steps: Vec<_> = times.into_iter().map(step).collect();
            for line in texts(&steps, width).iter().skip(1) {
                prop_assert!(line.len() <= width, "{} of {width}: {line}", line.len());
            }
        }
    }
}
