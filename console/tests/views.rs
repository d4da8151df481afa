//! Every screen, at every size, in every state and theme.

use rsd_console::{
    input::{Screen, UserIntent},
    screenshot::{draw_buffer, screenshot_text},
    source::{ChannelFailure, CommandAnswer, FleetRow, SourceChannel, SourceMessage, SourceUpdate},
    state::app::{App, AppOptions},
    svg,
    view::theme::{Theme, ThemeName},
};
use rsd_protocol::{
    error::{ErrorCode, ErrorDetail, FieldProblem},
    policy::AnswerRoute,
    settings::{ChangeResult, SettingDifference},
};
use serde_json::json;

use rsd_console::test_support::fixture::{self, START_MS};

const SIZES: [(u16, u16); 4] = [(60, 20), (80, 24), (120, 35), (200, 50)];

pub fn plain() -> Theme {
    Theme::new(ThemeName::Mono, false)
}

/// A console in each state of its connection.
pub fn states() -> [(&'static str, App); 7] {
    let connecting = App::new(&[("127.0.0.1:1235".into(), true)], AppOptions::default());
    let live = fixture::app();
    let mut stale = fixture::app();
    stale.tick(START_MS + 89_000 + 42_000);
    let mut down = fixture::app();
    for channel in [SourceChannel::Admin, SourceChannel::Metrics] {
        let cause = "cannot connect to http://127.0.0.1:1235/admin/v1/status: is the server running?".into();
        let failure = ChannelFailure { channel, cause, retry_at_ms: START_MS + 95_000 };
        down.receive(SourceMessage { at_ms: START_MS + 91_000, target: 0, update: SourceUpdate::Failed(failure) });
    }
    [
        ("connecting", connecting),
        ("live", live),
        ("stale", stale),
        ("down", down),
        ("unused", unused()),
        ("slower", slower()),
        ("target_alone", target_alone()),
    ]
}

/// A server that RSD makes slower, because the threshold is so high that most steps are rejected.
fn slower() -> App {
    let mut app = App::new(&[("127.0.0.1:1235".into(), true)], AppOptions::default());
    let live = fixture::live(0.9);
    for second in 0..90_u32 {
        let steps = 4.0 * f64::from(second);
        let accepted = (steps * fixture::acceptance(0.9)).floor();
        let update = SourceUpdate::Metrics(fixture::metrics(steps, accepted, 0.9, 1));
        app.receive(SourceMessage { at_ms: START_MS + u64::from(second) * 1000, target: 0, update });
    }
    let mut say = |update| app.receive(SourceMessage { at_ms: START_MS + 89_000, target: 0, update });
    say(SourceUpdate::Status(Box::new(fixture::status("http://127.0.0.1:1234", &live, 1, true))));
    say(SourceUpdate::Policy { etag: "\"one-1\"".into(), view: Box::new(fixture::view(&live, 1)) });
    say(SourceUpdate::Preview(Box::new(fixture::preview(0.9))));
    say(SourceUpdate::Traces(fixture::traces()));
    app
}

/// A server whose target answers alone.
fn target_alone() -> App {
    let mut app = App::new(&[("127.0.0.1:1235".into(), true)], AppOptions::default());
    let mut live = fixture::live(0.7);
    live.policy.route = AnswerRoute::Target;
    for second in 0..90_u32 {
        // Requests are answered, but no step is drafted.
        let text = fixture::metrics(400.0, 300.0, 0.7, 1)
            .replace("source=\"target\"} 3000", &format!("source=\"target\"}} {}", 3000 + 12 * second))
            .replace("outcome=\"completed\"} 66", &format!("outcome=\"completed\"}} {}", 66 + second / 10));
        app.receive(SourceMessage {
            at_ms: START_MS + u64::from(second) * 1000,
            target: 0,
            update: SourceUpdate::Metrics(text),
        });
    }
    let mut say = |update| app.receive(SourceMessage { at_ms: START_MS + 89_000, target: 0, update });
    say(SourceUpdate::Status(Box::new(fixture::status("http://127.0.0.1:1234", &live, 1, true))));
    say(SourceUpdate::Policy { etag: "\"one-1\"".into(), view: Box::new(fixture::view(&live, 1)) });
    say(SourceUpdate::Preview(Box::new(fixture::preview(0.7))));
    say(SourceUpdate::Traces(fixture::traces()));
    app
}

/// A server that nobody has used yet.
fn unused() -> App {
    let mut app = App::new(&[("127.0.0.1:1235".into(), true)], AppOptions::default());
    let live = fixture::live(0.7);
    for second in 0..3 {
        let at_ms = START_MS + second * 1000;
        let mut say = |update| app.receive(SourceMessage { at_ms, target: 0, update });
        let mut status = fixture::status("http://127.0.0.1:1234", &live, 1, true);
        (status.running, status.waiting) = (0, 0);
        say(SourceUpdate::Status(Box::new(status)));
        say(SourceUpdate::Policy { etag: "\"one-1\"".into(), view: Box::new(fixture::view(&live, 1)) });
        let idle = "rsd_policy_delta 0.7\nrsd_policy_revision 1\nrsd_requests_running 0\nrsd_requests_waiting 0\n\
                    rsd_steps_total{outcome=\"accepted\"} 0\nrsd_steps_total{outcome=\"rejected\"} 0\n\
                    rsd_requests_total{outcome=\"completed\"} 0\n";
        say(SourceUpdate::Metrics(idle.into()));
    }
    app
}

pub fn on(screen: Screen, mut app: App) -> App {
    app.apply_intent(UserIntent::Show(screen));
    app
}

#[test]
fn the_overview_in_every_state_of_the_connection() {
    for (state, app) in states() {
        for (columns, rows) in SIZES {
            insta::assert_snapshot!(
                format!("overview_{state}_{columns}x{rows}"),
                screenshot_text(&app, &plain(), columns, rows)
            );
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
                screenshot_text(&app, &plain(), columns, rows)
            );
        }
    }
}

