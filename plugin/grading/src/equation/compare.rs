//! Compares the two sides of an equation as people write them: rounded, truncated, with or without percent signs.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

use super::{
    super::latex::exact_value,
    side::{EquationSide, SidePiece},
};

/// What stands between two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignMeaning {
    Equal,
    About,
}

/// The comparison of two sides that are understood.
#[derive(Debug)]
pub struct SideComparison {
    pub holds: bool,
    /// Whether a false equation may be meant in another way.
    pub excused: bool,
    /// The value of the left side, as a short number.
    pub value: String,
}

/// Compares two sides. `None` if one of them has no exact value, or nothing can be said.
pub fn compare(left: &EquationSide, right: &EquationSide, sign: SignMeaning) -> Option<SideComparison> {
    let value = value_of(&left.pieces, Reading::Hundredths)?;
    let claimed = value_of(&right.pieces, Reading::Hundredths)?;
    let shown = short(&value);
    let percent = [left, right].iter().any(|side| side.pieces.contains(&SidePiece::Percent));
    let mut pairs = vec![(value.clone(), claimed.clone())];
    if percent {
        let plain = |side: &EquationSide| value_of(&side.pieces, Reading::Plain);
        let (plain_left, plain_right) = (plain(left)?, plain(right)?);
        pairs.extend([
            (value.clone(), plain_right.clone()),
            (plain_left.clone(), claimed.clone()),
            (plain_left, plain_right),
        ]);
    }
    let holds = pairs.iter().any(|(value, claimed)| agree(left, value, right, claimed, sign));
    // Between two numbers without operators stands a conversion: `= 30 minutes = 0.5 hours`.
    if !holds && left.is_bare() && right.is_bare() {
        return None;
    }
    let excused = !holds
        && (percent_of_total(left, percent)
            || percent_of_total(right, percent)
            || hundredfold(&value, right, &claimed)
            || thousandfold(&value, &claimed)
            || rounded_up(&value, right, &claimed)
            || within_rounded_inputs(left, right, &value, &claimed)
            || goes_on_from(&value, right)
            || left.is_amount()
            || divides_twice(left)
            || divides_twice(right)
            || mixed_product(left)
            || mixed_product(right)
            || (sign == SignMeaning::About && near(&value, &claimed, 10)));
    Some(SideComparison { holds, excused, value: shown })
}

/// How a percent sign is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// As a hundredth.
    Hundredths,
    /// As a unit.
    Plain,
}

fn value_of(pieces: &[SidePiece], reading: Reading) -> Option<BigRational> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            SidePiece::Number(digits) => {
                if text.ends_with(|c: char| c.is_ascii_digit() || c == '.') {
                    return None;
                }
                text.push_str(digits);
            }
            SidePiece::Percent if reading == Reading::Hundredths => text.push_str("\\%"),
            SidePiece::Percent => {}
            SidePiece::Sign(sign) => text.push_str(sign),
        }
    }
    exact_value(&text)
}

fn agree(
    left: &EquationSide,
    value: &BigRational,
    right: &EquationSide,
    claimed: &BigRational,
    sign: SignMeaning,
) -> bool {
    let rounds = |to: &EquationSide, exact: &BigRational, written: &BigRational| {
        let places =
            to.number().map(|digits| places(digits) + if to.pieces.contains(&SidePiece::Percent) { 2 } else { 0 });
        places.is_some_and(|places| is_rounded(exact, written, places))
    };
    value == claimed
        || rounds(right, value, claimed)
        || rounds(left, claimed, value)
        || (sign == SignMeaning::About && near(value, claimed, 20))
}

/// Decimals of a number as it is written.
fn places(digits: &str) -> u32 {
    digits.split_once('.').map_or(0, |(_, part)| u32::try_from(part.len()).unwrap_or(u32::MAX))
}

/// Whether a number is the rounded or truncated form of a value with this number of decimals.
fn is_rounded(value: &BigRational, written: &BigRational, places: u32) -> bool {
    let scale = BigRational::from(BigInt::from(10).pow(places.min(64)));
    let (value, written) = (value * &scale, written * &scale);
    written == value.trunc() || written == value.round()
}

/// Whether two numbers differ by less than the `part`-th part of the larger one.
fn near(a: &BigRational, b: &BigRational, part: u32) -> bool {
    (a - b).abs() * BigRational::from(BigInt::from(part)) <= a.abs().max(b.abs())
}

