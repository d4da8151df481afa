//! Line and column of a setting in YAML text.
//!
//! `serde_yaml` keeps no positions in its values, but its errors carry one. So the text is read once more by a
//! visitor that walks to the setting and fails there.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::path::{FieldPath, Segment};

/// Where the value at `path` stands, or its key; line and column from 1.
pub(super) fn locate(text: &str, path: &FieldPath, key: bool) -> Option<(usize, usize)> {
    let seed = Find { rest: path.segments(), key };
    let error = seed.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    (error.to_string().contains(ARRIVED)).then(|| error.location().map(|at| (at.line(), at.column())))?
}

/// The same for the setting or the nearest section around it that the text names.
pub(super) fn locate_nearest(text: &str, path: &FieldPath) -> Option<(usize, usize)> {
    if path.is_root() {
        return None;
    }
    locate(text, path, true).or_else(|| locate_nearest(text, &path.parent()))
}

const ARRIVED: &str = "the setting that was looked for stands here";

#[derive(Clone, Copy)]
struct Find<'p> {
    rest: &'p [Segment],
    key: bool,
}

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.rest.is_empty() { ARRIVED } else { "a section" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Segment::Key(wanted), rest)) = self.rest.split_first() else {
            return Err(A::Error::custom(ARRIVED));
        };
        let stop = self.key && rest.is_empty();
        while let Some(hit) = map.next_key_seed(Key { wanted, stop })? {
            if hit {
                return map.next_value_seed(Find { rest, key: self.key });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Segment::Index(wanted), rest)) = self.rest.split_first() else {
            return Err(A::Error::custom(ARRIVED));
        };
        for _ in 0..*wanted {
            items.next_element::<IgnoredAny>()?;
        }
        items.next_element_seed(Find { rest, key: self.key }).map(drop)
    }
}

struct Key<'p> {
    wanted: &'p str,
    stop: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        let hit = key == self.wanted;
        if hit && self.stop { Err(E::custom(ARRIVED)) } else { Ok(hit) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "version: 1\npolicy:\n  delta: oops\n  p: ~\nserver:\n  cors_origins: [a, 1]\n  host: |\n    x\n";

    fn at(path: &str, key: bool) -> Option<(usize, usize)> {
        locate(TEXT, &FieldPath::parse(path), key)
    }

    #[test]
    fn values_and_keys_are_found() {
        assert_eq!(at("version", false), Some((1, 10)));
        assert_eq!(at("policy", true), Some((2, 1)));
        assert_eq!(at("policy", false), Some((3, 3)));
        assert_eq!(at("policy.delta", false), Some((3, 10)));
        assert_eq!(at("policy.delta", true), Some((3, 3)));
        assert_eq!(at("policy.p", false), Some((4, 6)));
        assert_eq!(locate(TEXT, &FieldPath::parse("server.cors_origins").index(1), false), Some((6, 21)));
        assert_eq!(at("policy.alpha", false), None);
    }

    #[test]
    fn an_absent_setting_is_placed_at_its_section() {
        assert_eq!(locate_nearest(TEXT, &FieldPath::parse("policy.alpha.x")), Some((2, 1)));
        assert_eq!(locate_nearest(TEXT, &FieldPath::parse("roles.draft")), None);
    }
}
