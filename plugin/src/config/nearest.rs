//! What a misspelt or misplaced setting was meant to be.

use super::{
    path::{FieldPath, Segment},
    schema::Node,
};

/// The settings that `unknown`, the path of a key that does not exist, may have been meant for: the nearest
/// name in the same section, else the same name in other sections (three at most).
pub(super) fn nearest<'a>(unknown: &FieldPath, siblings: impl Iterator<Item = &'a str>) -> Vec<FieldPath> {
    let Some(Segment::Key(name)) = unknown.segments().last() else { return Vec::new() };
    let wanted = name.to_lowercase().replace('-', "_");
    let allowed = (wanted.chars().count() / 3).max(1);
    let close = siblings
        .map(|sibling| (strsim::damerau_levenshtein(&wanted, sibling), sibling))
        .filter(|(distance, _)| *distance <= allowed)
        .min();
    if let Some((_, sibling)) = close {
        return vec![unknown.parent().key(sibling)];
    }
    let mut elsewhere = Node::root().paths(&FieldPath::default());
    elsewhere.retain(|path| matches!(path.segments().last(), Some(Segment::Key(key)) if *key == wanted));
    elsewhere.truncate(3);
    elsewhere
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(unknown: &str, siblings: &[&str]) -> Vec<String> {
        nearest(&FieldPath::parse(unknown), siblings.iter().copied()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_slip_finds_its_neighbour() {
        assert_eq!(meant("policy.dleta", &["alpha", "delta", "p"]), ["policy.delta"]);
        assert_eq!(meant("roles.draft.model-id", &["model_id", "bundled"]), ["roles.draft.model_id"]);
        assert_eq!(meant("policy.temperature", &["alpha", "delta", "p"]), [""; 0]);
    }

    #[test]
    fn a_misplaced_setting_finds_its_section() {
        assert_eq!(meant("delta", &["policy", "roles"]), ["policy.delta"]);
        assert_eq!(meant("server.max_tokens", &["port"]), ["limits.max_tokens", "steps.max_tokens"]);
    }
}