/// `50 - 20\% = 40` takes the percentage of the number before it.
fn percent_of_total(side: &EquationSide, percent: bool) -> bool {
    let numbers = side.pieces.iter().filter(|piece| matches!(piece, SidePiece::Number(_))).count();
    let percents = side.pieces.iter().filter(|piece| **piece == SidePiece::Percent).count();
    let adds = side.pieces.iter().any(|piece| matches!(piece, SidePiece::Sign("+" | "-")));
    percent && adds && percents > 0 && percents < numbers
}

/// A percent sign, or cents, that are left out: `5 / 20 = 25`.
fn hundredfold(value: &BigRational, right: &EquationSide, claimed: &BigRational) -> bool {
    let hundred = BigRational::from(BigInt::from(100));
    let rounded = right.number().is_some_and(|digits| is_rounded(&(value * &hundred), claimed, places(digits)));
    !claimed.is_zero() && (rounded || value / claimed == hundred)
}

/// Thousands that are left out: `5 * 3 = 15,000`.
fn thousandfold(value: &BigRational, claimed: &BigRational) -> bool {
    let factors = [1_000, 1_000_000].map(|factor| BigRational::from(BigInt::from(factor)));
    !value.is_zero() && factors.contains(&(claimed / value))
}

/// `17 / 5 = 4` buses.
fn rounded_up(value: &BigRational, right: &EquationSide, claimed: &BigRational) -> bool {
    right.number().is_some_and(|digits| places(digits) == 0) && *claimed == value.ceil()
}

/// Whether the claimed value can come about where decimals among the operands are rounded.
fn within_rounded_inputs(
    left: &EquationSide,
    right: &EquationSide,
    value: &BigRational,
    claimed: &BigRational,
) -> bool {
    let mut room = BigRational::zero();
    for (side, base) in [(left, value), (right, claimed)] {
        if side.is_bare() {
            continue;
        }
        for (index, piece) in side.pieces.iter().enumerate() {
            let SidePiece::Number(digits) = piece else { continue };
            let Some((whole, part)) = digits.split_once('.').filter(|(_, part)| part.len() >= 2) else { continue };
            let Ok(units) = format!("{whole}{part}").parse::<BigInt>() else { continue };
            let next = BigRational::new(units + BigInt::from(1), BigInt::from(10).pow(places(digits)));
            let mut moved = side.pieces.clone();
            moved[index] = SidePiece::Number(format!("({}/{})", next.numer(), next.denom()));
            if let Some(moved) = value_of(&moved, Reading::Hundredths) {
                room += (moved - base).abs();
            }
        }
    }
    if let Some(digits) = right.number().filter(|_| !room.is_zero()) {
        room += BigRational::new(BigInt::from(1), BigInt::from(10).pow(places(digits).min(64)));
    }
    !room.is_zero() && (value - claimed).abs() <= room
}

/// `2 + 3 = 5 * 4 = 20`: each side goes on from the last result.
fn goes_on_from(value: &BigRational, right: &EquationSide) -> bool {
    let [SidePiece::Number(first), rest @ ..] = right.pieces.as_slice() else { return false };
    !rest.is_empty() && exact_value(first).is_some_and(|first| is_rounded(value, &first, places(first_digits(right))))
}

fn first_digits(side: &EquationSide) -> &str {
    match side.pieces.first() {
        Some(SidePiece::Number(digits)) => digits,
        _ => "",
    }
}

/// `10 / 1/2` may mean 20.
fn divides_twice(side: &EquationSide) -> bool {
    let mut divisions = 0;
    for piece in &side.pieces {
        match piece {
            SidePiece::Sign("/") => divisions += 1,
            SidePiece::Sign("+" | "-" | "(" | ")") => divisions = 0,
            _ => {}
        }
        if divisions > 1 {
            return true;
        }
    }
    false
}

/// A number beside a fraction is a mixed number or a product.
fn mixed_product(side: &EquationSide) -> bool {
    side.pieces.windows(2).any(|pair| matches!(pair, [SidePiece::Number(_), SidePiece::Sign("(")]))
}

/// A value for people: whole, or with at most four decimals.
fn short(value: &BigRational) -> String {
    if value.is_integer() {
        return value.to_integer().to_string();
    }
    let about = value.to_f64().unwrap_or(f64::NAN);
    let text = format!("{about:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
