//! Every path through a change, key by key.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use rsd_console::{
    input::{self, Screen},
    source::{CommandAnswer, ServerCommand, SourceMessage, SourceUpdate},
    state::{
        app::{App, AppEffect},
        change_dialog::{ChangeDialog, ChangePlan, DryRunAnswer},
    },
};
use rsd_protocol::{
    error::{ErrorCode, ErrorDetail},
    policy::ThresholdMode,
    settings::{ChangeResult, ScheduledRevert, SettingDifference},
};
use serde_json::json;

use rsd_console::test_support::fixture::{self, START_MS};

/// Presses keys: letters, and words such as `<Enter>`.
pub fn press(app: &mut App, keys: &str) -> Vec<AppEffect> {
    let mut effects = Vec::new();
    let mut rest = keys;
    while !rest.is_empty() {
        let named = rest.strip_prefix('<').and_then(|inside| inside.split_once('>'));
        let (code, after) = if let Some((name, after)) = named {
            (code(name), after)
        } else {
            let c = rest.chars().next().unwrap();
            (KeyCode::Char(c), &rest[c.len_utf8()..])
        };
        if let Some(intent) = input::intent(app.mode(), KeyEvent::new(code, KeyModifiers::NONE)) {
            effects.extend(app.apply_intent(intent));
        }
        rest = after;
    }
    effects
}

fn code(name: &str) -> KeyCode {
    match name {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Tab" => KeyCode::Tab,
        "Backspace" => KeyCode::Backspace,
        other => panic!("no key {other}"),
    }
}

pub fn answer(app: &mut App, ticket: u64, answer: CommandAnswer) {
    let update = SourceUpdate::Answer { ticket, answer: Box::new(answer) };
    app.receive(SourceMessage { at_ms: START_MS + 90_000, target: 0, update });
}

pub fn changed(dry_run: bool, revision: u64) -> CommandAnswer {
    CommandAnswer::Changed(Box::new(ChangeResult {
        dry_run,
        revision,
        differences: vec![SettingDifference { path: "policy.delta".into(), old: json!(0.7), new: json!(0.42) }],
        prediction: dry_run.then(|| fixture::prediction(0.7, 0.42)),
        warnings: Vec::new(),
        persisted: None,
        reverts: None,
    }))
}

fn stale(revision: u64, delta: f64) -> CommandAnswer {
    CommandAnswer::Refused(Box::new(ErrorDetail {
        code: ErrorCode::RevisionStale,
        message: "the policy was changed meanwhile".into(),
        problems: Vec::new(),
        current: Some(Box::new(fixture::view(&fixture::live(delta), revision))),
    }))
}

pub fn note(app: &App) -> &str {
    app.ui.note.as_ref().map_or("", |note| note.text.as_str())
}

/// A console with the dry run of `policy.delta=0.42` shown.
fn reviewed() -> App {
    let mut app = fixture::app();
    press(&mut app, "d0.42<Enter>");
    answer(&mut app, 1, changed(true, 3));
    app
}

#[test]
fn a_typed_threshold_is_asked_about_confirmed_and_applied() {
    let mut app = fixture::app();
    let asked = press(&mut app, "d0.42<Enter>");
    let [AppEffect::Send(0, ServerCommand::DryRun { ticket: 1, change, etag })] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!((change.set.clone(), etag.as_str()), (json!({"policy": {"delta": 0.42}}), "\"one-3\""));
    assert_eq!(change.by.as_deref(), Some("ana"));
    assert!(
        press(&mut app, "<Right><Enter>").is_empty() && app.ui.dialog == ChangeDialog::Closed,
        "apply is no choice yet"
    );

    let mut app = reviewed();
    let applied = press(&mut app, "<Right><Enter>");
    let [AppEffect::Send(0, ServerCommand::Apply { ticket: 2, change, etag })] = applied.as_slice() else {
        panic!("{applied:?}")
    };
    assert_eq!((change.set.clone(), etag.as_str()), (json!({"policy": {"delta": 0.42}}), "\"one-3\""));
    assert!(press(&mut app, "<Right><Enter><Enter>").is_empty(), "it is sent once");
    press(&mut app, "<Esc>");
    assert!(matches!(app.ui.dialog, ChangeDialog::Review(_)), "what was sent cannot be cancelled");
    answer(&mut app, 2, changed(false, 4));
    assert_eq!(app.ui.dialog, ChangeDialog::Closed);
    assert_eq!(note(&app), "revision 4: policy.delta 0.7 -> 0.42");
}

