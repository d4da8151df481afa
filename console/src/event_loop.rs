//! The terminal's event loop: it handles messages, keys, time and signals one at a time and redraws at a limited rate
//! after something has changed.

use std::time::Duration;

use crossterm::event::Event;
use signal_hook::consts::{SIGCONT, SIGTSTP};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    clock::{ClockJumpDetector, SteadyClock},
    exit::ExitReason,
    input,
    log::ConsoleLog,
    recording::RecordingWriter,
    source::{ServerCommand, SourceMessage},
    state::app::{App, AppEffect},
    terminal::{self, TerminalGuard},
    view::{self, theme::Theme},
};

/// Shortest time between two redraws after a key.
const REDRAW_AFTER_KEY: Duration = Duration::from_millis(30);
/// Shortest time between two redraws after data.
const REDRAW_AFTER_DATA: Duration = Duration::from_millis(450);

/// Everything that the loop needs.
pub struct EventLoop {
    pub app: App,
    /// Where to send the commands for each server.
    pub commands: Vec<mpsc::Sender<ServerCommand>>,
    /// What the sources send.
    pub messages: mpsc::Receiver<SourceMessage>,
    pub clock: SteadyClock,
    pub theme: Theme,
    /// The recording, with `--record`.
    pub recorder: Option<RecordingWriter>,
    pub log: ConsoleLog,
}

/// The signals that the program handles.
struct ProgramSignals {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
    stop: Signal,
    proceed: Signal,
}

/// What a signal asks for.
enum SignalRequest {
    /// End the program because of the signal with this number.
    End(u8),
    /// Give the terminal back and stop.
    Suspend,
    /// The program was stopped and goes on.
    Resumed,
}

impl ProgramSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            stop: signal(SignalKind::from_raw(SIGTSTP))?,
            proceed: signal(SignalKind::from_raw(SIGCONT))?,
        })
    }

    async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            _ = self.terminate.recv() => SignalRequest::End(15),
            _ = self.hang_up.recv() => SignalRequest::End(1),
            _ = self.interrupt.recv() => SignalRequest::End(2),
            _ = self.stop.recv() => SignalRequest::Suspend,
            _ = self.proceed.recv() => SignalRequest::Resumed,
        }
    }
}

/// How the loop goes on after a key.
enum AfterEvent {
    Go,
    /// Give the terminal back and stop.
    Suspend,
    Quit,
}

impl EventLoop {
    /// Runs until the user quits.
    pub async fn run(mut self) -> Result<(), ExitReason> {
        let mut signals = ProgramSignals::new()?;
        let mut guard = TerminalGuard::take_over()?;
        let mut events = terminal::events();
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut jumps = ClockJumpDetector::new(self.clock);
        let mut drawn = Instant::now();
        let mut due = Some(drawn);
        loop {
            if due.is_some_and(|due| due <= Instant::now()) {
                guard.terminal.draw(|frame| view::draw(frame, &self.app, &self.theme))?;
                drawn = Instant::now();
                due = None;
            }
            let next = due.unwrap_or(drawn);
            tokio::select! {
                signal = signals.next() => {
                    match signal {
                        SignalRequest::End(signal) => return Err(ExitReason::Signal(signal)),
                        SignalRequest::Suspend => guard.suspend()?,
                        SignalRequest::Resumed => guard.take_again()?,
                    }
                    due = Some(Instant::now());
                }
                event = events.recv() => {
                    let Some(event) = event else { return Ok(()) };
                    match self.on_event(&event)? {
                        AfterEvent::Go => {}
                        AfterEvent::Suspend => guard.suspend()?,
                        AfterEvent::Quit => return Ok(()),
                    }
                    due = Some(drawn + REDRAW_AFTER_KEY);
                }
                message = self.messages.recv() => {
                    let Some(message) = message else { return Ok(()) };
                    self.on_message(message)?;
                    due = due.or(Some(drawn + REDRAW_AFTER_DATA));
                }
                _ = seconds.tick() => {
                    self.on_second(&mut jumps)?;
                    due = due.or(Some(drawn + REDRAW_AFTER_DATA));
                }
                () = sleep_until(next), if due.is_some() => {}
            }
        }
    }

    fn on_message(&mut self, message: SourceMessage) -> Result<(), ExitReason> {
        if let Some(recorder) = &mut self.recorder {
            recorder.write(&message)?;
        }
        self.app.receive(message);
        Ok(())
    }

    fn on_event(&mut self, event: &Event) -> Result<AfterEvent, ExitReason> {
        let Event::Key(key) = event else { return Ok(AfterEvent::Go) };
        let Some(intent) = input::intent(self.app.mode(), *key) else { return Ok(AfterEvent::Go) };
        self.app.tick(self.clock.now_ms());
        for effect in self.app.apply_intent(intent) {
            match effect {
                AppEffect::Quit => {
                    if let Some(recorder) = &mut self.recorder {
                        recorder.flush()?;
                    }
                    return Ok(AfterEvent::Quit);
                }
                AppEffect::Suspend => {
                    if let Some(recorder) = &mut self.recorder {
                        recorder.flush()?;
                    }
                    return Ok(AfterEvent::Suspend);
                }
                AppEffect::Send(server, command) => self.send(server, command),
            }
        }
        Ok(AfterEvent::Go)
    }

    fn send(&mut self, server: usize, command: ServerCommand) {
        let Some(sender) = self.commands.get(server) else {
            return self.app.show_note("this is a recording: there is no server to send anything to", true);
        };
        if sender.try_send(command).is_err() {
            self.app.show_note("the server is still busy with earlier commands; try again", true);
        }
    }

    fn on_second(&mut self, jumps: &mut ClockJumpDetector) -> Result<(), ExitReason> {
        self.app.tick(self.clock.now_ms());
        for effect in self.app.due_effects() {
            // What cannot be sent now is due again later.
            if let AppEffect::Send(server, command) = effect
                && let Some(sender) = self.commands.get(server)
            {
                let _ = sender.try_send(command);
            }
        }
        for line in self.log.take_lines() {
            self.app.add_log_line(line);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.flush()?;
        }
        if let Some(seconds) = jumps.take_jump() {
            tracing::warn!(
                "this machine's clock jumped by {seconds} s, or the machine slept; the rates are not affected"
            );
        }
        Ok(())
    }
}
