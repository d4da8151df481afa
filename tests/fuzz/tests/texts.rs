//! Texts of models: no text makes a grader or a check panic, and what they find lies in the text.
#![allow(clippy::unwrap_used)]

use rsd_checks::{ArithmeticCheck, CheckedStep, PythonCheck, StepCheck};
use rsd_fuzz::{fuzz, lines};
use rsd_grading::{AnswerKind, equation::equations, final_answer, same};

const PIECES: [&[u8]; 24] = [
    b"(",
    b")",
    b"{",
    b"[",
    b"}",
    b"=",
    b" = 1",
    b"-",
    b"+ 1 ",
    b"/",
    b"^",
    b"^9",
    b"9",
    b"0",
    b".",
    b",",
    b":",
    b"\\frac{",
    b"\\sqrt{",
    b"\\boxed{",
    b"\\left(",
    b"```",
    b"\n",
    "½²∞".as_bytes(),
];

fn seeds() -> Vec<Vec<u8>> {
    let pairs = ["fractions", "numbers", "structures"].map(|name| format!("plugin/grading/fixtures/pairs/{name}.txt"));
    let mut seeds = lines("tests/fuzz/seeds/steps.txt");
    seeds.extend(pairs.iter().flat_map(|file| lines(file)));
    seeds
}

#[test]
fn every_text_can_be_graded() {
    fuzz(&seeds(), &PIECES, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (one, other) = text.split_once(";;").unwrap_or((&text, "1/2"));
        for kind in [AnswerKind::Number, AnswerKind::Expression, AnswerKind::Choice, AnswerKind::Code] {
            let _ = final_answer(kind, &text);
            assert_eq!(same(kind, one, other), same(kind, other, one), "{kind:?} is not symmetric");
        }
    });
}

#[test]
fn every_step_can_be_checked_and_what_is_found_lies_in_it() {
    fuzz(&seeds(), &PIECES, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        for equation in equations(&text) {
            assert!(text.get(equation.place.clone()).is_some(), "{:?}", equation.place);
        }
        let middle = (0..=text.len() / 2).rev().find(|&at| text.is_char_boundary(at)).unwrap();
        let (before, step) = text.split_at(middle);
        let earlier = [before.to_owned()];
        for check in [&ArithmeticCheck as &dyn StepCheck, &PythonCheck] {
            for found in check.check(&CheckedStep { question: "How many?", earlier: &earlier, step }).false_statements {
                assert!(step.get(found.place.clone()).is_some(), "{}: {:?}", check.name(), found.place);
            }
        }
    });
}
