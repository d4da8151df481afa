//! Evaluates an expression for given values of its variables: exactly where possible, otherwise in complex numbers.

use std::f64::consts::{E, PI};

use num_bigint::BigInt;
use num_complex::Complex64;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::tree::{MathConstant, MathFunction, Node};

/// Exact values may have this many bits, which bounds towers of powers.
const MOST_BITS: u64 = 16_384;
const LARGEST_FACTORIAL: u64 = 1_000;

/// The value of an expression.
#[derive(Debug, Clone)]
pub struct NodeValue {
    /// The exact value, if it is rational and not too long.
    pub exact: Option<BigRational>,
    /// The value in floating point.
    pub about: Complex64,
    /// Whether it was computed from decimals, which may be rounded.
    pub decimal: bool,
}

impl NodeValue {
    fn exact(value: BigRational, decimal: bool) -> Self {
        let about = Complex64::new(value.to_f64().unwrap_or(f64::NAN), 0.0);
        Self { exact: Some(value), about, decimal }
    }

    fn about(about: Complex64, decimal: bool) -> Option<Self> {
        about.is_finite().then_some(Self { exact: None, about, decimal })
    }

    fn integer(&self) -> Option<i64> {
        self.exact.as_ref().filter(|value| value.is_integer())?.to_i64()
    }

    /// Whether two values are equal. A decimal may be rounded at its sixth place.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        if !self.decimal
            && !other.decimal
            && let (Some(a), Some(b)) = (&self.exact, &other.exact)
        {
            return a == b;
        }
        let (a, b) = (self.about, other.about);
        let (off, size) = ((a - b).norm(), a.norm().max(b.norm()));
        let rounding = if self.decimal || other.decimal { 1e-6 * size.min(1.0) } else { 0.0 };
        off.is_finite() && off <= rounding + 1e-9 * size + 1e-12
    }
}

/// Evaluates an expression. `variable` gives the value of each variable.
#[must_use]
pub fn evaluate(node: &Node, variable: &dyn Fn(&str) -> f64) -> Option<NodeValue> {
    match node {
        Node::Number(number) if number.base.is_none() => Some(NodeValue::exact(number.value.clone(), number.decimal)),
        Node::Symbol(name) => NodeValue::about(Complex64::new(variable(name), 0.0), false),
        Node::Constant(MathConstant::Pi) => NodeValue::about(Complex64::new(PI, 0.0), false),
        Node::Constant(MathConstant::E) => NodeValue::about(Complex64::new(E, 0.0), false),
        Node::Constant(MathConstant::I) => NodeValue::about(Complex64::i(), false),
        Node::Call(function, parts) => {
            let degrees = is_trigonometric(*function) && parts.iter().any(has_degrees);
            let mut values = Vec::with_capacity(parts.len());
            for part in parts {
                values.push(evaluate(part, variable)?);
            }
            if degrees {
                for value in &mut values {
                    *value = NodeValue { exact: None, about: value.about * (PI / 180.0), decimal: value.decimal };
                }
            }
            apply(*function, &values)
        }
        _ => None,
    }
}

fn is_trigonometric(function: MathFunction) -> bool {
    use MathFunction::{Cosecant, Cosine, Cotangent, Secant, Sine, Tangent};
    matches!(function, Sine | Cosine | Tangent | Cotangent | Secant | Cosecant)
}

fn has_degrees(node: &Node) -> bool {
    match node {
        Node::Call(MathFunction::Degrees, _) => true,
        Node::Call(_, parts) => parts.iter().any(has_degrees),
        _ => false,
    }
}

fn apply(function: MathFunction, values: &[NodeValue]) -> Option<NodeValue> {
    let decimal = values.iter().any(|value| value.decimal);
    if let Some(value) = exactly(function, values).filter(is_short) {
        return Some(NodeValue::exact(value, decimal));
    }
    let z: Vec<Complex64> = values.iter().map(|value| value.about).collect();
    if z.iter().any(|z| !z.is_finite()) {
        return None;
    }
    NodeValue::about(roughly(function, &z)?, decimal)
}

fn is_short(value: &BigRational) -> bool {
    value.numer().bits() + value.denom().bits() <= MOST_BITS
}

fn exactly(function: MathFunction, values: &[NodeValue]) -> Option<BigRational> {
    let exact = values.iter().map(|value| value.exact.as_ref()).collect::<Option<Vec<&BigRational>>>()?;
    match (function, exact.as_slice()) {
        (MathFunction::Add, all) => all.iter().try_fold(BigRational::zero(), |sum, x| checked(sum + *x)),
        (MathFunction::Multiply, all) => all.iter().try_fold(BigRational::one(), |product, x| checked(product * *x)),
        (MathFunction::Negate, [x]) => Some(-*x),
        (MathFunction::Divide, [a, b]) => (!b.is_zero()).then(|| *a / *b),
        (MathFunction::Power, [base, _]) => power(base, values[1].integer()?),
        (MathFunction::Root, [_, x]) => root(x, values[0].integer()?),
        (MathFunction::Absolute, [x]) => Some(x.abs()),
        (MathFunction::Floor, [x]) => Some(x.floor()),
        (MathFunction::Ceiling, [x]) => Some(x.ceil()),
        (MathFunction::Percent, [x]) => Some(*x / BigInt::from(100)),
        (MathFunction::Degrees, [x]) => Some((*x).clone()),
        (MathFunction::Factorial, [_]) => {
            let n = u64::try_from(values[0].integer()?).ok().filter(|n| *n <= LARGEST_FACTORIAL)?;
            Some((1..=n).fold(BigInt::one(), |product, k| product * k).into())
        }
        (MathFunction::Binomial, [_, _]) => {
            let (n, k) = (values[0].integer()?, values[1].integer()?);
            let k = u64::try_from(k).ok().filter(|k| *k <= LARGEST_FACTORIAL)?;
            let terms = (0..k).map(|j| BigRational::new(BigInt::from(n) - j, BigInt::from(j + 1)));
            terms.into_iter().try_fold(BigRational::one(), |product, term| checked(product * term))
        }
        _ => None,
    }
}

