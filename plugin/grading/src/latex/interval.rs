//! Sets of real numbers: intervals, inequalities and unions of them.

use super::{
    evaluate::{NodeValue, evaluate},
    tree::{BracketKind, MathFunction, Node, RelationSign},
};

/// An interval with open or closed ends.
#[derive(Debug, Clone)]
pub struct RealInterval {
    low: IntervalEnd,
    high: IntervalEnd,
}

#[derive(Debug, Clone)]
struct IntervalEnd {
    /// `None` for infinity.
    value: Option<NodeValue>,
    closed: bool,
}

impl IntervalEnd {
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
        Node::Call(MathFunction::Negate | MathFunction::Add, parts) => parts.iter().all(is_infinite),
        _ => false,
    }
}

/// Whether a part is a range by itself, so that the other answer must be one too.
#[must_use]
pub fn says_range(node: &Node) -> bool {
    match node {
        Node::Union(_) => true,
        Node::Relation(_, signs) => signs.iter().any(|sign| !matches!(sign, RelationSign::Equal | RelationSign::About)),
        Node::Set(parts) => !parts.is_empty() && parts.iter().all(says_range),
        _ => false,
    }
}

/// The intervals of an answer in ascending order.
#[must_use]
pub fn intervals(node: &Node) -> Option<Vec<RealInterval>> {
    let mut found = Vec::new();
    collect(node, &mut found)?;
    found.sort_by(|a, b| {
        let low =
            |interval: &RealInterval| interval.low.value.as_ref().map_or(f64::NEG_INFINITY, |value| value.about.re);
        low(a).total_cmp(&low(b))
    });
    Some(found)
}

/// Whether two lists of intervals are equal.
#[must_use]
pub fn same(a: &[RealInterval], b: &[RealInterval]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.low.same(&b.low) && a.high.same(&b.high))
}

fn collect(node: &Node, found: &mut Vec<RealInterval>) -> Option<()> {
    match node {
        Node::Set(parts) if let [Node::Relation(..), Node::Relation(..)] = parts.as_slice() => {
            let mut names = Vec::new();
            for part in parts {
                part.symbols(&mut names);
            }
            names.dedup();
            let mut halves = Vec::new();
            parts.iter().try_for_each(|part| collect(part, &mut halves))?;
            match both_hold(&halves).filter(|_| names.len() == 1) {
                Some(interval) => found.push(interval),
                None => found.append(&mut halves),
            }
            Some(())
        }
        Node::Union(parts) | Node::Set(parts) if !parts.is_empty() => {
            parts.iter().try_for_each(|part| collect(part, found))
        }
        Node::Tuple(open, ends, close) if *open != BracketKind::Angle && *close != BracketKind::Angle => {
            let [low, high] = ends.as_slice() else { return None };
            let low = IntervalEnd::of(low, *open == BracketKind::Square)?;
            found.push(RealInterval { low, high: IntervalEnd::of(high, *close == BracketKind::Square)? });
            Some(())
        }
        Node::Relation(sides, signs) => match (sides.as_slice(), signs.as_slice()) {
            ([name, set], [RelationSign::In]) if name.is_name() => collect(set, found),
            _ => inequality(sides, signs, found),
        },
        _ => None,
    }
}

/// The interval of `x > 1 and x < 3`. Two half-lines that cover everything together are meant to hold both.
fn both_hold(halves: &[RealInterval]) -> Option<RealInterval> {
    let [a, b] = halves else { return None };
    let (up, down) = if a.low.value.is_some() { (a, b) } else { (b, a) };
    if up.high.value.is_some() || down.low.value.is_some() {
        return None;
    }
    let (low, high) = (up.low.value.as_ref()?, down.high.value.as_ref()?);
    (low.about.re < high.about.re).then(|| RealInterval { low: up.low.clone(), high: down.high.clone() })
}

/// The intervals of `x < 2`, `2 < x`, `1 < x \le 2` and `x \ne 2`.
fn inequality(sides: &[Node], signs: &[RelationSign], found: &mut Vec<RealInterval>) -> Option<()> {
    let open = || IntervalEnd { value: None, closed: false };
    let (mut low, mut high) = (open(), open());
    let at = sides.iter().position(|side| matches!(side, Node::Symbol(_)))?;
    if let [RelationSign::NotEqual] = signs {
        let point = IntervalEnd::of(&sides[1 - at], false)?;
        found.push(RealInterval { low, high: point.clone() });
        found.push(RealInterval { low: point, high });
        return Some(());
    }
    for (index, side) in sides.iter().enumerate().filter(|(index, _)| *index != at) {
        if index.abs_diff(at) != 1 {
            return None;
        }
        let sign = signs[index.min(at)];
        let closed = matches!(sign, RelationSign::LessOrEqual | RelationSign::GreaterOrEqual);
        let end = IntervalEnd::of(side, closed)?;
        // A side left of the variable is a lower bound if the sign is "less".
        match sign {
            RelationSign::Less | RelationSign::LessOrEqual if index < at => low = end,
            RelationSign::Less | RelationSign::LessOrEqual => high = end,
            RelationSign::Greater | RelationSign::GreaterOrEqual if index < at => high = end,
            RelationSign::Greater | RelationSign::GreaterOrEqual => low = end,
            _ => return None,
        }
    }
    found.push(RealInterval { low, high });
    Some(())
}
