//! Every screen, at every size, in every state and theme.

use ratatui::{Terminal, backend::TestBackend, style::Color};
use rsd_console::{
    input::{Intent, Screen},
    screenshot::drawn,
    source::{Answer, Channel, Failure, FleetRow, Message, Update},
    state::app::{App, Options},
    view::{
        draw,
        theme::{Name, Theme},
    },
};
use rsd_protocol::{
    error::{ErrorCode, ErrorDetail, FieldProblem},
    live::{Changed, Difference},
};
use serde_json::json;

use crate::fixture::{self, START_MS};

const SIZES: [(u16, u16); 3] = [(60, 20), (80, 24), (140, 45)];

fn plain() -> Theme {
    Theme::new(Name::Mono, false)
}

/// A console in each state of its connection.
fn states() -> [(&'static str, App); 4] {
    let connecting = App::new(&[("127.0.0.1:1235".into(), true)], Options::default());
    let live = fixture::app();
    let mut stale = fixture::app();
    stale.tick(START_MS + 89_000 + 42_000);
    let mut down = fixture::app();
    for channel in [Channel::Admin, Channel::Metrics] {
        let cause = "cannot connect to http://127.0.0.1:1235/admin/v1/status: is the server running?".into();
        let failure = Failure { channel, cause, retry_at_ms: START_MS + 95_000 };
        down.take(Message { at_ms: START_MS + 91_000, target: 0, update: Update::Failed(failure) });
    }
    [("connecting", connecting), ("live", live), ("stale", stale), ("down", down)]
}

fn on(screen: Screen, mut app: App) -> App {
    app.act(Intent::Show(screen));
    app
}

#[test]
fn the_overview_in_every_state_of_the_connection() {
    for (state, app) in states() {
        for (columns, rows) in SIZES {
            insta::assert_snapshot!(format!("overview_{state}_{columns}x{rows}"), drawn(&app, &plain(), columns, rows));
        }
    }
}

#[test]
fn every_screen_of_a_live_server() {
    for screen in Screen::ALL.into_iter().skip(1) {
        for (columns, rows) in SIZES {
            let app = on(screen, fixture::app());
            insta::assert_snapshot!(
                format!("{}_{columns}x{rows}", screen.name()),
                drawn(&app, &plain(), columns, rows)
            );
        }
    }
}

#[test]
fn a_server_that_is_down_says_so_on_every_screen_and_keeps_its_old_data() {
    let [_, _, _, (_, down)] = states();
    for screen in Screen::ALL {
        let text = drawn(&on(screen, down.clone()), &plain(), 80, 24);
        assert!(text.contains("DOWN, next try in 4 s"), "{text}");
        assert!(text.contains("cannot connect"), "{text}");
    }
    assert!(drawn(&down, &plain(), 80, 24).contains("of 356 judged"));
}

#[test]
fn a_terminal_that_is_too_small_is_told_how_small() {
    insta::assert_snapshot!(drawn(&fixture::app(), &plain(), 59, 20), @r"
    rsd-console needs 60 x 20 cells; this terminal has 59 x 20.
    `rsd-console watch` needs less.
    ");
    for (columns, rows) in [(1, 1), (60, 19), (3, 80), (200, 2)] {
        assert_eq!(drawn(&fixture::app(), &plain(), columns, rows).lines().count(), usize::from(rows));
    }
}

#[test]
fn nothing_is_said_by_colour_alone_and_ascii_is_ascii() {
    for (state, app) in states() {
        for screen in Screen::ALL {
            let app = on(screen, app.clone());
            let mono = drawn(&app, &plain(), 80, 24);
            for name in [Name::Dark, Name::Light] {
                assert_eq!(mono, drawn(&app, &Theme::new(name, false), 80, 24), "{state} {screen:?} {name:?}");
            }
            let ascii = drawn(&app, &Theme::new(Name::Mono, true), 80, 24);
            let foreign: String = ascii.chars().filter(|c| !c.is_ascii() && *c != '\u{fffd}').collect();
            assert_eq!(foreign, "", "{state} {screen:?}\n{ascii}");
        }
    }
}

#[test]
fn mono_has_no_colours_and_the_others_do() {
    for name in [Name::Mono, Name::Dark, Name::Light] {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &fixture::app(), &Theme::new(name, false))).unwrap();
        let cells = &terminal.backend().buffer().content;
        let coloured = cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(coloured, name != Name::Mono, "{name:?}");
    }
    insta::assert_snapshot!("overview_ascii_80x24", drawn(&fixture::app(), &Theme::new(Name::Mono, true), 80, 24));
}

