//! The JSON Schema of a deployment file, and a way to walk through it.
//!
//! The schema alone defines which settings exist, their types and their ranges. `config schema` prints it, every layer
//! is checked against it, and text from the environment is parsed by it.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Map, Value as Json};

use super::{
    Deployment,
    field_path::{FieldPath, PathSegment},
};

static SCHEMA: LazyLock<Json> = LazyLock::new(|| schemars::schema_for!(Deployment).to_value());

/// The JSON Schema (draft 2020-12) of a deployment file, with descriptions, defaults and ranges.
#[must_use]
pub fn schema() -> &'static Json {
    &SCHEMA
}

/// One place of a deployment in the schema: a setting or a section.
#[derive(Debug, Clone)]
pub(super) struct SchemaNode {
    /// The field's own schema: its description and extensions.
    outer: &'static Json,
    /// The schema that the field refers to: its type and range.
    inner: &'static Json,
    /// Whether the setting may be left unset.
    pub nullable: bool,
    /// The values of a tag. Each variant of the schema has only its own.
    tags: Vec<&'static Json>,
}

/// The types of values.
#[derive(Debug)]
pub(super) enum ValueShape {
    /// Named settings.
    Mapping(MappingShape),
    /// Items of one type.
    List(SchemaNode),
    /// One of these values.
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

/// A mapping: one set of settings, or one per value of a tag and settings that all of them share.
#[derive(Debug)]
pub(super) struct MappingShape {
    tag: Option<&'static str>,
    variants: Vec<&'static Json>,
    shared: Option<&'static Json>,
}

impl SchemaNode {
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

    /// The type of the value.
    pub fn shape(&self) -> ValueShape {
        let choices = self.choices();
        if !choices.is_empty() {
            return ValueShape::Choice(choices);
        }
        if let Some(variants) = self.inner["oneOf"].as_array() {
            let variants: Vec<_> = variants.iter().collect();
            let tag = variants.iter().find_map(|variant| {
                let fields = variant["properties"].as_object()?;
                fields.iter().find(|(_, field)| field.get("const").is_some()).map(|(name, _)| name.as_str())
            });
            return ValueShape::Mapping(MappingShape { tag, variants, shared: Some(self.inner) });
        }
        match types(self.inner).find(|name| *name != "null") {
            Some("array") => ValueShape::List(Self::new(&self.inner["items"])),
            Some("string") => ValueShape::Text,
            Some("integer") => ValueShape::Whole,
            Some("number") => ValueShape::Number,
            Some("boolean") => ValueShape::Flag,
            _ => ValueShape::Mapping(MappingShape { tag: None, variants: vec![self.inner], shared: None }),
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

    /// The setting's description, as one line.
    pub fn description(&self) -> String {
        let text = self.outer["description"].as_str().unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A number in the schema, such as `minimum`.
    pub fn bound(&self, name: &str) -> Option<f64> {
        self.inner[name].as_f64()
    }

    /// How a relative path in this setting is written, if the setting may have one.
    pub fn path_kind(&self) -> Option<&'static str> {
        self.outer["x-path"].as_str()
    }

    /// The node at a path, in any variant.
    pub fn descend(&self, path: &FieldPath) -> Option<Self> {
        path.segments().iter().try_fold(self.clone(), |node, segment| match (node.shape(), segment) {
            (ValueShape::Mapping(mapping), PathSegment::Key(key)) => mapping.fields(None).remove(key.as_str()),
            (ValueShape::List(item), PathSegment::Index(_)) => Some(item),
            _ => None,
        })
    }

    /// Every setting at or below this node, sections included.
    pub fn paths(&self, at: &FieldPath) -> Vec<FieldPath> {
        let mut all = vec![at.clone()];
        if let ValueShape::Mapping(mapping) = self.shape() {
            for (name, field) in mapping.fields(None) {
                all.extend(field.paths(&at.key(name)));
            }
        }
        all
    }
}

impl MappingShape {
    /// The settings that `value` may have; without `value`, those of every variant.
    pub fn fields(&self, value: Option<&Map<String, Json>>) -> BTreeMap<&'static str, SchemaNode> {
        let mut fields = BTreeMap::new();
        for variant in self.chosen(value).into_iter().chain(self.shared) {
            for (name, field) in variant["properties"].as_object().into_iter().flatten() {
                fields.entry(name.as_str()).or_insert_with(|| SchemaNode::new(field));
            }
        }
        if let Some(tag) = self.tag {
            let tags = self.variants.iter().map(|variant| &variant["properties"][tag]["const"]).collect();
            fields.entry(tag).and_modify(|node| node.tags = tags);
        }
        fields
    }

    /// The tag of `value` as the file has it (`kind: prm`), if it selects a variant.
    pub fn kind(&self, value: &Map<String, Json>) -> Option<String> {
        let tag = self.tag.filter(|_| self.chosen(Some(value)).len() == 1)?;
        Some(format!("{tag}: {}", value.get(tag)?.as_str()?))
    }

    /// The tags of the variants that have a setting.
    pub fn kinds_with(&self, setting: &str) -> Vec<&'static str> {
        let with = self.variants.iter().filter(|variant| variant["properties"].get(setting).is_some());
        let tag = |variant: &&'static Json| self.tag.and_then(|tag| variant["properties"][tag]["const"].as_str());
        with.filter_map(tag).collect()
    }

