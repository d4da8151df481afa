//! Parses LaTeX into a tree: products, quotients and numbers.

use super::{
    parse::Parser,
    token::Token,
    tree::{MathFunction, Node, literal},
};

impl Parser {
    pub(super) fn term(&mut self) -> Option<Node> {
        let mut left = self.product()?;
        loop {
            let divide = match self.peek() {
                Some(Token::Sign('*')) => false,
                Some(Token::Sign(':')) => {
                    left = self.after_colon(left)?;
                    continue;
                }
                Some(Token::Sign('/')) => true,
                Some(Token::Command(name)) if name == "cdot" || name == "times" => false,
                Some(Token::Command(name)) if name == "div" => true,
                _ => return Some(left),
            };
            self.next();
            let minus = matches!(self.plus_or_minus(), Some(false));
            // `3/4 \pi` is three quarters of pi, as everybody writes it.
            let fraction = divide && matches!(left, Node::Number(_)) && self.number_before_constant();
            let right = if fraction { self.factor()? } else { self.product()? };
            let right = if minus { Node::call(MathFunction::Negate, [right]) } else { right };
            let function = if divide { MathFunction::Divide } else { MathFunction::Multiply };
            left = if divide { Node::call(function, [left, right]) } else { multiply(vec![left, right]) };
            if fraction {
                left = multiply(vec![left, self.product()?]);
            }
        }
    }

    /// Factors without a sign between them. Words beside a factor are its unit or its name and are dropped.
    pub(super) fn product(&mut self) -> Option<Node> {
        let mut factors: Vec<Node> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        while self.starts_factor() {
            if let Some(Token::Text(text)) = self.peek() {
                let text = text.clone();
                self.next();
                if matches!(text.as_str(), "percent" | "%") {
                    let last = factors.pop()?;
                    factors.push(Node::call(MathFunction::Percent, [last]));
                }
                words.push(text);
                if self.take('^') {
                    self.argument()?;
                }
                continue;
            }
            let number = matches!(self.peek(), Some(Token::Number(_)));
            // Brackets make a product of what would be a mixed number without them.
            let bare = matches!(self.peek(), Some(Token::Command(name)) if name.ends_with("frac"));
            match (factors.last(), number) {
                (Some(Node::Number(_)), true) => {
                    let whole = factors.pop()?;
                    factors.push(self.mixed(whole)?);
                }
                (Some(Node::Number(whole)), false) if bare && whole.value.is_integer() && !whole.decimal => {
                    let factor = self.factor()?;
                    if is_proper_fraction(&factor) {
                        let whole = factors.pop()?;
                        factors.push(Node::call(MathFunction::Add, [whole, factor]));
                    } else {
                        factors.push(factor);
                    }
                }
                _ => factors.push(self.factor()?),
            }
        }
        match factors.len() {
            0 if words.is_empty() => None,
            0 => Some(Node::Text(words.join(" "))),
            1 => factors.pop(),
            _ => Some(multiply(factors)),
        }
    }

    /// A mixed number such as `1 1/2`; two numbers side by side can be nothing else.
    fn mixed(&mut self, whole: Node) -> Option<Node> {
        let above = self.first_number()?;
        if !self.take('/') {
            return None;
        }
        let below = self.first_number()?;
        Some(Node::call(MathFunction::Add, [whole, Node::call(MathFunction::Divide, [above, below])]))
    }

    /// Whether a whole number and then π or a root come next.
    fn number_before_constant(&self) -> bool {
        matches!(self.peek(), Some(Token::Number(_)))
            && matches!(self.peek_at(1), Some(Token::Command(name)) if name == "pi" || name == "sqrt")
    }

    fn first_number(&mut self) -> Option<Node> {
        match self.next()? {
            Token::Number(digits) => literal(&digits),
            _ => None,
        }
    }
}

fn is_proper_fraction(node: &Node) -> bool {
    match node {
        Node::Call(MathFunction::Divide, parts) => match parts.as_slice() {
            [Node::Number(above), Node::Number(below)] => above.value < below.value,
            _ => false,
        },
        _ => false,
    }
}

/// A product; a matrix is multiplied cell by cell.
fn multiply(factors: Vec<Node>) -> Node {
    let matrices = factors.iter().filter(|factor| matches!(factor, Node::Matrix(_))).count();
    if matrices != 1 {
        return Node::Call(MathFunction::Multiply, factors);
    }
    let (matrix, scalars): (Vec<_>, Vec<_>) = factors.into_iter().partition(|factor| matches!(factor, Node::Matrix(_)));
    let times = |cell: Node| Node::Call(MathFunction::Multiply, scalars.iter().cloned().chain([cell]).collect());
    let rows = matrix.into_iter().find_map(|matrix| if let Node::Matrix(rows) = matrix { Some(rows) } else { None });
    let rows = rows.unwrap_or_default();
    Node::Matrix(rows.into_iter().map(|row| row.into_iter().map(times).collect()).collect())
}
