//! The text of the answer for the client: complete UTF-8 characters, and never a part of a stop string.

/// Collects accepted bytes and releases the text that is safe to show.
#[derive(Debug, Default)]
pub(super) struct AnswerText {
    bytes: Vec<u8>,
    released: usize,
    stop: Vec<String>,
    stopped_at: Option<usize>,
}

impl AnswerText {
    /// An empty answer that ends before any of the stop strings.
    #[must_use]
    pub fn new(stop: Vec<String>) -> Self {
        Self { stop: stop.into_iter().filter(|s| !s.is_empty()).collect(), ..Self::default() }
    }

    /// All accepted bytes, stop strings included: what the models have to continue.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a stop string has appeared.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// Adds bytes and returns the text that can now be shown.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        if self.stopped_at.is_none() {
            let longest = self.stop.iter().map(String::len).max().unwrap_or(0);
            let from = self.bytes.len().saturating_sub(longest.saturating_sub(1));
            self.bytes.extend_from_slice(bytes);
            self.stopped_at = self.stop.iter().filter_map(|stop| find(&self.bytes, from, stop.as_bytes())).min();
        }
        let end = self.stopped_at.unwrap_or_else(|| self.bytes.len() - self.held_back());
        self.release(end)
    }

    /// The whole text of an answer that is already complete.
    #[must_use]
    pub fn push_all(mut self, bytes: &[u8]) -> String {
        let mut text = self.push(bytes);
        text.push_str(&self.finish());
        text
    }

    /// Returns the rest: nothing follows that could complete a stop string.
    pub fn finish(&mut self) -> String {
        let end = self.stopped_at.unwrap_or(self.bytes.len());
        let mut text = self.release(end);
        text.push_str(&String::from_utf8_lossy(&self.bytes[self.released..end.max(self.released)]));
        self.released = end.max(self.released);
        text
    }

    /// Bytes at the end that may be the beginning of a stop string.
    fn held_back(&self) -> usize {
        let begins = |n: usize| self.stop.iter().any(|s| n < s.len() && self.bytes.ends_with(&s.as_bytes()[..n]));
        let longest = self.stop.iter().map(String::len).max().unwrap_or(0);
        (1..longest).rev().find(|n| begins(*n)).unwrap_or(0)
    }

    /// Releases whole characters up to `end`.
    fn release(&mut self, end: usize) -> String {
        let pending = &self.bytes[self.released.min(end)..end];
        let mut text = String::new();
        let mut taken = 0;
        for chunk in pending.utf8_chunks() {
            text.push_str(chunk.valid());
            taken += chunk.valid().len();
            let invalid = chunk.invalid();
            // An incomplete character at the very end may still be completed.
            let may_complete = taken + invalid.len() == pending.len() && incomplete(invalid);
            if invalid.is_empty() || may_complete {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            taken += invalid.len();
        }
        self.released += taken;
        text
    }
}

fn incomplete(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Err(error) => error.error_len().is_none(),
        Ok(_) => false,
    }
}

fn find(haystack: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    haystack.get(from..)?.windows(needle.len()).position(|window| window == needle).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(stop: &[&str], parts: &[&[u8]]) -> Vec<String> {
        let mut answer = AnswerText::new(stop.iter().map(|s| (*s).to_owned()).collect());
        let mut shown: Vec<String> = parts.iter().map(|part| answer.push(part)).collect();
        shown.push(answer.finish());
        shown
    }

    #[test]
    fn a_character_split_over_steps_is_shown_once_whole() {
        let e = "é".as_bytes();
        assert_eq!(shown(&[], &[b"caf", &e[..1], &e[1..], b"!"]), ["caf", "", "é", "!", ""]);
    }

    #[test]
    fn a_stop_string_over_two_steps_is_never_shown() {
        assert_eq!(shown(&["STOP"], &[b"one ST", b"OP two"]), ["one ", "", ""]);
        assert_eq!(shown(&["STOP"], &[b"one ST", b"ILL"]), ["one ", "STILL", ""]);
        assert_eq!(shown(&["STOP"], &[b"one ST"]), ["one ", "ST"]);
    }

    #[test]
    fn nothing_follows_a_stop_string() {
        assert_eq!(shown(&["X"], &[b"aX", b"b"]), ["a", "", ""]);
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_text_is_the_same(text in "[ab€X]{0,30}", cuts in proptest::collection::vec(0usize..90, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|c| *c <= bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            let expected = text.split("XX").next().unwrap_or_default();
            prop_assert_eq!(shown(&["XX"], &parts).concat(), expected);
        }
    }
}
