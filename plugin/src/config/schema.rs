//! The JSON Schema of a deployment file, and a way to walk it.
//!
//! The schema is the one place that says which settings exist, their types and their ranges: `config schema`
//! prints it, every layer is checked against it, and text from the environment is read by it.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::Value as Json;

use super::{
    Deployment,
    path::{FieldPath, Segment},
};

static SCHEMA: LazyLock<Json> = LazyLock::new(|| schemars::schema_for!(Deployment).to_value());

/// The JSON Schema (draft 2020-12) of a deployment file, with descriptions, defaults and ranges.
#[must_use]
pub fn schema() -> &'static Json {
    &SCHEMA
}

/// What may stand at one place of a deployment.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The schema as the field carries it, with the field's own marks.
    outer: &'static Json,
    /// The schema it refers to.
    inner: &'static Json,
    /// Whether the setting may be left unset.
    pub nullable: bool,
    /// Alternatives of a tag, which no single part of the schema lists.
    tags: Vec<&'static Json>,
}

/// The kinds of thing a node may hold.
#[derive(Debug)]
pub(super) enum Shape {
    /// Named settings.
    Mapping(Mapping),
    /// Items of one kind.
    List(Node),
    /// One of these.
    Choice(Vec<&'static Json>),
    /// Any text.
    Text,
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// true or false.
    Flag,
}

/// A mapping: one set of settings, or one per value of a tag.
#[derive(Debug)]
pub(super) struct Mapping {
    tag: Option<&'static str>,
    variants: Vec<&'static Json>,
}

impl Node {
    /// The whole deployment.
    pub fn root() -> Self {
        Self::new(schema())
    }

    fn new(outer: &'static Json) -> Self {
        let mut inner = outer;
        let mut nullable = false;
        loop {
            if let Some(target) = inner["$ref"].as_str().and_then(|name| schema().pointer(name.trim_start_matches('#')))
            {
                inner = target;
            } else if let Some(options) = inner["anyOf"].as_array() {
                nullable |= options.iter().any(|option| option["type"] == "null");
                let Some(other) = options.iter().find(|option| option["type"] != "null") else { break };
                inner = other;
            } else {
                break;
            }
        }
        nullable |= types(inner).any(|name| name == "null");
        Self { outer, inner, nullable, tags: Vec::new() }
    }

    /// What the node holds.
    pub fn shape(&self) -> Shape {
        let choices = self.choices();
        if !choices.is_empty() {
            return Shape::Choice(choices);
        }
        if let Some(variants) = self.inner["oneOf"].as_array() {
            let variants: Vec<_> = variants.iter().collect();
            let tag = variants.iter().find_map(|variant| {
                let fields = variant["properties"].as_object()?;
                fields.iter().find(|(_, field)| field.get("const").is_some()).map(|(name, _)| name.as_str())
            });
            return Shape::Mapping(Mapping { tag, variants });
        }
        match types(self.inner).find(|name| *name != "null") {
            Some("array") => Shape::List(Self::new(&self.inner["items"])),
            Some("string") => Shape::Text,
            Some("integer") => Shape::Whole,
            Some("number") => Shape::Number,
            Some("boolean") => Shape::Flag,
            _ => Shape::Mapping(Mapping { tag: None, variants: vec![self.inner] }),
        }
    }

    fn choices(&self) -> Vec<&'static Json> {
        let listed = |schema: &'static Json| -> Vec<&'static Json> {
            schema["enum"].as_array().map_or_else(
                || schema.get("const").into_iter().collect(),
                |values| values.iter().filter(|value| !value.is_null()).collect(),
            )
        };
        let own = listed(self.inner);
        if !self.tags.is_empty() {
            self.tags.clone()
        } else if own.is_empty() {
            self.inner["oneOf"].as_array().map_or_else(Vec::new, |options| options.iter().flat_map(listed).collect())
        } else {
            own
        }
    }

    /// The setting's meaning, as one line.
    pub fn description(&self) -> String {
        let text = self.outer["description"].as_str().unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A number that the schema states, such as `minimum`.
    pub fn bound(&self, name: &str) -> Option<f64> {
        self.inner[name].as_f64()
    }

    /// How relative file names in this setting are written, where it holds any.
    pub fn path_kind(&self) -> Option<&'static str> {
        self.outer["x-path"].as_str()
    }

    /// The node at a path, whichever variant it belongs to.
    pub fn descend(&self, path: &FieldPath) -> Option<Self> {
        path.segments().iter().try_fold(self.clone(), |node, segment| match (node.shape(), segment) {
            (Shape::Mapping(mapping), Segment::Key(key)) => mapping.fields(None).remove(key.as_str()),
            (Shape::List(item), Segment::Index(_)) => Some(item),
            _ => None,
        })
    }

    /// Every setting at or below this node, sections included.
    pub fn paths(&self, at: &FieldPath) -> Vec<FieldPath> {
        let mut all = vec![at.clone()];
        if let Shape::Mapping(mapping) = self.shape() {
            for (name, field) in mapping.fields(None) {
                all.extend(field.paths(&at.key(name)));
            }
        }
        all
    }
}

