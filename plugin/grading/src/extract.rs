//! Finds the final answer in a worked solution.

use super::{braces::pairs, number};

/// The content of the last box. Boxes with only "and" or a comma between them are one answer in parts.
#[must_use]
pub fn boxed(text: &str) -> Option<String> {
    let boxes = boxes(text);
    let (start, _, last) = boxes.last()?;
    let mut parts = vec![last.as_str()];
    let mut first = *start;
    for (start, end, content) in boxes.iter().rev().skip(1) {
        if !only_joins(&text[*end..first]) {
            break;
        }
        parts.push(content);
        first = *start;
    }
    parts.reverse();
    Some(parts.join(", "))
}

/// The text after "the answer is", up to the end of the formula or of the sentence.
#[must_use]
pub fn announced(text: &str) -> Option<String> {
    const ANNOUNCEMENTS: [&str; 3] = ["answer is", "answer:", "answer is:"];
    let found: Vec<String> = ends_of(&ANNOUNCEMENTS, text).filter_map(|end| announced_at(text, end)).collect();
    // "... this answer is reasonable" does not count if another announcement gives a value.
    let value = |answer: &&String| answer.contains(|c: char| c.is_ascii_digit() || matches!(c, '\\' | '$'));
    found.iter().find(value).or(found.first()).cloned()
}

/// The places where any of these words end in a text, ignoring case, from the last to the first.
pub(super) fn ends_of(words: &[&str], text: &str) -> impl Iterator<Item = usize> + use<> {
    let lower = text.to_ascii_lowercase();
    let mut ends: Vec<usize> =
        words.iter().flat_map(|words| lower.match_indices(words).map(|(at, _)| at + words.len())).collect();
    ends.sort_unstable();
    ends.into_iter().rev()
}

fn announced_at(text: &str, after: usize) -> Option<String> {
    let rest = text[after..].trim_start_matches(|c: char| c.is_whitespace() || c == ':' || c == '*');
    if let Some(formula) = formulas(rest).into_iter().next().filter(|(start, _)| *start == 0) {
        return Some(formula.1);
    }
    let line = rest.lines().next()?;
    let sentence = line.find(". ").map_or(line, |end| &line[..end]);
    let answer = sentence.trim_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '.' | '"'));
    (!answer.is_empty()).then(|| answer.to_owned())
}

/// The last formula of the last paragraph, or its last number. Earlier paragraphs are no conclusion.
#[must_use]
pub fn concluded(text: &str) -> Option<String> {
    let paragraph = text.trim_end().rsplit("\n\n").next()?;
    let formula = formulas(paragraph).pop().map(|(_, formula)| formula);
    formula.or_else(|| number::final_number(paragraph).map(|number| number.to_string()))
}

/// Start, end and content of each outermost box.
fn boxes(text: &str) -> Vec<(usize, usize, String)> {
    let mut starts: Vec<(usize, usize)> = ["\\boxed", "\\fbox"]
        .iter()
        .flat_map(|command| text.match_indices(command).map(|(start, _)| (start, start + command.len())))
        .collect();
    starts.sort_unstable();
    let pairs = pairs(text);
    let mut found = Vec::new();
    let mut from = 0;
    for (start, end) in starts {
        let open = text.len() - text[end..].trim_start().len();
        if let Some(&close) = pairs.get(&open).filter(|_| start >= from) {
            from = close + 1;
            found.push((start, from, text[open + 1..close].to_owned()));
        }
    }
    found
}

fn only_joins(between: &str) -> bool {
    let mut rest = between.to_owned();
    for mark in ["\\)", "\\(", "\\]", "\\[", "\\text{ and }", "\\text{ or }", "\\quad", "and", "or", "$", ",", ";"] {
        rest = rest.replace(mark, " ");
    }
    rest.trim().is_empty()
}

/// Start and content of each formula.
fn formulas(text: &str) -> Vec<(usize, String)> {
    const MARKS: [(&str, &str); 4] = [("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$")];
    let mut found = Vec::new();
    let mut from = 0;
    let next = |from: usize| {
        let starts = MARKS.iter().filter_map(|(open, close)| Some((from + text[from..].find(open)?, *open, *close)));
        starts.min_by_key(|(start, open, _)| (*start, usize::MAX - open.len()))
    };
    while let Some((start, open, close)) = next(from) {
        let inside = start + open.len();
        let Some(length) = text[inside..].find(close) else {
            from = inside;
            continue;
        };
        let formula = text[inside..inside + length].trim();
        if !formula.is_empty() {
            found.push((start, formula.trim_end_matches(['.', ',']).to_owned()));
        }
        from = inside + length + close.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn boxes_that_nobody_closes_are_looked_at_once() {
        // A pass over the rest of the text for each of them would take hours.
        let open = "\\boxed{".repeat(300_000);
        assert_eq!(boxed(&open), None);
        assert_eq!(boxed(&format!("{open}3}}")).as_deref(), Some("3"));
    }

    #[test]
    fn the_last_box_is_the_answer() {
        for (text, answer) in [
            (r"so \(\boxed{\frac{1}{2}}\).", r"\frac{1}{2}"),
            (r"\boxed{1}, no: \boxed{2}, done", "2"),
            (r"\boxed {\{1, 2\}}", r"\{1, 2\}"),
            (r"\boxed{\boxed{3}}", r"\boxed{3}"),
            (r"\(\boxed{1}\) and \(\boxed{-2}\)", "1, -2"),
            (r"\boxed{4} and then \boxed{5", "4"),
        ] {
            assert_eq!(boxed(text).as_deref(), Some(answer), "{text}");
        }
        assert_eq!(boxed("no box"), None);
    }

    #[test]
    fn without_a_box_the_answer_is_announced() {
        for (text, answer) in [
            ("The final answer is: $x + 1$. I hope it is right.", "x + 1"),
            ("**Answer:** 12. Good.", "12"),
            ("the answer is 3.5", "3.5"),
            ("The answer is \\[\n7\n\\]", "7"),
        ] {
            assert_eq!(announced(text).as_deref(), Some(answer), "{text}");
        }
        assert_eq!(announced("nothing"), None);
    }

    #[test]
    fn without_either_the_last_paragraph_says_it() {
        assert_eq!(concluded(r"so $a$ and \(b = 2\)").as_deref(), Some("b = 2"));
        assert_eq!(concluded("It is $7$.\n\nHe has 3 left.\n").as_deref(), Some("3"));
        assert_eq!(concluded("It is $7$.\n\nNow we go on with"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_searched_without_a_panic(text in "(\\PC|\\\\boxed|[{}$]|\\\\\\(|answer is){0,40}") {
            let _ = (boxed(&text), announced(&text), concluded(&text));
        }

        #[test]
        fn what_is_put_into_a_box_comes_out(words in "[a-z ]{0,20}", answer in "[a-z0-9+]{1,9}") {
            let text = format!("{words}\\boxed{{{answer}}}{words}");
            prop_assert_eq!(boxed(&text), Some(answer));
        }
    }
}
