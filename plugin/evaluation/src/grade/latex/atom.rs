//! LaTeX read into a tree: numbers, letters, brackets, commands, and what stands behind them.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::{
    parse::{Parser, literal},
    token::Token,
    tree::{Bracket, Constant, Function, Literal, Node},
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

    /// An atom and what stands behind it: powers, indices, factorials, units.
    pub(super) fn factor(&mut self) -> Option<Node> {
        let mut node = self.deeper(Self::atom)?;
        loop {
            node = if self.take('^') {
                self.raised(node)?
            } else if self.take('_') {
                let index = self.index()?;
                indexed(node, &index)?
            } else if self.take('!') {
                Node::call(Function::Factorial, [node])
            } else if self.take('%') {
                Node::call(Function::Percent, [node])
            } else if self.take_command("circ") || self.take_command("degree") {
                Node::call(Function::Degrees, [node])
            } else if self.take('\'') {
                indexed(node, "'")?
            } else {
                return Some(node);
            };
        }
    }

    fn raised(&mut self, node: Node) -> Option<Node> {
        if self.take_command("circ") {
            return Some(Node::call(Function::Degrees, [node]));
        }
        if self.take_command("prime") {
            return indexed(node, "'");
        }
        if self.take('{') {
            if self.take_command("circ") {
                return self.take('}').then(|| Node::call(Function::Degrees, [node]));
            }
            let exponent = self.list()?;
            return self.take('}').then(|| Node::call(Function::Power, [node, exponent]));
        }
        let minus = self.take('-');
        let exponent = self.argument()?;
        let exponent = if minus { Node::call(Function::Negate, [exponent]) } else { exponent };
        Some(Node::call(Function::Power, [node, exponent]))
    }

    /// What a command is done to: a group, or the next token alone.
    pub(super) fn argument(&mut self) -> Option<Node> {
        self.deeper(|parser| {
            if parser.take('{') {
                let node = parser.list()?;
                return parser.take('}').then_some(node);
            }
            parser.atom()
        })
    }

    /// An argument of a fraction, where `\frac12` is a half.
    fn digit_or_group(&mut self) -> Option<Node> {
        if matches!(self.peek(), Some(Token::Number(_))) { self.first_digit() } else { self.argument() }
    }

    /// An index as it is written.
    fn index(&mut self) -> Option<String> {
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

    fn atom(&mut self) -> Option<Node> {
        match self.next()? {
            Token::Number(digits) if digits.contains('.') && self.take_command("overline") => self.repeating(&digits),
            Token::Number(digits) => literal(&digits),
            Token::Letter('e') => Some(Node::Constant(Constant::E)),
            Token::Letter('i') => Some(Node::Constant(Constant::I)),
            Token::Letter(letter) => Some(Node::Symbol(letter.to_string())),
            Token::Text(text) => Some(Node::Text(text)),
            Token::Sign('(') => self.bracketed(Bracket::Round),
            Token::Sign('[') => self.bracketed(Bracket::Square),
            Token::Sign('{') => {
                let node = self.list()?;
                self.take('}').then_some(node)
            }
            Token::Sign('|') => self.absolute(),
            Token::Sign(_) => None,
            Token::Command(name) => self.command(&name),
        }
    }

    /// A point or an interval; brackets around one part only hold it together.
    fn bracketed(&mut self, open: Bracket) -> Option<Node> {
        let bars = std::mem::replace(&mut self.bars, false);
        let mut parts = self.parts()?;
        self.bars = bars;
        let close = match self.next()? {
            Token::Sign(')') => Bracket::Round,
            Token::Sign(']') => Bracket::Square,
            Token::Command(name) if name == "rangle" => Bracket::Angle,
            _ => return None,
        };
        if parts.len() == 1 { parts.pop() } else { Some(Node::Tuple(open, parts, close)) }
    }

    fn absolute(&mut self) -> Option<Node> {
        let bars = std::mem::replace(&mut self.bars, true);
        let inside = self.sum()?;
        self.bars = bars;
        let closed = self.take('|') || ["vert", "rvert", "|"].into_iter().any(|name| self.take_command(name));
        closed.then(|| Node::call(Function::Absolute, [inside]))
    }

    fn closed_by(&mut self, function: Function, close: &str) -> Option<Node> {
        let inside = self.sum()?;
        self.take_command(close).then(|| Node::call(function, [inside]))
    }

    fn command(&mut self, name: &str) -> Option<Node> {
        match name {
            "frac" | "dfrac" | "tfrac" | "cfrac" => {
                let above = self.digit_or_group()?;
                Some(Node::call(Function::Divide, [above, self.digit_or_group()?]))
            }
            "binom" | "dbinom" | "tbinom" => {
                let above = self.digit_or_group()?;
                Some(Node::call(Function::Binomial, [above, self.digit_or_group()?]))
            }
            "sqrt" => {
                let degree = if self.take('[') {
                    let degree = self.sum()?;
                    self.take(']').then_some(degree)?
                } else {
                    literal("2")?
                };
                Some(Node::call(Function::Root, [degree, self.argument()?]))
            }
            "pi" => Some(Node::Constant(Constant::Pi)),
            "infty" => Some(Node::Infinity),
            "emptyset" | "varnothing" => Some(Node::Set(Vec::new())),
            "{" => {
                if self.take_command("}") {
                    return Some(Node::Set(Vec::new()));
                }
                let parts = self.parts()?;
                self.take_command("}").then_some(Node::Set(parts))
            }
            "langle" => self.bracketed(Bracket::Angle),
            "vert" | "lvert" | "|" => self.absolute(),
            "lfloor" => self.closed_by(Function::Floor, "rfloor"),
            "lceil" => self.closed_by(Function::Ceiling, "rceil"),
            "begin" => self.matrix(),
            "overline" | "overrightarrow" | "vec" | "hat" | "bar" | "widehat" | "mathsf" | "underline" => {
                self.argument()
            }
            name => match function(name) {
                Some(function) => self.applied(function),
                None => is_letter(name).then(|| Node::Symbol(name.to_owned())),
            },
        }
    }

    /// A function with its power and what it is applied to.
    fn applied(&mut self, mut function: Function) -> Option<Node> {
        let mut base = None;
        let mut power = None;
        loop {
            if self.take('_') {
                base = Some(self.argument()?);
            } else if self.take('^') {
                let minus = self.take('-');
                let exponent = self.argument()?;
                power = Some(if minus { Node::call(Function::Negate, [exponent]) } else { exponent });
            } else {
                break;
            }
        }
        if let Some(inverse) = inverse(function).filter(|_| power.as_ref().is_some_and(is_minus_one)) {
            function = inverse;
            power = None;
        }
        let inside = if self.is_sign('(') || self.is_sign('{') || self.is_sign('[') {
            self.deeper(Self::atom)?
        } else {
            self.deeper(Self::bare_argument)?
        };
        let applied = match (function, base) {
            (Function::Logarithm, base) => {
                let base = match base {
                    Some(base) => base,
                    None => literal("10")?,
                };
                Node::call(function, [base, inside])
            }
            (_, Some(_)) => return None,
            (_, None) => Node::call(function, [inside]),
        };
        Some(match power {
            Some(power) => Node::call(Function::Power, [applied, power]),
            None => applied,
        })
    }

    /// Factors up to the next function: `\sin 2x \cos x` is a product of two.
    fn bare_argument(&mut self) -> Option<Node> {
        let mut factors = Vec::new();
        while self.starts_factor()
            && !matches!(self.peek(), Some(Token::Text(_)))
            && !(matches!(self.peek(), Some(Token::Command(name)) if function(name).is_some()) && !factors.is_empty())
        {
            factors.push(self.factor()?);
        }
        match factors.len() {
            0 => None,
            1 => factors.pop(),
            _ => Some(Node::Call(Function::Multiply, factors)),
        }
    }

    /// `0.1\overline{6}`: the digits under the line go on for ever.
    fn repeating(&mut self, digits: &str) -> Option<Node> {
        let Some(Node::Number(first)) = literal(digits) else { return None };
        let again = self.index()?;
        if again.is_empty() || !again.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let places = digits.len() - digits.find('.')? - 1;
        let ten = BigInt::from(10);
        let nines = ten.pow(u32::try_from(again.len()).ok()?) - BigInt::from(1);
        let again: BigInt = again.parse().ok()?;
        let part = BigRational::new(again, nines * ten.pow(u32::try_from(places).ok()?));
        Some(Node::Number(Literal { value: first.value + part, decimal: false, base: None }))
    }

    fn matrix(&mut self) -> Option<Node> {
        let name = self.index()?;
        if !["matrix", "pmatrix", "bmatrix", "Bmatrix", "array", "smallmatrix"].contains(&name.as_str()) {
            return None;
        }
        if name == "array" {
            self.index()?;
        }
        let mut rows = vec![Vec::new()];
        loop {
            if self.take_command("end") {
                self.index()?;
                break;
            }
            if self.take_command("\\") {
                rows.push(Vec::new());
            } else if !self.take('&') {
                let cell = self.sum()?;
                rows.last_mut()?.push(cell);
            }
        }
        rows.retain(|row| !row.is_empty());
        Some(Node::Matrix(rows))
    }
}

