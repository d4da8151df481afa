//! How long the console takes to draw a screen, with twenty servers, at 200 columns and 50 rows.
//!
//! ```sh
//! cargo bench -p rsd-console --bench frame
//! ```
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Instant;

use ratatui::{Terminal, backend::TestBackend};
use rsd_console::{
    input::{Screen, UserIntent},
    state::app::{App, AppOptions},
    view::{
        draw,
        theme::{Theme, ThemeName},
    },
};

use rsd_console::test_support::fixture;

const SERVERS: usize = 20;
const FRAMES: usize = 500;

fn main() {
    let servers: Vec<(String, bool)> = (0..SERVERS).map(|n| (format!("server-{n}:1235"), true)).collect();
    let mut app = App::new(&servers, AppOptions::default());
    for server in 0..SERVERS {
        fixture::feed(&mut app, server);
    }
    let theme = Theme::new(ThemeName::Dark, false);
    println!("| screen | ms per frame (lowest to highest of {FRAMES}) |\n|---|---|");
    for screen in Screen::ALL {
        app.apply_intent(UserIntent::Show(screen));
        let mut terminal = Terminal::new(TestBackend::new(200, 50)).unwrap();
        let mut frames: Vec<f64> = (0..FRAMES)
            .map(|_| {
                let began = Instant::now();
                terminal.draw(|frame| draw(frame, &app, &theme)).unwrap();
                began.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        frames.sort_by(f64::total_cmp);
        println!("| {} | {:.2} ({:.2} to {:.2}) |", screen.name(), frames[FRAMES / 2], frames[0], frames[FRAMES - 1]);
    }
}
