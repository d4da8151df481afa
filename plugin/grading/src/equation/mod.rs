//! Finds the equations that a text states, such as `12 * 3 = 36` in the step of a solution, and says which hold.
//!
//! Values are exact rational numbers, and a result may be rounded or truncated to the decimals it is written with. What
//! has variables, mixes units or is not understood in any other way is left out: precision comes first, so a false
//! equation is only called so where there is no other reading. Lengths, depths, digits and powers are bounded.

mod compare;
mod side;
mod token;
mod units;

use std::ops::Range;

use compare::{SignMeaning, compare};
use side::{EquationSide, side};
use token::{Lexeme, PlacedToken, tokens};

/// More sides of one chain such as `a = b = c` are not looked at.
const MOST_SIDES: usize = 16;
/// More equations of one text are not looked at.
const MOST_EQUATIONS: usize = 256;

/// Words after which an expression is a part of a longer one, or a number a name.
const MODIFIERS: [&str; 48] = [
    "of",
    "half",
    "twice",
    "double",
    "triple",
    "thrice",
    "times",
    "minus",
    "plus",
    "than",
    "third",
    "quarter",
    "by",
    "dozen",
    "less",
    "add",
    "adding",
    "subtract",
    "subtracting",
    "root",
    "negative",
    "every",
    "multiply",
    "divide",
    "sum",
    "product",
    "step",
    "steps",
    "equation",
    "day",
    "days",
    "week",
    "weeks",
    "month",
    "months",
    "year",
    "years",
    "number",
    "numbers",
    "case",
    "option",
    "to",
    "from",
    "pages",
    "rounds",
    "levels",
    "grades",
    "hours",
];

/// An equation in a text, which holds or is false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedEquation {
    /// Bytes of the text that state it.
    pub place: Range<usize>,
    /// Whether it holds.
    pub holds: bool,
    /// What its left side is, as a short number.
    pub value: String,
}

/// The equations of a text that are understood, in their order. A chain such as `2 + 3 = 5 = 4 + 1` is two equations.
///
/// Text from the beginning of a code block to its end is not looked at.
#[must_use]
pub fn equations(text: &str) -> Vec<StatedEquation> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() && found.len() < MOST_EQUATIONS {
        if !may_begin(&tokens, at) {
            at += 1;
            continue;
        }
        let chain = SideChain::parse(&tokens, at);
        if chain.signs.is_empty() {
            at += 1;
            continue;
        }
        found.extend(chain.equations(text, &tokens));
        at = chain.sides.last().map_or(at + 1, |side| side.unit.max(at + 1));
    }
    found.truncate(MOST_EQUATIONS);
    found
}

/// Whether an expression may begin at a token: nothing before the token belongs to the expression.
fn may_begin(tokens: &[PlacedToken], at: usize) -> bool {
    let begins = match &tokens[at].lexeme {
        Lexeme::Number(_) | Lexeme::Open(_) | Lexeme::Fraction | Lexeme::Root => true,
        Lexeme::Operator('-') => tokens.get(at + 1).is_some_and(|next| next.attached),
        _ => false,
    };
    let before = |back: usize| at.checked_sub(back).and_then(|before| tokens.get(before)).map(|token| &token.lexeme);
    let number = |back: usize| matches!(before(back), Some(Lexeme::Number(_)));
    let free = match before(1) {
        None | Some(Lexeme::Line | Lexeme::Relation(_)) => true,
        Some(Lexeme::Word(word)) => {
            let part = match word.to_lowercase().as_str() {
                "the" => matches!(before(2), Some(Lexeme::Word(word)) if is_modifier(word)),
                // `1 and 1/4`
                "and" => number(2) && is_proper_fraction(&tokens[at..]),
                word => is_modifier(word),
            };
            !tokens[at].attached && tokens[at].lexeme != Lexeme::Operator('-') && !part
        }
        // `100 + (20 * 3 = 160` opens more brackets than it closes.
        Some(Lexeme::Open(_)) => !matches!(before(2), Some(Lexeme::Operator(_))),
        // `14, 400` is one number, and `+ . 84` goes on.
        Some(Lexeme::Boundary) => {
            let thousands = number(2) && matches!(&tokens[at].lexeme, Lexeme::Number(digits) if digits.len() == 3);
            !thousands && !matches!(before(2), Some(Lexeme::Operator(_)))
        }
        _ => false,
    };
    begins && free
}

