//! The lines of the lists: which ones the filter lets through, and in which order.

use std::cmp::Ordering;

use super::App;
use crate::{
    input::Screen,
    state::{
        alerts::{self, AlertSeverity},
        server::ServerConnection,
        summary::ratio,
    },
};

/// The columns of the fleet's list.
pub const FLEET_COLUMNS: [&str; 8] = ["server", "state", "accepted", "speedup", "tok/s", "wait", "delta", "alerts"];
/// The columns of the list of requests.
pub const REQUEST_COLUMNS: [&str; 6] = ["ended", "outcome", "tokens", "steps", "accepted", "tok/s"];

/// The column by which a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortOrder {
    pub column: usize,
    /// Whether the largest is first.
    pub descending: bool,
}

/// What a line is sorted by.
#[derive(Debug, Clone, PartialEq)]
enum SortKey {
    Text(String),
    /// An absent number, or one that is none, comes last in both orders.
    Number(Option<f64>),
}

impl SortKey {
    fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let turned = |order: Ordering| if descending { order.reverse() } else { order };
        match (self, other) {
            (Self::Text(one), Self::Text(two)) => turned(one.cmp(two)),
            (Self::Number(one), Self::Number(two)) => {
                match (one.filter(|n| !n.is_nan()), two.filter(|n| !n.is_nan())) {
                    (Some(one), Some(two)) => turned(one.total_cmp(&two)),
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (None, None) => Ordering::Equal,
                }
            }
            (Self::Text(_), Self::Number(_)) => Ordering::Less,
            (Self::Number(_), Self::Text(_)) => Ordering::Greater,
        }
    }
}

