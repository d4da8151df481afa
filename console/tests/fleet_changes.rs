//! A change of all servers, key by key.

use rsd_console::{
    source::{CommandAnswer, ServerCommand, SourceMessage, SourceUpdate},
    state::{
        app::{App, AppEffect},
        change_dialog::ChangeDialog,
    },
};
use rsd_protocol::error::{ErrorCode, ErrorDetail};
use serde_json::json;

use rsd_console::test_support::fixture::{self, START_MS};

use crate::editing::{answer, changed, note, press};

/// A console of three servers, of which the third shows only its metrics.
fn fleet() -> App {
    let servers = [("one:1235", true), ("two:1235", true), ("three:1234", false)];
    let servers = servers.map(|(name, admin)| (name.to_owned(), admin));
    let mut app = App::new(&servers, fixture::app().options);
    fixture::feed(&mut app, 0);
    fixture::feed(&mut app, 1);
    app
}

fn refused(message: &str) -> CommandAnswer {
    CommandAnswer::Refused(Box::new(ErrorDetail {
        code: ErrorCode::RevisionStale,
        message: message.into(),
        problems: Vec::new(),
        current: None,
    }))
}

/// The policy of a server after a change.
fn policy_of(app: &mut App, target: usize, delta: f64, revision: u64) {
    let view = Box::new(fixture::view(&fixture::live(delta), revision));
    let update = SourceUpdate::Policy { etag: format!("\"{target}-{revision}\""), view };
    app.receive(SourceMessage { at_ms: START_MS + 90_000, target, update });
}

#[test]
fn a_change_of_all_servers_is_asked_of_each_confirmed_once_and_undone_at_once() {
    let mut app = fleet();
    let asked = press(&mut app, "d0.42a<Enter>");
    let [
        AppEffect::Send(0, ServerCommand::DryRun { ticket: 1, change, .. }),
        AppEffect::Send(1, ServerCommand::DryRun { ticket: 2, .. }),
    ] = asked.as_slice()
    else {
        panic!("{asked:?}")
    };
    assert_eq!(change.set, json!({"policy": {"delta": 0.42}}));
    assert_eq!(press(&mut app, "<Right><Enter>"), [], "nothing is applied before every server has answered");
    assert_eq!(app.ui.dialog, ChangeDialog::Closed);

    press(&mut app, "d0.42a<Enter>");
    answer(&mut app, 3, changed(true, 3));
    assert_eq!(press(&mut app, "<Right>"), []);
    let ChangeDialog::Fleet(fleet) = &app.ui.dialog else { panic!("{:?}", app.ui.dialog) };
    assert!(!fleet.right && fleet.skipped == [(2, "only its metrics are known".into())], "{fleet:?}");
    answer(&mut app, 4, changed(true, 3));
    let applied = press(&mut app, "<Right><Enter>");
    let [
        AppEffect::Send(0, ServerCommand::Apply { ticket: 5, .. }),
        AppEffect::Send(1, ServerCommand::Apply { ticket: 6, .. }),
    ] = applied.as_slice()
    else {
        panic!("{applied:?}")
    };
    answer(&mut app, 5, changed(false, 4));
    assert_eq!(press(&mut app, "<Esc><Enter>"), []);
    assert!(matches!(app.ui.dialog, ChangeDialog::Fleet(_)), "what was sent cannot be cancelled");
    answer(&mut app, 6, changed(false, 4));
    let ChangeDialog::Fleet(fleet) = &app.ui.dialog else { panic!("{:?}", app.ui.dialog) };
    assert_eq!(fleet.taken().iter().map(|taken| (taken.server, taken.revision)).collect::<Vec<_>>(), [(0, 4), (1, 4)]);

    // The undo waits for the policies that the change made, and leaves out a server that was changed again since.
    assert_eq!(
        press(&mut app, "<Right><Enter>"),
        [AppEffect::Send(0, ServerCommand::Refresh), AppEffect::Send(1, ServerCommand::Refresh)]
    );
    policy_of(&mut app, 0, 0.42, 4);
    policy_of(&mut app, 1, 0.9, 5);
    let asked = press(&mut app, "U");
    let [AppEffect::Send(0, ServerCommand::DryRun { ticket, change, etag })] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!((change.set.clone(), etag.as_str()), (json!({"policy": {"delta": 0.7}}), "\"0-4\""));
    answer(&mut app, *ticket, changed(true, 4));
    let ChangeDialog::Fleet(fleet) = &app.ui.dialog else { panic!("{:?}", app.ui.dialog) };
    assert_eq!(fleet.skipped, [(1, "was changed again since: revision 5".into())]);
    let sent = press(&mut app, "<Right><Enter>");
    let [AppEffect::Send(0, ServerCommand::Rollback { ticket, rollback, .. })] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!(rollback.revision, 3);
    answer(&mut app, *ticket, changed(false, 5));
    press(&mut app, "<Enter>U");
    assert!(note(&app).starts_with("there is no change of all servers to undo"), "{}", note(&app));
}

#[test]
fn a_server_that_refuses_a_change_of_all_servers_does_not_keep_the_others_from_it() {
    let mut app = fleet();
    press(&mut app, "d0.42a<Enter>");
    answer(&mut app, 1, refused("policy.delta: not here"));
    answer(&mut app, 2, changed(true, 3));
    let applied = press(&mut app, "<Right><Enter>");
    let [AppEffect::Send(1, ServerCommand::Apply { ticket, .. })] = applied.as_slice() else { panic!("{applied:?}") };
    answer(&mut app, *ticket, CommandAnswer::Failed("timed out".into()));
    let ChangeDialog::Fleet(fleet) = &app.ui.dialog else { panic!("{:?}", app.ui.dialog) };
    assert!(fleet.taken().is_empty() && !fleet.pending());
    press(&mut app, "<Enter>U");
    assert!(note(&app).starts_with("there is no change"), "what nobody took cannot be undone");
}

#[test]
fn all_servers_can_take_the_value_of_one_but_not_its_presets() {
    let mut app = fleet();
    let asked = press(&mut app, "da<Enter>");
    let [AppEffect::Send(0, ServerCommand::DryRun { change, .. }), AppEffect::Send(1, _)] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!(change.set, json!({"policy": {"delta": 0.7}}), "another server may have another value");
    press(&mut app, "<Esc>");
    let mut live = fixture::live(0.7);
    live.presets = serde_json::from_value(json!([{"name": "careful", "delta": 0.9}])).unwrap();
    let update = SourceUpdate::Policy { etag: "\"one-3\"".into(), view: Box::new(fixture::view(&live, 3)) };
    app.receive(SourceMessage { at_ms: START_MS + 89_000, target: 0, update });
    assert_eq!(press(&mut app, "p0.5a<Enter>"), []);
    let ChangeDialog::Form(pending) = &app.ui.dialog else { panic!("{:?}", app.ui.dialog) };
    assert!(pending.problem.as_deref().unwrap().contains("one server at a time"));
    let mut one = fixture::app();
    press(&mut one, "da");
    assert!(note(&one).contains("one server only"), "{}", note(&one));
}
