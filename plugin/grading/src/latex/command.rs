//! Parses LaTeX into a tree: commands, functions and matrices.

use super::{
    parse::Parser,
    token::Token,
    tree::{BracketKind, MathConstant, MathFunction, Node, literal},
};

impl Parser {
    pub(super) fn command(&mut self, name: &str) -> Option<Node> {
        match name {
            "frac" | "dfrac" | "tfrac" | "cfrac" => {
                let above = self.digit_or_group()?;
                Some(Node::call(MathFunction::Divide, [above, self.digit_or_group()?]))
            }
            "binom" | "dbinom" | "tbinom" => {
                let above = self.digit_or_group()?;
                Some(Node::call(MathFunction::Binomial, [above, self.digit_or_group()?]))
            }
            "sqrt" => {
                let degree = if self.take('[') {
                    let degree = self.sum()?;
                    self.take(']').then_some(degree)?
                } else {
                    literal("2")?
                };
                Some(Node::call(MathFunction::Root, [degree, self.argument()?]))
            }
            "pi" => Some(Node::Constant(MathConstant::Pi)),
            "infty" => Some(Node::Infinity),
            "R" => {
                let ends = vec![Node::call(MathFunction::Negate, [Node::Infinity]), Node::Infinity];
                Some(Node::Tuple(BracketKind::Round, ends, BracketKind::Round))
            }
            "emptyset" | "varnothing" => Some(Node::Set(Vec::new())),
            "{" => {
                if self.take_command("}") {
                    return Some(Node::Set(Vec::new()));
                }
                if self.is_set_builder() {
                    // `\{x : x > 2\}` is the set that its condition says.
                    self.next();
                    self.next();
                    let condition = self.list()?;
                    return self.take_command("}").then_some(condition);
                }
                let parts = self.parts()?;
                self.take_command("}").then_some(Node::Set(parts))
            }
            "langle" => self.bracketed(BracketKind::Angle),
            "vert" | "lvert" | "|" => self.absolute(),
            "lfloor" => self.closed_by(MathFunction::Floor, "rfloor"),
            "lceil" => self.closed_by(MathFunction::Ceiling, "rceil"),
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

    fn is_set_builder(&self) -> bool {
        let such_that = match self.peek_at(1) {
            Some(Token::Sign(':' | '|')) => true,
            Some(Token::Command(name)) => name == "mid" || name == "colon",
            _ => false,
        };
        such_that && matches!(self.peek(), Some(Token::Letter(_)))
    }

    /// A function with its index or power and its argument.
    fn applied(&mut self, mut function: MathFunction) -> Option<Node> {
        let mut base = None;
        let mut power = None;
        loop {
            if self.take('_') {
                base = Some(self.argument()?);
            } else if self.take('^') {
                let minus = self.take('-');
                let exponent = self.argument()?;
                power = Some(if minus { Node::call(MathFunction::Negate, [exponent]) } else { exponent });
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
            (MathFunction::Logarithm, base) => {
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
            Some(power) => Node::call(MathFunction::Power, [applied, power]),
            None => applied,
        })
    }

    /// Factors up to the next function: `\sin 2x \cos x` is a product of two functions.
    fn bare_argument(&mut self) -> Option<Node> {
        let mut factors = Vec::new();
        while self.starts_factor() {
            match self.peek() {
                Some(Token::Text(_)) => break,
                Some(Token::Command(name)) if function(name).is_some() && !factors.is_empty() => break,
                _ => factors.push(self.factor()?),
            }
        }
        match factors.len() {
            0 => None,
            1 => factors.pop(),
            _ => Some(Node::Call(MathFunction::Multiply, factors)),
        }
    }

    /// An argument of a fraction: a group, or one digit as in `\frac12`.
    fn digit_or_group(&mut self) -> Option<Node> {
        if matches!(self.peek(), Some(Token::Number(_))) { self.first_digit() } else { self.argument() }
    }

    fn closed_by(&mut self, function: MathFunction, close: &str) -> Option<Node> {
        let inside = self.sum()?;
        self.take_command(close).then(|| Node::call(function, [inside]))
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

fn is_minus_one(node: &Node) -> bool {
    literal("1").is_some_and(|one| *node == Node::call(MathFunction::Negate, [one]))
}

fn inverse(function: MathFunction) -> Option<MathFunction> {
    match function {
        MathFunction::Sine => Some(MathFunction::ArcSine),
        MathFunction::Cosine => Some(MathFunction::ArcCosine),
        MathFunction::Tangent => Some(MathFunction::ArcTangent),
        _ => None,
    }
}

fn function(name: &str) -> Option<MathFunction> {
    Some(match name {
        "sin" => MathFunction::Sine,
        "cos" => MathFunction::Cosine,
        "tan" => MathFunction::Tangent,
        "cot" => MathFunction::Cotangent,
        "sec" => MathFunction::Secant,
        "csc" => MathFunction::Cosecant,
        "arcsin" => MathFunction::ArcSine,
        "arccos" => MathFunction::ArcCosine,
        "arctan" => MathFunction::ArcTangent,
        "sinh" => MathFunction::HyperbolicSine,
        "cosh" => MathFunction::HyperbolicCosine,
        "tanh" => MathFunction::HyperbolicTangent,
        "log" | "lg" => MathFunction::Logarithm,
        "ln" => MathFunction::NaturalLogarithm,
        "exp" => MathFunction::Exponential,
        _ => return None,
    })
}

/// Whether a command is a variable.
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

/// Whether a command begins a factor.
pub(super) fn is_atom(name: &str) -> bool {
    const ATOMS: [&str; 29] = [
        "R",
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