impl Mapping {
    /// The settings that may stand in `value`; without one, those of every variant.
    pub fn fields(&self, value: Option<&serde_yaml::Mapping>) -> BTreeMap<&'static str, Node> {
        let mut fields = BTreeMap::new();
        for variant in self.chosen(value) {
            for (name, field) in variant["properties"].as_object().into_iter().flatten() {
                fields.entry(name.as_str()).or_insert_with(|| Node::new(field));
            }
        }
        if let Some(tag) = self.tag {
            let tags = self.variants.iter().map(|variant| &variant["properties"][tag]["const"]).collect();
            fields.entry(tag).and_modify(|node| node.tags = tags);
        }
        fields
    }

    /// The tag of `value` as it is written there, where it chooses a variant.
    pub fn kind(&self, value: &serde_yaml::Mapping) -> Option<String> {
        let tag = self.tag.filter(|_| self.chosen(Some(value)).len() == 1)?;
        Some(format!("{tag}: {}", value.get(tag)?.as_str()?))
    }

    /// The tags of the variants that have a setting.
    pub fn kinds_with(&self, setting: &str) -> Vec<&'static str> {
        let with = self.variants.iter().filter(|variant| variant["properties"].get(setting).is_some());
        let tag = |variant: &&'static Json| self.tag.and_then(|tag| variant["properties"][tag]["const"].as_str());
        with.filter_map(tag).collect()
    }

    /// The settings that must stand in `value`.
    pub fn required(&self, value: &serde_yaml::Mapping) -> Vec<&'static str> {
        let chosen = self.chosen(Some(value));
        if chosen.len() > 1 {
            return self.tag.into_iter().collect();
        }
        chosen
            .iter()
            .flat_map(|variant| variant["required"].as_array().into_iter().flatten())
            .filter_map(Json::as_str)
            .collect()
    }

    fn chosen(&self, value: Option<&serde_yaml::Mapping>) -> Vec<&'static Json> {
        let named = self.tag.zip(value).and_then(|(tag, value)| {
            let found = value.get(tag)?.as_str()?;
            self.variants.iter().find(|variant| variant["properties"][tag]["const"] == found)
        });
        named.map_or_else(|| self.variants.clone(), |variant| vec![*variant])
    }
}

fn types(schema: &'static Json) -> impl Iterator<Item = &'static str> {
    let listed = schema["type"].as_array().into_iter().flatten();
    listed.chain(schema.get("type")).filter_map(Json::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(path: &str) -> Shape {
        Node::root().descend(&FieldPath::parse(path)).unwrap().shape()
    }

    #[test]
    fn every_setting_has_a_known_shape_and_a_description() {
        let paths = Node::root().paths(&FieldPath::default());
        assert!(paths.len() > 100, "{}", paths.len());
        for path in paths.iter().filter(|path| !path.is_root()) {
            let node = Node::root().descend(path).unwrap();
            let described = node.outer["description"].is_string() || path.to_string() == "reward.kind";
            assert!(described, "{path}");
            if let Shape::Mapping(mapping) = node.shape() {
                assert!(!mapping.fields(None).is_empty(), "{path}");
            }
        }
    }

    #[test]
    fn shapes_follow_the_types() {
        assert!(matches!(shape("policy.delta"), Shape::Number));
        assert!(matches!(shape("server.port"), Shape::Whole));
        assert!(matches!(shape("roles.target.cpu"), Shape::Flag));
        assert!(matches!(shape("roles.draft.device_layers"), Shape::List(_)));
        assert!(matches!(shape("roles.draft.tokenizer"), Shape::Text));
        assert!(matches!(shape("reward.kind"), Shape::Choice(kinds) if kinds == ["judge", "resident", "prm"]));
        assert!(matches!(shape("roles.draft.paged_attn.block_size"), Shape::Choice(sizes) if sizes.len() == 3));
        assert!(Node::root().descend(&FieldPath::parse("reward.model.format")).unwrap().nullable);
        assert!(Node::root().descend(&FieldPath::parse("policy.dleta")).is_none());
    }

    #[test]
    fn ranges_of_the_policy_agree_with_its_own_check() {
        let bound = |field: &str, name| Node::root().descend(&FieldPath::parse(field)).unwrap().bound(name);
        let ok =
            |delta, p, alpha| crate::policy::PolicyConfig { delta, p, alpha, ..Default::default() }.validate().is_ok();
        let (low, high) = (bound("policy.delta", "minimum").unwrap(), bound("policy.delta", "maximum").unwrap());
        assert!(ok(low, 0.5, 1.0) && ok(high, 0.5, 1.0) && !ok(low - 1e-9, 0.5, 1.0) && !ok(high + 1e-9, 0.5, 1.0));
        let (low, high) = (bound("policy.p", "minimum").unwrap(), bound("policy.p", "maximum").unwrap());
        assert!(ok(0.5, low, 1.0) && ok(0.5, high, 1.0) && !ok(0.5, low - 1e-9, 1.0) && !ok(0.5, high + 1e-9, 1.0));
        let (low, high) =
            (bound("policy.alpha", "exclusiveMinimum").unwrap(), bound("policy.alpha", "maximum").unwrap());
        assert!(!ok(0.5, 0.5, low) && ok(0.5, 0.5, low + 1e-9) && ok(0.5, 0.5, high) && !ok(0.5, 0.5, high + 1e-9));
    }
}
