//! Clocks that are wrong, or that somebody sets meanwhile: the server's, for the console's own never jumps.

use rsd_console::{
    input::Screen,
    screenshot::drawn,
    source::{Message, Update},
    state::{
        alerts::{self, Alert},
        app::App,
        figures::Figures,
        server::Connection,
    },
    view::theme::{Name, Theme},
};
use rsd_protocol::live::Revert;

use crate::fixture::{self, START_MS};

const SECONDS: u64 = 60;
/// When the server's clock is set.
const JUMP: u64 = 30;

/// What of a server must not depend on its clock.
#[derive(Debug, PartialEq)]
struct Seen {
    connection: Connection,
    figures: Figures,
    restarts: u32,
    alerts: Vec<Alert>,
    reverts: Option<(u64, u64)>,
}

/// A minute of a server whose clock is so far ahead of ours, and is set by so much within that minute; at `trial` seconds
/// a change is made that it will take back a minute later.
fn watched(ahead_s: i64, jump_s: i64, trial: u64) -> App {
    let mut app = App::new(&[("a".into(), true)], fixture::app().options);
    let live = fixture::live(0.7);
    let mut reverts = None;
    for second in 0..=SECONDS {
        let at_ms = START_MS + second * 1000;
        let ahead_s = if second < JUMP { ahead_s } else { ahead_s + jump_s };
        let server_ms = at_ms.saturating_add_signed(1000 * ahead_s);
        if second == trial {
            reverts = Some(Revert { revision: 3, at_ms: server_ms + 60_000 });
        }
        let steps = 4.0 * second as f64;
        let mut say = |update| app.take(Message { at_ms, target: 0, update });
        say(Update::Metrics(fixture::metrics(steps, 0.75 * steps, 0.7, 3)));
        let mut status = fixture::status("http://127.0.0.1:1234", &live, 3, true);
        status.now_ms = server_ms;
        say(Update::Status(Box::new(status)));
        let mut view = fixture::view(&live, 3);
        view.reverts.clone_from(&reverts);
        say(Update::Policy { etag: "\"one-3\"".into(), view: Box::new(view) });
        let mut traces = fixture::traces();
        for trace in &mut traces {
            trace.at_ms = server_ms;
        }
        say(Update::Traces(traces));
        let mut history = fixture::history();
        history[0].at_ms = server_ms;
        say(Update::History(history));
        let mut audit = fixture::audit();
        audit[0].at_ms = server_ms;
        say(Update::Audit(audit));
    }
    app
}

fn seen(app: &App) -> Seen {
    let (server, now_ms) = (&app.data.servers[0], app.data.now_ms);
    Seen {
        connection: server.connection(now_ms),
        figures: server.figures(),
        restarts: server.restarts,
        alerts: alerts::of(server, now_ms),
        reverts: server.reverts(now_ms),
    }
}

#[test]
fn a_server_whose_clock_is_wrong_or_jumps_looks_like_any_other() {
    // A trial of a minute: begun before the clock is set, and after.
    for (trial, left) in [(20, 20), (40, 40)] {
        let usual = seen(&watched(0, 0, trial));
        assert_eq!((&usual.connection, usual.reverts), (&Connection::Live, Some((3, left))));
        assert_eq!(usual.figures.step_acceptance, Some(0.75));
        for (ahead_s, jump_s) in [(0, -3_600), (0, 86_400), (300, 0), (-300, 0), (86_400, -86_400)] {
            let app = watched(ahead_s, jump_s, trial);
            assert_eq!(seen(&app), usual, "{ahead_s} s ahead, set by {jump_s} s");
            for screen in Screen::ALL {
                let mut app = app.clone();
                app.ui.screen = screen;
                let text = drawn(&app, &Theme::new(Name::Mono, true), 80, 24);
                assert!(text.contains("LIVE") && !text.contains("STALE"), "{text}");
            }
        }
    }
}