#[test]
fn cancel_is_the_default_and_every_way_out_changes_nothing() {
    for keys in ["<Enter>", "<Esc>", "<Right><Left><Enter>", "<Tab><Esc>", "lh<Enter>"] {
        let mut app = reviewed();
        assert_eq!(press(&mut app, keys), [], "{keys}");
        assert_eq!(app.ui.dialog, ChangeDialog::Closed, "{keys}");
        assert_eq!(note(&app), "nothing was changed");
    }
    let mut app = fixture::app();
    assert_eq!(press(&mut app, "d0.42<Esc>"), []);
    assert_eq!(app.ui.dialog, ChangeDialog::Closed);
}

#[test]
fn values_are_stepped_and_bounds_are_the_servers() {
    let mut app = fixture::app();
    press(&mut app, "d<Right><Right>L");
    let ChangeDialog::Form(pending) = &app.ui.dialog else { panic!() };
    assert_eq!(pending.delta(), Some(0.82));
    press(&mut app, "<Esc>d9<Enter>");
    let ChangeDialog::Form(pending) = &app.ui.dialog else { panic!("a value out of bounds is not asked about") };
    assert_eq!(pending.problem.as_deref(), Some("9: expected a number from -1 to 2"));
    assert_eq!(press(&mut app, "<Backspace><Enter>"), [], "nothing is different");
    let ChangeDialog::Form(pending) = &app.ui.dialog else { panic!() };
    assert_eq!(pending.problem.as_deref(), Some("no value is different yet"));
}

#[test]
fn who_answers_and_the_budget_go_the_same_way() {
    let mut app = fixture::app();
    let asked = press(&mut app, "s<Right><Enter>");
    let [AppEffect::Send(0, ServerCommand::DryRun { change, .. })] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(change.set, json!({"policy": {"route": "draft"}}));
    let mut app = fixture::app();
    let asked = press(&mut app, "b<Right><Down><Down>0.25t<Enter>");
    let [AppEffect::Send(0, ServerCommand::DryRun { change, .. })] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(change.set, json!({"policy": {"mode": "budget", "target_rate": 0.25}}));
    assert_eq!(change.ttl_seconds, Some(60));
    let mode: ThresholdMode = serde_json::from_value(change.set["policy"]["mode"].clone()).unwrap();
    assert_eq!(mode, ThresholdMode::Budget);
}

/// A console whose server serves a preset.
fn with_preset() -> App {
    let mut app = fixture::app();
    let mut live = fixture::live(0.7);
    live.presets = serde_json::from_value(json!([{"name": "v1.careful", "delta": 0.9}, {"name": "quick"}])).unwrap();
    let update = SourceUpdate::Policy { etag: "\"one-3\"".into(), view: Box::new(fixture::view(&live, 3)) };
    app.receive(SourceMessage { at_ms: START_MS + 89_000, target: 0, update });
    app
}

/// The list of presets that the server is asked about.
fn asked_of_presets(keys: &str) -> serde_json::Value {
    let asked = press(&mut with_preset(), keys);
    let [AppEffect::Send(0, ServerCommand::DryRun { change, .. })] = asked.as_slice() else { panic!("{asked:?}") };
    change.set.clone()
}

#[test]
fn what_a_preset_says_goes_the_same_way_and_leaves_the_others_alone() {
    assert_eq!(
        asked_of_presets("p0.42<Enter>"),
        json!({"presets": [{"name": "v1.careful", "delta": 0.42}, {"name": "quick"}]})
    );
    assert_eq!(
        asked_of_presets("p<Down><Right><Right><Down><Down><Left><Enter>"),
        json!({"presets": [{"name": "v1.careful", "delta": 0.9, "route": "draft"}, {"name": "quick", "delta": 0.69}]}),
        "a step goes from what holds: the policy's threshold"
    );
    assert_eq!(
        asked_of_presets("p<Backspace><Enter>"),
        json!({"presets": [{"name": "v1.careful"}, {"name": "quick"}]}),
        "what is taken back is as in the policy"
    );
    assert_eq!(asked_of_presets("d0.5<Enter>"), json!({"policy": {"delta": 0.5}}), "no preset is sent unasked");
    let mut app = with_preset();
    press(&mut app, "p2.5<Enter>");
    let ChangeDialog::Form(pending) = &app.ui.dialog else { panic!() };
    assert_eq!(pending.problem.as_deref(), Some("2.5: expected a number from -1 to 2"));
    press(&mut app, "<Backspace><Backspace><Backspace>0.3");
    let ChangeDialog::Form(pending) = &app.ui.dialog else { panic!() };
    assert_eq!(pending.delta(), Some(0.3), "the preview moves with it");
    let mut app = fixture::app();
    press(&mut app, "p");
    assert!(app.ui.dialog == ChangeDialog::Closed && note(&app).contains("no presets"));
}

