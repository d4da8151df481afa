//! Splits a step into numbers, signs and words. Everything else is a boundary, or makes what it touches unknown.

use std::ops::Range;

/// More tokens are not looked at.
const MOST: usize = 4_000;
/// Longer numbers are not understood.
const MOST_DIGITS: usize = 24;

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lexeme {
    /// Digits with or without a decimal point, without thousands separators.
    Number(String),
    /// One of `+ - * / ^`.
    Operator(char),
    Open(char),
    Close(char),
    /// `\frac` and its relatives.
    Fraction,
    /// `\sqrt`.
    Root,
    Percent,
    /// `=`, or `≈` if true.
    Relation(bool),
    Word(String),
    /// Something that is not understood: a variable, a clock time, an unknown command.
    Opaque,
    /// The end of a line.
    Line,
    /// Punctuation, or anything else that no equation crosses.
    Boundary,
}

/// A token and its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedToken {
    pub lexeme: Lexeme,
    /// Bytes in the text.
    pub place: Range<usize>,
    /// Whether no space separates it from the token before.
    pub attached: bool,
}

/// The tokens of a text, up to a limit.
#[must_use]
pub fn tokens(text: &str) -> Vec<PlacedToken> {
    let mut lexer = StepLexer { text, at: 0, tokens: Vec::new(), braces: Vec::new(), spaced: true };
    while lexer.at < text.len() && lexer.tokens.len() < MOST {
        lexer.step();
    }
    join_lines(&lexer.tokens)
}

/// What a brace encloses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BraceKind {
    /// An argument or a group.
    Group,
    /// The content of `\boxed{}`, which stands for itself.
    Shown,
    /// The content of `\text{}`, whose single letters are no variables.
    Text,
}

struct StepLexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<PlacedToken>,
    braces: Vec<BraceKind>,
    /// Whether something that is no token came before.
    spaced: bool,
}

