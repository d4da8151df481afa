//! Takes the terminal over and restores it in every case, a panic included.

use std::{
    io::{self, Stdout, stdout},
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use crossterm::{
    cursor::Show,
    event::{self, Event},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use ratatui::{Terminal, backend::CrosstermBackend};
use tokio::sync::mpsc;

/// The exit code of a program that a panic ended: `EX_SOFTWARE` of sysexits.h.
pub const PANICKED: i32 = 70;

/// Whether there is something to restore.
static TAKEN_OVER: AtomicBool = AtomicBool::new(false);

/// Makes a panic in any task or thread end the program, because a console of which a task has died would show old data
/// as if they were current. The terminal is restored before the panic's message is printed; the log gets it too.
///
/// `ratatui::init` is not enough here: its hook restores the terminal, but neither logs the panic nor ends the program.
pub fn end_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            tracing::error!("{panic}");
            before(panic);
            std::process::exit(PANICKED);
        }));
    });
}

/// The terminal while the console uses it; dropping the guard restores it.
pub struct TerminalGuard {
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl TerminalGuard {
    /// Switches to raw mode and to the alternate screen.
    pub fn take_over() -> io::Result<Self> {
        enable_raw_mode()?;
        TAKEN_OVER.store(true, Ordering::SeqCst);
        let guard = execute!(stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())))
            .map(|terminal| Self { terminal });
        if guard.is_err() {
            restore();
        }
        guard
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        restore();
    }
}

/// Ignores errors: the program ends, and nothing else can be done.
fn restore() {
    if !TAKEN_OVER.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// Keys and resizes, read by a thread that blocks until there is one and ends with the program.
#[must_use]
pub fn events() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}
