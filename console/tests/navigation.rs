//! Commands that are typed, lists that are sorted, and thresholds that are looked at.

use rsd_console::{
    input::Screen,
    screenshot::screenshot_text,
    source::{ServerCommand, SourceMessage, SourceUpdate},
    state::{
        app::{App, AppEffect, opened::OpenedPage},
        change_dialog::ChangeDialog,
    },
};

use rsd_console::test_support::fixture::{self, START_MS, running};

use crate::{
    editing::{note, press},
    views::plain,
};

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
    let compared = |app: &App| app.ui.opened == Some(OpenedPage::Comparison);
    let mut app = fixture::app();
    press(&mut app, "3v");
    assert_eq!((app.ui.screen, compared(&app)), (Screen::Overview, true), "it is a part of the overview");
    press(&mut app, "v");
    assert!(!compared(&app));
    press(&mut app, ":compare<Enter>");
    assert!(compared(&app));
    press(&mut app, "<Esc>");
    assert!(!compared(&app));
    press(&mut app, "v1");
    assert!(!compared(&app), "the key of the overview shows the overview");
}

#[test]
fn a_request_in_work_is_followed_step_by_step_until_it_ends_or_is_left() {
    let mut app = fixture::app();
    let say = |app: &mut App, second: u64, update| {
        app.receive(SourceMessage { at_ms: START_MS + second * 1000, target: 0, update });
    };
    let asks = || vec![AppEffect::Send(0, ServerCommand::Trace("req-0".into()))];
    let shown = |app: &App| screenshot_text(app, &plain(), 80, 24);
    let mut list = fixture::traces();
    list[0] = running(2).summary;
    say(&mut app, 90, SourceUpdate::Traces(list.clone()));
    press(&mut app, "4");
    assert!(shown(&app).contains("in work  running"), "{}", shown(&app));
    assert_eq!(app.due_effects(), [], "nothing is asked for before it is opened");
    assert_eq!(press(&mut app, "<Enter>"), asks());
    assert_eq!(app.due_effects(), [], "the answer is still awaited");
    say(&mut app, 91, SourceUpdate::Trace(Box::new(running(0))));
    assert!(shown(&app).contains("Its first step is not decided yet."), "{}", shown(&app));
    say(&mut app, 91, SourceUpdate::Trace(Box::new(running(2))));
    assert!(shown(&app).contains("step 2, draft") && !shown(&app).contains("step 3"), "{}", shown(&app));
    assert_eq!(app.due_effects(), asks(), "its next steps");
    app.tick(START_MS + 97_000);
    assert_eq!(app.due_effects(), asks(), "an answer that does not come is asked for again");
    say(&mut app, 98, SourceUpdate::Trace(Box::new(running(5))));
    assert!(shown(&app).contains("step 5, draft"), "the newest step is shown: {}", shown(&app));
    assert!(shown(&app).contains("draft, in work:"), "and what comes after it: {}", shown(&app));
    insta::assert_snapshot!("request_in_work_80x24", shown(&app));

    // Another request arrives, and the one that is looked at stays.
    let mut other = running(1).summary;
    other.id = "req-9".into();
    list.insert(0, other);
    say(&mut app, 99, SourceUpdate::Traces(list));
    assert!(shown(&app).contains("request req-0"), "{}", shown(&app));
    press(&mut app, "g");
    say(&mut app, 99, SourceUpdate::Trace(Box::new(running(6))));
    assert!(shown(&app).contains("step 1, draft") || shown(&app).contains("17 * 23"), "{}", shown(&app));
    assert!(shown(&app).contains("G goes to"), "whoever scrolls is left alone: {}", shown(&app));
    press(&mut app, "G");
    assert!(shown(&app).contains("step 6, draft"), "{}", shown(&app));

    press(&mut app, "<Esc><Down> <Enter>");
    app.tick(START_MS + 110_000);
    assert_eq!(app.due_effects(), [], "a frozen view fetches nothing by itself");
    press(&mut app, "<Esc> <Enter>");
    app.tick(START_MS + 120_000);
    assert_eq!(app.due_effects(), asks());
    say(&mut app, 121, SourceUpdate::Trace(Box::new(fixture::trace("req-0").unwrap())));
    assert_eq!(app.due_effects(), [], "it has ended");
    say(&mut app, 122, SourceUpdate::Trace(Box::new(running(6))));
    press(&mut app, "<Esc>");
    assert_eq!(app.due_effects(), [], "it was left");
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
