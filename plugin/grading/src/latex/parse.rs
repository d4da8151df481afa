//! Parses LaTeX into a tree: lists, relations and sums. The result is `None` for anything that is not understood.

use super::{
    token::{CommaMeaning, Token, tokens},
    tree::{MathFunction, Node, RelationSign, literal},
    unit,
};

const DEEPEST: usize = 40;

/// The tree of an answer. An answer with ± gives the set of its values with + and with −.
#[must_use]
pub fn parse(text: &str, commas: CommaMeaning) -> Option<Node> {
    let tokens = tokens(text, commas)?;
    let signs = tokens.iter().any(|token| matches!(token, Token::Command(name) if name == "pm" || name == "mp"));
    let first = Parser::new(tokens.clone(), true).whole()?;
    if !signs {
        return Some(first);
    }
    let second = Parser::new(tokens, false).whole()?;
    let mut parts = first.into_parts();
    parts.extend(second.into_parts());
    Some(Node::Set(parts))
}

/// The tree of an answer without the unit at its end. `None` if it has none.
#[must_use]
pub fn parse_measured(text: &str, commas: CommaMeaning) -> Option<Node> {
    let mut tokens = tokens(text, commas)?;
    let length = unit::value_length(&tokens)?;
    tokens.truncate(length);
    Parser::new(tokens, true).whole()
}

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// Whether ± is + and ∓ is −, or the reverse.
    upper: bool,
    /// Inside bars, where the next bar closes.
    pub(super) bars: bool,
}

impl Parser {
    fn new(tokens: Vec<Token>, upper: bool) -> Self {
        Self { tokens, at: 0, depth: 0, upper, bars: false }
    }

    fn whole(mut self) -> Option<Node> {
        while matches!(self.tokens.last(), Some(Token::Sign('.' | ',' | ';' | ':'))) {
            self.tokens.pop();
        }
        let node = self.list()?;
        (self.at == self.tokens.len()).then_some(node)
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    pub(super) fn is_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    pub(super) fn is_command(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Token::Command(command)) if command == name)
    }

    /// Consumes a sign if it is next.
    pub(super) fn take(&mut self, sign: char) -> bool {
        let there = self.is_sign(sign);
        self.at += usize::from(there);
        there
    }

    pub(super) fn take_command(&mut self, name: &str) -> bool {
        let there = self.is_command(name);
        self.at += usize::from(there);
        there
    }

    /// Bounds the depth of nesting, so that no input overflows the stack.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= DEEPEST {
            return None;
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Consumes the first digit of the next number and leaves the other digits.
    pub(super) fn first_digit(&mut self) -> Option<Node> {
        let Some(Token::Number(digits)) = self.tokens.get_mut(self.at) else { return None };
        if digits.len() > 1 && digits.bytes().all(|c| c.is_ascii_digit()) {
            return literal(&digits.remove(0).to_string());
        }
        let digits = digits.clone();
        self.at += 1;
        literal(&digits)
    }

    /// Parts separated by commas; a single part is returned as it is.
    pub(super) fn list(&mut self) -> Option<Node> {
        let mut parts = self.parts()?;
        if parts.len() == 1 { parts.pop() } else { Some(Node::Set(parts)) }
    }

    pub(super) fn parts(&mut self) -> Option<Vec<Node>> {
        self.deeper(|parser| {
            let mut parts = vec![parser.relation()?];
            while parser.take(',') || parser.take(';') {
                // "1, 2, and 3" has two separators between the last parts.
                while parser.take(',') {}
                parts.push(parser.relation()?);
            }
            Some(parts)
        })
    }

    pub(super) fn relation(&mut self) -> Option<Node> {
        let mut sides = vec![self.union()?];
        let mut signs = Vec::new();
        while let Some(sign) = self.relation_sign() {
            signs.push(sign);
            sides.push(self.union()?);
        }
        if signs.is_empty() { sides.pop() } else { Some(Node::Relation(sides, signs)) }
    }

    fn relation_sign(&mut self) -> Option<RelationSign> {
        let sign = match self.peek()? {
            Token::Sign('=') => RelationSign::Equal,
            Token::Sign('<') => RelationSign::Less,
            Token::Sign('>') => RelationSign::Greater,
            Token::Command(name) => match name.as_str() {
                "le" | "leq" | "leqslant" => RelationSign::LessOrEqual,
                "ge" | "geq" | "geqslant" => RelationSign::GreaterOrEqual,
                "lt" => RelationSign::Less,
                "gt" => RelationSign::Greater,
                "ne" | "neq" => RelationSign::NotEqual,
                "approx" | "simeq" | "doteq" => RelationSign::About,
                "equiv" => RelationSign::Equal,
                "in" => RelationSign::In,
                _ => return None,
            },
            _ => return None,
        };
        self.at += 1;
        let sign = match sign {
            RelationSign::Less if self.take('=') => RelationSign::LessOrEqual,
            RelationSign::Greater if self.take('=') => RelationSign::GreaterOrEqual,
            sign => sign,
        };
        Some(sign)
    }

    fn union(&mut self) -> Option<Node> {
        let mut parts = vec![self.sum()?];
        while self.take_command("cup") {
            parts.push(self.sum()?);
        }
        if parts.len() == 1 { parts.pop() } else { Some(Node::Union(parts)) }
    }

    /// Consumes a plus (true) or a minus (false) if one is next.
    pub(super) fn plus_or_minus(&mut self) -> Option<bool> {
        let plus = match self.peek()? {
            Token::Sign('+') => true,
            Token::Sign('-') => false,
            Token::Command(name) if name == "pm" => self.upper,
            Token::Command(name) if name == "mp" => !self.upper,
            _ => return None,
        };
        self.at += 1;
        Some(plus)
    }

    pub(super) fn sum(&mut self) -> Option<Node> {
        let mut terms = Vec::new();
        let mut sign = self.plus_or_minus().unwrap_or(true);
        loop {
            while let Some(again) = self.plus_or_minus() {
                sign = sign == again;
            }
            let term = self.term()?;
            terms.push(if sign { term } else { Node::call(MathFunction::Negate, [term]) });
            match self.plus_or_minus() {
                Some(next) => sign = next,
                None => break,
            }
        }
        if terms.len() == 1 { terms.pop() } else { Some(Node::Call(MathFunction::Add, terms)) }
    }
}
