//! Whether an answer is right.

pub mod number;

use crate::question::{Kind, Question};

/// What an answer says in the end.
#[must_use]
pub fn final_answer(_kind: Kind, text: &str) -> Option<String> {
    number::final_number(text).map(|number| number.to_string())
}

/// Whether two final answers are the same.
#[must_use]
pub fn same(_kind: Kind, a: &str, b: &str) -> bool {
    number::final_number(a).zip(number::final_number(b)).is_some_and(|(a, b)| number::same_number(a, b))
}

/// Whether an answer to a question is right.
#[must_use]
pub fn is_right(question: &Question, text: &str) -> bool {
    final_answer(question.kind, text).is_some_and(|a| question.answers.iter().all(|b| same(question.kind, &a, b)))
}
