//! Graders: whether the final answer of a text equals a reference, by the kind of the answer.

mod braces;
mod characters;
pub mod choice;
pub mod code;
pub mod equation;
pub mod extract;
pub mod latex;
pub mod number;

use serde::{Deserialize, Serialize};

/// The kind of answer a question has, which decides how answers to it are graded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// A number, as in GSM8K and SVAMP.
    Number,
    /// A mathematical expression, as in MATH-500 and `OlympiadBench`.
    Expression,
    /// The letter of a choice, as in GPQA and MMLU.
    Choice,
    /// A Python program, as in `HumanEval` and MBPP. Only running its tests says whether it is right.
    Code,
}

/// The final answer in a text, in a form for display. `None` if there is none.
#[must_use]
pub fn final_answer(kind: AnswerKind, text: &str) -> Option<String> {
    match kind {
        // The last number in a formula is not the formula's value.
        AnswerKind::Number => match extract::boxed(text).filter(|content| is_formula(content)) {
            Some(formula) => Some(formula),
            None => number::final_number(text).map(|number| number.to_string()),
        },
        AnswerKind::Choice => choice::final_choice(text).map(String::from),
        AnswerKind::Code => code::python_blocks(text).pop(),
        AnswerKind::Expression => {
            let answer = extract::boxed(text).or_else(|| extract::announced(text));
            let answer = answer.or_else(|| extract::concluded(text));
            answer
                .map(|answer| answer.split_whitespace().collect::<Vec<_>>().join(" "))
                .filter(|answer| !answer.is_empty())
        }
    }
}

/// Whether two final answers are equal. Symmetric.
#[must_use]
pub fn same(kind: AnswerKind, a: &str, b: &str) -> bool {
    match kind {
        AnswerKind::Number if is_formula(a) || is_formula(b) => latex::same(a, b),
        AnswerKind::Number => {
            number::final_number(a).zip(number::final_number(b)).is_some_and(|(a, b)| number::same_number(a, b))
        }
        AnswerKind::Choice => choice::choice(a).is_some_and(|a| choice::choice(b) == Some(a)),
        AnswerKind::Code => a.trim() == b.trim(),
        AnswerKind::Expression => latex::same(a, b),
    }
}

/// Whether a text gives the right answer, of which `references` are the forms or parts.
///
/// With several expressions as references the answer must give all of them, in any order: `OlympiadBench` asks for all
/// solutions of an equation, mostly in one reference such as `1,2,3`, to the same effect. With several numbers or
/// letters one is enough. Code has no references, so no code is right here.
#[must_use]
pub fn is_right(kind: AnswerKind, references: &[String], text: &str) -> bool {
    if references.is_empty() {
        return false;
    }
    let Some(answer) = final_answer(kind, text) else { return false };
    match (kind, references) {
        (AnswerKind::Number, references) => references.iter().any(|reference| {
            if is_formula(&answer) {
                return latex::is_reference(reference, &answer);
            }
            let number = number::reference_number(reference).zip(number::final_number(&answer));
            number.is_some_and(|(a, b)| number::same_number(a, b))
        }),
        (AnswerKind::Choice, references) => {
            references.iter().any(|reference| same(AnswerKind::Choice, reference, &answer))
        }
        (AnswerKind::Code, _) => false,
        (AnswerKind::Expression, [reference]) => latex::is_reference(reference, &answer),
        (AnswerKind::Expression, references) => {
            let all: Vec<&str> = references.iter().map(|reference| reference.trim_matches(['$', ' '])).collect();
            latex::is_reference(&all.join(", "), &answer)
        }
    }
}