    /// The settings that `value` must have.
    pub fn required(&self, value: &Map<String, Json>) -> Vec<&'static str> {
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

    fn chosen(&self, value: Option<&Map<String, Json>>) -> Vec<&'static Json> {
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

    fn shape(path: &str) -> ValueShape {
        SchemaNode::root().descend(&FieldPath::parse(path)).unwrap().shape()
    }

    #[test]
    fn every_setting_has_a_known_shape_and_a_description() {
        let paths = SchemaNode::root().paths(&FieldPath::default());
        assert!(paths.len() > 100, "{}", paths.len());
        for path in paths.iter().filter(|path| !path.is_root()) {
            let node = SchemaNode::root().descend(path).unwrap();
            let described = node.outer["description"].is_string() || path.to_string() == "reward.kind";
            assert!(described, "{path}");
            if let ValueShape::Mapping(mapping) = node.shape() {
                assert!(!mapping.fields(None).is_empty(), "{path}");
            }
        }
    }

    #[test]
    fn shapes_follow_the_types() {
        assert!(matches!(shape("policy.delta"), ValueShape::Number));
        assert!(matches!(shape("server.port"), ValueShape::Whole));
        assert!(matches!(shape("roles.target.cpu"), ValueShape::Flag));
        assert!(matches!(shape("roles.draft.device_layers"), ValueShape::List(_)));
        assert!(matches!(shape("roles.draft.tokenizer"), ValueShape::Text));
        assert!(
            matches!(shape("reward.kind"), ValueShape::Choice(kinds) if kinds == ["judge", "resident", "prm", "http", "weighted"])
        );
        assert!(matches!(shape("roles.draft.paged_attn.block_size"), ValueShape::Choice(sizes) if sizes.len() == 3));
        assert!(SchemaNode::root().descend(&FieldPath::parse("reward.model.format")).unwrap().nullable);
        assert!(SchemaNode::root().descend(&FieldPath::parse("policy.dleta")).is_none());
    }

    #[test]
    fn ranges_of_the_policy_agree_with_its_own_check() {
        let bound = |field: &str, name| SchemaNode::root().descend(&FieldPath::parse(field)).unwrap().bound(name);
        let ok = |delta, constant_probability, logistic_steepness| {
            rsd_core::policy::PolicyConfig { delta, constant_probability, logistic_steepness, ..Default::default() }
                .validate()
                .is_ok()
        };
        let (low, high) = (bound("policy.delta", "minimum").unwrap(), bound("policy.delta", "maximum").unwrap());
        assert!(ok(low, 0.5, 1.0) && ok(high, 0.5, 1.0) && !ok(low - 1e-9, 0.5, 1.0) && !ok(high + 1e-9, 0.5, 1.0));
        let (low, high) = (
            bound("policy.constant_probability", "minimum").unwrap(),
            bound("policy.constant_probability", "maximum").unwrap(),
        );
        assert!(ok(0.5, low, 1.0) && ok(0.5, high, 1.0) && !ok(0.5, low - 1e-9, 1.0) && !ok(0.5, high + 1e-9, 1.0));
        let (low, high) = (
            bound("policy.logistic_steepness", "exclusiveMinimum").unwrap(),
            bound("policy.logistic_steepness", "maximum").unwrap(),
        );
        assert!(!ok(0.5, 0.5, low) && ok(0.5, 0.5, low + 1e-9) && ok(0.5, 0.5, high) && !ok(0.5, 0.5, high + 1e-9));
    }
}