fn is_proper_fraction(tokens: &[PlacedToken]) -> bool {
    let lexemes: Vec<&Lexeme> = tokens.iter().take(3).map(|token| &token.lexeme).collect();
    match lexemes.as_slice() {
        [Lexeme::Number(above), Lexeme::Operator('/'), Lexeme::Number(below)] => {
            above.parse::<f64>().ok() < below.parse::<f64>().ok()
        }
        [Lexeme::Fraction, ..] => true,
        _ => false,
    }
}

fn is_modifier(word: &str) -> bool {
    MODIFIERS.contains(&word.to_lowercase().as_str())
}

/// Sides with a relation between each two.
struct SideChain {
    sides: Vec<EquationSide>,
    signs: Vec<SignMeaning>,
    /// Whether a name may stand before the first side: `Cost (5 apples) = 5`.
    named: bool,
}

impl SideChain {
    fn parse(tokens: &[PlacedToken], at: usize) -> Self {
        let after_word = at.checked_sub(1).is_some_and(|before| matches!(tokens[before].lexeme, Lexeme::Word(_)));
        let named = after_word && matches!(tokens[at].lexeme, Lexeme::Open(_));
        let mut chain = Self { sides: Vec::new(), signs: Vec::new(), named };
        let mut next = at;
        while chain.sides.len() < MOST_SIDES {
            let Some(side) = side(tokens, next) else { break };
            let end = side.end;
            chain.sides.push(side);
            let Some(Lexeme::Relation(about)) = tokens.get(end).map(|token| &token.lexeme) else { break };
            let second = tokens.get(end + 1).map(|token| &token.lexeme);
            let about = *about || matches!(second, Some(Lexeme::Relation(true)));
            next = end + 1 + usize::from(matches!(second, Some(Lexeme::Relation(_))));
            chain.signs.push(if about { SignMeaning::About } else { SignMeaning::Equal });
        }
        chain.signs.truncate(chain.sides.len().saturating_sub(1));
        chain
    }

    fn equations(&self, text: &str, tokens: &[PlacedToken]) -> Vec<StatedEquation> {
        let mut found = Vec::new();
        for (index, sign) in self.signs.iter().enumerate() {
            let (left, right) = (&self.sides[index], &self.sides[index + 1]);
            // A number at the beginning is a name: `Day 2 = 5 + 3`.
            if index == 0 && left.is_bare() {
                continue;
            }
            let Some(comparison) = compare(left, right, *sign) else { continue };
            let place = left.place.start..right.place.end;
            let excused = || {
                (index == 0 && self.named)
                    || units::mixed(&text[place.clone()], &[&left.words, &right.words])
                    || goes_on(tokens, right)
            };
            if comparison.holds || !(comparison.excused || excused()) {
                found.push(StatedEquation { place, holds: comparison.holds, value: comparison.value });
            }
        }
        found
    }
}

/// Whether what follows a result may be a part of it: `= 3 remainder 2`, `= 2 hours and 30 minutes`.
fn goes_on(tokens: &[PlacedToken], side: &EquationSide) -> bool {
    const PARTS: [&str; 12] = [
        "remainder",
        "left",
        "leftover",
        "rounded",
        "rounding",
        "rounds",
        "round",
        "approximately",
        "approx",
        "with",
        "dozen",
        "or",
    ];
    let after = &tokens[side.unit..tokens.len().min(side.unit + 4)];
    let line =
        after.iter().take_while(|token| !matches!(token.lexeme, Lexeme::Line | Lexeme::Boundary | Lexeme::Relation(_)));
    let line: Vec<&Lexeme> = line.map(|token| &token.lexeme).collect();
    let more = matches!(line.as_slice(), [Lexeme::Opaque | Lexeme::Open(_), ..]);
    more || line.iter().any(|lexeme| match lexeme {
        Lexeme::Word(word) => PARTS.contains(&word.to_lowercase().as_str()),
        Lexeme::Number(_) => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests;
