//! Merges the layers of settings and records which layer each value comes from.
//!
//! The `config` crate merges. It carries an origin with every value: here the number of the layer.

use std::{collections::BTreeMap, fmt};

use config::{ConfigError, Map, Source, Value as Merged, ValueKind};
use serde::Serialize;
use serde_json::Value;

use super::field_path::FieldPath;

/// The layer that a setting's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "layer", content = "name", rename_all = "snake_case")]
pub enum SettingOrigin {
    /// No layer gives it.
    Default,
    /// The deployment file.
    File,
    /// The environment variable of this name.
    Env(String),
    /// This option of the command line.
    Flag(String),
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("file"),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A checked tree of settings and its origin.
#[derive(Debug, Clone)]
pub(super) struct SettingLayer {
    pub origin: SettingOrigin,
    pub tree: Value,
}

/// All layers as one tree, and the origin of every value in it. A list is one value.
pub(super) fn merge(layers: &[SettingLayer]) -> Result<(Value, BTreeMap<FieldPath, SettingOrigin>), ConfigError> {
    let mut builder = config::Config::builder();
    for (number, layer) in layers.iter().enumerate() {
        builder = builder.add_source(NumberedLayer { number: number.to_string(), tree: layer.tree.clone() });
    }
    let merged = builder.build()?.cache;
    let mut origins = BTreeMap::new();
    collect_origins(&merged, layers, &FieldPath::default(), &mut origins);
    Ok((merged.try_deserialize()?, origins))
}

/// A layer as the `config` crate takes it.
#[derive(Debug, Clone)]
struct NumberedLayer {
    number: String,
    tree: Value,
}

impl Source for NumberedLayer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Merged>, ConfigError> {
        with_origin(&self.tree, &self.number).into_table()
    }
}

fn with_origin(value: &Value, origin: &String) -> Merged {
    let kind = match value {
        Value::Null => ValueKind::Nil,
        Value::Bool(flag) => ValueKind::Boolean(*flag),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => ValueKind::U64(number),
            (None, Some(number)) => ValueKind::I64(number),
            (None, None) => ValueKind::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => ValueKind::String(text.clone()),
        Value::Array(items) => ValueKind::Array(items.iter().map(|item| with_origin(item, origin)).collect()),
        Value::Object(settings) => {
            ValueKind::Table(settings.iter().map(|(key, value)| (key.clone(), with_origin(value, origin))).collect())
        }
    };
    Merged::new(Some(origin), kind)
}

fn collect_origins(
    merged: &Merged,
    layers: &[SettingLayer],
    path: &FieldPath,
    origins: &mut BTreeMap<FieldPath, SettingOrigin>,
) {
    if let ValueKind::Table(settings) = &merged.kind {
        for (key, value) in settings {
            collect_origins(value, layers, &path.key(key), origins);
        }
        return;
    }
    let layer = merged.origin().and_then(|number| layers.get(number.parse::<usize>().ok()?));
    if let Some(layer) = layer {
        origins.insert(path.clone(), layer.origin.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(origin: SettingOrigin, yaml: &str) -> SettingLayer {
        SettingLayer { origin, tree: serde_yaml::from_str(yaml).unwrap() }
    }

    #[test]
    fn later_layers_win_value_by_value() {
        let flag = SettingOrigin::Flag("--set".to_owned());
        let layers = [
            layer(
                SettingOrigin::File,
                "policy: {delta: 0.5, floor: 1}\nserver: {cors_origins: [a, b], port: 1}\nroles: {draft: {isq: '4'}, target: ~}",
            ),
            layer(
                flag.clone(),
                "policy: {delta: -1}\nserver: {cors_origins: [c]}\nroles: {draft: {isq: ~}, target: {cpu: true}}",
            ),
        ];
        let (tree, origins) = merge(&layers).unwrap();
        let expected: Value = serde_yaml::from_str(
            "policy: {delta: -1, floor: 1}\nserver: {cors_origins: [c], port: 1}\nroles: {draft: {isq: ~}, target: {cpu: true}}",
        )
        .unwrap();
        assert_eq!(tree, expected);
        let of = |path: &str| origins.get(&FieldPath::parse(path));
        assert_eq!(of("policy.delta"), Some(&flag));
        assert_eq!(of("policy.floor"), Some(&SettingOrigin::File));
        assert_eq!(of("server.cors_origins"), Some(&flag));
        assert_eq!(of("roles.draft.isq"), Some(&flag));
        assert_eq!(of("roles.target.cpu"), Some(&flag));
        assert_eq!(of("roles.target"), None);
    }

    #[test]
    fn numbers_and_text_come_through_as_they_were() {
        let yaml = "a: 18446744073709551615\nb: -3\nc: 0.1\nd: '1'\ne: 'true'\nf: true\ng: [1, '2']\n";
        let (tree, _) = merge(&[layer(SettingOrigin::File, yaml)]).unwrap();
        assert_eq!(tree, serde_yaml::from_str::<Value>(yaml).unwrap());
    }
}