/// Whether an answer that should be a number is a formula with a value.
fn is_formula(answer: &str) -> bool {
    answer.contains(['\\', '^', '/', '{', '\u{2212}']) && latex::is_value(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_graded_by_their_kind() {
        for (kind, answers, text, right) in [
            (AnswerKind::Number, &["18"][..], "so she makes 18 dollars.", true),
            (AnswerKind::Number, &["18"], r"18, so \boxed{\$17.00}", false),
            (AnswerKind::Number, &["3", "4"], r"\boxed{4}", true),
            (AnswerKind::Number, &["0.8"], r"\boxed{\frac{4}{5}}", true),
            (AnswerKind::Number, &["5"], r"\boxed{\frac{4}{5}}", false),
            (AnswerKind::Number, &["36"], r"\boxed{36 \text{ cm}^2}", true),
            (AnswerKind::Number, &["2"], r"\boxed{36 \text{ cm}^2}", false),
            (AnswerKind::Number, &["1080"], r"\boxed{1{,}080}", true),
            (AnswerKind::Number, &["1,080"], r"\boxed{1,\!080}", true),
            (AnswerKind::Number, &["80"], r"\boxed{1,\!080}", false),
            (AnswerKind::Number, &["0.8"], r"\boxed{4/5}", true),
            (AnswerKind::Number, &["5"], r"\boxed{4/5}", false),
            (AnswerKind::Number, &["2000"], r"\boxed{2 \times 10^3}", true),
            (AnswerKind::Number, &["3"], r"\boxed{2 \times 10^3}", false),
            (AnswerKind::Number, &["18"], r"\boxed{\$18.00}", true),
            (AnswerKind::Number, &["18"], r"\boxed{18 \text{ dollars}}", true),
            (AnswerKind::Number, &["18"], r"\boxed{x = 18\%}", true),
            (AnswerKind::Number, &["18"], r"\boxed{\text{They have } 18 \text{ left in all}}", true),
            (AnswerKind::Number, &["-3"], "\\boxed{\u{2212}3}", true),
            (AnswerKind::Number, &["3"], "\\boxed{\u{2212}3}", false),
            (AnswerKind::Choice, &["B"], "The answer is (B).", true),
            (AnswerKind::Choice, &["B"], "The answer is (C).", false),
            (AnswerKind::Expression, &[r"\frac{14}{3}"], r"so \(\boxed{\dfrac{28}{6}}\)", true),
            (AnswerKind::Expression, &[r"\frac{14}{3}"], "The answer is 14/3.", true),
            (AnswerKind::Expression, &["$1$", "$2$"], r"\boxed{2} and \boxed{1}", true),
            (AnswerKind::Expression, &["$1$", "$2$"], r"\boxed{2}", false),
            (AnswerKind::Expression, &["$-2,0,2$"], r"\boxed{0, 2, -2}", true),
            (AnswerKind::Expression, &["4"], "", false),
            (AnswerKind::Code, &["x = 1"], "```python\nx = 1\n```", false),
        ] {
            let references: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
            assert_eq!(is_right(kind, &references, text), right, "{text}");
        }
    }

    #[test]
    fn final_answers_are_shown_as_they_are_written() {
        assert_eq!(final_answer(AnswerKind::Expression, "\\boxed{ x +\n 1 }").as_deref(), Some("x + 1"));
        assert_eq!(final_answer(AnswerKind::Number, r"\boxed{1,080.50}").as_deref(), Some("1080.5"));
        assert_eq!(final_answer(AnswerKind::Choice, "(b) or (C)").as_deref(), Some("C"));
        assert_eq!(final_answer(AnswerKind::Expression, "nothing"), None);
        assert_eq!(final_answer(AnswerKind::Code, "So:\n```python\nx = 1\n```\nDone.").as_deref(), Some("x = 1\n"));
    }

    #[test]
    fn final_answers_of_a_kind_are_compared_as_that_kind() {
        assert!(same(AnswerKind::Number, "18", "18.0") && !same(AnswerKind::Number, "18", "19"));
        assert!(
            same(AnswerKind::Number, r"\frac{1}{2}", "0.5")
                && !same(AnswerKind::Number, r"\frac{1}{2}", r"\frac{3}{2}")
        );
        assert!(same(AnswerKind::Code, "x = 1\n", "x = 1") && !same(AnswerKind::Code, "x = 1", "x = 2"));
        assert!(same(AnswerKind::Choice, "B", "(B)") && !same(AnswerKind::Choice, "B", "C"));
        assert!(same(AnswerKind::Expression, "1/2", "0.5") && !same(AnswerKind::Expression, "1/2", "0.6"));
    }
}
