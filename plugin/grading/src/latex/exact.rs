//! The exact value of an expression without variables.

use num_rational::BigRational;

use super::{LONGEST, evaluate::evaluate, parse::parse, token::CommaMeaning, tree::Node};

/// The exact value of an expression in LaTeX or plain text, such as `\frac{3}{4} * (2 + 6)`.
///
/// `None` for anything that is not understood, has a variable, is not rational, divides by zero, or whose value or
/// power has more than 16,384 bits.
#[must_use]
pub fn exact_value(expression: &str) -> Option<BigRational> {
    if expression.len() > LONGEST {
        return None;
    }
    let node = parse(expression, CommaMeaning::Lists)?;
    let mut symbols = Vec::new();
    node.symbols(&mut symbols);
    let expression = symbols.is_empty() && !matches!(node, Node::Text(_) | Node::Set(_));
    evaluate(&node, &|_| f64::NAN).filter(|_| expression)?.exact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_have_exact_values_and_everything_else_has_none() {
        let value = |text: &str| exact_value(text).map(|value| value.to_string());
        assert_eq!(value(r"\frac{3}{4} * (2 + 6)").as_deref(), Some("6"));
        assert_eq!(value("1/3 + 1/6").as_deref(), Some("1/2"));
        assert_eq!(value(r"20\% * 5").as_deref(), Some("1"));
        assert_eq!(value("2^{10}").as_deref(), Some("1024"));
        for text in ["", "x + 1", "1/0", "9^{99999}", r"\sqrt{2}", "1, 2", "3 = 3", "apples", &"1+".repeat(2000)] {
            assert_eq!(value(text), None, "{text}");
        }
    }
}
