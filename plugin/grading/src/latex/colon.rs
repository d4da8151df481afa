//! Numbers with colons between them: ratios, and times of day.

use num_traits::ToPrimitive;

use super::{
    parse::Parser,
    token::Token,
    tree::{MathFunction, Node},
};

/// Ratios of more numbers are not compared.
const MOST_PARTS: usize = 16;

impl Parser {
    /// What begins with `first` and goes on with a colon. It is a time of day where it looks like one, as `5:30` does,
    /// and `5:3` and `25:30` do not.
    pub(super) fn after_colon(&mut self, first: Node) -> Option<Node> {
        let hour = whole_number(&first).is_some_and(|hour| hour <= 24);
        let colon_at = |parser: &Self, ahead| parser.peek_at(ahead) == Some(&Token::Sign(':'));
        if hour && self.is_sixtieth(0) && (!colon_at(self, 2) || self.is_sixtieth(2)) {
            let mut parts = vec![first];
            while self.take(':') {
                parts.push(self.atom()?);
            }
            parts.extend(self.half_of_day().map(|half| Node::Text(half.to_owned())));
            // Words after it, such as the day, name it and are no part of it.
            while matches!(self.peek(), Some(Token::Text(_))) {
                self.next();
            }
            return Some(Node::Call(MathFunction::ClockTime, parts));
        }
        let mut parts = vec![first];
        while self.take(':') {
            let minus = matches!(self.plus_or_minus(), Some(false));
            let part = self.product()?;
            parts.push(if minus { Node::call(MathFunction::Negate, [part]) } else { part });
        }
        let function = if parts.len() == 2 { MathFunction::Divide } else { MathFunction::Ratio };
        (parts.len() <= MOST_PARTS).then_some(Node::Call(function, parts))
    }

    /// Whether a colon and the two digits of a minute or a second come next, after `ahead` tokens.
    fn is_sixtieth(&self, ahead: usize) -> bool {
        let colon = self.peek_at(ahead) == Some(&Token::Sign(':'));
        let Some(Token::Number(digits)) = self.peek_at(ahead + 1) else { return false };
        colon && digits.len() == 2 && digits.parse::<u8>().is_ok_and(|number| number < 60)
    }

    /// Consumes `am`, `p.m.` and the like.
    fn half_of_day(&mut self) -> Option<&'static str> {
        let letters: String = match self.peek()? {
            Token::Text(text) => text.chars().filter(char::is_ascii_alphabetic).collect(),
            Token::Letter(half) => half.to_string(),
            _ => return None,
        };
        let half = match letters.to_ascii_lowercase().as_str() {
            "a" | "am" => "am",
            "p" | "pm" => "pm",
            _ => return None,
        };
        // Without a command each letter is a token, with full stops between them.
        let after = |at: usize| match self.peek_at(at) {
            Some(Token::Letter('m' | 'M')) => Some(at + 1),
            _ => None,
        };
        let length = match self.peek() {
            Some(Token::Text(_)) => 1,
            _ => after(1).or_else(|| after(2).filter(|_| self.peek_at(1) == Some(&Token::Sign('.'))))?,
        };
        (0..length).for_each(|_| drop(self.next()));
        self.take('.');
        Some(half)
    }
}

/// Whether two times of day are the same. One without `am` or `pm` is the same as either.
pub(super) fn same_time(a: &[Node], b: &[Node]) -> bool {
    let half = |parts: &[Node]| match parts.last() {
        Some(Node::Text(half)) => Some(half.clone()),
        _ => None,
    };
    let numbers = |parts: &[Node]| -> Vec<u64> { parts.iter().filter_map(whole_number).collect() };
    let (mut one, mut other) = (numbers(a), numbers(b));
    let as_written = one == other && (half(a) == half(b) || half(a).is_none() || half(b).is_none());
    // The time on a clock of 24 hours, where it is known.
    let known = |numbers: &mut Vec<u64>, half: Option<String>| match (half.as_deref(), numbers[0]) {
        (Some("pm"), 1..=11) => {
            numbers[0] += 12;
            true
        }
        (Some("am"), 12) => {
            numbers[0] = 0;
            true
        }
        (half, hour) => half.is_some() || hour == 0 || hour > 12,
    };
    as_written || (known(&mut one, half(a)) & known(&mut other, half(b)) && one == other)
}

fn whole_number(node: &Node) -> Option<u64> {
    match node {
        Node::Number(number) if number.base.is_none() && !number.decimal && number.value.is_integer() => {
            number.value.to_u64()
        }
        _ => None,
    }
}