#[test]
fn a_server_that_is_down_says_so_on_every_screen_and_its_old_data_stay() {
    let [_, _, _, (_, down), ..] = states();
    for screen in Screen::ALL {
        let text = screenshot_text(&on(screen, down.clone()), &plain(), 80, 24);
        assert!(text.contains("DOWN, next try in 4 s"), "{text}");
        assert!(text.contains("cannot connect"), "{text}");
    }
    assert!(screenshot_text(&down, &plain(), 80, 24).contains("of 356"));
}

#[test]
fn a_terminal_that_is_too_small_is_told_how_small() {
    insta::assert_snapshot!(screenshot_text(&fixture::app(), &plain(), 59, 20), @r"
    rsd-console needs 60 x 20 cells, and this terminal has 59 x
    20. `rsd-console watch` works in any terminal.
    ");
    for (columns, rows) in [(1, 1), (60, 19), (3, 80), (200, 2)] {
        assert_eq!(screenshot_text(&fixture::app(), &plain(), columns, rows).lines().count(), usize::from(rows));
    }
}

#[test]
fn the_panels_of_a_change() {
    let mut app = on(Screen::Rewards, fixture::app());
    app.apply_intent(UserIntent::EditDelta);
    for c in "0.42".chars() {
        app.apply_intent(UserIntent::Text(c));
    }
    insta::assert_snapshot!("panel_form_80x24", screenshot_text(&app, &plain(), 80, 24));
    insta::assert_snapshot!("panel_form_60x20", screenshot_text(&app, &plain(), 60, 20));
    app.apply_intent(UserIntent::Enter);
    insta::assert_snapshot!("panel_asked_80x24", screenshot_text(&app, &plain(), 80, 24));
    let answer = |answer| SourceMessage {
        at_ms: START_MS + 90_000,
        target: 0,
        update: SourceUpdate::Answer { ticket: 1, answer: Box::new(answer) },
    };
    let mut refused = app.clone();
    refused.receive(answer(CommandAnswer::Refused(Box::new(ErrorDetail {
        code: ErrorCode::InvalidSettings,
        message: "1 setting is invalid".into(),
        problems: vec![FieldProblem { path: "policy.delta".into(), message: "expected more".into() }],
        current: None,
    }))));
    insta::assert_snapshot!("panel_refused_80x24", screenshot_text(&refused, &plain(), 80, 24));
    let mut conflict = app.clone();
    conflict.receive(answer(CommandAnswer::Refused(Box::new(ErrorDetail {
        code: ErrorCode::RevisionStale,
        message: "somebody was faster".into(),
        problems: Vec::new(),
        current: Some(Box::new(fixture::view(&fixture::live(0.7), 3))),
    }))));
    insta::assert_snapshot!("panel_conflict_80x24", screenshot_text(&conflict, &plain(), 80, 24));
    app.receive(answer(CommandAnswer::Changed(Box::new(ChangeResult {
        dry_run: true,
        revision: 3,
        differences: vec![SettingDifference { path: "policy.delta".into(), old: json!(0.7), new: json!(0.42) }],
        prediction: Some(fixture::prediction(0.7, 0.42)),
        warnings: vec!["a restart will have 0.70 again".into()],
        persisted: None,
        reverts: None,
    }))));
    insta::assert_snapshot!("panel_review_80x24", screenshot_text(&app, &plain(), 80, 24));
    insta::assert_snapshot!("panel_review_60x20", screenshot_text(&app, &plain(), 60, 20));
}

#[test]
fn a_change_of_a_preset_is_shown_by_its_fields() {
    let mut app = fixture::app();
    let mut live = fixture::live(0.7);
    live.presets = serde_json::from_value(json!([{"name": "careful", "delta": 0.9}])).unwrap();
    let update = SourceUpdate::Policy { etag: "\"one-3\"".into(), view: Box::new(fixture::view(&live, 3)) };
    app.receive(SourceMessage { at_ms: START_MS + 89_000, target: 0, update });
    app.apply_intent(UserIntent::EditPresets);
    app.apply_intent(UserIntent::Left);
    insta::assert_snapshot!("panel_preset_80x24", screenshot_text(&app, &plain(), 80, 24));
    app.apply_intent(UserIntent::Enter);
    let changed = ChangeResult {
        dry_run: true,
        revision: 3,
        differences: vec![SettingDifference {
            path: "presets".into(),
            old: json!([{"name": "careful", "delta": 0.9}]),
            new: json!([{"name": "careful", "delta": 0.89}]),
        }],
        prediction: None,
        warnings: Vec::new(),
        persisted: None,
        reverts: None,
    };
    let update = SourceUpdate::Answer { ticket: 1, answer: Box::new(CommandAnswer::Changed(Box::new(changed))) };
    app.receive(SourceMessage { at_ms: START_MS + 89_000, target: 0, update });
    insta::assert_snapshot!("panel_preset_review_80x24", screenshot_text(&app, &plain(), 80, 24));
}

#[test]
fn a_trial_counts_down_on_every_screen() {
    let mut app = fixture::app();
    let (etag, mut view) = app.data.servers[0].policy.clone().unwrap();
    view.reverts = Some(rsd_protocol::settings::ScheduledRevert { revision: 3, at_ms: START_MS + 89_000 + 41_500 });
    let update = SourceUpdate::Policy { etag, view: Box::new(view) };
    app.receive(SourceMessage { at_ms: START_MS + 89_000, target: 0, update });
    let text = screenshot_text(&on(Screen::Logs, app), &plain(), 80, 24);
    assert!(text.contains("confirm? revision 3 will be reverted in 42 s; press c to confirm"), "{text}");
}

/// Compares a generated file of the documentation; `RSD_BLESS=1 cargo test -p rsd-console captures` updates it.
fn assert_generated(name: &str, text: &str) {
    let path = format!("{}/../docs/generated/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("RSD_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{path}");
}

#[test]
fn the_captures_of_the_documentation_are_what_is_drawn() {
    let mut editing = on(Screen::Rewards, fixture::app());
    editing.apply_intent(UserIntent::EditDelta);
    "0.55".chars().for_each(|c| drop(editing.apply_intent(UserIntent::Text(c))));
    let captures =
        [("overview", fixture::app()), ("rewards", editing), ("requests", on(Screen::Requests, fixture::app()))];
    for (name, app) in captures {
        assert_generated(&format!("console-{name}.txt"), &screenshot_text(&app, &plain(), 100, 30));
    }
    let picture = svg::image_of(&draw_buffer(&fixture::app(), &Theme::new(ThemeName::Dark, false), 100, 24));
    assert!(picture.len() < 60_000, "{} bytes", picture.len());
    assert_generated("console-overview.svg", &picture);
}

#[test]
fn a_change_of_all_servers_is_reported_server_by_server() {
    let names = ["lab:1235", "night:1235", "東京:1235", "metrics:1234"];
    let servers: Vec<_> = names.iter().map(|name| ((*name).to_owned(), *name != "metrics:1234")).collect();
    let mut app = App::new(&servers, AppOptions::default());
    (0..3).for_each(|server| fixture::feed(&mut app, server));
    let mut app = on(Screen::Fleet, app);
    app.apply_intent(UserIntent::EditDelta);
    app.apply_intent(UserIntent::Left);
    app.apply_intent(UserIntent::AllServers);
    insta::assert_snapshot!("all_servers_form_80x24", screenshot_text(&app, &plain(), 80, 24));
    app.apply_intent(UserIntent::Enter);
    let say = |app: &mut App, ticket, answer| {
        let update = SourceUpdate::Answer { ticket, answer: Box::new(answer) };
        app.receive(SourceMessage { at_ms: START_MS + 90_000, target: 0, update });
    };
    let changed = |dry_run, revision| {
        CommandAnswer::Changed(Box::new(ChangeResult {
            dry_run,
            revision,
            differences: vec![SettingDifference { path: "policy.delta".into(), old: json!(0.7), new: json!(0.69) }],
            prediction: dry_run.then(|| fixture::prediction(0.7, 0.69)),
            warnings: Vec::new(),
            persisted: None,
            reverts: None,
        }))
    };
    let refusal = CommandAnswer::Refused(Box::new(ErrorDetail {
        code: ErrorCode::InvalidSettings,
        message: "policy.delta cannot change in budget mode".into(),
        problems: Vec::new(),
        current: None,
    }));
    say(&mut app, 1, changed(true, 3));
    say(&mut app, 2, refusal);
    say(&mut app, 3, changed(true, 3));
    insta::assert_snapshot!("all_servers_review_80x24", screenshot_text(&app, &plain(), 80, 24));
    app.apply_intent(UserIntent::Right);
    app.apply_intent(UserIntent::Enter);
    say(&mut app, 4, changed(false, 4));
    say(&mut app, 5, CommandAnswer::Failed("no answer within 5 s".into()));
    insta::assert_snapshot!("all_servers_report_80x24", screenshot_text(&app, &plain(), 80, 24));
    insta::assert_snapshot!("all_servers_report_60x20", screenshot_text(&app, &plain(), 60, 20));
}

#[test]
fn the_prediction_for_a_threshold_that_is_looked_at() {
    let mut app = on(Screen::Rewards, fixture::app());
    (0..2).for_each(|_| drop(app.apply_intent(UserIntent::PageDown)));
    insta::assert_snapshot!("rewards_cursor_80x24", screenshot_text(&app, &plain(), 80, 24));
}

#[test]
fn the_help_has_every_key() {
    let mut app = fixture::app();
    app.apply_intent(UserIntent::Help);
    insta::assert_snapshot!("help_120x50", screenshot_text(&app, &plain(), 120, 50));
    app.apply_intent(UserIntent::Bottom);
    assert!(screenshot_text(&app, &plain(), 60, 20).contains("Ctrl-C"), "the last line can be reached");
    // Also above a text that is shorter and has the same scroll position.
    let scrolled = |screen| {
        let mut app = on(screen, fixture::app());
        app.apply_intent(UserIntent::Enter);
        let mut trace = fixture::trace("req-0").unwrap();
        trace.steps.clear();
        let update = SourceUpdate::Trace(Box::new(trace));
        app.receive(SourceMessage { at_ms: START_MS + 90_000, target: 0, update });
        app.apply_intent(UserIntent::Help);
        app.apply_intent(UserIntent::PageDown);
        screenshot_text(&app, &plain(), 60, 20).lines().skip(3).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(scrolled(Screen::Models), scrolled(Screen::Overview));
    assert_eq!(scrolled(Screen::Requests), scrolled(Screen::Overview));
}

#[test]
fn one_request_step_by_step() {
    let mut app = on(Screen::Requests, fixture::app());
    app.apply_intent(UserIntent::Down);
    app.apply_intent(UserIntent::Enter);
    let trace = fixture::trace("req-1").unwrap();
    app.receive(SourceMessage { at_ms: START_MS + 90_000, target: 0, update: SourceUpdate::Trace(Box::new(trace)) });
    insta::assert_snapshot!("request_80x24", screenshot_text(&app, &plain(), 80, 24));
}

#[test]
fn a_request_in_chinese_and_with_emoji_is_wrapped_by_its_width() {
    let mut app = on(Screen::Requests, fixture::app());
    app.apply_intent(UserIntent::Down);
    app.apply_intent(UserIntent::Enter);
    let mut trace = fixture::trace("req-1").unwrap();
    trace.question =
        Some("小明有十七盒铅笔，每盒二十三支。他一共有多少支铅笔？请一步一步地计算，并说明每一步的理由。".into());
    trace.steps[0].text =
        Some("第一步：十七乘以二十等于三百四十，十七乘以三等于五十一，两者相加得到三百九十一。🎉👩‍🔬 OK".into());
    app.receive(SourceMessage { at_ms: START_MS + 90_000, target: 0, update: SourceUpdate::Trace(Box::new(trace)) });
    insta::assert_snapshot!("request_wide_60x20", screenshot_text(&app, &plain(), 60, 20));
}

#[test]
fn a_server_that_nobody_has_used_yet_says_what_to_do_on_every_screen() {
    for screen in [Screen::Overview, Screen::Requests] {
        for (columns, rows) in SIZES {
            let text = screenshot_text(&on(screen, unused()), &plain(), columns, rows);
            // What is pasted into a shell must not be cut.
            let command = "curl http://127.0.0.1:1234/v1/chat/completions \\";
            let body = "[{\"role\": \"user\", \"content\": \"What is 17 * 23?\"}]}'";
            assert!(text.contains(command) && text.contains(body), "{text}");
        }
    }
    for screen in [Screen::Rewards, Screen::Requests, Screen::History, Screen::Alerts, Screen::Logs] {
        let name = format!("unused_{}_80x24", screen.name());
        insta::assert_snapshot!(name, screenshot_text(&on(screen, unused()), &plain(), 80, 24));
    }
}

#[test]
fn now_is_compared_with_an_hour_ago_once_the_console_has_watched_for_that_long() {
    let compared = |minutes| {
        let mut app = fixture::app_after(minutes);
        app.apply_intent(UserIntent::Compare);
        app
    };
    let hour = compared(70);
    for (columns, rows) in SIZES {
        insta::assert_snapshot!(
            format!("comparison_{columns}x{rows}"),
            screenshot_text(&hour, &plain(), columns, rows)
        );
    }
    insta::assert_snapshot!("comparison_early_80x24", screenshot_text(&compared(50), &plain(), 80, 24));
    let mut nothing = states()[0].1.clone();
    nothing.apply_intent(UserIntent::Compare);
    assert!(screenshot_text(&nothing, &plain(), 60, 20).contains("There are no metrics yet."));
}

#[test]
fn models_on_remote_engines_are_shown_below_the_models() {
    for (name, roles) in [("models_remote", &["target"][..]), ("models_all_remote", &["draft", "reward", "target"])] {
        let mut app = on(Screen::Models, fixture::app());
        let text = fixture::metrics(400.0, 300.0, 0.7, 3) + &fixture::remote_models(roles);
        app.receive(SourceMessage { at_ms: START_MS + 90_000, target: 0, update: SourceUpdate::Metrics(text) });
        for (columns, rows) in SIZES {
            insta::assert_snapshot!(format!("{name}_{columns}x{rows}"), screenshot_text(&app, &plain(), columns, rows));
        }
        app.apply_intent(UserIntent::Bottom);
        let scrolled = screenshot_text(&app, &plain(), 60, 20);
        assert!(scrolled.contains("discarded draft tokens"), "{scrolled}");
        assert_eq!(scrolled.matches("1 FAILING").count(), roles.len(), "{scrolled}");
    }
}

#[test]
fn the_money_that_is_saved_stands_beside_the_flops_where_the_target_has_a_price() {
    let mut app = fixture::app();
    assert!(!screenshot_text(&app, &plain(), 200, 50).contains("/h"));
    for (second, alone) in [(0, 1.0), (36, 1.05)] {
        let text = fixture::metrics(400.0, 300.0, 0.7, 3) + &fixture::prices(alone);
        app.receive(SourceMessage {
            at_ms: START_MS + 90_000 + second * 1000,
            target: 0,
            update: SourceUpdate::Metrics(text),
        });
    }
    // 0.021 within the two minutes of the window.
    for ((columns, rows), shown) in SIZES.into_iter().zip(["", "0.63 USD/h", "0.63 USD/h saved", "; 0.63 USD/h saved"])
    {
        let text = screenshot_text(&app, &plain(), columns, rows);
        assert!(text.contains(shown), "{shown} in {text}");
    }
}

#[test]
fn a_fleet_of_own_servers_and_of_those_prometheus_knows() {
    let servers = [("one:1235".to_owned(), true), ("two:1234".to_owned(), false)];
    let mut app = App::new(&servers, AppOptions::default());
    fixture::feed(&mut app, 0);
    let known = FleetRow { instance: "three:1234".into(), up: true, acceptance: Some(0.5), ..FleetRow::default() };
    app.receive(SourceMessage { at_ms: START_MS + 89_000, target: 0, update: SourceUpdate::Fleet(vec![known]) });
    let mut app = on(Screen::Fleet, app);
    insta::assert_snapshot!("fleet_of_three_80x24", screenshot_text(&app, &plain(), 80, 24));
    (0..3).for_each(|_| drop(app.apply_intent(UserIntent::SortColumn)));
    insta::assert_snapshot!("fleet_sorted_80x24", screenshot_text(&app, &plain(), 80, 24));
    app.apply_intent(UserIntent::Palette);
    "re".chars().for_each(|c| drop(app.apply_intent(UserIntent::Text(c))));
    insta::assert_snapshot!("palette_80x24", screenshot_text(&app, &plain(), 80, 24));
    insta::assert_snapshot!("palette_60x20", screenshot_text(&app, &plain(), 60, 20));
}

#[test]
fn numbers_that_are_none_are_shown_as_that() {
    let mut app = App::new(&[("a".into(), false)], AppOptions::default());
    for second in 0..3 {
        let text =
            "rsd_policy_delta NaN\nrsd_requests_waiting +Inf\nrsd_steps_total{outcome=\"accepted\"} NaN".to_owned();
        app.receive(SourceMessage { at_ms: START_MS + second * 1000, target: 0, update: SourceUpdate::Metrics(text) });
    }
    let text = screenshot_text(&app, &plain(), 80, 24);
    assert!(text.contains("delta NaN") && text.contains("of -"), "{text}");
}
