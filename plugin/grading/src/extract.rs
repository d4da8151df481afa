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
    const ANNOUNCEMENTS: [&str; 7] = ["answer is", "answer:", "answer is:", "答案是", "答案为", "答案:", "答案："];
    // "... this answer is reasonable" does not count if another announcement gives a value.
    let value = |answer: &String| answer.contains(|c: char| c.is_ascii_digit() || matches!(c, '\\' | '$'));
    let mut last = None;
    for answer in ends_of(&ANNOUNCEMENTS, text).filter_map(|end| announced_at(&text[end..])) {
        if value(&answer) {
            return Some(answer);
        }
        last.get_or_insert(answer);
    }
    last
}

/// The places where any of these words end in a text, ignoring case, from the last to the first.
pub(super) fn ends_of(words: &[&str], text: &str) -> impl Iterator<Item = usize> + use<> {
    let lower = text.to_ascii_lowercase();
    let mut ends: Vec<usize> =
        words.iter().flat_map(|words| lower.match_indices(words).map(|(at, _)| at + words.len())).collect();
    ends.sort_unstable();
    ends.into_iter().rev()
}

/// Bytes after an announcement in which the answer must be. Without a limit, a text of announcements would take the
/// square of its length.
const NEAR: usize = 4_000;

fn announced_at(rest: &str) -> Option<String> {
    let end = (rest.len().min(NEAR)..=rest.len()).find(|&end| rest.is_char_boundary(end)).unwrap_or(rest.len());
    let rest = rest[..end].trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '：' | '*'));
    if let Some(formula) = MARKS.iter().find_map(|marks| enclosed(rest, *marks)) {
        return Some(formula);
    }
    let line = rest.lines().next()?;
    let sentence = line.find(". ").or_else(|| line.find('。')).map_or(line, |end| &line[..end]);
    let answer = sentence.trim_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '.' | '"'));
    (!answer.is_empty()).then(|| answer.to_owned())
}

/// The last formula of the last paragraph, or its last number. Earlier paragraphs are no conclusion.
#[must_use]
pub fn concluded(text: &str) -> Option<String> {
    let paragraph = text.trim_end().rsplit("\n\n").next()?;
    let formula = formulas(paragraph).pop();
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

/// What opens and closes a formula. Where two of them open at the same place, the earlier one does.
const MARKS: [(&str, &str); 4] = [("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$")];

/// The content of each formula. Each mark is searched once over the text, however often it is opened.
fn formulas(text: &str) -> Vec<String> {
    let mut next = MARKS.map(|(open, _)| text.find(open));
    let mut found = Vec::new();
    let mut from = 0;
    loop {
        for ((open, _), at) in MARKS.iter().zip(&mut next) {
            if at.is_some_and(|at| at < from) {
                *at = text[from..].find(open).map(|at| from + at);
            }
        }
        let first = (0..MARKS.len()).filter_map(|mark| Some((next[mark]?, mark))).min();
        let Some((start, mark)) = first else { return found };
        let (open, close) = MARKS[mark];
        let inside = start + open.len();
        let Some(length) = text[inside..].find(close) else {
            // Nothing closes a later one either.
            next[mark] = None;
            from = inside;
            continue;
        };
        found.extend(content(&text[inside..inside + length]));
        from = inside + length + close.len();
    }
}

/// The content of the formula that begins with a text, if there is one.
fn enclosed(text: &str, (open, close): (&str, &str)) -> Option<String> {
    let inside = text.strip_prefix(open)?;
    content(&inside[..inside.find(close)?])
}

fn content(formula: &str) -> Option<String> {
    let formula = formula.trim();
    (!formula.is_empty()).then(|| formula.trim_end_matches(['.', ',']).to_owned())
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
    fn long_texts_of_formulas_and_announcements_are_searched_in_one_pass() {
        // A pass over the rest of the text for each of them would take hours.
        for part in ["$1$ ", "\\(", "\\[1\\] ", "$$", "the answer is ", "the answer is \\[", "answer: $x"] {
            let text = part.repeat(20_000);
            let _ = (announced(&text), concluded(&text));
        }
        assert_eq!(concluded(&format!("{}$2$", "\\[ $1$ ".repeat(20_000))).as_deref(), Some("2"));
        let far = format!("the answer is {}$2$", "so ".repeat(100_000));
        assert_eq!(announced(&far).map(|answer| answer.len()), Some(NEAR - 2));
    }

    #[test]
    fn marks_that_are_not_closed_hide_no_formula() {
        for (text, found) in [
            (r"\[ and $1$ and \(2\)", &["1", "2"][..]),
            (r"$$1$$ and $2$", &["1", "2"]),
            (r"\(1\) costs $5", &["1"]),
            (r"$ $ \[ \] $3.$", &["3"]),
        ] {
            assert_eq!(formulas(text), found, "{text}");
        }
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
