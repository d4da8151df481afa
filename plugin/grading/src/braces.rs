//! Finds the closing brace.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brace_that_closes_is_found_past_others() {
        assert_eq!(braced(r"a{b}\} c} d"), Some(r"a{b}\} c"));
        assert_eq!(braced("}"), Some(""));
        assert_eq!(braced("a{b}"), None);
    }
}