fn checked(value: BigRational) -> Option<BigRational> {
    is_short(&value).then_some(value)
}

fn power(base: &BigRational, exponent: i64) -> Option<BigRational> {
    let bits = base.numer().bits() + base.denom().bits();
    if exponent.unsigned_abs().checked_mul(bits)? > MOST_BITS || (base.is_zero() && exponent < 0) {
        return None;
    }
    Some(num_traits::Pow::pow(base, i32::try_from(exponent).ok()?))
}

/// The root, if it is rational.
fn root(x: &BigRational, degree: i64) -> Option<BigRational> {
    let degree = u32::try_from(degree).ok().filter(|degree| (1..=64).contains(degree))?;
    if x.is_negative() {
        return None;
    }
    let (above, below) = (x.numer().nth_root(degree), x.denom().nth_root(degree));
    (above.pow(degree) == *x.numer() && below.pow(degree) == *x.denom()).then(|| BigRational::new(above, below))
}

fn roughly(function: MathFunction, z: &[Complex64]) -> Option<Complex64> {
    let one = Complex64::new(1.0, 0.0);
    Some(match (function, z) {
        (MathFunction::Add, all) => all.iter().sum(),
        (MathFunction::Multiply, all) => all.iter().product(),
        (MathFunction::Negate, [x]) => -x,
        (MathFunction::Divide, [a, b]) => a / b,
        (MathFunction::Power, [base, exponent]) => raised(*base, *exponent),
        (MathFunction::Root, [degree, x]) if x.im == 0.0 && x.re < 0.0 && is_odd(*degree) => {
            // The real root, not the principal one.
            Complex64::new(-(-x.re).powf(1.0 / degree.re), 0.0)
        }
        (MathFunction::Root, [degree, x]) if *degree == Complex64::new(2.0, 0.0) => x.sqrt(),
        (MathFunction::Root, [degree, x]) => raised(*x, one / degree),
        (MathFunction::Factorial, [x]) => gamma(x + one)?,
        (MathFunction::Binomial, [n, k]) => gamma(n + one)? / (gamma(k + one)? * gamma(n - k + one)?),
        (MathFunction::Absolute, [x]) => Complex64::new(x.norm(), 0.0),
        (MathFunction::Floor, [x]) if x.im == 0.0 => Complex64::new(x.re.floor(), 0.0),
        (MathFunction::Ceiling, [x]) if x.im == 0.0 => Complex64::new(x.re.ceil(), 0.0),
        (MathFunction::Logarithm, [base, x]) => x.ln() / base.ln(),
        (MathFunction::NaturalLogarithm, [x]) => x.ln(),
        (MathFunction::Exponential, [x]) => x.exp(),
        (MathFunction::Sine, [x]) => x.sin(),
        (MathFunction::Cosine, [x]) => x.cos(),
        (MathFunction::Tangent, [x]) => x.tan(),
        (MathFunction::Cotangent, [x]) => x.cos() / x.sin(),
        (MathFunction::Secant, [x]) => one / x.cos(),
        (MathFunction::Cosecant, [x]) => one / x.sin(),
        (MathFunction::ArcSine, [x]) => x.asin(),
        (MathFunction::ArcCosine, [x]) => x.acos(),
        (MathFunction::ArcTangent, [x]) => x.atan(),
        (MathFunction::HyperbolicSine, [x]) => x.sinh(),
        (MathFunction::HyperbolicCosine, [x]) => x.cosh(),
        (MathFunction::HyperbolicTangent, [x]) => x.tanh(),
        (MathFunction::Percent, [x]) => x / 100.0,
        (MathFunction::Degrees, [x]) => *x,
        _ => return None,
    })
}

fn is_odd(degree: Complex64) -> bool {
    degree.im == 0.0 && degree.re.fract() == 0.0 && degree.re.to_i64().is_some_and(|degree| degree % 2 == 1)
}

/// A power; a whole exponent of a real number gives a real number.
fn raised(base: Complex64, exponent: Complex64) -> Complex64 {
    if exponent.im == 0.0 && exponent.re.fract() == 0.0 && exponent.re.abs() <= 1e6 {
        return exponent.re.to_i32().map_or(base.powc(exponent), |exponent| base.powi(exponent));
    }
    if base.im == 0.0 && base.re >= 0.0 && exponent.im == 0.0 {
        return Complex64::new(base.re.powf(exponent.re), 0.0);
    }
    base.powc(exponent)
}

fn gamma(x: Complex64) -> Option<Complex64> {
    (x.im == 0.0).then(|| Complex64::new(libm::tgamma(x.re), 0.0))
}
