//! YAML text as settings, and the line and column of a setting in the text.
//!
//! Settings are JSON values inside the program. YAML can say a little more (tags, keys that are not text, numbers that
//! are not finite); none of that is a setting, so it is a fault here.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_yaml::Value as Yaml;

use super::{
    Deployment,
    field_path::{FieldPath, PathSegment},
    messages,
    schema::SchemaNode,
    schema_check::SchemaFault,
};

/// The settings in YAML text, without those at fault.
pub(super) fn parse(text: &str) -> Result<(Value, Vec<SchemaFault>), serde_yaml::Error> {
    let mut yaml: Yaml = serde_yaml::from_str(text)?;
    yaml.apply_merge()?;
    Ok(to_settings(yaml))
}

/// The value in YAML text from outside the file. `None` if it is not YAML, or not a value that settings have.
pub(super) fn parse_value(text: &str) -> Option<Value> {
    let mut converter = YamlConverter::default();
    let value = converter.convert(serde_yaml::from_str(text).ok()?, &FieldPath::default());
    value.filter(|_| !converter.lossy)
}

/// The settings of a deployment that was built in code, as its file would have them. Numbers that are not finite, which
/// JSON does not have, are faults.
pub(super) fn settings_of(deployment: &Deployment) -> Result<(Value, Vec<SchemaFault>), serde_yaml::Error> {
    Ok(to_settings(serde_yaml::to_value(deployment)?))
}

fn to_settings(yaml: Yaml) -> (Value, Vec<SchemaFault>) {
    let mut converter = YamlConverter::default();
    let tree = converter.convert(yaml, &FieldPath::default());
    (tree.unwrap_or_else(|| Value::Object(Map::new())), converter.faults)
}

/// Converts YAML values to JSON values.
#[derive(Default)]
struct YamlConverter {
    faults: Vec<SchemaFault>,
    /// Whether there was a value that JSON does not have.
    lossy: bool,
}

impl YamlConverter {
    /// The value without the settings at fault. `None` if the value is at fault itself.
    fn convert(&mut self, yaml: Yaml, path: &FieldPath) -> Option<Value> {
        let found = match yaml {
            Yaml::Null => return Some(Value::Null),
            Yaml::Bool(flag) => return Some(flag.into()),
            Yaml::String(text) => return Some(text.into()),
            Yaml::Number(number) => {
                let whole = number.as_u64().map(Number::from).or_else(|| number.as_i64().map(Number::from));
                match whole.or_else(|| Number::from_f64(number.as_f64()?)) {
                    Some(number) => return Some(number.into()),
                    None if number.is_nan() => "a value that is not a number".to_owned(),
                    None => "an infinite number".to_owned(),
                }
            }
            Yaml::Sequence(items) => {
                let items = items.into_iter().enumerate().map(|(index, item)| self.convert(item, &path.index(index)));
                // All items, so that every fault is found.
                let items: Vec<_> = items.collect();
                return items.into_iter().collect::<Option<Vec<_>>>().map(Value::Array);
            }
            Yaml::Mapping(settings) => {
                let mut mapping = Map::new();
                for (key, value) in settings {
                    match key {
                        Yaml::String(name) => {
                            if let Some(value) = self.convert(value, &path.key(&name)) {
                                mapping.insert(name, value);
                            }
                        }
                        other => self.report_key(other, path),
                    }
                }
                return Some(Value::Object(mapping));
            }
            Yaml::Tagged(tagged) => format!("a value with the tag {}", tagged.tag),
        };
        self.lossy = true;
        // The check says more about a setting that does not exist.
        let Some(node) = SchemaNode::root().descend(path) else { return Some(Value::Null) };
        let message = format!("expected {}, found {found}", messages::expected(&node));
        self.faults.push(SchemaFault::of_value(path.clone(), message));
        None
    }

    fn report_key(&mut self, key: Yaml, path: &FieldPath) {
        self.lossy = true;
        let found = match Self::default().convert(key, &FieldPath::default()) {
            Some(key) => messages::found(path, &key),
            None => "another value".to_owned(),
        };
        let message = format!("expected the name of a setting, found {found} as a key");
        self.faults.push(SchemaFault::of_value(path.clone(), message));
    }
}

