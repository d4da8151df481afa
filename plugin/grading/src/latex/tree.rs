//! The tree of a mathematical answer.

use num_bigint::BigInt;
use num_rational::BigRational;

/// An answer or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A number as it is written.
    Number(NumberLiteral),
    /// A variable, with its index and primes.
    Symbol(String),
    /// Words: a name, or a unit where a number stands with it.
    Text(String),
    /// π, e and i.
    Constant(MathConstant),
    /// ∞.
    Infinity,
    /// A function or an operator applied to other parts.
    Call(MathFunction, Vec<Node>),
    /// A point, a vector or an interval: ordered parts in brackets.
    Tuple(BracketKind, Vec<Node>, BracketKind),
    /// Several parts whose order does not matter: a set, or a list without brackets.
    Set(Vec<Node>),
    /// Rows of a matrix.
    Matrix(Vec<Vec<Node>>),
    /// Parts with a sign between each two, such as `1 < x \le 2`.
    Relation(Vec<Node>, Vec<RelationSign>),
    /// A union of sets or intervals.
    Union(Vec<Node>),
}

/// A number as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberLiteral {
    pub value: BigRational,
    /// Whether it has decimals and so may be rounded.
    pub decimal: bool,
    /// The base, if one is given as an index.
    pub base: Option<String>,
}

/// The constants that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MathConstant {
    /// π
    Pi,
    /// e
    E,
    /// i
    I,
}

/// Functions and operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MathFunction {
    Add,
    Negate,
    Multiply,
    Divide,
    Power,
    /// Degree and radicand.
    Root,
    Factorial,
    Binomial,
    Absolute,
    Floor,
    Ceiling,
    /// Base and argument.
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
    /// Three or more numbers with colons between them. Two are a quotient.
    Ratio,
    /// A time of day: hour and minute, the second if it has one, and `am` or `pm` as text if that is said.
    ClockTime,
}

/// The bracket that opens or closes a tuple or an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BracketKind {
    /// A point, or an open end of an interval.
    Round,
    /// A closed end of an interval.
    Square,
    /// A vector.
    Angle,
}

/// A sign between two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationSign {
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
    /// A call with these parts.
    #[must_use]
    pub fn call(function: MathFunction, parts: impl Into<Vec<Node>>) -> Self {
        Self::Call(function, parts.into())
    }

    /// Whether this is a name, as the left side of `x = 5`, of `f(x) = x + 1` and of `f^{-1}(x) = x - 1`.
    #[must_use]
    pub fn is_name(&self) -> bool {
        match self {
            Self::Symbol(_) | Self::Text(_) => true,
            Self::Call(MathFunction::Multiply | MathFunction::Degrees | MathFunction::Absolute, parts) => {
                parts.iter().all(Self::is_name)
            }
            Self::Tuple(_, parts, _) => parts.iter().all(Self::is_name),
            Self::Call(MathFunction::Power, parts) => match parts.as_slice() {
                [name, Self::Call(MathFunction::Negate, _)] => name.is_name(),
                _ => false,
            },
            _ => false,
        }
    }

    /// The parts of an unordered answer; any other answer is its only part.
    #[must_use]
    pub fn into_parts(self) -> Vec<Node> {
        match self {
            Self::Set(parts) => parts,
            one => vec![one],
        }
    }

    /// Adds the variables to `found`, each once.
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

/// The node of a number.
pub(super) fn literal(digits: &str) -> Option<Node> {
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all: BigInt = format!("0{whole}{part}").parse().ok()?;
    let scale = BigInt::from(10).pow(u32::try_from(part.len()).ok()?);
    let value = BigRational::new(all, scale);
    Some(Node::Number(NumberLiteral { value, decimal: !part.is_empty(), base: None }))
}