impl<'a> StepLexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn ahead(&self, from: usize) -> Option<char> {
        self.rest().get(from..)?.chars().next()
    }

    fn last(&self) -> Option<&Lexeme> {
        self.tokens.last().map(|token| &token.lexeme)
    }

    fn push(&mut self, lexeme: Lexeme, length: usize) {
        let place = self.at..self.at + length;
        self.tokens.push(PlacedToken { lexeme, place, attached: !self.spaced });
        self.at += length;
        self.spaced = false;
    }

    fn skip(&mut self, length: usize) {
        self.at += length;
        self.spaced = true;
    }

    fn step(&mut self) {
        let Some(c) = self.rest().chars().next() else { return };
        let width = c.len_utf8();
        match c {
            '\n' => self.push(Lexeme::Line, 1),
            '\\' => self.command(),
            '0'..='9' => self.number(),
            '.' if self.ahead(1).is_some_and(|c| c.is_ascii_digit()) && (self.spaced || !self.after_operand()) => {
                self.number();
            }
            c if c.is_alphabetic() => self.word(),
            '$' | '€' | '£' => {
                // A sign of currency stands between an operator and its number without a space.
                let spaced = self.spaced;
                self.skip(width);
                self.spaced = spaced;
            }
            '`' if self.rest().starts_with("```") => {
                let inside = self.rest()[3..].find("```").map_or(self.rest().len(), |end| end + 6);
                self.push(Lexeme::Boundary, inside);
            }
            '&' | '`' | '~' => {
                if c == '~' && self.ahead(1).is_some_and(|c| c.is_ascii_digit() || c == '$') {
                    self.loosen();
                }
                self.skip(width);
            }
            '*' if self.rest().starts_with("**") => self.stars(),
            '¢' => self.push(Lexeme::Word("cents".to_owned()), width),
            '_' if !self.spaced && self.after_operand() => self.push(Lexeme::Opaque, 1),
            '_' => self.skip(1),
            '²' | '³' => {
                let exponent = if c == '²' { "2" } else { "3" };
                self.push(Lexeme::Operator('^'), width);
                self.at -= width;
                self.push(Lexeme::Number(exponent.to_owned()), width);
            }
            '{' => {
                self.braces.push(BraceKind::Group);
                self.push(Lexeme::Open('{'), 1);
            }
            '}' => match self.braces.pop() {
                Some(BraceKind::Group) => self.push(Lexeme::Close('{'), 1),
                Some(_) => self.skip(1),
                None => self.push(Lexeme::Boundary, 1),
            },
            '(' | '[' => self.push(Lexeme::Open(c), 1),
            ')' => self.push(Lexeme::Close('('), 1),
            ']' => self.push(Lexeme::Close('['), 1),
            '%' => self.push(Lexeme::Percent, 1),
            '≈' | '≅' => self.push(Lexeme::Relation(true), width),
            '=' | '<' | '>' | ':' | '!' => self.relation(c),
            '"' | '\'' | '’' | '°' if !self.spaced && self.after_operand() => self.push(Lexeme::Opaque, width),
            '√' | '∛' | '∑' | '∏' | '∞' => self.push(Lexeme::Opaque, width),
            c if c.is_whitespace() => self.skip(width),
            c => match operator(c) {
                Some(_) if self.rest()[width..].starts_with('=') => self.push(Lexeme::Boundary, width + 1),
                Some('/') if self.rest().starts_with("//") => self.push(Lexeme::Opaque, 2),
                Some(sign) => self.push(Lexeme::Operator(sign), width),
                None => self.push(if c.is_alphanumeric() { Lexeme::Opaque } else { Lexeme::Boundary }, width),
            },
        }
    }

    fn after_operand(&self) -> bool {
        matches!(self.last(), Some(Lexeme::Number(_) | Lexeme::Close(_) | Lexeme::Word(_) | Lexeme::Opaque))
    }

    /// `=` alone is a relation; with another sign beside it, it is something else.
    fn relation(&mut self, c: char) {
        let signs = self.rest().chars().take_while(|c| "=<>:!".contains(*c)).count();
        let factorial = c == '!' && signs == 1 && !self.spaced && self.after_operand() && {
            let next = self.rest()[1..].trim_start().chars().next();
            next.is_some_and(|c| operator(c).is_some() || "=)]}\\".contains(c))
        };
        match (c, signs) {
            ('=', 1) => self.push(Lexeme::Relation(false), 1),
            (':', 1) if self.tokens.last().is_some_and(|token| matches!(token.lexeme, Lexeme::Number(_))) => {
                // A clock time or a ratio makes its numbers unknown; a colon before a space ends a phrase.
                let inside = self.ahead(1).is_some_and(|c| c.is_ascii_digit());
                self.push(if inside { Lexeme::Opaque } else { Lexeme::Boundary }, 1);
            }
            _ if factorial => self.push(Lexeme::Opaque, 1),
            _ => self.push(Lexeme::Boundary, signs),
        }
    }

    /// Makes the relation before approximate.
    fn loosen(&mut self) {
        if let Some(PlacedToken { lexeme: Lexeme::Relation(about), .. }) = self.tokens.last_mut() {
            *about = true;
        }
    }

    /// Two stars are a power between two operands, and otherwise typography.
    fn stars(&mut self) {
        let next = self.ahead(2).is_some_and(|c| c.is_ascii_digit() || c == '(');
        let operand = matches!(self.last(), Some(Lexeme::Number(_) | Lexeme::Close(_)));
        if next && operand && !self.spaced {
            self.push(Lexeme::Operator('^'), 2);
        } else {
            self.skip(2);
        }
    }

    fn number(&mut self) {
        let rest = self.rest();
        let run = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
        let mut end = run(0);
        let mut digits = rest[..end].to_owned();
        if (1..=3).contains(&end) {
            while let Some(mark) = [",\\!", "{,}", "\\,", ","].iter().find(|mark| rest[end..].starts_with(**mark)) {
                if run(end + mark.len()) != 3 {
                    break;
                }
                digits.push_str(&rest[end + mark.len()..end + mark.len() + 3]);
                end += mark.len() + 3;
            }
        }
        if rest[end..].starts_with('.') && run(end + 1) > 0 {
            let part = run(end + 1);
            digits.push_str(&rest[end..=end + part]);
            end += 1 + part;
        }
        // `1.2.3`, `16,0000`, and a time such as `0900`.
        let mut continued = false;
        while rest[end..].starts_with(['.', ',']) && run(end + 1) > 0 {
            end += 1 + run(end + 1);
            continued = true;
        }
        let padded = digits.len() > 1 && digits.starts_with('0') && !digits.contains('.');
        if continued || padded || digits.len() > MOST_DIGITS {
            self.push(Lexeme::Opaque, end);
        } else {
            self.push(Lexeme::Number(digits), end);
        }
    }

    fn word(&mut self) {
        if self.is_times() {
            return self.push(Lexeme::Operator('*'), 1);
        }
        let rest = self.rest();
        let inner = |c: char| c.is_alphanumeric() || c == '_';
        let mut end = rest.find(|c: char| !inner(c)).unwrap_or(rest.len());
        // Parts joined by a hyphen or an apostrophe are one word.
        while let Some(mark) = rest[end..].chars().next().filter(|c| matches!(c, '-' | '\'' | '’')) {
            let after = &rest[end + mark.len_utf8()..];
            let length = after.find(|c: char| !inner(c)).unwrap_or(after.len());
            if length == 0 {
                break;
            }
            end += mark.len_utf8() + length;
        }
        let word = rest[..end].to_owned();
        let after_number = !self.spaced && matches!(self.last(), Some(Lexeme::Number(_)));
        let lexeme = match word.to_lowercase().as_str() {
            "percent" => Lexeme::Percent,
            "equals" => Lexeme::Relation(false),
            "about" | "approximately" | "roughly" | "around" | "nearly" | "almost"
                if matches!(self.last(), Some(Lexeme::Relation(_))) =>
            {
                self.loosen();
                return self.skip(end);
            }
            "st" | "nd" | "rd" | "th" if after_number => Lexeme::Opaque,
            "a" if self.spaced => Lexeme::Word(word),
            _ if self.braces.contains(&BraceKind::Text) => Lexeme::Word(word),
            _ if word.chars().count() == 1 => Lexeme::Opaque,
            _ if word.contains(|c: char| c.is_ascii_digit() || c == '_') => Lexeme::Opaque,
            _ => Lexeme::Word(word),
        };
        self.push(lexeme, end);
    }

    /// Whether an `x` between two operands is a multiplication sign.
    fn is_times(&self) -> bool {
        let rest = self.rest();
        let operand =
            matches!(self.last(), Some(Lexeme::Number(_) | Lexeme::Close(_) | Lexeme::Percent | Lexeme::Word(_)));
        let next = rest.get(1..).unwrap_or_default().trim_start_matches([' ', '$']);
        operand
            && rest.starts_with(['x', 'X'])
            && next.starts_with(|c: char| c.is_ascii_digit() || c == '(' || c == '.')
    }

    fn command(&mut self) {
        let rest = &self.rest()[1..];
        let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let Some(next) = rest.chars().next() else { return self.skip(1) };
        if length == 0 {
            let whole = 1 + next.len_utf8();
            match next {
                '\\' => self.push(Lexeme::Line, whole),
                '%' => self.push(Lexeme::Percent, whole),
                '{' | '}' | '#' | '_' => self.push(Lexeme::Opaque, whole),
                '$' => {
                    let spaced = self.spaced;
                    self.skip(whole);
                    self.spaced = spaced;
                }
                _ => self.skip(whole),
            }
            return;
        }
        let name = &rest[..length];
        let whole = length + 1;
        match name {
            "frac" | "dfrac" | "tfrac" | "cfrac" => self.push(Lexeme::Fraction, whole),
            "sqrt" => self.push(Lexeme::Root, whole),
            "times" | "cdot" | "ast" => self.push(Lexeme::Operator('*'), whole),
            "div" => self.push(Lexeme::Operator('/'), whole),
            "approx" | "simeq" | "sim" | "cong" => self.push(Lexeme::Relation(true), whole),
            "text" | "textbf" | "textit" | "textrm" | "mathrm" | "mathbf" | "mbox" | "operatorname" | "boxed"
            | "fbox" | "underline" => self.shown(name, whole),
            "left" | "right" | "displaystyle" | "textstyle" | "big" | "Big" | "bigl" | "bigr" => self.skip(whole),
            "begin" | "end" => {
                let after = &self.rest()[whole..];
                let name = after.find('}').filter(|_| after.starts_with('{')).map_or(0, |end| end + 1);
                self.push(Lexeme::Line, whole + name);
            }
            "quad" | "qquad" | "implies" | "Rightarrow" | "rightarrow" | "to" | "le" | "leq" | "ge" | "geq" | "lt"
            | "gt" | "ne" | "neq" | "equiv" | "therefore" | "because" => self.push(Lexeme::Boundary, whole),
            _ => self.push(Lexeme::Opaque, whole),
        }
    }

    /// A command whose argument stands in the text itself.
    fn shown(&mut self, name: &str, length: usize) {
        self.skip(length);
        let spaces = self.rest().len() - self.rest().trim_start_matches(' ').len();
        if self.rest()[spaces..].starts_with('{') {
            self.skip(spaces + 1);
            let text = !matches!(name, "boxed" | "fbox" | "mathbf" | "underline");
            self.braces.push(if text { BraceKind::Text } else { BraceKind::Shown });
        }
    }
}

