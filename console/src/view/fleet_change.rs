//! The dialog of a change of all servers: what each would do, then which took it.

use std::fmt::Write as _;

use ratatui::{
    style::Style,
    text::{Line, Span},
};
use rsd_protocol::settings::ChangeResult;

use super::{text, theme::Theme};
use crate::state::{
    app::App,
    fleet_change::{EntryState, FleetChange, FleetPlan},
    presets,
};

/// Columns for the name of a server.
const NAME: usize = 20;

/// The title, the lines with one per server, and the words of the answers.
pub fn lines(fleet: &FleetChange, app: &App, theme: &Theme) -> (String, Vec<Line<'static>>) {
    let all = fleet.entries.len() + fleet.skipped.len();
    let title = match fleet.plan {
        FleetPlan::Change => format!("change of all {all} servers"),
        FleetPlan::Undo => "undo of the last change of all servers".to_owned(),
    };
    let name = |server: usize| {
        let name = app.data.servers.get(server).map_or("", |server| server.name.as_str());
        text::padded(name, NAME, theme.symbols.cut)
    };
    let mut lines = vec![Line::from(Span::styled(summary(fleet), theme.accent))];
    // Those that need attention are first, so that they are seen where there is no room for all.
    let mut entries: Vec<_> = fleet.entries.iter().map(|entry| (describe(&entry.state, theme), entry.server)).collect();
    entries.sort_by_key(|((urgency, ..), server)| (*urgency, *server));
    for ((_, what, style), server) in entries {
        lines.push(Line::from(vec![Span::raw(format!("  {} ", name(server))), Span::styled(what, style)]));
    }
    for (server, why) in &fleet.skipped {
        let why = format!("left out: {}", text::harmless(why));
        lines.push(Line::from(vec![Span::raw(format!("  {} ", name(*server))), Span::styled(why, theme.dim)]));
    }
    (title, lines)
}

/// The words of the two answers; the right one is empty while there is none.
#[must_use]
pub fn answers(fleet: &FleetChange) -> (&'static str, String) {
    let ready = fleet.count(|state| matches!(state, EntryState::Ready(_)));
    if fleet.ready() {
        ("cancel", if ready == 1 { "apply to 1 server".into() } else { format!("apply to {ready} servers") })
    } else if fleet.taken().is_empty() {
        ("cancel", String::new())
    } else if fleet.plan == FleetPlan::Change {
        ("close", "undo all".into())
    } else {
        ("close", String::new())
    }
}

fn summary(fleet: &FleetChange) -> String {
    let asked = fleet.count(|state| *state == EntryState::Asked);
    let taken = fleet.taken().len();
    let failed = fleet.count(|state| matches!(state, EntryState::Failed(_)));
    let of = fleet.entries.len() + fleet.skipped.len();
    if asked > 0 {
        format!("Asking {asked} servers what the change would do.")
    } else if fleet.pending() {
        "Sent; waiting for the servers' answers.".into()
    } else if taken > 0 {
        format!("{taken} of {of} servers took it; failed: {failed}; left out: {}", fleet.skipped.len())
    } else {
        let ready = fleet.count(|state| matches!(state, EntryState::Ready(_)));
        format!("{ready} of {of} servers would change; failed: {failed}; left out: {}", fleet.skipped.len())
    }
}

/// How urgent a state is, the smallest first; its words, and their style.
fn describe(state: &EntryState, theme: &Theme) -> (u8, String, Style) {
    match state {
        EntryState::Failed(why) => (0, format!("fails: {}", text::harmless(why)), theme.bad),
        EntryState::Asked => (2, "is being asked".into(), theme.dim),
        EntryState::Sent => (2, "sent".into(), theme.dim),
        EntryState::Ready(shown) => (3, effect(shown), theme.text),
        EntryState::Taken(revision) => (3, format!("took it: revision {revision}"), theme.good),
        EntryState::Same => (4, "has these values already".into(), theme.dim),
    }
}

/// What a change would do to one server, on one line.
fn effect(shown: &ChangeResult) -> String {
    let each = |difference: &rsd_protocol::settings::SettingDifference| {
        format!("{} {} -> {}", difference.path, difference.old, difference.new)
    };
    let mut text = presets::expand_presets(&shown.differences).iter().map(each).collect::<Vec<_>>().join(", ");
    if let Some(prediction) = &shown.prediction {
        let speed = |point: &rsd_protocol::preview::PredictedPoint| text::factor(point.speedup.map(|s| s.value));
        let _ = write!(
            text,
            "; predicted: accepted {} -> {}, speedup {} -> {}",
            text::percent(Some(prediction.now.acceptance.value)),
            text::percent(Some(prediction.then.acceptance.value)),
            speed(&prediction.now),
            speed(&prediction.then),
        );
    }
    text::harmless(&text)
}