#[test]
fn old_data_is_dimmed() {
    let [_, (_, live), _, (_, down)] = states();
    let style_of_a_figure = |app: &App| {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, app, &Theme::new(Name::Dark, false))).unwrap();
        let buffer = terminal.backend().buffer().clone();
        buffer[(1, 4)].fg
    };
    assert_eq!(style_of_a_figure(&live), Color::Reset);
    assert_eq!(style_of_a_figure(&down), Color::DarkGray);
}

#[test]
fn the_panels_of_a_change() {
    let mut app = on(Screen::Rewards, fixture::app());
    app.act(Intent::EditDelta);
    for c in "0.42".chars() {
        app.act(Intent::Text(c));
    }
    insta::assert_snapshot!("panel_draft_80x24", drawn(&app, &plain(), 80, 24));
    insta::assert_snapshot!("panel_draft_60x20", drawn(&app, &plain(), 60, 20));
    app.act(Intent::Enter);
    insta::assert_snapshot!("panel_asked_80x24", drawn(&app, &plain(), 80, 24));
    let answer = |answer| Message {
        at_ms: START_MS + 90_000,
        target: 0,
        update: Update::Answer { ticket: 1, answer: Box::new(answer) },
    };
    let mut refused = app.clone();
    refused.take(answer(Answer::Refused(Box::new(ErrorDetail {
        code: ErrorCode::InvalidSettings,
        message: "1 setting was refused".into(),
        problems: vec![FieldProblem { path: "policy.delta".into(), message: "expected more".into() }],
        current: None,
    }))));
    insta::assert_snapshot!("panel_refused_80x24", drawn(&refused, &plain(), 80, 24));
    let mut conflict = app.clone();
    conflict.take(answer(Answer::Refused(Box::new(ErrorDetail {
        code: ErrorCode::RevisionStale,
        message: "somebody was faster".into(),
        problems: Vec::new(),
        current: Some(Box::new(fixture::view(&fixture::live(0.7), 3))),
    }))));
    insta::assert_snapshot!("panel_conflict_80x24", drawn(&conflict, &plain(), 80, 24));
    app.take(answer(Answer::Changed(Box::new(Changed {
        dry_run: true,
        revision: 3,
        differences: vec![Difference { path: "policy.delta".into(), old: json!(0.7), new: json!(0.42) }],
        prediction: Some(fixture::prediction(0.7, 0.42)),
        warnings: vec!["a restart will have 0.70 again".into()],
        persisted: None,
        reverts: None,
    }))));
    insta::assert_snapshot!("panel_review_80x24", drawn(&app, &plain(), 80, 24));
    insta::assert_snapshot!("panel_review_60x20", drawn(&app, &plain(), 60, 20));
}

#[test]
fn a_change_of_a_preset_is_told_by_what_it_says() {
    let mut app = fixture::app();
    let mut live = fixture::live(0.7);
    live.presets = serde_json::from_value(json!([{"name": "careful", "delta": 0.9}])).unwrap();
    let update = Update::Policy { etag: "\"one-3\"".into(), view: Box::new(fixture::view(&live, 3)) };
    app.take(Message { at_ms: START_MS + 89_000, target: 0, update });
    app.act(Intent::EditPresets);
    app.act(Intent::Left);
    insta::assert_snapshot!("panel_preset_80x24", drawn(&app, &plain(), 80, 24));
    app.act(Intent::Enter);
    let changed = Changed {
        dry_run: true,
        revision: 3,
        differences: vec![Difference {
            path: "presets".into(),
            old: json!([{"name": "careful", "delta": 0.9}]),
            new: json!([{"name": "careful", "delta": 0.89}]),
        }],
        prediction: None,
        warnings: Vec::new(),
        persisted: None,
        reverts: None,
    };
    let update = Update::Answer { ticket: 1, answer: Box::new(Answer::Changed(Box::new(changed))) };
    app.take(Message { at_ms: START_MS + 89_000, target: 0, update });
    insta::assert_snapshot!("panel_preset_review_80x24", drawn(&app, &plain(), 80, 24));
}

