//! Lays trees of settings over each other and remembers which layer each value came from.
//!
//! The `config` crate merges; it carries an origin with every value, which here is the layer's number.

use std::collections::BTreeMap;

use config::{ConfigError, Map, Source, Value as Merged, ValueKind};
use serde_yaml::{Mapping, Number, Value};

use super::{origin::Origin, path::FieldPath};

/// A checked tree of settings and where they come from.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub origin: Origin,
    pub tree: Value,
}

/// All layers as one tree, and the origin of every value in it (a list is one value).
pub(super) fn merge(layers: &[Layer]) -> Result<(Value, BTreeMap<FieldPath, Origin>), ConfigError> {
    let mut builder = config::Config::builder();
    for (number, layer) in layers.iter().enumerate() {
        builder = builder.add_source(Numbered { number: number.to_string(), tree: layer.tree.clone() });
    }
    let mut origins = BTreeMap::new();
    let tree = from_merged(builder.build()?.cache, layers, &FieldPath::default(), &mut origins);
    Ok((tree, origins))
}

#[derive(Debug, Clone)]
struct Numbered {
    number: String,
    tree: Value,
}

impl Source for Numbered {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Merged>, ConfigError> {
        to_merged(&self.tree, &self.number).into_table()
    }
}

fn to_merged(value: &Value, number: &String) -> Merged {
    let kind = match value {
        Value::Bool(flag) => ValueKind::Boolean(*flag),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => ValueKind::U64(number),
            (None, Some(number)) => ValueKind::I64(number),
            (None, None) => ValueKind::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => ValueKind::String(text.clone()),
        Value::Sequence(items) => ValueKind::Array(items.iter().map(|item| to_merged(item, number)).collect()),
        Value::Mapping(settings) => ValueKind::Table(
            settings
                .iter()
                .filter_map(|(key, value)| Some((key.as_str()?.to_owned(), to_merged(value, number))))
                .collect(),
        ),
        // The check lets no tag through.
        Value::Null | Value::Tagged(_) => ValueKind::Nil,
    };
    Merged::new(Some(number), kind)
}

fn from_merged(merged: Merged, layers: &[Layer], path: &FieldPath, origins: &mut BTreeMap<FieldPath, Origin>) -> Value {
    if let ValueKind::Table(settings) = merged.kind {
        let mut mapping = Mapping::new();
        for (key, value) in settings {
            let value = from_merged(value, layers, &path.key(&key), origins);
            mapping.insert(key.into(), value);
        }
        return Value::Mapping(mapping);
    }
    let layer = merged.origin().and_then(|number| layers.get(number.parse::<usize>().ok()?));
    if let Some(layer) = layer {
        origins.insert(path.clone(), layer.origin.clone());
    }
    plain(merged.kind)
}

fn plain(kind: ValueKind) -> Value {
    match kind {
        ValueKind::Boolean(flag) => Value::Bool(flag),
        ValueKind::U64(number) => Value::Number(number.into()),
        ValueKind::I64(number) => Value::Number(number.into()),
        ValueKind::Float(number) => Value::Number(Number::from(number)),
        ValueKind::String(text) => Value::String(text),
        ValueKind::Array(items) => Value::Sequence(items.into_iter().map(|item| plain(item.kind)).collect()),
        // A table inside a list is part of one value, the list.
        ValueKind::Table(settings) => {
            Value::Mapping(settings.into_iter().map(|(key, value)| (key.into(), plain(value.kind))).collect())
        }
        // Layers hold no wider numbers.
        ValueKind::Nil | ValueKind::I128(_) | ValueKind::U128(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(origin: Origin, yaml: &str) -> Layer {
        Layer { origin, tree: serde_yaml::from_str(yaml).unwrap() }
    }

    #[test]
    fn later_layers_win_value_by_value() {
        let flag = Origin::Flag("--set".to_owned());
        let layers = [
            layer(
                Origin::File,
                "policy: {delta: 0.5, p: 1}\nserver: {cors_origins: [a, b], port: 1}\nroles: {draft: {isq: '4'}, target: ~}",
            ),
            layer(
                flag.clone(),
                "policy: {delta: -1}\nserver: {cors_origins: [c]}\nroles: {draft: {isq: ~}, target: {cpu: true}}",
            ),
        ];
        let (tree, origins) = merge(&layers).unwrap();
        let wanted: Value = serde_yaml::from_str(
            "policy: {delta: -1, p: 1}\nserver: {cors_origins: [c], port: 1}\nroles: {draft: {isq: ~}, target: {cpu: true}}",
        )
        .unwrap();
        assert_eq!(tree, wanted);
        let of = |path: &str| origins.get(&FieldPath::parse(path));
        assert_eq!(of("policy.delta"), Some(&flag));
        assert_eq!(of("policy.p"), Some(&Origin::File));
        assert_eq!(of("server.cors_origins"), Some(&flag));
        assert_eq!(of("roles.draft.isq"), Some(&flag));
        assert_eq!(of("roles.target.cpu"), Some(&flag));
        assert_eq!(of("roles.target"), None);
    }

    #[test]
    fn numbers_and_text_come_through_as_they_were() {
        let yaml = "a: 18446744073709551615\nb: -3\nc: 0.1\nd: '1'\ne: 'true'\nf: true\ng: [1, '2']\n";
        let (tree, _) = merge(&[layer(Origin::File, yaml)]).unwrap();
        assert_eq!(tree, serde_yaml::from_str::<Value>(yaml).unwrap());
    }
}
