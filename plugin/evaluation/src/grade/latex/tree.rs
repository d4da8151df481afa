//! What a mathematical answer is made of.

use num_rational::BigRational;

/// A part of an answer, or a whole one.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A number as it is written.
    Number(Literal),
    /// A variable, with its index and primes.
    Symbol(String),
    /// Words: a name, or a unit where a number stands with it.
    Text(String),
    /// π, e and i.
    Constant(Constant),
    /// ∞.
    Infinity,
    /// Something done with other parts.
    Call(Function, Vec<Node>),
    /// A point, a vector or an interval: several parts in brackets, in their order.
    Tuple(Bracket, Vec<Node>, Bracket),
    /// Several parts whose order does not matter: a set, or a list without brackets.
    Set(Vec<Node>),
    /// Rows of a matrix.
    Matrix(Vec<Vec<Node>>),
    /// Parts with a sign between each two.
    Relation(Vec<Node>, Vec<Sign>),
    /// Sets or intervals joined.
    Union(Vec<Node>),
}

/// A number as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Literal {
    /// Its value.
    pub value: BigRational,
    /// Whether it has decimals, and so may be rounded.
    pub decimal: bool,
    /// The base in which it is written, where that is said.
    pub base: Option<String>,
}

/// Known constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constant {
    /// π
    Pi,
    /// e
    E,
    /// i
    I,
}

/// What can be done with parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Add,
    Negate,
    Multiply,
    Divide,
    Power,
    /// Of the first part, the root of the second.
    Root,
    Factorial,
    Binomial,
    Absolute,
    Floor,
    Ceiling,
    /// To the base of the first part, the logarithm of the second.
    Logarithm,
    NaturalLogarithm,
    Exponential,
    Sine,
    Cosine,
    Tangent,
    Cotangent,
    Secant,
    Cosecant,
    ArcSine,
    ArcCosine,
    ArcTangent,
    HyperbolicSine,
    HyperbolicCosine,
    HyperbolicTangent,
    Percent,
    Degrees,
}

/// How a tuple or an interval opens or closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bracket {
    /// Round: a point, or an interval without its end.
    Round,
    /// Square: an interval with its end.
    Square,
    /// Angle: a vector.
    Angle,
}

/// A sign between two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    About,
    In,
}

impl Node {
    /// Something done with parts.
    #[must_use]
    pub fn call(function: Function, parts: impl Into<Vec<Node>>) -> Self {
        Self::Call(function, parts.into())
    }

    /// Whether it names something, as the left side of `x = 5`, of `f(x) = x + 1` and of `f^{-1}(x) = x - 1`.
    #[must_use]
    pub fn is_name(&self) -> bool {
        match self {
            Self::Symbol(_) | Self::Text(_) => true,
            Self::Call(Function::Multiply | Function::Degrees | Function::Absolute, parts) => {
                parts.iter().all(Self::is_name)
            }
            Self::Tuple(_, parts, _) => parts.iter().all(Self::is_name),
            Self::Call(Function::Power, parts) => match parts.as_slice() {
                [name, Self::Call(Function::Negate, _)] => name.is_name(),
                _ => false,
            },
            _ => false,
        }
    }

    /// Parts of an unordered answer; an answer that is one thing is its only part.
    #[must_use]
    pub fn into_parts(self) -> Vec<Node> {
        match self {
            Self::Set(parts) => parts,
            one => vec![one],
        }
    }

    /// The variables in it, each once.
    pub fn symbols<'a>(&'a self, found: &mut Vec<&'a str>) {
        match self {
            Self::Symbol(name) => {
                if !found.contains(&name.as_str()) {
                    found.push(name);
                }
            }
            Self::Call(_, parts) | Self::Tuple(_, parts, _) | Self::Set(parts) | Self::Union(parts) => {
                symbols_of(parts, found);
            }
            Self::Relation(parts, _) => symbols_of(parts, found),
            Self::Matrix(rows) => rows.iter().for_each(|row| symbols_of(row, found)),
            Self::Number(_) | Self::Text(_) | Self::Constant(_) | Self::Infinity => {}
        }
    }
}

fn symbols_of<'a>(parts: &'a [Node], found: &mut Vec<&'a str>) {
    for part in parts {
        part.symbols(found);
    }
}
