//! Colors and characters: the themes that are built in, and those of files.

use ratatui::{Terminal, backend::TestBackend, style::Color};
use rsd_console::{
    input::Screen,
    screenshot::{draw_buffer, screenshot_text},
    state::app::App,
    test_support::fixture,
    view::{
        draw,
        theme::{Theme, ThemeName},
        theme_file,
    },
};

use crate::views::{on, plain, states};

#[test]
fn nothing_is_said_by_color_alone_and_ascii_is_ascii() {
    for (state, app) in states() {
        for screen in Screen::ALL {
            let app = on(screen, app.clone());
            let mono = screenshot_text(&app, &plain(), 80, 24);
            for name in [ThemeName::Dark, ThemeName::Light] {
                assert_eq!(
                    mono,
                    screenshot_text(&app, &Theme::new(name, false), 80, 24),
                    "{state} {screen:?} {name:?}"
                );
            }
            let ascii = screenshot_text(&app, &Theme::new(ThemeName::Mono, true), 80, 24);
            let foreign: String = ascii.chars().filter(|c| !c.is_ascii() && *c != '\u{fffd}').collect();
            assert_eq!(foreign, "", "{state} {screen:?}\n{ascii}");
        }
    }
}

#[test]
fn mono_has_no_colors_and_the_others_do() {
    for name in [ThemeName::Mono, ThemeName::Dark, ThemeName::Light] {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &fixture::app(), &Theme::new(name, false))).unwrap();
        let cells = &terminal.backend().buffer().content;
        let colored = cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(colored, name != ThemeName::Mono, "{name:?}");
    }
    insta::assert_snapshot!(
        "overview_ascii_80x24",
        screenshot_text(&fixture::app(), &Theme::new(ThemeName::Mono, true), 80, 24)
    );
}

#[test]
fn old_data_is_dimmed() {
    let [_, (_, live), _, (_, down), ..] = states();
    let style_of_a_figure = |app: &App| {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, app, &Theme::new(ThemeName::Dark, false))).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let digits = buffer.content.iter().position(|cell| cell.symbol() == "_").unwrap();
        buffer.content[digits].fg
    };
    assert_eq!(style_of_a_figure(&live), Color::Reset);
    assert_eq!(style_of_a_figure(&down), Color::DarkGray);
}

#[test]
fn the_theme_of_the_documentation_is_one_and_can_be_read() {
    let page = std::fs::read_to_string(format!("{}/../docs/console.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let example = page.split("```yaml").find(|block| block.contains("base: dark")).unwrap();
    let theme = theme_file::parse_theme("my-theme.yaml", example.split("```").next().unwrap(), false).unwrap();
    assert!(theme.warnings.is_empty(), "{:?}", theme.warnings);
    assert_eq!(theme.theme.dim.fg, Some(Color::Indexed(245)));
}

#[test]
fn a_theme_from_a_file_colors_what_it_names_and_changes_no_text() {
    let file = "colors: {text: 'white on blue', accent: plain lightyellow}";
    let theme = theme_file::parse_theme("my.yaml", file, false).unwrap().theme;
    let app = fixture::app();
    assert_eq!(screenshot_text(&app, &theme, 80, 24), screenshot_text(&app, &plain(), 80, 24));
    let buffer = draw_buffer(&app, &theme, 80, 24);
    assert!(buffer.content.iter().all(|cell| cell.bg == Color::Blue), "the background is everywhere");
    assert!(buffer.content.iter().any(|cell| cell.fg == Color::LightYellow));
}

#[test]
fn what_is_wrong_is_refused_with_its_line_and_with_what_is_allowed() {
    let files = [
        "base: dark\ncolors:\n  title: cyan\n",
        "colors:\n  dim: gray\n  accent: cyanish\n",
        "base: pink\n",
        "base: dark\n\npalette: {}\n",
        "colors:\n  good: #00ff00\n",
        "colors:\n  good: green blue\n",
        "colors:\n  good: white on #00ff00\n",
        "colors:\n  good: 256\n",
        "colors:\n  good: [green]\n",
        "background: bold\n",
        "colors:\n  good: green\n  good: red\n",
        "colors: {",
    ];
    let error = |text| theme_file::parse_theme("my.yaml", text, false).map(|_| ()).unwrap_err().to_string();
    let shown: Vec<_> = files.into_iter().map(error).collect();
    insta::assert_snapshot!(shown.join("\n"));
}
