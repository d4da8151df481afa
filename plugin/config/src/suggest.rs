//! Suggestions for settings that do not exist: similar names, and the same name in other sections.

use super::{
    field_path::{FieldPath, PathSegment},
    schema::SchemaNode,
};

/// The settings that the user may have meant by `unknown`, the path of a key that does not exist: the most similar name
/// in the same section, or else up to three settings with that name in other sections.
pub(super) fn suggest<'a>(unknown: &FieldPath, siblings: impl Iterator<Item = &'a str>) -> Vec<FieldPath> {
    let Some(PathSegment::Key(name)) = unknown.segments().last() else { return Vec::new() };
    let wanted = name.to_lowercase().replace('-', "_");
    let allowed = (wanted.chars().count() / 3).max(1);
    let close = siblings
        .map(|sibling| (strsim::damerau_levenshtein(&wanted, sibling), sibling))
        .filter(|(distance, _)| *distance <= allowed)
        .min();
    if let Some((_, sibling)) = close {
        return vec![unknown.parent().key(sibling)];
    }
    let mut elsewhere = SchemaNode::root().paths(&FieldPath::default());
    elsewhere.retain(|path| matches!(path.segments().last(), Some(PathSegment::Key(key)) if *key == wanted));
    elsewhere.truncate(3);
    elsewhere
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(unknown: &str, siblings: &[&str]) -> Vec<String> {
        suggest(&FieldPath::parse(unknown), siblings.iter().copied()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_slip_finds_its_neighbor() {
        assert_eq!(meant("policy.dleta", &["ceiling", "delta", "floor"]), ["policy.delta"]);
        assert_eq!(meant("roles.draft.model-id", &["model_id", "bundled"]), ["roles.draft.model_id"]);
        assert_eq!(meant("policy.temperature", &["ceiling", "delta", "floor"]), [""; 0]);
    }

    #[test]
    fn a_misplaced_setting_finds_its_section() {
        assert_eq!(meant("delta", &["policy", "roles"]), ["policy.delta"]);
        assert_eq!(meant("server.max_tokens", &["port"]), ["limits.max_tokens", "steps.max_tokens"]);
    }
}