/// A name or a number with its index.
fn indexed(node: Node, index: &str) -> Option<Node> {
    match node {
        Node::Symbol(name) if index == "'" => Some(Node::Symbol(format!("{name}'"))),
        Node::Symbol(name) => Some(Node::Symbol(format!("{name}_{index}"))),
        Node::Number(number) if index != "'" => Some(Node::Number(Literal { base: Some(index.to_owned()), ..number })),
        _ => None,
    }
}

fn is_minus_one(node: &Node) -> bool {
    literal("1").is_some_and(|one| *node == Node::call(Function::Negate, [one]))
}

fn inverse(function: Function) -> Option<Function> {
    match function {
        Function::Sine => Some(Function::ArcSine),
        Function::Cosine => Some(Function::ArcCosine),
        Function::Tangent => Some(Function::ArcTangent),
        _ => None,
    }
}

fn function(name: &str) -> Option<Function> {
    Some(match name {
        "sin" => Function::Sine,
        "cos" => Function::Cosine,
        "tan" => Function::Tangent,
        "cot" => Function::Cotangent,
        "sec" => Function::Secant,
        "csc" => Function::Cosecant,
        "arcsin" => Function::ArcSine,
        "arccos" => Function::ArcCosine,
        "arctan" => Function::ArcTangent,
        "sinh" => Function::HyperbolicSine,
        "cosh" => Function::HyperbolicCosine,
        "tanh" => Function::HyperbolicTangent,
        "log" | "lg" => Function::Logarithm,
        "ln" => Function::NaturalLogarithm,
        "exp" => Function::Exponential,
        _ => return None,
    })
}

/// Commands that are variables.
fn is_letter(name: &str) -> bool {
    const LETTERS: [&str; 36] = [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "varepsilon",
        "zeta",
        "eta",
        "theta",
        "vartheta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "rho",
        "sigma",
        "tau",
        "upsilon",
        "phi",
        "varphi",
        "chi",
        "psi",
        "omega",
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Phi",
        "Psi",
        "Omega",
        "Sigma",
        "ell",
        "angle",
        "triangle",
    ];
    LETTERS.contains(&name)
}

/// Commands that begin a factor.
fn is_atom(name: &str) -> bool {
    const ATOMS: [&str; 28] = [
        "frac",
        "dfrac",
        "tfrac",
        "cfrac",
        "binom",
        "dbinom",
        "tbinom",
        "sqrt",
        "pi",
        "infty",
        "emptyset",
        "varnothing",
        "{",
        "langle",
        "vert",
        "lvert",
        "|",
        "lfloor",
        "lceil",
        "begin",
        "overline",
        "overrightarrow",
        "vec",
        "hat",
        "bar",
        "widehat",
        "mathsf",
        "underline",
    ];
    ATOMS.contains(&name) || function(name).is_some() || is_letter(name)
}
