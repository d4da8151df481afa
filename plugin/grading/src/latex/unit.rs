//! Finds the unit at the end of a value: `36 m^2`, `10 \\frac{\\text{m}}{\\text{s}}`.

use super::token::Token;

/// How many tokens stand before the unit with which an answer ends. `None` if it ends with no unit.
#[must_use]
pub fn value_length(tokens: &[Token]) -> Option<usize> {
    let end = tokens.iter().rposition(|token| !matches!(token, Token::Sign('.' | ','))).map_or(0, |last| last + 1);
    let tokens = &tokens[..end];
    // The value ends with a number or a bracket, and the longest unit is the right one.
    (1..end).find(|&at| {
        let before = &tokens[at - 1];
        matches!(before, Token::Number(_) | Token::Sign(')' | '}')) && is_unit(&tokens[at..])
    })
}

/// Whether all tokens are one unit: names with powers, with products and quotients between them.
fn is_unit(mut tokens: &[Token]) -> bool {
    if is_temperature(tokens) {
        return true;
    }
    let mut names = 0;
    while let Some((first, mut rest)) = tokens.split_first() {
        match first {
            Token::Text(_) => names += 1,
            Token::Letter(letter) if is_letter_unit(*letter) => names += 1,
            Token::Sign('/' | '*') if names > 0 && !rest.is_empty() => {}
            Token::Command(name) if name == "cdot" && names > 0 && !rest.is_empty() => {}
            Token::Command(name) if name.ends_with("frac") => {
                let Some(after) = group(rest).and_then(group) else { return false };
                rest = after;
                names += 1;
            }
            _ => return false,
        }
        tokens = power(rest);
    }
    names > 0
}

/// Whether all tokens are degrees Celsius or Fahrenheit.
fn is_temperature(tokens: &[Token]) -> bool {
    match tokens {
        [Token::Sign('^'), Token::Command(degree), Token::Letter('C' | 'F')]
        | [Token::Sign('^'), Token::Sign('{'), Token::Command(degree), Token::Sign('}'), Token::Letter('C' | 'F')] => {
            degree == "circ"
        }
        _ => false,
    }
}

/// What follows a group that holds a unit.
fn group(tokens: &[Token]) -> Option<&[Token]> {
    let rest = tokens.strip_prefix(&[Token::Sign('{')])?;
    let close = rest.iter().position(|token| *token == Token::Sign('}'))?;
    is_unit(&rest[..close]).then(|| &rest[close + 1..])
}

/// What follows the power of a unit, if it has one.
fn power(tokens: &[Token]) -> &[Token] {
    match tokens {
        [Token::Sign('^'), Token::Number(_), rest @ ..]
        | [Token::Sign('^'), Token::Sign('{'), Token::Number(_), Token::Sign('}'), rest @ ..]
        | [Token::Sign('^'), Token::Sign('{'), Token::Sign('-'), Token::Number(_), Token::Sign('}'), rest @ ..]
        | rest => rest,
    }
}

/// The units of one letter that answers use: a variable of this name would be in the reference too.
fn is_letter_unit(letter: char) -> bool {
    "msghLNJWVKA".contains(letter)
}