#[test]
fn a_dry_run_never_writes_the_file_and_the_change_does() {
    let mut app = fixture::app();
    let asked = press(&mut app, "d0.42w<Enter>");
    let [AppEffect::Send(0, ServerCommand::DryRun { change, .. })] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(!change.persist);
    answer(&mut app, 1, changed(true, 3));
    let applied = press(&mut app, "<Right><Enter>");
    assert!(
        matches!(&applied[..], [AppEffect::Send(0, ServerCommand::Apply { change, .. })] if change.persist),
        "{applied:?}"
    );
}

#[test]
fn undo_goes_back_to_the_revision_before_the_newest() {
    let mut app = fixture::app();
    app.data.servers[0].history[1].values = fixture::live(0.5);
    let asked = press(&mut app, "u");
    let [AppEffect::Send(0, ServerCommand::DryRun { change, .. })] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(change.set, json!({"policy": {"delta": 0.5}}), "the server is asked what it would do");
    answer(&mut app, 1, changed(true, 3));
    assert!(
        matches!(&app.ui.dialog, ChangeDialog::Review(review) if review.plan == ChangePlan::Rollback(2) && !review.apply)
    );
    let sent = press(&mut app, "<Right><Enter>");
    let [AppEffect::Send(0, ServerCommand::Rollback { rollback, etag, .. })] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!((rollback.revision, etag.as_str()), (2, "\"one-3\""));
    answer(&mut app, 2, changed(false, 4));
    assert!(note(&app).starts_with("revision 4"));
    let (_, view) = app.data.servers[0].policy.as_mut().unwrap();
    view.revision = 4;
    assert_eq!(
        press(&mut app, "u"),
        [AppEffect::Send(0, ServerCommand::Refresh)],
        "the history is older than the policy"
    );
    let (_, view) = app.data.servers[0].policy.as_mut().unwrap();
    view.revision = 3;
    app.data.servers[0].history.truncate(1);
    assert_eq!(press(&mut app, "u"), []);
    assert!(note(&app).starts_with("there is nothing to undo"));
}

#[test]
fn a_revision_is_chosen_in_the_history() {
    let mut app = fixture::app();
    press(&mut app, "6");
    assert_eq!(app.ui.screen, Screen::History);
    assert_eq!(press(&mut app, "<Enter>"), [], "the newest holds already");
    assert!(note(&app).contains("has the same values"));
    let asked = press(&mut app, "j<Enter>");
    assert!(matches!(&asked[..], [AppEffect::Send(0, ServerCommand::DryRun { .. })]), "{asked:?}");
}

#[test]
fn who_was_faster_is_shown_with_both_values_and_nothing_is_applied() {
    let mut app = reviewed();
    press(&mut app, "<Right><Enter>");
    answer(&mut app, 2, stale(4, 0.9));
    let ChangeDialog::Conflict(conflict) = &app.ui.dialog else { panic!("{:?}", app.ui.dialog) };
    assert_eq!(
        conflict.differences(),
        [SettingDifference { path: "policy.delta".into(), old: json!(0.9), new: json!(0.42) }]
    );
    let mut discarded = app.clone();
    assert_eq!(press(&mut discarded, "<Enter>"), [], "discarding is the default");
    assert_eq!(discarded.ui.dialog, ChangeDialog::Closed);

    let refresh = press(&mut app, "<Right><Enter>");
    assert_eq!(refresh, [AppEffect::Send(0, ServerCommand::Refresh)], "the newest policy is not here yet");
    let view = Box::new(fixture::view(&fixture::live(0.9), 4));
    app.receive(SourceMessage {
        at_ms: START_MS + 91_000,
        target: 0,
        update: SourceUpdate::Policy { etag: "\"one-4\"".into(), view },
    });
    let asked = press(&mut app, "<Enter>");
    let [AppEffect::Send(0, ServerCommand::DryRun { change, etag, .. })] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!((change.set.clone(), etag.as_str()), (json!({"policy": {"delta": 0.42}}), "\"one-4\""));
}

