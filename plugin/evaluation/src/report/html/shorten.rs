//! How much of a text the page shows.

/// Characters of a text. Answers are limited in tokens and mostly shorter; other texts need not be.
pub(super) const MOST_CHARACTERS: usize = 20_000;

/// Characters of a final answer, and of the question in the line that opens it.
pub(super) const MOST_OF_A_LINE: usize = 200;

/// At most this many characters of a text. Says how many are left out.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} characters left out)", &text[..end], text[end..].chars().count()),
    }
}
