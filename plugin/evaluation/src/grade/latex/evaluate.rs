//! The value of an expression where its variables have given values: exact as long as it can be, else complex.

use std::f64::consts::{E, PI};

use num_bigint::BigInt;
use num_complex::Complex64;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::tree::{Constant, Function, Node};

/// Exact values are held up to this many bits, so that a tower of powers ends soon.
const MOST_BITS: u64 = 16_384;
const LARGEST_FACTORIAL: u64 = 1_000;

/// A value.
#[derive(Debug, Clone)]
pub struct Value {
    /// The value itself, where it is rational and not too long.
    pub exact: Option<BigRational>,
    /// The value to the precision of a float.
    pub about: Complex64,
    /// Whether decimals went into it, which may be rounded.
    pub decimal: bool,
}

impl Value {
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

    /// Whether two values are one. A decimal may be rounded at its sixth place.
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

/// The value of an expression. `variable` gives each variable its value.
#[must_use]
pub fn evaluate(node: &Node, variable: &dyn Fn(&str) -> f64) -> Option<Value> {
    match node {
        Node::Number(number) if number.base.is_none() => Some(Value::exact(number.value.clone(), number.decimal)),
        Node::Symbol(name) => Value::about(Complex64::new(variable(name), 0.0), false),
        Node::Constant(Constant::Pi) => Value::about(Complex64::new(PI, 0.0), false),
        Node::Constant(Constant::E) => Value::about(Complex64::new(E, 0.0), false),
        Node::Constant(Constant::I) => Value::about(Complex64::i(), false),
        Node::Call(function, parts) => {
            let degrees = is_trigonometric(*function) && parts.iter().any(has_degrees);
            let mut values = Vec::with_capacity(parts.len());
            for part in parts {
                values.push(evaluate(part, variable)?);
            }
            if degrees {
                for value in &mut values {
                    *value = Value { exact: None, about: value.about * (PI / 180.0), decimal: value.decimal };
                }
            }
            apply(*function, &values)
        }
        _ => None,
    }
}

fn is_trigonometric(function: Function) -> bool {
    use Function::{Cosecant, Cosine, Cotangent, Secant, Sine, Tangent};
    matches!(function, Sine | Cosine | Tangent | Cotangent | Secant | Cosecant)
}

fn has_degrees(node: &Node) -> bool {
    match node {
        Node::Call(Function::Degrees, _) => true,
        Node::Call(_, parts) => parts.iter().any(has_degrees),
        _ => false,
    }
}

fn apply(function: Function, values: &[Value]) -> Option<Value> {
    let decimal = values.iter().any(|value| value.decimal);
    if let Some(value) = exactly(function, values).filter(is_short) {
        return Some(Value::exact(value, decimal));
    }
    let z: Vec<Complex64> = values.iter().map(|value| value.about).collect();
    if z.iter().any(|z| !z.is_finite()) {
        return None;
    }
    Value::about(roughly(function, &z)?, decimal)
}

fn is_short(value: &BigRational) -> bool {
    value.numer().bits() + value.denom().bits() <= MOST_BITS
}

fn exactly(function: Function, values: &[Value]) -> Option<BigRational> {
    let exact = values.iter().map(|value| value.exact.as_ref()).collect::<Option<Vec<&BigRational>>>()?;
    match (function, exact.as_slice()) {
        (Function::Add, all) => all.iter().try_fold(BigRational::zero(), |sum, x| checked(sum + *x)),
        (Function::Multiply, all) => all.iter().try_fold(BigRational::one(), |product, x| checked(product * *x)),
        (Function::Negate, [x]) => Some(-*x),
        (Function::Divide, [a, b]) => (!b.is_zero()).then(|| *a / *b),
        (Function::Power, [base, _]) => power(base, values[1].integer()?),
        (Function::Root, [_, x]) => root(x, values[0].integer()?),
        (Function::Absolute, [x]) => Some(x.abs()),
        (Function::Floor, [x]) => Some(x.floor()),
        (Function::Ceiling, [x]) => Some(x.ceil()),
        (Function::Percent, [x]) => Some(*x / BigInt::from(100)),
        (Function::Degrees, [x]) => Some((*x).clone()),
        (Function::Factorial, [_]) => {
            let n = u64::try_from(values[0].integer()?).ok().filter(|n| *n <= LARGEST_FACTORIAL)?;
            Some((1..=n).fold(BigInt::one(), |product, k| product * k).into())
        }
        (Function::Binomial, [_, _]) => {
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

/// A root that comes out even.
fn root(x: &BigRational, degree: i64) -> Option<BigRational> {
    let degree = u32::try_from(degree).ok().filter(|degree| (1..=64).contains(degree))?;
    if x.is_negative() {
        return None;
    }
    let (above, below) = (x.numer().nth_root(degree), x.denom().nth_root(degree));
    (above.pow(degree) == *x.numer() && below.pow(degree) == *x.denom()).then(|| BigRational::new(above, below))
}

fn roughly(function: Function, z: &[Complex64]) -> Option<Complex64> {
    let one = Complex64::new(1.0, 0.0);
    Some(match (function, z) {
        (Function::Add, all) => all.iter().sum(),
        (Function::Multiply, all) => all.iter().product(),
        (Function::Negate, [x]) => -x,
        (Function::Divide, [a, b]) => a / b,
        (Function::Power, [base, exponent]) => raised(*base, *exponent),
        (Function::Root, [degree, x]) if x.im == 0.0 && x.re < 0.0 && is_odd(*degree) => {
            // The real root is meant, not the principal one.
            Complex64::new(-(-x.re).powf(1.0 / degree.re), 0.0)
        }
        (Function::Root, [degree, x]) if *degree == Complex64::new(2.0, 0.0) => x.sqrt(),
        (Function::Root, [degree, x]) => raised(*x, one / degree),
        (Function::Factorial, [x]) => gamma(x + one)?,
        (Function::Binomial, [n, k]) => gamma(n + one)? / (gamma(k + one)? * gamma(n - k + one)?),
        (Function::Absolute, [x]) => Complex64::new(x.norm(), 0.0),
        (Function::Floor, [x]) if x.im == 0.0 => Complex64::new(x.re.floor(), 0.0),
        (Function::Ceiling, [x]) if x.im == 0.0 => Complex64::new(x.re.ceil(), 0.0),
        (Function::Logarithm, [base, x]) => x.ln() / base.ln(),
        (Function::NaturalLogarithm, [x]) => x.ln(),
        (Function::Exponential, [x]) => x.exp(),
        (Function::Sine, [x]) => x.sin(),
        (Function::Cosine, [x]) => x.cos(),
        (Function::Tangent, [x]) => x.tan(),
        (Function::Cotangent, [x]) => x.cos() / x.sin(),
        (Function::Secant, [x]) => one / x.cos(),
        (Function::Cosecant, [x]) => one / x.sin(),
        (Function::ArcSine, [x]) => x.asin(),
        (Function::ArcCosine, [x]) => x.acos(),
        (Function::ArcTangent, [x]) => x.atan(),
        (Function::HyperbolicSine, [x]) => x.sinh(),
        (Function::HyperbolicCosine, [x]) => x.cosh(),
        (Function::HyperbolicTangent, [x]) => x.tanh(),
        (Function::Percent, [x]) => x / 100.0,
        (Function::Degrees, [x]) => *x,
        _ => return None,
    })
}

fn is_odd(degree: Complex64) -> bool {
    degree.im == 0.0 && degree.re.fract() == 0.0 && degree.re.to_i64().is_some_and(|degree| degree % 2 == 1)
}

/// A whole exponent keeps a real number real.
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