/// The operator that a character is.
fn operator(c: char) -> Option<char> {
    match c {
        '+' | '/' => Some(c),
        '-' | '−' | '–' => Some('-'),
        '*' | '×' | '·' | '⋅' | '∙' | '✕' => Some('*'),
        '÷' => Some('/'),
        '^' => Some('^'),
        _ => None,
    }
}

/// Drops the marks of list items, and the ends of lines beside a relation, across which an equation continues.
fn join_lines(tokens: &[PlacedToken]) -> Vec<PlacedToken> {
    let mut joined: Vec<PlacedToken> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let begins_line = at == 0 || tokens[at - 1].lexeme == Lexeme::Line;
        let token = &tokens[at];
        let next = tokens.get(at + 1);
        let mark = begins_line
            && match &token.lexeme {
                Lexeme::Operator('-' | '*' | '+') => next.is_some_and(|next| !next.attached),
                Lexeme::Number(_) => next.is_some_and(|next| {
                    next.attached
                        && matches!(next.lexeme, Lexeme::Boundary | Lexeme::Close('('))
                        && tokens.get(at + 2).is_none_or(|after| !after.attached)
                }),
                _ => false,
            };
        let relation =
            |token: Option<&PlacedToken>| token.is_some_and(|token| matches!(token.lexeme, Lexeme::Relation(_)));
        if mark {
            joined.push(PlacedToken { lexeme: Lexeme::Boundary, ..token.clone() });
        } else if token.lexeme == Lexeme::Line && (relation(next) || relation(joined.last())) {
            // The next line goes on with the same equation.
        } else {
            joined.push(token.clone());
        }
        at += 1;
    }
    joined
}