/// Where the value at `path` is, or its key: line and column, from 1.
///
/// `serde_yaml` keeps no positions in its values, but its errors have one. So the text is parsed again by a visitor
/// that goes to the setting and fails there.
pub(super) fn locate(text: &str, path: &FieldPath, key: bool) -> Option<(usize, usize)> {
    let seed = SettingFinder { rest: path.segments(), key };
    let error = seed.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    (error.to_string().contains(ARRIVED)).then(|| error.location().map(|at| (at.line(), at.column())))?
}

/// The position of the setting or of the innermost section around it that the text has.
pub(super) fn locate_nearest(text: &str, path: &FieldPath) -> Option<(usize, usize)> {
    if path.is_root() {
        return None;
    }
    locate(text, path, true).or_else(|| locate_nearest(text, &path.parent()))
}

/// The error that marks the position.
const ARRIVED: &str = "the setting that was looked for is here";

#[derive(Clone, Copy)]
struct SettingFinder<'p> {
    rest: &'p [PathSegment],
    key: bool,
}

impl<'de> DeserializeSeed<'de> for SettingFinder<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SettingFinder<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.rest.is_empty() { ARRIVED } else { "a section" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((PathSegment::Key(wanted), rest)) = self.rest.split_first() else {
            return Err(A::Error::custom(ARRIVED));
        };
        let stop = self.key && rest.is_empty();
        while let Some(hit) = map.next_key_seed(KeyFinder { wanted, stop })? {
            if hit {
                return map.next_value_seed(SettingFinder { rest, key: self.key });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((PathSegment::Index(wanted), rest)) = self.rest.split_first() else {
            return Err(A::Error::custom(ARRIVED));
        };
        for _ in 0..*wanted {
            items.next_element::<IgnoredAny>()?;
        }
        items.next_element_seed(SettingFinder { rest, key: self.key }).map(drop)
    }
}

struct KeyFinder<'p> {
    wanted: &'p str,
    stop: bool,
}

impl<'de> DeserializeSeed<'de> for KeyFinder<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyFinder<'_> {
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

    const TEXT: &str = "version: 1\npolicy:\n  delta: oops\n  constant_probability: ~\nserver:\n  cors_origins: [a, 1]\n  host: |\n    x\n";

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
        assert_eq!(at("policy.constant_probability", false), Some((4, 25)));
        assert_eq!(locate(TEXT, &FieldPath::parse("server.cors_origins").index(1), false), Some((6, 21)));
        assert_eq!(at("policy.logistic_steepness", false), None);
    }

    #[test]
    fn an_absent_setting_is_placed_at_its_section() {
        assert_eq!(locate_nearest(TEXT, &FieldPath::parse("policy.logistic_steepness.x")), Some((2, 1)));
        assert_eq!(locate_nearest(TEXT, &FieldPath::parse("roles.draft")), None);
    }

    #[test]
    fn what_json_does_not_have_is_a_fault_with_its_path() {
        let yaml = "policy: {delta: .nan, floor: !half 0.5, ceiling: 1}\nroles: {1: x, .nan: y}\nsteps: {delimiters: [a, !x b]}\npolcy: .inf\n";
        let (tree, faults) = parse(yaml).unwrap();
        assert_eq!(tree, serde_json::json!({"policy": {"ceiling": 1}, "roles": {}, "steps": {}, "polcy": null}));
        let faults: Vec<_> = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
        insta::assert_snapshot!(faults.join("\n"), @"
        policy.delta: expected a number from -1 to 2, found a value that is not a number
        policy.floor: expected a number from 0 to 1, found a value with the tag !half
        roles: expected the name of a setting, found the number 1 as a key
        roles: expected the name of a setting, found another value as a key
        steps.delimiters[1]: expected text that is not empty, found a value with the tag !x
        ");
        assert_eq!(parse_value("[a, .nan]"), None);
        assert_eq!(parse_value("18446744073709551615"), Some(u64::MAX.into()));
    }
}
