//! The dotted path of a setting, such as `policy.delta` or `server.cors_origins[1]`.

use std::fmt;

/// The beginning of the names of all environment variables that give a setting.
pub const ENV_PREFIX: &str = "RSD__";

/// One part of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathSegment {
    /// A key of a mapping.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

/// The place of a setting in a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FieldPath(Vec<PathSegment>);

impl FieldPath {
    /// Parses a dotted name. Any text is a path; the schema knows whether it names a setting.
    pub fn parse(dotted: &str) -> Self {
        Self(dotted.split('.').filter(|part| !part.is_empty()).map(|part| PathSegment::Key(part.to_owned())).collect())
    }

    /// The path of the setting that a variable gives: `policy.delta` for `RSD__POLICY__DELTA`. `None` for variables
    /// without the prefix.
    pub fn from_variable(variable: &str) -> Option<Self> {
        let rest = variable.strip_prefix(ENV_PREFIX)?;
        Some(rest.split("__").fold(Self::default(), |path, part| path.key(&part.to_lowercase())))
    }

    /// The variable that gives this setting.
    pub fn variable(&self) -> String {
        let parts = self.0.iter().map(|segment| match segment {
            PathSegment::Key(key) => key.to_uppercase(),
            PathSegment::Index(index) => index.to_string(),
        });
        format!("{ENV_PREFIX}{}", parts.collect::<Vec<_>>().join("__"))
    }

    /// The path of one key of this mapping.
    pub fn key(&self, key: &str) -> Self {
        self.with(PathSegment::Key(key.to_owned()))
    }

    /// The path of one item of this list.
    pub fn index(&self, index: usize) -> Self {
        self.with(PathSegment::Index(index))
    }

    fn with(&self, segment: PathSegment) -> Self {
        let mut path = self.clone();
        path.0.push(segment);
        path
    }

    /// The path without its last part; the root stays the root.
    pub fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    /// The parts, from the outermost.
    pub fn segments(&self) -> &[PathSegment] {
        &self.0
    }

    /// Whether this is the path of the whole deployment.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `other` is this setting or one inside it.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether one of the two contains the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other) || other.contains(self)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                PathSegment::Key(key) if at == 0 => write!(f, "{key}")?,
                PathSegment::Key(key) => write!(f, ".{key}")?,
                PathSegment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::schema::SchemaNode, *};

    #[test]
    fn a_path_displays_as_it_was_parsed() {
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

    #[test]
    fn every_setting_has_its_own_variable() {
        for path in SchemaNode::root().paths(&FieldPath::default()).iter().filter(|path| !path.is_root()) {
            assert_eq!(FieldPath::from_variable(&path.variable()).as_ref(), Some(path));
        }
    }

    #[test]
    fn other_variables_are_left_alone() {
        assert_eq!(FieldPath::from_variable("RSD_LOG"), None);
        assert_eq!(FieldPath::from_variable("PATH"), None);
    }
}