impl App {
    /// The columns by which a screen can be sorted; none if it is no list.
    #[must_use]
    pub fn sort_columns(screen: Screen) -> &'static [&'static str] {
        match screen {
            Screen::Fleet => &FLEET_COLUMNS,
            Screen::Requests => &REQUEST_COLUMNS,
            _ => &[],
        }
    }

    /// The order of a screen's list, if it is sorted.
    #[must_use]
    pub fn sort_order(&self, screen: Screen) -> Option<SortOrder> {
        self.ui.orders[screen.index()]
    }

    /// Sorts by the next column; after the last one the list is as it arrives.
    pub(super) fn sort_by_next_column(&mut self) {
        let screen = self.ui.screen;
        let columns = Self::sort_columns(screen);
        if columns.is_empty() {
            return self
                .show_note("this screen is no list of columns; fleet (5) and requests (4) can be sorted", false);
        }
        let next = self.sort_order(screen).map_or(0, |order| order.column + 1);
        // Names from A on, numbers from the largest on.
        let descending = !matches!(columns.get(next), Some(&("server" | "state" | "outcome")));
        self.ui.orders[screen.index()] = (next < columns.len()).then_some(SortOrder { column: next, descending });
        let text =
            columns.get(next).map_or_else(|| "not sorted".to_owned(), |name| format!("sorted by {name}; O reverses"));
        self.show_note(text, false);
    }

    pub(super) fn reverse_order(&mut self) {
        match &mut self.ui.orders[self.ui.screen.index()] {
            Some(order) => order.descending = !order.descending,
            None => self.show_note("this list is not sorted; o sorts it", false),
        }
    }

    /// Indices of the lines of a screen that the filter lets through, in their order on the screen.
    #[must_use]
    pub fn filtered_lines(&self, screen: Screen) -> Vec<usize> {
        let data = self.shown();
        let Some(server) = self.server() else { return Vec::new() };
        let filtered = |lines: Vec<String>| -> Vec<usize> {
            lines.iter().enumerate().filter(|(_, line)| self.passes_filter(line)).map(|(index, _)| index).collect()
        };
        let mut lines = match screen {
            Screen::Requests => filtered(
                server.traces.iter().map(|t| format!("{} {} {} {}", t.id, t.model, t.outcome, t.sources)).collect(),
            ),
            Screen::Fleet => {
                let own = data.servers.iter().map(|server| server.name.clone());
                filtered(own.chain(data.fleet.iter().map(|row| row.instance.clone())).collect())
            }
            Screen::History => filtered(server.history.iter().map(|entry| format!("{entry:?}")).collect()),
            Screen::Alerts => {
                let alerts = alerts::active_alerts(server, data.now_ms);
                filtered(alerts.iter().map(|alert| format!("{} {}", alert.rule, alert.text)).collect())
            }
            Screen::Logs => filtered(data.logs.iter().cloned().collect()),
            Screen::Overview | Screen::Rewards | Screen::Models => Vec::new(),
        };
        if let Some(order) = self.sort_order(screen) {
            let mut keyed: Vec<_> = lines.into_iter().map(|n| (self.sort_key(screen, order.column, n), n)).collect();
            keyed.sort_by(|one, two| one.0.compare(&two.0, order.descending));
            lines = keyed.into_iter().map(|(_, line)| line).collect();
        }
        lines
    }

    fn sort_key(&self, screen: Screen, column: usize, line: usize) -> SortKey {
        match screen {
            Screen::Fleet => self.fleet_key(column, line),
            _ => self.request_key(column, line),
        }
    }

    fn fleet_key(&self, column: usize, line: usize) -> SortKey {
        let data = self.shown();
        if let Some(server) = data.servers.get(line) {
            let summary = server.summary();
            return match column {
                0 => SortKey::Text(server.name.clone()),
                1 => SortKey::Text(state_word(&server.connection(data.now_ms)).into()),
                2 => SortKey::Number(summary.step_acceptance),
                3 => SortKey::Number(summary.speedup),
                4 => SortKey::Number(summary.throughput),
                5 => SortKey::Number(summary.waiting),
                6 => SortKey::Number(server.delta()),
                _ => {
                    let alerts = alerts::active_alerts(server, data.now_ms);
                    let urgent = alerts.iter().filter(|alert| alert.severity > AlertSeverity::Note).count();
                    SortKey::Number(Some(urgent as f64))
                }
            };
        }
        let Some(row) = data.fleet.get(line - data.servers.len()) else { return SortKey::Number(None) };
        match column {
            0 => SortKey::Text(row.instance.clone()),
            1 => SortKey::Text(if row.up { "up" } else { "not up" }.into()),
            2 => SortKey::Number(row.acceptance),
            3 => SortKey::Number(row.speedup),
            4 => SortKey::Number(row.throughput),
            5 => SortKey::Number(row.waiting),
            6 => SortKey::Number(row.delta),
            _ => SortKey::Number(None),
        }
    }

    fn request_key(&self, column: usize, line: usize) -> SortKey {
        let Some(trace) = self.server().and_then(|server| server.traces.get(line)) else {
            return SortKey::Number(None);
        };
        let decided = trace.accepted_steps + trace.rejected_steps;
        match column {
            0 => SortKey::Number(Some(trace.at_ms as f64)),
            1 => SortKey::Text(trace.outcome.clone()),
            2 => SortKey::Number(Some(trace.completion_tokens as f64)),
            3 => SortKey::Number(Some(trace.steps as f64)),
            4 => SortKey::Number(ratio(Some(trace.accepted_steps as f64), Some(decided as f64))),
            _ => SortKey::Number(ratio(Some(trace.completion_tokens as f64), Some(trace.seconds))),
        }
    }
}

fn state_word(connection: &ServerConnection) -> &'static str {
    match connection {
        ServerConnection::Connecting => "connecting",
        ServerConnection::Live => "live",
        ServerConnection::Stale(_) => "stale",
        ServerConnection::Down { .. } => "down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_numbers_come_last_in_both_orders() {
        let numbers = [Some(2.0), None, Some(f64::NAN), Some(-1.0)].map(SortKey::Number);
        for (descending, expected) in [(false, [-1.0, 2.0]), (true, [2.0, -1.0])] {
            let mut sorted = numbers.to_vec();
            sorted.sort_by(|one, two| one.compare(two, descending));
            assert_eq!(sorted[..2], expected.map(|number| SortKey::Number(Some(number))));
        }
        let (a, b) = (SortKey::Text("a".into()), SortKey::Text("b".into()));
        assert_eq!((a.compare(&b, false), a.compare(&b, true)), (Ordering::Less, Ordering::Greater));
    }
}
