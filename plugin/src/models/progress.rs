//! How a long task tells the terminal where it is: bars for people, plain lines for logs, nothing for tests.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

/// Receives what a task does. One task runs at a time, from `begin` to `end`.
pub trait Progress: Send + Sync {
    /// A task over `total` bytes begins.
    fn begin(&self, task: &str, total: u64);
    /// A word on what the task is at, such as the package being fetched.
    fn detail(&self, text: &str);
    /// The task has dealt with `done` bytes.
    fn at(&self, done: u64);
    /// The task is over, well or badly.
    fn end(&self);
    /// Something worth a line of its own.
    fn note(&self, text: &str);
}

/// Bars if stderr is a terminal, lines if not.
pub fn on_stderr() -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() { Box::new(Bars::default()) } else { Box::new(Lines::default()) }
}

/// Says nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: u64) {}
    fn detail(&self, _: &str) {}
    fn at(&self, _: u64) {}
    fn end(&self) {}
    fn note(&self, _: &str) {}
}

/// A progress bar on stderr.
#[derive(Debug, Default)]
struct Bars {
    bar: Mutex<Option<ProgressBar>>,
}

impl Progress for Bars {
    fn begin(&self, task: &str, total: u64) {
        let bar = ProgressBar::new(total).with_prefix(task.to_owned());
        // The template is a constant that parses; the default style stands in if indicatif ever disagrees.
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix} [{bar:30}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left {msg}",
        ) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        *self.bar.lock() = Some(bar);
    }

    fn detail(&self, text: &str) {
        if let Some(bar) = &*self.bar.lock() {
            bar.set_message(text.to_owned());
        }
    }

    fn at(&self, done: u64) {
        if let Some(bar) = &*self.bar.lock() {
            bar.set_position(done);
        }
    }

    fn end(&self) {
        if let Some(bar) = self.bar.lock().take() {
            bar.finish_and_clear();
        }
    }

    fn note(&self, text: &str) {
        match &*self.bar.lock() {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }
}

/// A line on stderr for every tenth of a task.
#[derive(Debug, Default)]
struct Lines {
    task: Mutex<Tenths>,
}

#[derive(Debug, Default)]
struct Tenths {
    name: String,
    detail: String,
    total: u64,
    said: u64,
}

impl Tenths {
    fn begin(task: &str, total: u64) -> Self {
        Self { name: task.to_owned(), total, ..Self::default() }
    }

    /// The line to print on reaching `done`, if a new tenth has been reached.
    fn line(&mut self, done: u64) -> Option<String> {
        let tenth = (done.min(self.total) * 10).checked_div(self.total)?;
        if tenth <= self.said {
            return None;
        }
        self.said = tenth;
        let detail = if self.detail.is_empty() { String::new() } else { format!(" ({})", self.detail) };
        Some(format!("{}: {} of {}{detail}", self.name, DecimalBytes(done), DecimalBytes(self.total)))
    }
}

impl Progress for Lines {
    fn begin(&self, task: &str, total: u64) {
        *self.task.lock() = Tenths::begin(task, total);
    }

    fn detail(&self, text: &str) {
        text.clone_into(&mut self.task.lock().detail);
    }

    fn at(&self, done: u64) {
        if let Some(line) = self.task.lock().line(done) {
            eprintln!("{line}");
        }
    }

    fn end(&self) {}

    fn note(&self, text: &str) {
        eprintln!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_once_per_tenth() {
        let mut task = Tenths::begin("fetching draft", 1_000_000);
        let lines: Vec<String> = (0..=100).filter_map(|step| task.line(step * 10_000)).collect();
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], "fetching draft: 100.00 kB of 1.00 MB");
        task.said = 0;
        task.detail = "package 2 of 6".into();
        assert_eq!(task.line(500_000).unwrap(), "fetching draft: 500.00 kB of 1.00 MB (package 2 of 6)");
    }

    #[test]
    fn a_task_of_no_bytes_prints_nothing() {
        assert_eq!(Tenths::begin("empty", 0).line(0), None);
    }
}
