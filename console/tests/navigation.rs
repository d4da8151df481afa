//! Commands that are typed, lists that are sorted, and thresholds that are looked at.

use rsd_console::{
    input::Screen,
    source::ServerCommand,
    state::{
        app::{App, AppEffect},
        change_dialog::ChangeDialog,
    },
};

use rsd_console::test_support::fixture;

use crate::editing::{note, press};

#[test]
fn a_typed_command_does_what_its_key_does() {
    let mut app = fixture::app();
    press(&mut app, ":flee<Enter>");
    assert_eq!((app.ui.screen, &app.ui.palette), (Screen::Fleet, &None));
    press(&mut app, ":de<Tab> 0.42<Enter>");
    let ChangeDialog::Form(pending) = &app.ui.dialog else { panic!("{:?}", app.ui.dialog) };
    assert_eq!(pending.delta(), Some(0.42), "the threshold behind the command is typed into the form");
    press(&mut app, "<Esc>:<Down><Down><Enter>");
    let ChangeDialog::Form(pending) = &app.ui.dialog else { panic!("{:?}", app.ui.dialog) };
    assert_eq!(pending.setting().unwrap().path, "policy.mode", "the third command is budget");
    press(&mut app, "<Esc>");
    assert_eq!(press(&mut app, ":quit<Enter>"), [AppEffect::Quit]);
    assert_eq!(press(&mut app, ":xyzzy<Enter>"), []);
    assert!(note(&app).starts_with("xyzzy: no command"), "{}", note(&app));
    press(&mut app, ":q<Esc>");
    assert_eq!(app.ui.palette, None, "a command can be left");
    press(&mut app, ":<Backspace>u<Backspace>");
    assert_eq!(app.ui.palette.as_ref().map(|palette| palette.typed.as_str()), Some(""));
}

#[test]
fn requests_are_sorted_by_each_column_in_both_orders() {
    let mut app = fixture::app();
    press(&mut app, "4");
    let shown = |app: &App| app.filtered_lines(Screen::Requests);
    let tokens = |app: &App| -> Vec<usize> {
        shown(app).iter().map(|line| app.data.servers[0].traces[*line].completion_tokens).collect()
    };
    let as_they_arrive = shown(&app);
    press(&mut app, "ooo");
    let falling = tokens(&app);
    assert!(falling.is_sorted_by(|one, two| one >= two), "{falling:?}");
    press(&mut app, "O");
    assert!(tokens(&app).is_sorted(), "{:?}", tokens(&app));
    let first = shown(&app)[0];
    let asked = press(&mut app, "<Enter>");
    let id = app.data.servers[0].traces[first].id.clone();
    assert_eq!(asked, [AppEffect::Send(0, ServerCommand::Trace(id))], "Enter opens the line that is shown");
    press(&mut app, "<Esc>oooo");
    assert_eq!(shown(&app), as_they_arrive, "after the last column the list is as it arrives");
    press(&mut app, "1o");
    assert!(note(&app).contains("no list"), "{}", note(&app));
}

#[test]
fn the_comparison_with_an_hour_ago_is_opened_and_left_by_key_and_by_name() {
    let mut app = fixture::app();
    press(&mut app, "3v");
    assert_eq!((app.ui.screen, app.ui.compare), (Screen::Overview, true), "it is a part of the overview");
    press(&mut app, "v");
    assert!(!app.ui.compare);
    press(&mut app, ":compare<Enter>");
    assert!(app.ui.compare);
    press(&mut app, "<Esc>");
    assert!(!app.ui.compare);
    press(&mut app, "v1");
    assert!(!app.ui.compare, "the key of the overview shows the overview");
}

#[test]
fn other_thresholds_are_looked_at_without_a_change() {
    let mut app = fixture::app();
    press(&mut app, "2<Up>k<Down>");
    assert_eq!(app.ui.probe, Some(71), "one step up from the active threshold, 0.70");
    press(&mut app, "g<Down>");
    assert_eq!(app.ui.probe, Some(0));
    press(&mut app, "G<Up>");
    assert_eq!(app.ui.probe, Some(100));
    press(&mut app, "<Esc>");
    assert_eq!((app.ui.probe, &app.ui.dialog), (None, &ChangeDialog::Closed));
}
