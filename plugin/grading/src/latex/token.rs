//! Splits LaTeX into tokens and drops commands that only change its look.

use super::words;

/// A token of LaTeX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Digits, with or without a decimal point.
    Number(String),
    Letter(char),
    /// A command without its backslash.
    Command(String),
    /// Words, as in `\text{}`.
    Text(String),
    /// Any other character.
    Sign(char),
}

/// The meaning of commas between groups of three digits: `1,234` is a number, or a list of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommaMeaning {
    /// Thousands separators.
    Thousands,
    /// Separators of a list.
    Lists,
}

const MOST: usize = 1500;

/// The tokens of a text. `None` if it is too long to be an answer.
#[must_use]
pub fn tokens(text: &str, commas: CommaMeaning) -> Option<Vec<Token>> {
    let mut lexer = Lexer { text: text.chars().collect(), at: 0, commas, tokens: Vec::new(), nested: 0 };
    lexer.run()?;
    Some(lexer.tokens)
}

struct Lexer {
    text: Vec<char>,
    at: usize,
    commas: CommaMeaning,
    tokens: Vec<Token>,
    nested: usize,
}

impl Lexer {
    fn run(&mut self) -> Option<()> {
        if self.text.len() > MOST {
            return None;
        }
        while let Some(c) = self.peek(0) {
            match c {
                '\\' => self.command()?,
                '0'..='9' => self.number(),
                '.' if self.digit(1) => self.number(),
                'a'..='z' | 'A'..='Z' => self.letters(),
                _ => {
                    self.at += 1;
                    self.sign(c);
                }
            }
            if self.tokens.len() > MOST {
                return None;
            }
        }
        Some(())
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn digit(&self, ahead: usize) -> bool {
        self.peek(ahead).is_some_and(|c| c.is_ascii_digit())
    }

    fn starts(&self, what: &str) -> bool {
        what.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == Some(c))
    }

    fn push(&mut self, token: Token) {
        self.tokens.push(token);
    }

    fn sign(&mut self, c: char) {
        let command = match c {
            'π' => "pi",
            '∞' => "infty",
            '√' => "sqrt",
            '×' | '·' | '⋅' => "cdot",
            '÷' => "div",
            '≤' => "le",
            '≥' => "ge",
            '≠' => "ne",
            '≈' => "approx",
            '∈' => "in",
            '∪' => "cup",
            '±' => "pm",
            '∓' => "mp",
            'θ' => "theta",
            'α' => "alpha",
            'β' => "beta",
            '°' => {
                self.push(Token::Sign('^'));
                "circ"
            }
            '²' | '³' => {
                self.push(Token::Sign('^'));
                self.push(Token::Number(if c == '²' { "2" } else { "3" }.to_owned()));
                return;
            }
            '−' | '–' => return self.push(Token::Sign('-')),
            '$' | '~' | '€' | '£' | '¥' | '₹' => return,
            c if c.is_whitespace() => return,
            c => return self.push(Token::Sign(c)),
        };
        self.push(Token::Command(command.to_owned()));
    }

    fn number(&mut self) {
        let mut digits = String::new();
        self.digits(&mut digits);
        if self.commas == CommaMeaning::Thousands && (1..=3).contains(&digits.len()) {
            while let Some(length) = self.separator() {
                self.at += length;
                self.digits(&mut digits);
            }
        }
        if self.peek(0) == Some('.') && !digits.contains('.') && (self.digit(1) || self.repeats(1)) {
            digits.push('.');
            self.at += 1;
            self.digits(&mut digits);
        }
        self.push(Token::Number(digits));
    }

    /// Whether the digits of a decimal that repeat begin here.
    fn repeats(&self, ahead: usize) -> bool {
        ["\\overline", "\\bar", "\\dot", "("].into_iter().any(|mark| {
            let starts = mark.chars().enumerate().all(|(at, c)| self.peek(ahead + at) == Some(c));
            starts && (mark != "(" || self.digit(ahead + 1))
        })
    }

    fn digits(&mut self, into: &mut String) {
        while let Some(c) = self.peek(0).filter(char::is_ascii_digit) {
            into.push(c);
            self.at += 1;
        }
    }

    /// The length of a thousands separator here, if exactly three digits follow it.
    fn separator(&self) -> Option<usize> {
        let marks = [",\\!", "{,}", "\\,", "\\!", ","];
        let length = marks.iter().find(|mark| self.starts(mark))?.len();
        ((0..3).all(|ahead| self.digit(length + ahead)) && !self.digit(length + 3)).then_some(length)
    }

