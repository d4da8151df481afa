//! Cuts a stream of token bytes into steps: by delimiter, by sentence, or every n tokens.
//!
//! It works on decoded bytes, so it finds a delimiter inside a merged token (`".\n\n"`) or spread over several, and
//! handles characters split over tokens. A step ends with the token that completes its boundary: tokens are never
//! split, and the text of all steps is the text of all tokens.

/// What ends a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepBoundary {
    /// Any of these strings.
    Delimiter(Vec<String>),
    /// A full stop, question or exclamation mark, or the end of a line.
    Sentence,
    /// This number of tokens.
    Tokens(usize),
}

/// A boundary and the limit on the length of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segmentation {
    /// What ends a step.
    pub boundary: StepBoundary,
    /// Limit on the tokens of a step.
    pub max_tokens: usize,
}

/// Why a step is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepCut {
    /// Its boundary was reached.
    Boundary,
    /// The limit on tokens was reached.
    Limit,
}

impl Segmentation {
    /// Decides whether a step of `tokens` tokens ends with its last token, which added the bytes from `new` on.
    ///
    /// White space alone never makes a step: leading newlines belong to the step that they precede.
    #[must_use]
    pub fn cut(&self, step: &[u8], new: usize, tokens: usize) -> Option<StepCut> {
        let ended = match &self.boundary {
            StepBoundary::Delimiter(delimiters) => {
                delimiters.iter().any(|delimiter| ends_at_delimiter(step, new, delimiter.as_bytes()))
            }
            StepBoundary::Sentence => ends_sentence(step, new),
            StepBoundary::Tokens(n) => tokens >= *n,
        };
        if ended { Some(StepCut::Boundary) } else { (tokens >= self.max_tokens).then_some(StepCut::Limit) }
    }
}

/// Whether a delimiter that follows some text was completed by the bytes from `new` on.
fn ends_at_delimiter(step: &[u8], new: usize, delimiter: &[u8]) -> bool {
    let from = (new + 1).saturating_sub(delimiter.len());
    find_all(step, from, delimiter).any(|at| has_content(&step[..at]))
}

/// Positions at or after `from` where `needle` begins.
fn find_all<'a>(haystack: &'a [u8], from: usize, needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    haystack
        .get(from..)
        .unwrap_or_default()
        .windows(needle.len().max(1))
        .enumerate()
        .filter(move |(_, window)| *window == needle)
        .map(move |(i, _)| from + i)
}

fn has_content(bytes: &[u8]) -> bool {
    bytes.iter().any(|b| !b.is_ascii_whitespace())
}

fn ends_sentence(step: &[u8], new: usize) -> bool {
    if !has_content(step) {
        return false;
    }
    let line_ended = step[new..].iter().enumerate().any(|(i, b)| *b == b'\n' && has_content(&step[..new + i]));
    if line_ended {
        return true;
    }
    if ["。", "！", "？"].iter().any(|mark| step.ends_with(mark.as_bytes())) {
        return true;
    }
    match step {
        [.., b'!' | b'?'] => true,
        // A dot after a digit may be a decimal point or a list number.
        [.., before, b'.'] => !before.is_ascii_digit() && *before != b'.',
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn delimiter(delimiters: &[&str]) -> Segmentation {
        Segmentation {
            boundary: StepBoundary::Delimiter(delimiters.iter().map(|d| (*d).to_owned()).collect()),
            max_tokens: 100,
        }
    }

    /// Feeds tokens and returns the steps' texts, the unfinished last one included.
    fn steps(segmentation: &Segmentation, tokens: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut steps = Vec::new();
        let (mut step, mut count) = (Vec::new(), 0);
        for token in tokens {
            let new = step.len();
            step.extend_from_slice(token);
            count += 1;
            if segmentation.cut(&step, new, count).is_some() {
                steps.push(std::mem::take(&mut step));
                count = 0;
            }
        }
        if count > 0 {
            steps.push(step);
        }
        steps
    }

    fn texts(segmentation: &Segmentation, tokens: &[&str]) -> Vec<String> {
        let tokens: Vec<&[u8]> = tokens.iter().map(|t| t.as_bytes()).collect();
        steps(segmentation, &tokens).into_iter().map(|s| String::from_utf8(s).unwrap()).collect()
    }

    #[test]
    fn a_delimiter_in_a_merged_token_ends_the_step_with_that_token() {
        assert_eq!(texts(&delimiter(&["\n\n"]), &["One", ".\n\n", "Two"]), ["One.\n\n", "Two"]);
    }

    #[test]
    fn a_delimiter_over_two_tokens_is_seen() {
        assert_eq!(texts(&delimiter(&["\n\n"]), &["One", ".\n", "\n", "Two"]), ["One.\n\n", "Two"]);
    }

    #[test]
    fn white_space_alone_is_no_step() {
        assert_eq!(
            texts(&delimiter(&["\n\n"]), &["\n\n", "\n\n", "One", "\n\n", "\n\n\n", "Two"]),
            ["\n\n\n\nOne\n\n", "\n\n\nTwo"]
        );
        assert_eq!(texts(&delimiter(&["\n\n"]), &["\n\nOne", " more"]), ["\n\nOne more"]);
    }

    #[test]
    fn any_of_several_delimiters_counts() {
        assert_eq!(texts(&delimiter(&["\n\n", "###"]), &["a###", "b", "\n\n", "c"]), ["a###", "b\n\n", "c"]);
    }

    #[test]
    fn sentences_survive_decimals_lists_and_ellipses() {
        let segmentation = Segmentation { boundary: StepBoundary::Sentence, max_tokens: 100 };
        assert_eq!(
            texts(
                &segmentation,
                &["1", ".", " Pi", " is", " 3", ".", "14", ".", " Really", "?", " Yes", ".", " So", "\n", "it", " is"]
            ),
            ["1. Pi is 3.14. Really?", " Yes.", " So\n", "it is"]
        );
    }

    #[test]
    fn a_character_split_over_tokens_stays_whole_in_the_bytes() {
        let segmentation = Segmentation { boundary: StepBoundary::Sentence, max_tokens: 100 };
        let mark = "。".as_bytes();
        assert_eq!(
            steps(&segmentation, &["好".as_bytes(), &mark[..1], &mark[1..], b"x"]),
            ["好。".as_bytes().to_vec(), b"x".to_vec()]
        );
    }

    #[test]
    fn the_cap_cuts_a_step_that_never_ends() {
        let segmentation = Segmentation { max_tokens: 2, ..delimiter(&["\n\n"]) };
        assert_eq!(texts(&segmentation, &["a", "b", "c", "d", "e"]), ["ab", "cd", "e"]);
    }

    proptest! {
        #[test]
        fn steps_hold_every_byte_in_order(tokens in proptest::collection::vec("[a.\n ]{0,3}", 0..40), unit in 0usize..3, n in 1usize..5) {
            let boundary = match unit {
                0 => StepBoundary::Delimiter(vec!["\n\n".into()]),
                1 => StepBoundary::Sentence,
                _ => StepBoundary::Tokens(n),
            };
            let segmentation = Segmentation { boundary, max_tokens: 7 };
            let tokens: Vec<&[u8]> = tokens.iter().map(String::as_bytes).collect();
            prop_assert_eq!(steps(&segmentation, &tokens).concat(), tokens.concat());
        }
    }
}
