//! The loop of the terminal: messages, keys, time and signals come in, one at a time; it draws when something changed,
//! at a capped rate.

use std::time::Duration;

use crossterm::event::Event;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    clock::{Clock, Jumps},
    exit::Stop,
    input,
    log::Log,
    record::Recorder,
    source::{Command, Message},
    state::app::{App, Effect},
    terminal::{self, Taken},
    view::{self, theme::Theme},
};

/// Between two drawings after a key.
const AFTER_KEY: Duration = Duration::from_millis(30);
/// Between two drawings after data.
const AFTER_DATA: Duration = Duration::from_millis(450);

/// What the loop works with.
pub struct Tui {
    /// The state.
    pub app: App,
    /// The servers' commands.
    pub commands: Vec<mpsc::Sender<Command>>,
    /// What arrives.
    pub messages: mpsc::Receiver<Message>,
    /// The time.
    pub clock: Clock,
    /// Colours and characters.
    pub theme: Theme,
    /// The recording that is being made.
    pub recorder: Option<Recorder>,
    /// The console's own log.
    pub log: Log,
}

/// Signals that end the program.
struct Signals {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => 15,
            _ = self.hang_up.recv() => 1,
            _ = self.interrupt.recv() => 2,
        }
    }
}

impl Tui {
    /// Runs until the operator leaves.
    pub async fn run(mut self) -> Result<(), Stop> {
        let mut signals = Signals::new()?;
        let mut taken = Taken::take()?;
        let mut events = terminal::events();
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut jumps = Jumps::new(self.clock);
        let mut drawn = Instant::now();
        let mut due = Some(drawn);
        loop {
            if due.is_some_and(|due| due <= Instant::now()) {
                taken.terminal.draw(|frame| view::draw(frame, &self.app, &self.theme))?;
                drawn = Instant::now();
                due = None;
            }
            let next = due.unwrap_or(drawn);
            tokio::select! {
                signal = signals.next() => return Err(Stop::Signal(signal)),
                event = events.recv() => {
                    let Some(event) = event else { return Ok(()) };
                    if self.on_event(&event)? {
                        return Ok(());
                    }
                    due = Some(drawn + AFTER_KEY);
                }
                message = self.messages.recv() => {
                    let Some(message) = message else { return Ok(()) };
                    self.on_message(message)?;
                    due = due.or(Some(drawn + AFTER_DATA));
                }
                _ = seconds.tick() => {
                    self.on_second(&mut jumps)?;
                    due = due.or(Some(drawn + AFTER_DATA));
                }
                () = sleep_until(next), if due.is_some() => {}
            }
        }
    }

    fn on_message(&mut self, message: Message) -> Result<(), Stop> {
        if let Some(recorder) = &mut self.recorder {
            recorder.write(&message)?;
        }
        self.app.take(message);
        Ok(())
    }

    /// Says whether to leave.
    fn on_event(&mut self, event: &Event) -> Result<bool, Stop> {
        let Event::Key(key) = event else { return Ok(false) };
        let Some(intent) = input::intent(self.app.mode(), *key) else { return Ok(false) };
        self.app.tick(self.clock.now_ms());
        for effect in self.app.act(intent) {
            match effect {
                Effect::Quit => {
                    if let Some(recorder) = &mut self.recorder {
                        recorder.flush()?;
                    }
                    return Ok(true);
                }
                Effect::Send(server, command) => self.send(server, command),
            }
        }
        Ok(false)
    }

    fn send(&mut self, server: usize, command: Command) {
        let Some(sender) = self.commands.get(server) else {
            return self.app.say("this is a recording: nothing can be changed or asked for", true);
        };
        if sender.try_send(command).is_err() {
            self.app.say("the server still works on earlier commands; try again", true);
        }
    }

    fn on_second(&mut self, jumps: &mut Jumps) -> Result<(), Stop> {
        self.app.tick(self.clock.now_ms());
        for line in self.log.lines() {
            self.app.log(line);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.flush()?;
        }
        if let Some(seconds) = jumps.since() {
            tracing::warn!("this machine's clock jumped by {seconds} s, or the machine slept; rates are not affected");
        }
        Ok(())
    }
}
