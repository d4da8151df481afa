//! Progress of long tasks on stderr: a bar on a terminal, a line for every tenth in a log, or nothing.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

/// Reports what a long task does. One task runs at a time, from [`Self::begin`] to [`Self::end`].
#[derive(Debug)]
pub struct ProgressReporter {
    output: ProgressOutput,
    task: Mutex<Option<RunningTask>>,
}

#[derive(Debug)]
enum ProgressOutput {
    /// A bar on stderr, which is a terminal.
    Bar,
    /// Lines on stderr, which is not a terminal.
    Lines,
    Silent,
    /// Remembers the messages, for tests.
    #[cfg(test)]
    Recorded(Mutex<Vec<String>>),
}

#[derive(Debug)]
struct RunningTask {
    bar: ProgressBar,
    tenths: TenthLines,
}

impl ProgressReporter {
    /// Draws a bar if stderr is a terminal, and prints lines if it is not.
    #[must_use]
    pub fn on_stderr() -> Self {
        Self::new(if std::io::stderr().is_terminal() { ProgressOutput::Bar } else { ProgressOutput::Lines })
    }

    /// Reports nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(ProgressOutput::Silent)
    }

    fn new(output: ProgressOutput) -> Self {
        Self { output, task: Mutex::new(None) }
    }

    /// Begins a task over `total` bytes.
    pub fn begin(&self, task: &str, total: u64) {
        let bar = match self.output {
            ProgressOutput::Bar => {
                let template = "{prefix} [{bar:30}] {decimal_bytes} of {decimal_total_bytes}, \
                                {decimal_bytes_per_sec}, {eta} left {msg}";
                let bar = styled_bar(total, template).with_prefix(task.to_owned());
                bar.enable_steady_tick(Duration::from_millis(250));
                bar
            }
            _ => ProgressBar::hidden(),
        };
        *self.task.lock() = Some(RunningTask { bar, tenths: TenthLines::new(task, total) });
    }

    /// Adds what the task is busy with, such as the package being fetched.
    pub fn set_detail(&self, text: &str) {
        if let Some(task) = &mut *self.task.lock() {
            task.bar.set_message(text.to_owned());
            text.clone_into(&mut task.tenths.detail);
        }
    }

    /// Says that the task has processed `done` bytes.
    pub fn set_position(&self, done: u64) {
        if let Some(task) = &mut *self.task.lock() {
            task.bar.set_position(done);
            if let (ProgressOutput::Lines, Some(line)) = (&self.output, task.tenths.line(done)) {
                note(&line);
            }
        }
    }

    /// Ends the task, whether it succeeded or not.
    pub fn end(&self) {
        if let Some(task) = self.task.lock().take() {
            task.bar.finish_and_clear();
        }
    }

    /// Prints a message on a line of its own.
    pub fn note(&self, text: &str) {
        match &self.output {
            ProgressOutput::Bar | ProgressOutput::Lines => match &*self.task.lock() {
                Some(task) => task.bar.suspend(|| note(text)),
                None => note(text),
            },
            ProgressOutput::Silent => (),
            #[cfg(test)]
            ProgressOutput::Recorded(messages) => messages.lock().push(text.to_owned()),
        }
    }
}

#[cfg(test)]
impl ProgressReporter {
    /// Remembers the messages for [`Self::messages`].
    pub(crate) fn recorded() -> Self {
        Self::new(ProgressOutput::Recorded(Mutex::default()))
    }

    /// The messages so far, one per line.
    pub(crate) fn messages(&self) -> String {
        match &self.output {
            ProgressOutput::Recorded(messages) => messages.lock().join("\n"),
            _ => String::new(),
        }
    }
}

/// Prints a line on stderr. Unlike `eprintln!` it does not panic where stderr cannot be written, as on a closed pipe:
/// what it says is no reason to end.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A bar over `count` items in indicatif's `template`; hidden if stderr is not a terminal.
#[must_use]
pub fn item_bar(count: usize, template: &str) -> ProgressBar {
    if std::io::stderr().is_terminal() { styled_bar(count as u64, template) } else { ProgressBar::hidden() }
}

/// A bar in `template`, or in indicatif's default style if it cannot be parsed.
fn styled_bar(total: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

/// One line for every tenth of a task.
#[derive(Debug, Default)]
struct TenthLines {
    name: String,
    detail: String,
    total: u64,
    /// The last tenth that was printed.
    printed: u64,
}

impl TenthLines {
    fn new(task: &str, total: u64) -> Self {
        Self { name: task.to_owned(), total, ..Self::default() }
    }

    /// The line to print on reaching `done`, if a new tenth has been reached.
    fn line(&mut self, done: u64) -> Option<String> {
        let tenth = (done.min(self.total) * 10).checked_div(self.total)?;
        if tenth <= self.printed {
            return None;
        }
        self.printed = tenth;
        let detail = if self.detail.is_empty() { String::new() } else { format!(" ({})", self.detail) };
        Some(format!("{}: {} of {}{detail}", self.name, DecimalBytes(done), DecimalBytes(self.total)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_once_per_tenth() {
        let mut task = TenthLines::new("fetching draft", 1_000_000);
        let lines: Vec<String> = (0..=100).filter_map(|step| task.line(step * 10_000)).collect();
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], "fetching draft: 100.00 kB of 1.00 MB");
        task.printed = 0;
        task.detail = "package 2 of 6".into();
        assert_eq!(task.line(500_000).unwrap(), "fetching draft: 500.00 kB of 1.00 MB (package 2 of 6)");
    }

    #[test]
    fn a_task_of_no_bytes_prints_nothing() {
        assert_eq!(TenthLines::new("empty", 0).line(0), None);
    }
}