#[test]
fn a_trial_counts_down_on_every_screen() {
    let mut app = fixture::app();
    let (etag, mut view) = app.data.servers[0].policy.clone().unwrap();
    view.reverts = Some(rsd_protocol::live::Revert { revision: 3, at_ms: START_MS + 89_000 + 41_500 });
    let update = Update::Policy { etag, view: Box::new(view) };
    app.take(Message { at_ms: START_MS + 89_000, target: 0, update });
    let text = drawn(&on(Screen::Logs, app), &plain(), 80, 24);
    assert!(text.contains("keep it? revision 3 is taken back in 42 s; K keeps it"), "{text}");
}

/// `RSD_BLESS=1 cargo test -p rsd-console captures` writes them anew.
#[test]
fn the_captures_of_the_documentation_are_what_is_drawn() {
    let mut editing = on(Screen::Rewards, fixture::app());
    editing.act(Intent::EditDelta);
    "0.55".chars().for_each(|c| drop(editing.act(Intent::Text(c))));
    let captures =
        [("overview", fixture::app()), ("rewards", editing), ("requests", on(Screen::Requests, fixture::app()))];
    for (name, app) in captures {
        let text = drawn(&app, &plain(), 100, 30);
        let path = format!("{}/../docs/console-{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("RSD_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{path}");
    }
}

#[test]
fn the_help_has_every_key() {
    let mut app = fixture::app();
    app.act(Intent::Help);
    insta::assert_snapshot!("help_140x45", drawn(&app, &plain(), 140, 45));
    app.act(Intent::Bottom);
    assert!(drawn(&app, &plain(), 60, 20).contains("Ctrl-C"), "the last line can be reached");
}

#[test]
fn one_request_step_by_step() {
    let mut app = on(Screen::Requests, fixture::app());
    app.act(Intent::Down);
    app.act(Intent::Enter);
    let trace = fixture::trace("req-1").unwrap();
    app.take(Message { at_ms: START_MS + 90_000, target: 0, update: Update::Trace(Box::new(trace)) });
    insta::assert_snapshot!("request_80x24", drawn(&app, &plain(), 80, 24));
}

#[test]
fn a_fleet_of_own_servers_and_of_those_prometheus_knows() {
    let servers = [("one:1235".to_owned(), true), ("two:1234".to_owned(), false)];
    let mut app = App::new(&servers, Options::default());
    fixture::feed(&mut app, 0);
    let known = FleetRow { instance: "three:1234".into(), up: true, acceptance: Some(0.5), ..FleetRow::default() };
    app.take(Message { at_ms: START_MS + 89_000, target: 0, update: Update::Fleet(vec![known]) });
    let app = on(Screen::Fleet, app);
    insta::assert_snapshot!("fleet_of_three_80x24", drawn(&app, &plain(), 80, 24));
}

#[test]
fn numbers_that_are_none_are_shown_as_that() {
    let mut app = App::new(&[("a".into(), false)], Options::default());
    for second in 0..3 {
        let text =
            "rsd_policy_delta NaN\nrsd_requests_waiting +Inf\nrsd_steps_total{outcome=\"accepted\"} NaN".to_owned();
        app.take(Message { at_ms: START_MS + second * 1000, target: 0, update: Update::Metrics(text) });
    }
    let text = drawn(&app, &plain(), 80, 24);
    assert!(text.contains("delta NaN") && text.contains("of - judged"), "{text}");
}
