//! Parses LaTeX into a tree: numbers, letters and brackets, with the powers, indices and units after them.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::{
    command::is_atom,
    parse::Parser,
    token::Token,
    tree::{BracketKind, MathConstant, MathFunction, Node, NumberLiteral, literal},
    words,
};

impl Parser {
    pub(super) fn starts_factor(&self) -> bool {
        match self.peek() {
            Some(Token::Number(_) | Token::Letter(_) | Token::Text(_)) => true,
            Some(Token::Sign(sign)) => "([{".contains(*sign) || (*sign == '|' && !self.bars),
            Some(Token::Command(name)) => {
                let closes = self.bars && matches!(name.as_str(), "vert" | "rvert" | "|");
                !closes && is_atom(name)
            }
            None => false,
        }
    }

    /// An atom with the powers, indices, factorials and units after it.
    pub(super) fn factor(&mut self) -> Option<Node> {
        let mut node = self.deeper(Self::atom)?;
        loop {
            node = if self.take('^') {
                self.raised(node)?
            } else if self.take('_') {
                let index = self.index()?;
                indexed(node, &index)?
            } else if self.take('!') {
                Node::call(MathFunction::Factorial, [node])
            } else if self.take('%') {
                Node::call(MathFunction::Percent, [node])
            } else if self.take_command("circ") || self.take_command("degree") {
                Node::call(MathFunction::Degrees, [node])
            } else if self.take('\'') {
                indexed(node, "'")?
            } else {
                return Some(node);
            };
        }
    }

    fn raised(&mut self, node: Node) -> Option<Node> {
        if self.take_command("circ") {
            return Some(Node::call(MathFunction::Degrees, [node]));
        }
        if self.take_command("prime") {
            return indexed(node, "'");
        }
        if self.take_ordinal() {
            return Some(node);
        }
        if self.take('{') {
            if self.take_command("circ") {
                return self.take('}').then(|| Node::call(MathFunction::Degrees, [node]));
            }
            if self.is_command("prime") {
                let mut node = node;
                while self.take_command("prime") {
                    node = indexed(node, "'")?;
                }
                return self.take('}').then_some(node);
            }
            let exponent = self.list()?;
            return self.take('}').then(|| Node::call(MathFunction::Power, [node, exponent]));
        }
        let minus = self.take('-');
        let exponent = self.argument()?;
        let exponent = if minus { Node::call(MathFunction::Negate, [exponent]) } else { exponent };
        Some(Node::call(MathFunction::Power, [node, exponent]))
    }

    /// Consumes the end of an ordinal, as in `12^{\text{th}}`.
    fn take_ordinal(&mut self) -> bool {
        let is_end = |token: Option<&Token>| matches!(token, Some(Token::Text(text)) if words::is_ordinal_end(text));
        let length = if is_end(self.peek()) {
            1
        } else if self.is_sign('{') && is_end(self.peek_at(1)) && self.peek_at(2) == Some(&Token::Sign('}')) {
            3
        } else {
            return false;
        };
        (0..length).for_each(|_| drop(self.next()));
        true
    }

    /// The argument of a command: a group or a single token.
    pub(super) fn argument(&mut self) -> Option<Node> {
        self.deeper(|parser| {
            if parser.take('{') {
                let node = parser.list()?;
                return parser.take('}').then_some(node);
            }
            parser.atom()
        })
    }

    /// An index, as text.
    pub(super) fn index(&mut self) -> Option<String> {
        let written = |token: Token| match token {
            Token::Number(text) | Token::Command(text) | Token::Text(text) => text,
            Token::Letter(c) | Token::Sign(c) => c.to_string(),
        };
        if !self.take('{') {
            return self.next().map(written);
        }
        let mut index = String::new();
        while !self.take('}') {
            index.push_str(&written(self.next()?));
        }
        Some(index)
    }