#[test]
fn a_dry_run_that_comes_second_is_a_conflict_too() {
    let mut app = fixture::app();
    press(&mut app, "d0.42<Enter>");
    answer(&mut app, 1, stale(4, 0.9));
    assert!(matches!(app.ui.dialog, ChangeDialog::Conflict(_)));
}

#[test]
fn a_refusal_and_a_lost_answer_are_shown_and_cannot_be_applied() {
    let mut app = reviewed();
    press(&mut app, "<Right><Enter>");
    answer(&mut app, 2, CommandAnswer::Failed("did not answer within 5 s".into()));
    let ChangeDialog::Review(review) = &app.ui.dialog else { panic!() };
    assert!(matches!(&review.answer, DryRunAnswer::Failed(_)) && !review.apply);
    assert_eq!(press(&mut app, "<Right><Enter>"), []);
    assert_eq!(app.ui.dialog, ChangeDialog::Closed);
}

#[test]
fn an_answer_to_what_was_left_changes_nothing_that_is_open_now() {
    let mut app = fixture::app();
    press(&mut app, "d0.42<Enter><Esc>d0.5<Enter>");
    answer(&mut app, 1, changed(true, 3));
    assert!(
        matches!(&app.ui.dialog, ChangeDialog::Review(review) if review.answer == DryRunAnswer::Pending),
        "it waits for its own"
    );
}

#[test]
fn a_trial_can_be_confirmed() {
    let mut app = fixture::app();
    assert_eq!(press(&mut app, "c"), []);
    assert_eq!(note(&app), "no change is about to be reverted");
    let (_, view) = app.data.servers[0].policy.as_mut().unwrap();
    view.reverts = Some(ScheduledRevert { revision: 3, at_ms: START_MS + 140_000 });
    assert_eq!(press(&mut app.clone(), "K").len(), 1, "the former key still works");
    let sent = press(&mut app, "c");
    assert!(matches!(&sent[..], [AppEffect::Send(0, ServerCommand::Confirm { ticket: 1 })]), "{sent:?}");
    let revert = ScheduledRevert { revision: 3, at_ms: START_MS + 140_000 };
    answer(&mut app, 1, CommandAnswer::Confirmed(vec![revert]));
    assert_eq!(note(&app), "confirmed: revision 3");
}

#[test]
fn who_may_not_write_is_told_why() {
    type Limit = fn(&mut App);
    let cases: [(Limit, &str); 3] = [
        (|app| app.options.readonly = true, "--readonly"),
        (|app| app.data.servers[0].status.as_mut().unwrap().may_write = false, "the token may only read"),
        (|app| app.data.servers[0].has_admin = false, "only the metrics of"),
    ];
    for (limit, why) in cases {
        for keys in ["d", "s", "b", "u", "c"] {
            let mut app = fixture::app();
            limit(&mut app);
            assert_eq!(press(&mut app, keys), [], "{keys} {why}");
            assert_eq!(app.ui.dialog, ChangeDialog::Closed);
            assert!(note(&app).contains(why), "{keys}: {}", note(&app));
        }
    }
}

#[test]
fn a_frozen_view_stands_still_and_an_edit_thaws_it() {
    let mut app = fixture::app();
    press(&mut app, " ");
    let frozen = app.server().unwrap().points.len();
    fixture::feed(&mut app, 0);
    assert_eq!(app.server().unwrap().points.len(), frozen);
    assert!(app.data.servers[0].points.len() > frozen, "nothing is lost meanwhile");
    press(&mut app, "d");
    assert!(app.frozen.is_none(), "nobody changes what he does not see");
}

#[test]
fn a_filter_chooses_lines() {
    let mut app = fixture::app();
    press(&mut app, "4/failed");
    assert_eq!(app.filtered_lines(Screen::Requests), [3]);
    press(&mut app, "q");
    assert!(app.filtered_lines(Screen::Requests).is_empty(), "in a filter q is a letter");
    press(&mut app, "<Backspace><Enter>");
    let sent = press(&mut app, "<Enter>");
    assert_eq!(sent, [AppEffect::Send(0, ServerCommand::Trace("req-3".into()))]);
    press(&mut app, "<Esc><Esc>");
    assert_eq!(app.filtered_lines(Screen::Requests).len(), 5);
}
