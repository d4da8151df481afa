//! Compares the grader of mathematical answers with math-verify, on answers of models.

#![allow(clippy::unwrap_used)]

use std::io::Read;

use flate2::read::GzDecoder;
use rsd_grading::AnswerKind;
use serde::Deserialize;

#[derive(Deserialize)]
struct AnswerPair {
    id: String,
    reference: String,
    answer_text: String,
    math_verify: bool,
}

/// Grades all pairs of a file and asserts that the two graders agree on at least 98 %.
fn agrees(name: &str, compressed: &[u8]) {
    let mut pairs = String::new();
    GzDecoder::new(compressed).read_to_string(&mut pairs).unwrap();
    let (mut agreed, mut both, mut ours, mut theirs) = (0, 0, 0, 0);
    let mut disagreements = Vec::new();
    for line in pairs.lines() {
        let pair: AnswerPair = serde_json::from_str(line).unwrap();
        let right =
            rsd_grading::is_right(AnswerKind::Expression, std::slice::from_ref(&pair.reference), &pair.answer_text);
        agreed += usize::from(right == pair.math_verify);
        both += usize::from(right && pair.math_verify);
        ours += usize::from(right);
        theirs += usize::from(pair.math_verify);
        if right != pair.math_verify {
            let answer = rsd_grading::final_answer(AnswerKind::Expression, &pair.answer_text);
            let answer = answer.unwrap_or_default();
            disagreements.push(format!("{}: here {right}: {:?} and {answer:?}", pair.id, pair.reference));
        }
    }
    let boxed = pairs.lines().filter(|line| line.contains(r"\\boxed{")).count();
    let pairs = pairs.lines().count();
    let f1 = 2.0 * f64::from(u32::try_from(both).unwrap()) / f64::from(u32::try_from(ours + theirs).unwrap());
    println!(
        "{name}: {pairs} pairs, {theirs} of them equal; agreement {agreed}/{pairs}, F1 {f1:.4}; {boxed} answers with a box"
    );
    println!("{}", disagreements.join("\n"));
    assert!(pairs >= 500, "only {pairs} pairs");
    assert!(agreed * 100 >= pairs * 98, "{agreed} of {pairs}");
}

#[test]
fn whole_answers_to_math500_are_graded_as_math_verify_grades_them() {
    agrees("MATH-500", include_bytes!("../fixtures/math500.jsonl.gz"));
}

#[test]
fn ends_of_solutions_and_answers_to_gsm8k_are_graded_as_math_verify_grades_them() {
    agrees("others", include_bytes!("../fixtures/others.jsonl.gz"));
}
