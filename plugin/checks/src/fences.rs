//! Fenced code blocks in an answer, which may begin in one step and end in a later one.

use std::ops::Range;

/// A fenced block of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct FencedBlock {
    /// What stands behind the opening fence, such as `python`, in lower case.
    pub language: String,
    /// Bytes of the content.
    pub content: Range<usize>,
    /// Bytes of the content and of both fences.
    pub whole: Range<usize>,
    /// Whether the closing fence is there.
    pub closed: bool,
}

const FENCE: &str = "```";

/// The blocks of a text. A fence stands at the beginning of a line, after spaces at most.
#[must_use]
pub fn blocks(text: &str) -> Vec<FencedBlock> {
    let mut blocks: Vec<FencedBlock> = Vec::new();
    let mut open: Option<(String, usize, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        if let Some(info) = line.trim_start().strip_prefix(FENCE) {
            open = match open {
                Some((language, fence, start)) => {
                    blocks.push(FencedBlock { language, content: start..at, whole: fence..end, closed: true });
                    None
                }
                // Code between two fences in one line is no block.
                None if info.contains(FENCE) => None,
                None => Some((info.trim().to_lowercase(), at, end)),
            };
        }
        at = end;
    }
    if let Some((language, fence, start)) = open {
        let end = text.len();
        blocks.push(FencedBlock { language, content: start..end, whole: fence..end, closed: false });
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_with_their_language_and_end() {
        let text = "Code:\n```Python\nx = 1\n```\nand ```x```\n  ```\ny\n";
        let found: Vec<_> = blocks(text)
            .into_iter()
            .map(|block| (block.language, text[block.content].to_owned(), block.closed))
            .collect();
        assert_eq!(&text[blocks(text).remove(0).whole], "```Python\nx = 1\n```\n");
        assert_eq!(found, [("python".into(), "x = 1\n".into(), true), (String::new(), "y\n".into(), false)]);
    }
}
