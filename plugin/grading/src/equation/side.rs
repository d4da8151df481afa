//! Parses one side of an equation: operands with units, and operators between them.

use std::ops::Range;

use super::token::{Lexeme, PlacedToken};

/// Longer sides are not understood.
const MOST_TOKENS: usize = 80;
const DEEPEST: usize = 12;
/// Digits of all numbers of a side together, each counted as often as its exponent says.
const MOST_DIGITS: usize = 300;
/// A phrase with more words after a number is no unit.
const MOST_UNIT_WORDS: usize = 4;

/// Words that end a unit: what follows says something new.
const NO_UNIT: [&str; 36] = [
    "is",
    "are",
    "was",
    "were",
    "so",
    "then",
    "and",
    "or",
    "total",
    "cost",
    "costs",
    "which",
    "the",
    "to",
    "from",
    "if",
    "has",
    "have",
    "had",
    "therefore",
    "thus",
    "now",
    "because",
    "since",
    "but",
    "while",
    "with",
    "gives",
    "makes",
    "get",
    "gets",
    "leaves",
    "where",
    "that",
    "this",
    "their",
];

/// A piece of a side as it is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SidePiece {
    /// A number as it is written.
    Number(String),
    Percent,
    /// An operator, a bracket or a command.
    Sign(&'static str),
}

/// One side of an equation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EquationSide {
    pub pieces: Vec<SidePiece>,
    /// Bytes in the text, without the unit at the end.
    pub place: Range<usize>,
    /// The words beside its numbers.
    pub words: Vec<String>,
    /// Number of the first token after it and its unit.
    pub end: usize,
    /// Number of the first token after its last operand.
    pub unit: usize,
}

impl EquationSide {
    /// Whether it is one number, with or without a percent sign.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.number().is_some()
    }

    /// Whether it is a fraction with a unit, which may be said to equal something else: `1/4 cup = 15 grams`.
    #[must_use]
    pub fn is_amount(&self) -> bool {
        let fraction =
            matches!(self.pieces.as_slice(), [SidePiece::Number(_), SidePiece::Sign("/"), SidePiece::Number(_)]);
        fraction && !self.words.is_empty()
    }

    /// The number that the side consists of, as it is written.
    #[must_use]
    pub fn number(&self) -> Option<&str> {
        let inside = match self.pieces.as_slice() {
            [SidePiece::Sign("-"), rest @ ..] => rest,
            all => all,
        };
        match inside {
            [SidePiece::Number(digits)] | [SidePiece::Number(digits), SidePiece::Percent] => Some(digits),
            _ => None,
        }
    }
}

/// Parses a side that begins at a token. `None` if it is not understood.
#[must_use]
pub fn side(tokens: &[PlacedToken], start: usize) -> Option<EquationSide> {
    let last = tokens.len().min(start + MOST_TOKENS);
    let mut parser = SideParser {
        tokens: &tokens[..last],
        at: start,
        pieces: Vec::new(),
        words: Vec::new(),
        operand: start,
        digits: 0,
    };
    parser.sum(0)?;
    let place = tokens[start].place.start..tokens[parser.operand - 1].place.end;
    Some(EquationSide { pieces: parser.pieces, place, words: parser.words, end: parser.at, unit: parser.operand })
}

struct SideParser<'a> {
    tokens: &'a [PlacedToken],
    at: usize,
    pieces: Vec<SidePiece>,
    words: Vec<String>,
    /// The token after the last operand.
    operand: usize,
    digits: usize,
}

