//! Names and texts of wide characters, wherever they come from.

use proptest::prelude::*;
use rsd_console::{
    input::{Screen, UserIntent},
    screenshot::{draw_buffer, screenshot_text},
    source::{FleetRow, SourceMessage, SourceUpdate},
    state::app::App,
};
use rsd_protocol::trace::UnfinishedText;
use unicode_width::UnicodeWidthStr;

use rsd_console::test_support::fixture::{self, START_MS};

use crate::views::{on, plain};

thread_local! {
    /// Made once, because it reads ninety scrapes.
    static BASE: App = fixture::app();
}

/// A console with this text wherever a server, a person or a client can put one.
fn named(text: &str) -> App {
    let name = format!("{text}{text}");
    let mut app = BASE.with(App::clone);
    app.data.servers[0].name.clone_from(&name);
    app.options.by = Some(name.clone());
    let mut say = |update| app.receive(SourceMessage { at_ms: START_MS + 89_000, target: 0, update });
    let mut history = fixture::history();
    history[0].by = Some(name.clone());
    history[0].why = Some(name.clone());
    say(SourceUpdate::History(history));
    let mut traces = fixture::traces();
    traces[0].outcome.clone_from(&name);
    traces[1].sources.clone_from(&name);
    say(SourceUpdate::Traces(traces));
    let mut status = fixture::status("http://127.0.0.1:1234", &fixture::live(0.7), 3, true);
    status.roles[0].model.clone_from(&name);
    status.reward.clone_from(&name);
    say(SourceUpdate::Status(Box::new(status)));
    say(SourceUpdate::Fleet(vec![FleetRow { instance: name, up: true, ..FleetRow::default() }]));
    app
}

/// Asserts that every row takes the terminal's columns as the terminal counts them, symbol by symbol, and that a row that
/// begins with a frame ends with it.
fn assert_rows_fit(app: &App, columns: u16, rows: u16) {
    let buffer = draw_buffer(app, &plain(), columns, rows);
    for y in 0..rows {
        let mut x = 0;
        let mut last = "";
        while x < columns {
            last = buffer[(x, y)].symbol();
            x += u16::try_from(last.width()).unwrap().max(1);
        }
        let row = || screenshot_text(app, &plain(), columns, rows);
        assert_eq!(x, columns, "row {y} is too wide:\n{}", row());
        if app.ui.screen != Screen::Overview && buffer[(0, y)].symbol() == "│" {
            assert_eq!(last, "│", "row {y} leaves its frame:\n{}", row());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_row_is_wider_than_the_terminal_and_no_column_moves_whatever_a_name_is(
        text in prop_oneof![any::<String>(), r"[a-c 日本語数学👍é👩‍🔬🇯🇵ｶ가]{0,24}"],
    ) {
        let app = named(&text);
        for screen in Screen::ALL {
            let mut app = on(screen, app.clone());
            assert_rows_fit(&app, 80, 24);
            assert_rows_fit(&app, 60, 20);
            app.apply_intent(UserIntent::EditDelta);
            assert_rows_fit(&app, 60, 20);
        }
        // What a client asked and was answered, what the console logs, and what its user types.
        let mut opened = on(Screen::Requests, app.clone());
        opened.apply_intent(UserIntent::Enter);
        let mut trace = fixture::running(4);
        trace.summary.model.clone_from(&text);
        trace.question = Some(text.repeat(3));
        trace.steps[0].text = Some(text.repeat(3));
        trace.steps[3].rejected_text = Some(text.repeat(3));
        trace.steps[3].false_statement = Some(text.repeat(3));
        trace.unfinished = Some(UnfinishedText { source: text.clone(), text: text.repeat(3) });
        let update = SourceUpdate::Trace(Box::new(trace));
        opened.receive(SourceMessage { at_ms: START_MS + 89_000, target: 0, update });
        let mut logged = on(Screen::Logs, app.clone());
        logged.add_log_line(text.repeat(3));
        let [mut filtered, mut commanded] = [UserIntent::Filter, UserIntent::Palette].map(|intent| {
            let mut app = on(Screen::Fleet, app.clone());
            app.apply_intent(intent);
            app
        });
        for character in text.repeat(4).chars() {
            filtered.apply_intent(UserIntent::Text(character));
            commanded.apply_intent(UserIntent::Text(character));
        }
        for app in [opened, logged, filtered, commanded] {
            assert_rows_fit(&app, 80, 24);
            assert_rows_fit(&app, 60, 20);
        }
        // Behind the name of a server is the state of its connection, whatever the name is.
        let buffer = draw_buffer(&on(Screen::Fleet, app.clone()), &plain(), 80, 24);
        let from = |x: u16, y: u16| (x..x + 4).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        prop_assert_eq!((from(24, 5), from(24, 6)), ("LIVE".into(), "up  ".into()));
        let buffer = draw_buffer(&on(Screen::History, app), &plain(), 80, 24);
        let what: String = (41..53).map(|x| buffer[(x, 5)].symbol()).collect();
        prop_assert_eq!(what, "policy.delta");
    }
}
