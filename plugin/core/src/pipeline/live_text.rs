//! The text that the models have decoded beyond the last step of an answer, for whoever watches the answer: the step
//! that is being decoded, and those that wait for their decision.
//!
//! A run writes it token by token, and the session takes away what has become part of the answer.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use super::trace::StepSource;

/// The newest text that is shown, in bytes.
const SHOWN_BYTES: usize = 4096;

/// The text of the run in progress. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LiveText(Arc<Mutex<Option<(StepSource, RunText)>>>);

impl LiveText {
    /// A run starts. What an earlier one still writes is not shown.
    pub fn start_run(&self, source: StepSource) -> RunText {
        let run = RunText::default();
        *self.0.lock() = Some((source, run.clone()));
        run
    }

    /// The oldest step of the run has become part of the answer.
    pub fn step_appended(&self) {
        if let Some((_, run)) = &*self.0.lock() {
            run.0.lock().ended.pop_front();
        }
    }

    /// The run is over, and what it has decoded ahead is discarded.
    pub fn end_run(&self) {
        *self.0.lock() = None;
    }

    /// The model at work and the end of its text, at most 4096 bytes; `None` if there is no text.
    #[must_use]
    pub fn newest(&self) -> Option<(StepSource, String)> {
        let running = self.0.lock().clone();
        let (source, run) = running?;
        Some((source, run.end_of_text())).filter(|(_, text)| !text.is_empty())
    }
}

/// The text of one run. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct RunText(Arc<Mutex<UndecidedSteps>>);

#[derive(Debug, Default)]
struct UndecidedSteps {
    ended: VecDeque<Vec<u8>>,
    current: Vec<u8>,
}

impl RunText {
    /// A token of the current step was decoded.
    pub fn push(&self, bytes: &[u8]) {
        self.0.lock().current.extend_from_slice(bytes);
    }

    /// The current step has ended, and the next one begins.
    pub fn end_step(&self) {
        let mut steps = self.0.lock();
        let step = std::mem::take(&mut steps.current);
        steps.ended.push_back(step);
    }

    fn end_of_text(&self) -> String {
        let bytes = {
            let steps = self.0.lock();
            steps.ended.iter().chain([&steps.current]).flatten().copied().collect::<Vec<u8>>()
        };
        let from = bytes.len().saturating_sub(SHOWN_BYTES);
        // Characters that were cut off in front, or are not complete yet.
        let text = String::from_utf8_lossy(&bytes[from..]);
        text.trim_matches(char::REPLACEMENT_CHARACTER).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_become_part_of_the_answer_is_taken_away_and_the_rest_stays() {
        let live = LiveText::default();
        assert_eq!(live.newest(), None);
        let run = live.start_run(StepSource::Draft);
        assert_eq!(live.newest(), None, "nothing is decoded yet");
        run.push(b"One.");
        run.end_step();
        run.push(b" Tw");
        assert_eq!(live.newest(), Some((StepSource::Draft, "One. Tw".to_owned())));
        live.step_appended();
        assert_eq!(live.newest(), Some((StepSource::Draft, " Tw".to_owned())));
        live.end_run();
        live.step_appended();
        assert_eq!(live.newest(), None);
    }

    #[test]
    fn a_run_that_was_left_writes_into_no_later_one() {
        let live = LiveText::default();
        let left = live.start_run(StepSource::Draft);
        let run = live.start_run(StepSource::Target);
        left.push(b"late");
        run.push(b"new");
        assert_eq!(live.newest(), Some((StepSource::Target, "new".to_owned())));
    }

    #[test]
    fn the_text_is_bounded_and_holds_whole_characters_only() {
        let live = LiveText::default();
        let run = live.start_run(StepSource::Draft);
        run.push("数".repeat(3000).as_bytes());
        run.push(&"学".as_bytes()[..2]);
        let (_, text) = live.newest().unwrap();
        assert!(text.len() <= SHOWN_BYTES && text.len() > SHOWN_BYTES - 6, "{}", text.len());
        assert!(text.chars().all(|character| character == '数'), "{text}");
    }
}
