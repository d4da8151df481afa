//! Sets of real numbers: intervals, what inequalities say, and unions of them.

use super::{
    evaluate::{Value, evaluate},
    tree::{Bracket, Function, Node, Sign},
};

/// From where to where, and whether the ends belong to it. No end is infinity.
#[derive(Debug, Clone)]
pub struct Interval {
    low: End,
    high: End,
}

#[derive(Debug, Clone)]
struct End {
    /// Nothing for infinity.
    value: Option<Value>,
    closed: bool,
}

impl End {
    fn of(node: &Node, closed: bool) -> Option<Self> {
        if is_infinite(node) {
            return Some(Self { value: None, closed: false });
        }
        let mut symbols = Vec::new();
        node.symbols(&mut symbols);
        let value = evaluate(node, &|_| 0.0).filter(|value| symbols.is_empty() && value.about.im == 0.0)?;
        Some(Self { value: Some(value), closed })
    }

    fn same(&self, other: &Self) -> bool {
        let values = match (&self.value, &other.value) {
            (None, None) => true,
            (Some(a), Some(b)) => a.same(b),
            _ => false,
        };
        values && self.closed == other.closed
    }
}

fn is_infinite(node: &Node) -> bool {
    match node {
        Node::Infinity => true,
        Node::Call(Function::Negate | Function::Add, parts) => parts.iter().all(is_infinite),
        _ => false,
    }
}

/// Whether a part says a range by itself, and so what it is compared with is one too.
#[must_use]
pub fn says_range(node: &Node) -> bool {
    match node {
        Node::Union(_) => true,
        Node::Relation(_, signs) => signs.iter().any(|sign| !matches!(sign, Sign::Equal | Sign::About)),
        Node::Set(parts) => !parts.is_empty() && parts.iter().all(says_range),
        _ => false,
    }
}

/// The intervals that an answer says, from the lowest.
#[must_use]
pub fn intervals(node: &Node) -> Option<Vec<Interval>> {
    let mut found = Vec::new();
    collect(node, &mut found)?;
    found.sort_by(|a, b| {
        let low = |interval: &Interval| interval.low.value.as_ref().map_or(f64::NEG_INFINITY, |value| value.about.re);
        low(a).total_cmp(&low(b))
    });
    Some(found)
}

/// Whether two answers say the same intervals.
#[must_use]
pub fn same(a: &[Interval], b: &[Interval]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.low.same(&b.low) && a.high.same(&b.high))
}

fn collect(node: &Node, found: &mut Vec<Interval>) -> Option<()> {
    match node {
        Node::Union(parts) | Node::Set(parts) if !parts.is_empty() => {
            parts.iter().try_for_each(|part| collect(part, found))
        }
        Node::Tuple(open, ends, close) if *open != Bracket::Angle && *close != Bracket::Angle => {
            let [low, high] = ends.as_slice() else { return None };
            let low = End::of(low, *open == Bracket::Square)?;
            found.push(Interval { low, high: End::of(high, *close == Bracket::Square)? });
            Some(())
        }
        Node::Relation(sides, signs) => match (sides.as_slice(), signs.as_slice()) {
            ([name, set], [Sign::In]) if name.is_name() => collect(set, found),
            _ => inequality(sides, signs, found),
        },
        _ => None,
    }
}

/// What `x < 2`, `2 < x` and `1 < x \le 2` say.
fn inequality(sides: &[Node], signs: &[Sign], found: &mut Vec<Interval>) -> Option<()> {
    let open = || End { value: None, closed: false };
    let (mut low, mut high) = (open(), open());
    let at = sides.iter().position(|side| matches!(side, Node::Symbol(_)))?;
    if let [Sign::NotEqual] = signs {
        let point = End::of(&sides[1 - at], false)?;
        found.push(Interval { low, high: point.clone() });
        found.push(Interval { low: point, high });
        return Some(());
    }
    for (index, side) in sides.iter().enumerate().filter(|(index, _)| *index != at) {
        if index.abs_diff(at) != 1 {
            return None;
        }
        let sign = signs[index.min(at)];
        let closed = matches!(sign, Sign::LessOrEqual | Sign::GreaterOrEqual);
        let end = End::of(side, closed)?;
        // The side left of the variable bounds it from below where the sign is "less".
        match sign {
            Sign::Less | Sign::LessOrEqual if index < at => low = end,
            Sign::Less | Sign::LessOrEqual => high = end,
            Sign::Greater | Sign::GreaterOrEqual if index < at => high = end,
            Sign::Greater | Sign::GreaterOrEqual => low = end,
            _ => return None,
        }
    }
    found.push(Interval { low, high });
    Some(())
}
