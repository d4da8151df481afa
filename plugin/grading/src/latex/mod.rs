//! Compares mathematical answers in LaTeX, as in MATH-500 and `OlympiadBench`.
//!
//! Both answers are parsed into trees, which are compared part by part. Expressions are compared by their values:
//! exactly if they are rational, otherwise at several fixed values of their variables. What cannot be parsed is
//! compared as text. Nothing is executed, and lengths, depths and powers are bounded.

mod atom;
mod colon;
mod command;
mod compare;
mod evaluate;
mod exact;
mod interval;
mod parse;
mod product;
mod token;
mod tree;
mod unit;
mod words;

use super::characters;
pub use exact::exact_value;
use token::CommaMeaning;
use tree::Node;

/// Longer texts are not final answers.
const LONGEST: usize = 2_000;

/// Whether two final answers are equal.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    compared(&characters::plain(a), &characters::plain(b), compare::same)
}

/// Whether a final answer matches the reference. An equation may stand for the value it ends with, as `2 + 3 = 5` for
/// 5, even if its left side cannot be parsed, and the parts of a list may stand in brackets.
#[must_use]
pub fn is_reference(reference: &str, answer: &str) -> bool {
    let (reference, answer) = (&*characters::plain(reference), &*characters::plain(answer));
    let value = |reference: &Node, answer: &Node| {
        compare::same(reference, answer)
            || match (reference, answer) {
                (Node::Set(_), Node::Tuple(_, parts, _)) => compare::same(reference, &Node::Set(parts.clone())),
                (Node::Relation(..), _) => false,
                _ => compare::last_side(answer).is_some_and(|value| compare::same(reference, value)),
            }
    };
    let readable = parse::parse(answer, CommaMeaning::Thousands).is_some() || answer.len() > LONGEST;
    compared(reference, answer, value)
        || (!readable && answer.rsplit_once('=').is_some_and(|(_, value)| compared(reference, value, compare::same)))
}

/// Whether an answer has one value: it has no variable, or is an equation that ends with such a value.
#[must_use]
pub fn is_value(answer: &str) -> bool {
    let answer = &*characters::plain(answer);
    answer.len() <= LONGEST
        && [parse::parse(answer, CommaMeaning::Thousands), parse::parse_measured(answer, CommaMeaning::Thousands)]
            .iter()
            .flatten()
            .any(compare::is_value)
}

fn compared(a: &str, b: &str, same: impl Fn(&Node, &Node) -> bool) -> bool {
    let (a, b) = (a.trim(), b.trim());
    if a.is_empty() || b.is_empty() || a.len() > LONGEST || b.len() > LONGEST {
        return a == b && !a.is_empty();
    }
    let squeezed = words::squeezed(a);
    if a == b || (!squeezed.is_empty() && squeezed == words::squeezed(b)) || same_words(a, b) {
        return true;
    }
    [CommaMeaning::Thousands, CommaMeaning::Lists].into_iter().any(|commas| {
        let trees = parse::parse(a, commas).zip(parse::parse(b, commas));
        trees.is_some_and(|(a, b)| same(&a, &b)) || without_units(a, b, commas).is_some_and(|(a, b)| same(&a, &b))
    })
}

/// Both trees, if one answer is a value and the other a value with a unit such as `m/s` after it.
fn without_units(a: &str, b: &str, commas: CommaMeaning) -> Option<(Node, Node)> {
    let value = |text| parse::parse(text, commas).filter(compare::is_value);
    let measured = |text| parse::parse_measured(text, commas).filter(compare::is_value);
    match (value(a), value(b)) {
        (Some(a), None) => Some((a, measured(b)?)),
        (None, Some(b)) => Some((measured(a)?, b)),
        _ => None,
    }
}

/// Whether two answers that consist of words are the same words, in any typeface.
fn same_words(a: &str, b: &str) -> bool {
    if let (Some(a), Some(b)) = (words::lone_letter(a), words::lone_letter(b)) {
        return a == b;
    }
    let plain = words::plain(a);
    !plain.contains(|c: char| c.is_ascii_digit() || c == '\\') && plain.len() > 1 && plain == words::plain(b)
}

#[cfg(test)]
mod tests;
