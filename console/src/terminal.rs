//! Takes the terminal over and restores it in every case, a panic included.

use std::{
    io::{self, stdout},
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use crossterm::{
    cursor::Show,
    event::{self, Event},
    execute,
    terminal::{Clear, ClearType, EnterAlternateScreen, enable_raw_mode},
};
use ratatui::{DefaultTerminal, Terminal, backend::CrosstermBackend};
use signal_hook::{consts::SIGTSTP, low_level::emulate_default_handler};
use tokio::sync::mpsc;

/// The exit code of a program that a panic ended: `EX_SOFTWARE` of sysexits.h.
pub const PANICKED: i32 = 70;

/// Whether there is something to restore.
static TAKEN_OVER: AtomicBool = AtomicBool::new(false);

/// Makes a panic in any task or thread end the program, because a console of which a task has died would show old data
/// as if they were current. The terminal is restored before the panic's message is printed; the log gets it too.
///
/// The hook of `ratatui::init` is not enough: it restores the terminal, but neither logs the panic nor ends the program.
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
    pub terminal: DefaultTerminal,
}

impl TerminalGuard {
    /// Switches to raw mode and to the alternate screen.
    pub fn take_over() -> io::Result<Self> {
        TAKEN_OVER.store(true, Ordering::SeqCst);
        let guard = ratatui::try_init().map(|terminal| Self { terminal });
        if guard.is_err() {
            restore();
        }
        guard
    }

    /// Restores the terminal and stops the program, as Ctrl-Z does with a program that knows nothing of it. Returns when
    /// the program was continued and has the terminal again.
    pub fn suspend(&mut self) -> io::Result<()> {
        restore();
        emulate_default_handler(SIGTSTP)?;
        self.take_again()
    }

    /// Takes the terminal over once more, whose mode a shell may have changed meanwhile, and forgets what was drawn.
    pub fn take_again(&mut self) -> io::Result<()> {
        TAKEN_OVER.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen, Clear(ClearType::All))?;
        // `Terminal::clear` would ask for the place of the cursor, and the thread that reads keys would take the answer.
        self.terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        Ok(())
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
    let _ = ratatui::try_restore();
    let _ = execute!(stdout(), Show);
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
