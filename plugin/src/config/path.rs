//! The dotted name of a setting, such as `policy.delta` or `server.cors_origins[1]`.

use std::fmt;

/// One part of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    /// A key of a mapping.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

/// Where a setting stands in a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FieldPath(Vec<Segment>);

impl FieldPath {
    /// Reads a dotted name. Any text is a path; whether it names a setting is the schema's business.
    pub fn parse(dotted: &str) -> Self {
        Self(dotted.split('.').filter(|part| !part.is_empty()).map(|part| Segment::Key(part.to_owned())).collect())
    }

    /// The path one key further in.
    pub fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    /// The path of one item of this list.
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    fn with(&self, segment: Segment) -> Self {
        let mut path = self.clone();
        path.0.push(segment);
        path
    }

    /// The path without its last part; the root stays the root.
    pub fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    /// Its parts, outermost first.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether this is the whole deployment.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `other` is this setting or lies inside it.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether one of the two lies inside the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other) || other.contains(self)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if at == 0 => write!(f, "{key}")?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_back() {
        let path = FieldPath::parse("roles.draft.isq");
        assert_eq!(path.to_string(), "roles.draft.isq");
        assert_eq!(path.parent(), FieldPath::parse("roles.draft"));
        assert_eq!(FieldPath::parse("server.cors_origins").index(1).to_string(), "server.cors_origins[1]");
        assert!(FieldPath::parse("").is_root());
    }

    #[test]
    fn containing_goes_one_way_and_overlapping_both() {
        let (role, isq) = (FieldPath::parse("roles.draft"), FieldPath::parse("roles.draft.isq"));
        assert!(role.contains(&isq) && !isq.contains(&role));
        assert!(isq.overlaps(&role) && role.overlaps(&isq));
        assert!(!role.overlaps(&FieldPath::parse("roles.drafty")));
    }
}
