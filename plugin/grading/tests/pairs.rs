//! Grades pairs of a reference and an answer whose result was told beforehand, by kind.
//!
//! A line of a file is `e+ REFERENCE ;; ANSWER`: the kind (`n` number, `e` expression, `c` choice; a capital for a whole
//! text instead of the content of a box), whether the answer is right, and both texts. `# KIND` begins a kind.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{fs, path::Path};

use rsd_grading::{AnswerKind, is_right};

/// The number of pairs and those that are graded otherwise.
fn graded(pairs: &str) -> (usize, Vec<String>) {
    let (mut count, mut section, mut wrong) = (0, "", Vec::new());
    for line in pairs.lines() {
        if let Some(name) = line.strip_prefix("# ") {
            section = name;
            continue;
        }
        let (mark, pair) = line.split_once(' ').unwrap();
        let (reference, answer) = pair.split_once(" ;; ").unwrap();
        let kind = match mark.to_ascii_lowercase().chars().next().unwrap() {
            'n' => AnswerKind::Number,
            'e' => AnswerKind::Expression,
            'c' => AnswerKind::Choice,
            other => panic!("unknown kind {other} in {line}"),
        };
        let text =
            if mark.starts_with(char::is_lowercase) { format!("\\boxed{{{answer}}}") } else { answer.to_owned() };
        let expected = mark.ends_with('+');
        if is_right(kind, &[reference.to_owned()], &text) != expected {
            wrong.push(format!("{section}: {line}"));
        }
        count += 1;
    }
    (count, wrong)
}

#[test]
fn every_pair_is_graded_as_it_was_told() {
    let files = [
        include_str!("../fixtures/pairs/numbers.txt"),
        include_str!("../fixtures/pairs/fractions.txt"),
        include_str!("../fixtures/pairs/structures.txt"),
        include_str!("../fixtures/pairs/forms.txt"),
    ];
    let graded: Vec<_> = files.into_iter().map(graded).collect();
    let count: usize = graded.iter().map(|(count, _)| count).sum();
    let wrong: Vec<_> = graded.into_iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(wrong.is_empty(), "{} of {count} pairs:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 600, "only {count} pairs");
}

#[test]
fn every_row_of_the_page_on_graders_is_graded_as_the_page_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/graders.md");
    let (mut count, mut wrong, mut in_text) = (0, Vec::new(), false);
    for row in fs::read_to_string(page).unwrap().lines() {
        if row.starts_with("| grader |") {
            in_text = row.contains("| text |");
        }
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [kind, reference, answer, equal, ..] = cells[..] else { continue };
        let kind = match kind {
            "number" => AnswerKind::Number,
            "expression" => AnswerKind::Expression,
            "choice" => AnswerKind::Choice,
            _ => continue,
        };
        let code = |cell: &str| cell.trim_matches('`').to_owned();
        let text = if in_text { code(answer) } else { format!("\\boxed{{{}}}", code(answer)) };
        if is_right(kind, &[code(reference)], &text) != (equal == "yes") {
            wrong.push(row.to_owned());
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 80, "only {count} rows");
}