    pub(super) fn atom(&mut self) -> Option<Node> {
        match self.next()? {
            Token::Number(digits) if digits.contains('.') && self.starts_repetition() => self.repeating(&digits),
            Token::Number(digits) => literal(&digits),
            Token::Letter('e') => Some(Node::Constant(MathConstant::E)),
            Token::Letter('i') => Some(Node::Constant(MathConstant::I)),
            Token::Letter(letter) => Some(Node::Symbol(letter.to_string())),
            Token::Text(text) => Some(Node::Text(text)),
            Token::Sign('(') => self.bracketed(BracketKind::Round),
            Token::Sign('[') => self.bracketed(BracketKind::Square),
            Token::Sign('{') => {
                let node = self.list()?;
                self.take('}').then_some(node)
            }
            Token::Sign('|') => self.absolute(),
            Token::Sign(_) => None,
            Token::Command(name) => self.command(&name),
        }
    }

    /// A point or an interval; brackets around a single part are dropped.
    pub(super) fn bracketed(&mut self, open: BracketKind) -> Option<Node> {
        let bars = std::mem::replace(&mut self.bars, false);
        let mut parts = self.parts()?;
        self.bars = bars;
        let close = match self.next()? {
            Token::Sign(')') => BracketKind::Round,
            Token::Sign(']') => BracketKind::Square,
            Token::Command(name) if name == "rangle" => BracketKind::Angle,
            _ => return None,
        };
        if parts.len() == 1 { parts.pop() } else { Some(Node::Tuple(open, parts, close)) }
    }

    pub(super) fn absolute(&mut self) -> Option<Node> {
        let bars = std::mem::replace(&mut self.bars, true);
        let inside = self.sum()?;
        self.bars = bars;
        let closed = self.take('|') || ["vert", "rvert", "|"].into_iter().any(|name| self.take_command(name));
        closed.then(|| Node::call(MathFunction::Absolute, [inside]))
    }

    /// Whether the digits that repeat come next: under a line, under dots, or in brackets.
    fn starts_repetition(&self) -> bool {
        let in_brackets = self.is_sign('(')
            && matches!(self.peek_at(1), Some(Token::Number(digits)) if !digits.contains('.'))
            && self.peek_at(2) == Some(&Token::Sign(')'));
        in_brackets || ["overline", "bar", "dot"].into_iter().any(|name| self.is_command(name))
    }

    /// `0.1\overline{6}`, `0.1\bar{6}`, `0.1\dot{6}` and `0.1(6)`: the marked digits repeat for ever. Of two dots the
    /// first is over the first digit and the second over the last.
    fn repeating(&mut self, digits: &str) -> Option<Node> {
        let first = literal(digits.trim_end_matches('.'))?;
        let Node::Number(first) = first else { return None };
        let dotted = self.is_command("dot");
        let brackets = self.is_sign('(');
        self.next();
        let mut again = self.index()?;
        if brackets {
            self.next();
        }
        if dotted {
            let between = match (self.peek(), self.peek_at(1)) {
                (Some(Token::Number(digits)), Some(Token::Command(name))) if name == "dot" => Some(digits.clone()),
                _ => None,
            };
            if let Some(between) = between {
                self.next();
                again.push_str(&between);
            }
            if self.take_command("dot") {
                again.push_str(&self.index()?);
            }
        }
        if again.is_empty() || !again.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let places = digits.len() - digits.find('.')? - 1;
        let ten = BigInt::from(10);
        let nines = ten.pow(u32::try_from(again.len()).ok()?) - BigInt::from(1);
        let again: BigInt = again.parse().ok()?;
        let part = BigRational::new(again, nines * ten.pow(u32::try_from(places).ok()?));
        Some(Node::Number(NumberLiteral { value: first.value + part, decimal: false, base: None }))
    }
}

/// A name or a number with an index; the index of a number is its base.
fn indexed(node: Node, index: &str) -> Option<Node> {
    match node {
        Node::Symbol(name) if index == "'" => Some(Node::Symbol(format!("{name}'"))),
        Node::Symbol(name) => Some(Node::Symbol(format!("{name}_{index}"))),
        Node::Number(number) if index != "'" => {
            Some(Node::Number(NumberLiteral { base: Some(words::base(index)), ..number }))
        }
        _ => None,
    }
}
