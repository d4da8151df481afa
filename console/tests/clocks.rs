//! Server clocks that are wrong or are set meanwhile. (The console's own clock never jumps.)

use rsd_console::{
    input::Screen,
    screenshot::screenshot_text,
    source::{SourceMessage, SourceUpdate},
    state::{
        alerts::{self, Alert},
        app::App,
        server::ServerConnection,
        summary::MetricSummary,
    },
    view::theme::{Theme, ThemeName},
};
use rsd_protocol::settings::ScheduledRevert;

use rsd_console::test_support::fixture::{self, START_MS};

const SECONDS: u64 = 60;
/// When the server's clock is set.
const JUMP: u64 = 30;

/// The part of the state that must not depend on the server's clock.
#[derive(Debug, PartialEq)]
struct Seen {
    connection: ServerConnection,
    summary: MetricSummary,
    restarts: u32,
    alerts: Vec<Alert>,
    reverts: Option<(u64, u64)>,
}

/// The state after a minute with a server whose clock is `ahead_s` ahead of the console's and is moved by `jump_s` in
/// the middle. At second `trial` a change is made that will be reverted a minute later.
fn watched(ahead_s: i64, jump_s: i64, trial: u64) -> App {
    let mut app = App::new(&[("a".into(), true)], fixture::app().options);
    let live = fixture::live(0.7);
    let mut reverts = None;
    for second in 0..=SECONDS {
        let at_ms = START_MS + second * 1000;
        let ahead_s = if second < JUMP { ahead_s } else { ahead_s + jump_s };
        let server_ms = at_ms.saturating_add_signed(1000 * ahead_s);
        if second == trial {
            reverts = Some(ScheduledRevert { revision: 3, at_ms: server_ms + 60_000 });
        }
        let steps = 4.0 * second as f64;
        let mut say = |update| app.receive(SourceMessage { at_ms, target: 0, update });
        say(SourceUpdate::Metrics(fixture::metrics(steps, 0.75 * steps, 0.7, 3)));
        let mut status = fixture::status("http://127.0.0.1:1234", &live, 3, true);
        status.now_ms = server_ms;
        say(SourceUpdate::Status(Box::new(status)));
        let mut view = fixture::view(&live, 3);
        view.reverts.clone_from(&reverts);
        say(SourceUpdate::Policy { etag: "\"one-3\"".into(), view: Box::new(view) });
        let mut traces = fixture::traces();
        for trace in &mut traces {
            trace.at_ms = server_ms;
        }
        say(SourceUpdate::Traces(traces));
        let mut history = fixture::history();
        history[0].at_ms = server_ms;
        say(SourceUpdate::History(history));
        let mut audit = fixture::audit();
        audit[0].at_ms = server_ms;
        say(SourceUpdate::Audit(audit));
    }
    app
}

fn seen(app: &App) -> Seen {
    let (server, now_ms) = (&app.data.servers[0], app.data.now_ms);
    Seen {
        connection: server.connection(now_ms),
        summary: server.summary(),
        restarts: server.restarts,
        alerts: alerts::active_alerts(server, now_ms),
        reverts: server.pending_revert(now_ms),
    }
}

#[test]
fn a_server_whose_clock_is_wrong_or_jumps_looks_like_any_other() {
    // A trial of a minute: begun before the clock is set, and after.
    for (trial, left) in [(20, 20), (40, 40)] {
        let usual = seen(&watched(0, 0, trial));
        assert_eq!((&usual.connection, usual.reverts), (&ServerConnection::Live, Some((3, left))));
        assert_eq!(usual.summary.step_acceptance, Some(0.75));
        for (ahead_s, jump_s) in [(0, -3_600), (0, 86_400), (300, 0), (-300, 0), (86_400, -86_400)] {
            let app = watched(ahead_s, jump_s, trial);
            assert_eq!(seen(&app), usual, "{ahead_s} s ahead, set by {jump_s} s");
            for screen in Screen::ALL {
                let mut app = app.clone();
                app.ui.screen = screen;
                let text = screenshot_text(&app, &Theme::new(ThemeName::Mono, true), 80, 24);
                assert!(text.contains("LIVE") && !text.contains("STALE"), "{text}");
            }
        }
    }
}
