//! Compares two trees as answers.

use super::{
    colon,
    evaluate::{NodeValue, evaluate},
    interval,
    tree::{BracketKind, MathFunction, Node, RelationSign},
    words,
};

/// Lists with more parts are not compared.
const MOST_PARTS: usize = 64;

/// Whether two answers are equal.
#[must_use]
pub fn same(a: &Node, b: &Node) -> bool {
    if a == b {
        return true;
    }
    if (interval::says_range(a) || interval::says_range(b))
        && let (Some(a), Some(b)) = (interval::intervals(a), interval::intervals(b))
    {
        return interval::same(&a, &b);
    }
    match (a, b) {
        (Node::Relation(..), Node::Relation(..)) => same_relation(a, b),
        (Node::Relation(..), other) => named_value(a).is_some_and(|a| same(a, other)),
        (other, Node::Relation(..)) => named_value(b).is_some_and(|b| same(other, b)),
        (Node::Set(a), Node::Set(b)) | (Node::Union(a), Node::Union(b)) => same_parts(a, b),
        // A point without its brackets still has its order: `4, 3`, and `x = 4, y = 3`.
        (Node::Set(parts), Node::Tuple(BracketKind::Round, point, BracketKind::Round))
        | (Node::Tuple(BracketKind::Round, point, BracketKind::Round), Node::Set(parts))
            if parts.len() > 1 =>
        {
            same_in_order(parts, point)
                || same_parts(parts, &[Node::Tuple(BracketKind::Round, point.clone(), BracketKind::Round)])
        }
        (Node::Set(parts), other) | (other, Node::Set(parts)) => same_parts(parts, std::slice::from_ref(other)),
        (Node::Tuple(open, a, close), Node::Tuple(other_open, b, other_close)) => {
            let brackets = (open, close) == (other_open, other_close) || is_vector(*open) != is_vector(*other_open);
            brackets && same_in_order(a, b)
        }
        (Node::Matrix(a), Node::Matrix(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_in_order(a, b)),
        (Node::Matrix(rows), Node::Tuple(_, parts, _)) | (Node::Tuple(_, parts, _), Node::Matrix(rows)) => {
            same_vector(rows, parts)
        }
        (Node::Text(a), Node::Text(b)) => words::plain(a) == words::plain(b),
        (Node::Number(number), Node::Number(other)) if number.base.is_some() || other.base.is_some() => {
            let bases = number.base.is_none() || other.base.is_none() || number.base == other.base;
            bases && number.value == other.value
        }
        (Node::Call(MathFunction::ClockTime, a), Node::Call(MathFunction::ClockTime, b)) => colon::same_time(a, b),
        (Node::Call(MathFunction::ClockTime, time), Node::Call(MathFunction::Divide, quotient))
        // With the same numbers it was a ratio, as in `1:16` and `1/16`.
        | (Node::Call(MathFunction::Divide, quotient), Node::Call(MathFunction::ClockTime, time)) => time == quotient,
        (Node::Call(MathFunction::Ratio, a), Node::Call(MathFunction::Ratio, b)) => same_ratio(a, b),
        _ => same_percent(a, b) || same_value(a, b),
    }
}

/// The value that an equation gives to a name, such as 5 in `x = 5` and in `x = 2 + 3 = 5`, and the set in `x \in S`.
#[must_use]
pub fn named_value(node: &Node) -> Option<&Node> {
    let Node::Relation(sides, signs) = node else { return None };
    let exact = signs.iter().position(|sign| *sign == RelationSign::About).unwrap_or(signs.len());
    let (first, last) = (sides.first()?, sides.get(exact)?);
    match signs[..exact] {
        // Only approximate: a name and a number, or a value and its decimals.
        [] if first.is_name() => sides.get(1),
        [] => Some(first),
        [RelationSign::In] if first.is_name() => Some(last),
        ref all if all.iter().all(|sign| *sign == RelationSign::Equal) && (first.is_name() || is_constant(first)) => {
            Some(last)
        }
        _ => None,
    }
}

/// The last right side of an equation, whatever the left side is.
#[must_use]
pub fn last_side(node: &Node) -> Option<&Node> {
    let Node::Relation(sides, signs) = node else { return None };
    signs.iter().all(|sign| *sign == RelationSign::Equal).then(|| sides.last()).flatten()
}

/// Whether a node is a value without variables, or an equation that ends with one.
#[must_use]
pub fn is_value(node: &Node) -> bool {
    match node {
        Node::Relation(..) => last_side(node).is_some_and(is_value),
        Node::Text(_) => false,
        node => is_constant(node) && evaluate(node, &|_| f64::NAN).is_some(),
    }
}

fn is_vector(bracket: BracketKind) -> bool {
    bracket == BracketKind::Angle
}

fn is_constant(node: &Node) -> bool {
    let mut symbols = Vec::new();
    node.symbols(&mut symbols);
    symbols.is_empty()
}

fn same_in_order(a: &[Node], b: &[Node]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn same_vector(rows: &[Vec<Node>], parts: &[Node]) -> bool {
    let column = rows.iter().all(|row| row.len() == 1);
    let line: Vec<&Node> = rows.iter().flatten().collect();
    (column || rows.len() == 1) && line.len() == parts.len() && line.iter().zip(parts).all(|(a, b)| same(a, b))
}

/// Whether each part of either is among the parts of the other, and equally often if both repeat parts.
fn same_parts(a: &[Node], b: &[Node]) -> bool {
    if a.len() > MOST_PARTS || b.len() > MOST_PARTS {
        return false;
    }
    let times = |part: &Node, among: &[Node]| among.iter().filter(|other| same(part, other)).count();
    let within = |a: &[Node], b: &[Node]| a.iter().all(|part| times(part, b) > 0);
    // A set may be written without repetitions.
    let repeats = |parts: &[Node]| parts.iter().any(|part| times(part, parts) > 1);
    let equally_often = || a.iter().all(|part| times(part, a) == times(part, b));
    within(a, b) && within(b, a) && (!repeats(a) || !repeats(b) || equally_often())
}

/// Whether two ratios of three or more numbers are equal.
fn same_ratio(a: &[Node], b: &[Node]) -> bool {
    let product = |a: &Node, b: &Node| Node::call(MathFunction::Multiply, [a.clone(), b.clone()]);
    let pairs = (0..a.len()).flat_map(|one| (0..one).map(move |other| (one, other)));
    a.len() == b.len() && pairs.into_iter().all(|(i, j)| same_value(&product(&a[i], &b[j]), &product(&a[j], &b[i])))
}

/// `10\%` equals 10, where the question asks for percent, and also a tenth.
fn same_percent(a: &Node, b: &Node) -> bool {
    match (percent(a), percent(b)) {
        (Some(number), None) => same(&number, b),
        (None, Some(number)) => same(&number, a),
        _ => false,
    }
}

/// The number before a percent sign, with its own sign.
fn percent(node: &Node) -> Option<Node> {
    match node {
        Node::Call(MathFunction::Percent, parts) => parts.first().cloned(),
        Node::Call(MathFunction::Negate, parts) => Some(Node::call(MathFunction::Negate, [percent(parts.first()?)?])),
        _ => None,
    }
}

/// Number of fixed values at which variables are evaluated, with both signs, so that different expressions differ.
const POINTS: u64 = 6;

fn point(name: &str, index: u64) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let part = (hash >> 40) as f64 / 16_777_216.0;
    let size = 0.3 + 1.9 * part;
    if index >= POINTS / 2 && hash & 1 == 1 { -size } else { size }
}

fn same_value(a: &Node, b: &Node) -> bool {
    let (mut symbols, mut others) = (Vec::new(), Vec::new());
    a.symbols(&mut symbols);
    b.symbols(&mut others);
    let points = if symbols.is_empty() && others.is_empty() { 1 } else { POINTS };
    let mut compared = 0;
    for index in 0..points {
        let at = |name: &str| point(name, index);
        match (evaluate(a, &at), evaluate(b, &at)) {
            (Some(a), Some(b)) if a.same(&b) => compared += 1,
            (None, None) => {}
            _ => return false,
        }
    }
    compared * 2 >= points && compared > 0
}

/// Two equations or inequalities are equal if, brought to the form `... = 0`, one is a multiple of the other.
fn same_relation(a: &Node, b: &Node) -> bool {
    if let (Some((name, value)), Some((other, b))) = (assignment(a), assignment(b))
        && name == other
    {
        return same(value, b);
    }
    let (Some((sign, left)), Some((other, right))) = (against_zero(a), against_zero(b)) else { return false };
    if sign != other {
        return false;
    }
    let mut ratios: Vec<NodeValue> = Vec::new();
    for index in 0..POINTS {
        let at = |name: &str| point(name, index);
        let quotient = Node::call(MathFunction::Divide, [left.clone(), right.clone()]);
        if let Some(ratio) = evaluate(&quotient, &at) {
            ratios.push(ratio);
        }
    }
    let Some((first, rest)) = ratios.split_first() else { return false };
    let turned = sign != RelationSign::Equal && sign != RelationSign::NotEqual && first.about.re < 0.0;
    !turned && first.about.norm() > 1e-9 && rest.len() >= 2 && rest.iter().all(|ratio| ratio.same(first))
}

fn assignment(node: &Node) -> Option<(&Node, &Node)> {
    let Node::Relation(sides, _) = node else { return None };
    let name = sides.first().filter(|side| side.is_name())?;
    Some((name, named_value(node)?))
}

/// A relation of two sides in the form `... = 0` or `... < 0`; "greater" becomes "less".
fn against_zero(node: &Node) -> Option<(RelationSign, Node)> {
    let Node::Relation(sides, signs) = node else { return None };
    let ([left, right], [sign]) = (sides.as_slice(), signs.as_slice()) else { return None };
    let minus =
        |a: &Node, b: &Node| Node::call(MathFunction::Add, [a.clone(), Node::call(MathFunction::Negate, [b.clone()])]);
    Some(match sign {
        RelationSign::Greater => (RelationSign::Less, minus(right, left)),
        RelationSign::GreaterOrEqual => (RelationSign::LessOrEqual, minus(right, left)),
        RelationSign::About => (RelationSign::Equal, minus(left, right)),
        sign => (*sign, minus(left, right)),
    })
}
