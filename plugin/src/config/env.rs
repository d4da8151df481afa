//! The environment as a layer: `RSD__POLICY__DELTA=0.5` sets `policy.delta`.
//!
//! Lists are separated by commas or written as YAML (`["\n\n", "\n"]`); a section may be given whole as YAML
//! (`{bundled: target}`); an empty value unsets what may be unset.

use super::path::{FieldPath, Segment};

/// What the names of all variables that set something begin with.
pub const ENV_PREFIX: &str = "RSD__";

/// The variables of this process that set something. One that is not Unicode is passed on with the replacement
/// character, so that it is seen.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(ENV_PREFIX))
}

/// The setting a variable names; `None` for variables that are none of ours.
pub(super) fn path_of(variable: &str) -> Option<FieldPath> {
    let rest = variable.strip_prefix(ENV_PREFIX)?;
    Some(rest.split("__").fold(FieldPath::default(), |path, part| path.key(&part.to_lowercase())))
}

/// The variable that sets `path`.
pub(super) fn variable_of(path: &FieldPath) -> String {
    let parts = path.segments().iter().map(|segment| match segment {
        Segment::Key(key) => key.to_uppercase(),
        Segment::Index(index) => index.to_string(),
    });
    format!("{ENV_PREFIX}{}", parts.collect::<Vec<_>>().join("__"))
}

#[cfg(test)]
mod tests {
    use super::{super::schema::Node, *};

    #[test]
    fn every_setting_has_its_own_variable() {
        for path in Node::root().paths(&FieldPath::default()).iter().filter(|path| !path.is_root()) {
            assert_eq!(path_of(&variable_of(path)).as_ref(), Some(path));
        }
    }

    #[test]
    fn other_variables_are_left_alone() {
        assert_eq!(path_of("RSD_LOG"), None);
        assert_eq!(path_of("PATH"), None);
    }
}