impl SideParser<'_> {
    fn lexeme(&self, ahead: usize) -> Option<&Lexeme> {
        self.tokens.get(self.at + ahead).map(|token| &token.lexeme)
    }

    fn sign(&mut self, sign: &'static str) {
        self.pieces.push(SidePiece::Sign(sign));
    }

    fn starts_operand(&self, ahead: usize) -> bool {
        matches!(self.lexeme(ahead), Some(Lexeme::Number(_) | Lexeme::Open(_) | Lexeme::Fraction | Lexeme::Root))
    }

    /// Operands with operators between them.
    fn sum(&mut self, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        if self.lexeme(0) == Some(&Lexeme::Operator('-')) {
            self.at += 1;
            self.sign("-");
        }
        loop {
            let fraction = self.operand(depth)?;
            self.operand = self.at;
            let words = self.words.len();
            self.unit();
            let of = self.words.len() == words && fraction && self.is_word(0, "of");
            match self.lexeme(0) {
                Some(Lexeme::Operator(sign)) => {
                    let sign = *sign;
                    if !self.starts_operand(1) && !self.is_negative(1) {
                        // A star or a dash that ends the phrase; before a word it belongs to what is not understood.
                        let ends = matches!(self.lexeme(1), None | Some(Lexeme::Line | Lexeme::Boundary));
                        return (ends && matches!(sign, '*' | '-') && depth == 0).then_some(());
                    }
                    self.at += 1;
                    self.sign(shown(sign));
                    if self.lexeme(0) == Some(&Lexeme::Operator('-')) {
                        self.at += 1;
                        self.sign("-");
                    }
                }
                // Brackets that touch are a product.
                Some(Lexeme::Open('(' | '[')) if self.tokens[self.at].attached && self.at == self.operand => {
                    self.sign("*");
                }
                _ if of => {
                    self.at += 1;
                    if self.is_word(0, "the") {
                        self.at += 1;
                    }
                    self.starts_operand(0).then_some(())?;
                    self.sign("*");
                }
                Some(Lexeme::Word(_)) => match self.word_operator() {
                    Some((sign, length)) => {
                        self.at += length;
                        self.sign(sign);
                    }
                    None => return Some(()),
                },
                Some(Lexeme::Opaque) => return None,
                Some(Lexeme::Number(_) | Lexeme::Fraction | Lexeme::Root) if self.at == self.operand => return None,
                _ => return Some(()),
            }
        }
    }

    fn is_negative(&self, ahead: usize) -> bool {
        self.lexeme(ahead) == Some(&Lexeme::Operator('-'))
            && self.starts_operand(ahead + 1)
            && self.tokens[self.at + ahead + 1].attached
    }

    fn is_word(&self, ahead: usize, word: &str) -> bool {
        matches!(self.lexeme(ahead), Some(Lexeme::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    /// An operator in words before an operand, and the number of its tokens.
    fn word_operator(&self) -> Option<(&'static str, usize)> {
        let (sign, length) = if self.is_word(0, "times") || (self.is_word(0, "multiplied") && self.is_word(1, "by")) {
            ("*", if self.is_word(0, "times") { 1 } else { 2 })
        } else if self.is_word(0, "divided") && self.is_word(1, "by") {
            ("/", 2)
        } else if self.is_word(0, "plus") {
            ("+", 1)
        } else if self.is_word(0, "minus") {
            ("-", 1)
        } else {
            return None;
        };
        self.starts_operand(length).then_some((sign, length))
    }

    /// One operand with its power and percent sign. True for a fraction or a percentage, of which something can be
    /// taken.
    fn operand(&mut self, depth: usize) -> Option<bool> {
        let (mut fraction, digits_before) = (false, self.digits);
        match self.lexeme(0)?.clone() {
            Lexeme::Number(digits) => {
                let numerator = matches!(self.pieces.last(), Some(SidePiece::Sign("/")));
                self.at += 1;
                self.digits += digits.len();
                self.pieces.push(SidePiece::Number(digits));
                fraction |= numerator;
                self.mixed();
            }
            Lexeme::Open(bracket) => {
                self.at += 1;
                self.sign("(");
                self.sum(depth + 1)?;
                (self.lexeme(0) == Some(&Lexeme::Close(bracket))).then_some(())?;
                self.at += 1;
                self.sign(")");
            }
            Lexeme::Fraction => {
                self.at += 1;
                self.sign("(");
                self.group(depth)?;
                self.sign("/");
                self.group(depth)?;
                self.sign(")");
                fraction = true;
            }
            Lexeme::Root => {
                self.at += 1;
                self.sign("\\sqrt{");
                self.group(depth)?;
                self.sign("}");
            }
            _ => return None,
        }
        if self.lexeme(0) == Some(&Lexeme::Operator('^')) {
            self.at += 1;
            let exponent = self.exponent()?;
            self.digits += (self.digits - digits_before) * exponent.parse::<usize>().ok()?.saturating_sub(1);
            // People differ in what a tower of powers means.
            (self.lexeme(0) != Some(&Lexeme::Operator('^'))).then_some(())?;
            self.pieces.extend([SidePiece::Sign("^{"), SidePiece::Number(exponent), SidePiece::Sign("}")]);
        }
        (self.digits <= MOST_DIGITS).then_some(())?;
        if self.lexeme(0) == Some(&Lexeme::Percent) {
            self.at += 1;
            self.pieces.push(SidePiece::Percent);
            fraction = true;
        }
        Some(fraction)
    }

    /// A whole number with a proper fraction after it is a mixed number: `1 1/2`, `2\frac{1}{3}`.
    fn mixed(&mut self) {
        let number = |lexeme: Option<&Lexeme>| match lexeme {
            Some(Lexeme::Number(digits)) if !digits.contains('.') => Some(digits.clone()),
            _ => None,
        };
        let (slash, detached) =
            (Some(&Lexeme::Operator('/')), self.tokens.get(self.at).is_some_and(|next| !next.attached));
        if let (Some(above), true, Some(below), true) =
            (number(self.lexeme(0)), self.lexeme(1) == slash, number(self.lexeme(2)), detached)
            && number(self.tokens.get(self.at - 1).map(|token| &token.lexeme)).is_some()
        {
            self.at += 3;
            let whole = self.pieces.pop();
            self.sign("(");
            self.pieces.extend(whole);
            self.sign("+");
            self.pieces.push(SidePiece::Number(above));
            self.sign("/");
            self.pieces.push(SidePiece::Number(below));
            self.sign(")");
        }
    }

    /// A whole exponent, alone or in braces.
    fn exponent(&mut self) -> Option<String> {
        let braced = self.lexeme(0) == Some(&Lexeme::Open('{'));
        self.at += usize::from(braced);
        let Some(Lexeme::Number(digits)) = self.lexeme(0).cloned() else { return None };
        self.at += 1;
        if braced {
            (self.lexeme(0) == Some(&Lexeme::Close('{'))).then_some(())?;
            self.at += 1;
        }
        (digits.len() <= 3 && !digits.contains('.')).then_some(digits)
    }

    fn group(&mut self, depth: usize) -> Option<()> {
        let Some(Lexeme::Open(bracket @ ('{' | '('))) = self.lexeme(0).cloned() else { return None };
        self.at += 1;
        self.sign("(");
        self.sum(depth + 1)?;
        (self.lexeme(0) == Some(&Lexeme::Close(bracket))).then_some(())?;
        self.at += 1;
        self.sign(")");
        Some(())
    }

    /// Skips the unit after an operand: words, `/word`, and words in brackets.
    fn unit(&mut self) {
        let (start, mut words) = (self.at, Vec::new());
        loop {
            let next = match self.lexeme(0) {
                Some(Lexeme::Word(word)) if words.len() < MOST_UNIT_WORDS => {
                    let small = word.to_lowercase();
                    let ends = NO_UNIT.contains(&small.as_str())
                        || self.word_operator().is_some()
                        || (words.is_empty() && small == "of");
                    (!ends).then_some((small, 1))
                }
                Some(Lexeme::Operator('/')) if self.at > start || !self.starts_operand(1) => match self.lexeme(1) {
                    Some(Lexeme::Word(word)) => Some((word.to_lowercase(), 2)),
                    _ => None,
                },
                Some(Lexeme::Open('(')) => match (self.lexeme(1), self.lexeme(2)) {
                    (Some(Lexeme::Word(word)), Some(Lexeme::Close('('))) => Some((word.to_lowercase(), 3)),
                    _ => None,
                },
                _ => None,
            };
            let Some((word, length)) = next else { break };
            words.push(word);
            self.at += length;
            // The exponent of a unit, as in `cm^2`.
            if self.lexeme(0) == Some(&Lexeme::Operator('^')) && matches!(self.lexeme(1), Some(Lexeme::Number(_))) {
                self.at += 2;
            }
        }
        self.words.append(&mut words);
    }
}

fn shown(operator: char) -> &'static str {
    match operator {
        '+' => "+",
        '-' => "-",
        '*' => "*",
        '/' => "/",
        _ => "^",
    }
}