    fn letters(&mut self) {
        let first = self.at;
        let length = self.text[first..].iter().take_while(|c| c.is_ascii_alphabetic()).count();
        let word: String = self.text[first..first + length].iter().collect();
        let after_digit = first > 0 && self.text[first - 1].is_ascii_digit();
        let raised = first > 1 && self.text[first - 1] == '{' && self.text[first - 2] == '^';
        let ordinal = (raised || after_digit) && words::is_ordinal_end(&word);
        let apart = first == 0 || !self.text[first - 1].is_alphanumeric();
        self.at += length;
        if let Some(command) = words::command(&word) {
            self.push(Token::Command(command.to_owned()));
        } else if matches!(word.as_str(), "and" | "or") {
            self.push(Token::Sign(','));
        } else if ordinal || words::is_unit(&word) || (apart && length >= 4) {
            self.push(Token::Text(word));
        } else {
            word.chars().for_each(|c| self.push(Token::Letter(c)));
        }
    }

    fn command(&mut self) -> Option<()> {
        self.at += 1;
        let length = self.text[self.at..].iter().take_while(|c| c.is_ascii_alphabetic()).count();
        if length == 0 {
            let c = self.peek(0)?;
            self.at += 1;
            match c {
                '{' => self.push(Token::Command("{".to_owned())),
                '}' => self.push(Token::Command("}".to_owned())),
                '\\' => {
                    self.push(Token::Command("\\".to_owned()));
                    self.row_space();
                }
                '|' => self.push(Token::Command("|".to_owned())),
                '%' => self.push(Token::Sign('%')),
                // Spaces, dollar signs and formula delimiters.
                _ => {}
            }
            return Some(());
        }
        let name: String = self.text[self.at..self.at + length].iter().collect();
        self.at += length;
        match name.as_str() {
            "text" | "textbf" | "textit" | "textrm" | "mbox" | "mathrm" | "mathbf" | "mathit" | "operatorname"
            | "mathbb" | "mathcal" | "texttt" | "textnormal" | "emph" => self.words(&name)?,
            "left" | "right" => {
                // `\left.` is an invisible bracket.
                if self.peek(0) == Some('.') {
                    self.at += 1;
                }
            }
            "displaystyle" | "textstyle" | "limits" | "quad" | "qquad" | "big" | "Big" | "bigg" | "Bigg" | "bigl"
            | "bigr" | "Bigl" | "Bigr" | "boxed" | "fbox" | "mathopen" | "mathclose" | "hspace" | "phantom"
            | "ldotp" => {}
            _ => self.push(Token::Command(name)),
        }
        Some(())
    }

    /// Skips the length of the space between two rows, as `[4pt]`.
    fn row_space(&mut self) {
        self.at += usize::from(self.peek(0) == Some('*'));
        if self.peek(0) != Some('[') {
            return;
        }
        let inside: String = self.text[self.at + 1..].iter().take_while(|c| **c != ']').collect();
        let number = inside.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = &inside.trim()[number.len()..];
        if ["pt", "em", "ex", "mm", "cm", "in", "mu"].contains(&unit) && number.trim().parse::<f64>().is_ok() {
            self.at += inside.chars().count() + 2;
        }
    }

    /// The content of `\text{}` and similar commands: mathematics if it contains digits, otherwise words.
    fn words(&mut self, command: &str) -> Option<()> {
        while self.peek(0) == Some(' ') {
            self.at += 1;
        }
        if self.peek(0) != Some('{') {
            return Some(());
        }
        let inside = words::braced(&self.text[self.at + 1..])?.to_vec();
        let content: String = inside.iter().collect();
        self.at += inside.len() + 2;
        let plain = content.trim();
        let mut letters = plain.chars();
        let letter = match (letters.next(), letters.next()) {
            (Some(letter), None) if letter.is_ascii_alphabetic() && !command.starts_with("text") => Some(letter),
            _ => None,
        };
        if command == "mathbb" && plain == "R" {
            self.push(Token::Command("R".to_owned()));
        } else if let Some(letter) = letter {
            self.push(Token::Letter(letter));
        } else if matches!(plain, "and" | "or" | "," | ", and" | ", or") {
            self.push(Token::Sign(','));
        } else if let Some(command) = words::command(plain).filter(|_| plain != "cup") {
            // Not `\text{ cup}`, which is a unit.
            self.push(Token::Command(command.to_owned()));
        } else if plain.contains(|c: char| c.is_ascii_digit() || c == '\\') && self.nested < 8 {
            let mut lexer =
                Lexer { text: inside, at: 0, commas: self.commas, tokens: Vec::new(), nested: self.nested + 1 };
            lexer.run()?;
            self.tokens.append(&mut lexer.tokens);
        } else if !plain.is_empty() {
            self.push(Token::Text(plain.to_owned()));
        }
        Some(())
    }
}
