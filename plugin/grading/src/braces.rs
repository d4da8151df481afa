//! Finds the closing brace.

use std::collections::BTreeMap;

/// The place of the brace that closes a brace opened before `text`. `\{` and `\}` are text.
pub(super) fn closing<T>(text: impl Iterator<Item = (T, char)>) -> Option<T> {
    let mut depth = 1usize;
    let mut escaped = false;
    for (at, c) in text {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The text before the brace that closes a brace opened before `text`.
pub(super) fn braced(text: &str) -> Option<&str> {
    closing(text.char_indices()).map(|at| &text[..at])
}

/// The place of each opening brace that is closed, with that of its closing brace, in one pass over the text.
pub(super) fn pairs(text: &str) -> BTreeMap<usize, usize> {
    let (mut pairs, mut open, mut escaped) = (BTreeMap::new(), Vec::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => open.push(at),
            '}' => pairs.extend(open.pop().map(|start| (start, at))),
            _ => {}
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brace_that_closes_is_found_past_others() {
        assert_eq!(braced(r"a{b}\} c} d"), Some(r"a{b}\} c"));
        assert_eq!(braced("}"), Some(""));
        assert_eq!(braced("a{b}"), None);
    }
    #[test]
    fn pairs_are_the_closing_braces_of_the_same_places() {
        let text = r"{a{b}\} c} d} {e {f}";
        let expected =
            text.match_indices('{').filter_map(|(at, _)| Some((at, at + 1 + braced(&text[at + 1..])?.len())));
        assert_eq!(pairs(text), expected.collect());
    }
}
