//! Checks a tree of settings against the schema, finds all its faults and removes the parts at fault.
//!
//! Types are strict: no value is converted. The rest of the tree can be merged with other layers without reporting a
//! fault twice.

use serde_json::{Map, Number, Value};

use super::{
    field_path::FieldPath,
    messages,
    option_conflicts::unsupported_setting,
    schema::{MappingShape, SchemaNode, ValueShape},
    suggest::suggest,
};

/// One fault of a tree: a value that the schema does not allow, or a key that it does not have.
#[derive(Debug, PartialEq)]
pub(super) struct SchemaFault {
    pub path: FieldPath,
    /// Whether the key is at fault, not its value.
    pub key: bool,
    /// What was expected and found.
    pub message: String,
    /// The settings that the user may have meant by an unknown key.
    pub meant: Vec<FieldPath>,
}

impl SchemaFault {
    /// A fault of a value.
    pub fn of_value(path: FieldPath, message: String) -> Self {
        Self { path, key: false, message, meant: Vec::new() }
    }

    /// The settings whose value is unknown because of this fault.
    pub fn touched(&self) -> Vec<FieldPath> {
        let mut all = self.meant.clone();
        all.push(self.path.clone());
        all
    }
}

/// How much of a deployment a tree has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TreeExtent {
    /// One layer: any setting may be missing.
    Part,
    /// All layers together: required settings must be there. Missing ones are filled with a value that passes the check.
    Whole,
}

/// All faults of `tree`. Afterwards it has none.
pub(super) fn check(tree: &mut Value, extent: TreeExtent) -> Vec<SchemaFault> {
    let mut check = SchemaChecker { extent, faults: Vec::new() };
    if !check.visit(&SchemaNode::root(), tree, &FieldPath::default()) {
        *tree = Value::Object(Map::new());
    }
    check.faults
}

struct SchemaChecker {
    extent: TreeExtent,
    faults: Vec<SchemaFault>,
}

impl SchemaChecker {
    /// Whether the value is valid.
    fn visit(&mut self, node: &SchemaNode, value: &mut Value, path: &FieldPath) -> bool {
        if node.nullable && value.is_null() {
            return true;
        }
        let accepted = match (node.shape(), &mut *value) {
            (ValueShape::Mapping(shape), Value::Object(settings)) => {
                self.mapping(&shape, settings, path);
                true
            }
            (ValueShape::List(item), Value::Array(items)) => {
                let mut valid = true;
                for (index, value) in items.iter_mut().enumerate() {
                    valid &= self.visit(&item, value, &path.index(index));
                }
                // The faults of the items are recorded already; without the item the list would not be what was given.
                return valid;
            }
            (ValueShape::Choice(choices), value) => choices.iter().any(|choice| equal(choice, value)),
            (ValueShape::Text, Value::String(text)) => node.bound("minLength").is_none() || !text.is_empty(),
            (ValueShape::Flag, Value::Bool(_)) => true,
            (ValueShape::Whole, Value::Number(number)) => !number.is_f64() && in_range(node, number),
            (ValueShape::Number, Value::Number(number)) => in_range(node, number),
            _ => false,
        };
        if !accepted {
            let (expected, found) = (messages::expected(node), messages::found(path, value));
            let hint = if path.is_root() { None } else { hint(&node.shape(), value) }.unwrap_or_default();
            self.faults.push(SchemaFault::of_value(path.clone(), format!("expected {expected}, found {found}{hint}")));
        }
        accepted
    }

    fn mapping(&mut self, shape: &MappingShape, settings: &mut Map<String, Value>, path: &FieldPath) {
        let fields = shape.fields(Some(settings));
        let required = shape.required(settings);
        let kind = shape.kind(settings);
        let given: Vec<_> = settings.keys().cloned().collect();
        settings.retain(|name, value| {
            let path = path.key(name);
            if let Some(field) = fields.get(name.as_str()) {
                return self.visit(field, value, &path);
            }
            if let Some(option) = unsupported_setting(name) {
                let message = format!("is not supported: {}. {}", option.reason, option.instead);
                self.faults.push(SchemaFault { path, key: true, message, meant: Vec::new() });
                return false;
            }
            let others = shape.kinds_with(name);
            if let Some(kind) = kind.as_ref().filter(|_| !others.is_empty()) {
                let message = format!("is not a setting of `{kind}`: it belongs to {}", others.join(" and "));
                self.faults.push(SchemaFault { path, key: true, message, meant: Vec::new() });
                return false;
            }
            let meant = suggest(&path, fields.keys().copied());
            let message = unknown(&path.parent(), &fields.keys().copied().collect::<Vec<_>>(), meant.is_empty());
            self.faults.push(SchemaFault { path, key: true, message, meant });
            false
        });
        if self.extent == TreeExtent::Whole {
            for (name, field) in required.iter().filter_map(|name| fields.get_key_value(name)) {
                if settings.contains_key(*name) {
                    continue;
                }
                settings.insert((*name).to_owned(), placeholder(field));
                if !given.iter().any(|key| key == *name) {
                    let message = format!("is missing: expected {}", messages::expected(field));
                    self.faults.push(SchemaFault::of_value(path.key(name), message));
                }
            }
        }
    }
}

fn unknown(section: &FieldPath, known: &[&str], list: bool) -> String {
    let owner = if section.is_root() { "the file".to_owned() } else { format!("`{section}`") };
    match (list, known.len()) {
        (true, 1..=16) => format!("unknown setting: {owner} has {}", known.join(", ")),
        (true, _) => format!("unknown setting: `mistralrs-rsd config schema` lists those of {owner}"),
        (false, _) => "unknown setting".to_owned(),
    }
}

/// A value that passes the check, so that one missing setting does not hide the problems of the others.
fn placeholder(node: &SchemaNode) -> Value {
    match node.shape() {
        ValueShape::Mapping(shape) => {
            let mut settings = Map::new();
            let fields = shape.fields(None);
            for name in shape.required(&settings.clone()) {
                if let Some(field) = fields.get(name) {
                    settings.insert(name.to_owned(), placeholder(field));
                }
            }
            Value::Object(settings)
        }
        ValueShape::List(_) => Value::Array(Vec::new()),
        ValueShape::Choice(choices) => choices.first().map_or(Value::Null, |choice| (*choice).clone()),
        ValueShape::Text => Value::String("-".to_owned()),
        ValueShape::Flag => Value::Bool(false),
        ValueShape::Whole | ValueShape::Number => Value::Number(Number::from(1)),
    }
}

fn equal(choice: &Value, value: &Value) -> bool {
    match value {
        Value::String(text) => choice.as_str() == Some(text),
        Value::Number(number) => choice.as_u64().is_some() && choice.as_u64() == number.as_u64(),
        _ => false,
    }
}

fn in_range(node: &SchemaNode, number: &Number) -> bool {
    let Some(value) = number.as_f64() else { return false };
    node.bound("minimum").is_none_or(|low| value >= low)
        && node.bound("maximum").is_none_or(|high| value <= high)
        && node.bound("exclusiveMinimum").is_none_or(|low| value > low)
}

/// What to do about common mistakes in YAML.
fn hint(shape: &ValueShape, value: &Value) -> Option<String> {
    match (shape, value) {
        (ValueShape::Whole | ValueShape::Number, Value::String(text))
            if text.parse::<f64>().is_ok_and(f64::is_finite) =>
        {
            Some(format!("; write it without quotes: {text}"))
        }
        (ValueShape::Flag, Value::String(text)) => match text.to_lowercase().as_str() {
            "yes" | "on" | "true" => Some("; write true".to_owned()),
            "no" | "off" | "false" => Some("; write false".to_owned()),
            _ => None,
        },
        (ValueShape::Text, Value::Number(_) | Value::Bool(_)) => {
            Some(format!("; write it in quotes: \"{}\"", plain(value)))
        }
        (ValueShape::List(_), Value::String(text)) => Some(format!("; write it as a list: [{text:?}]")),
        (ValueShape::Mapping(_), Value::Null) => Some("; give it settings or leave it out".to_owned()),
        _ => None,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::yaml, *};

    fn faults(yaml: &str, extent: TreeExtent) -> Vec<String> {
        let (mut tree, mut faults) = yaml::parse(yaml).unwrap();
        faults.extend(check(&mut tree, extent));
        assert_eq!(check(&mut tree, extent), [], "a checked tree has no faults left");
        faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect()
    }

    #[test]
    fn types_are_strict() {
        for yaml in [
            "policy: {delta: '0.5'}",
            "policy: {delta: true}",
            "policy: {delta: .nan}",
            "policy: {delta: -.inf}",
            "policy: {delta: }",
            "policy: {delta: [0.5]}",
            "policy: {delta: !half 0.5}",
            "policy: {mode: RSD}",
            "policy: ",
            "server: {port: 1.5}",
            "server: {port: 8080.0}",
            "server: {port: '8080'}",
            "server: {port: -1}",
            "server: {port: 65536}",
            "server: {host: 127}",
            "server: {cors_origins: '*'}",
            "server: {cors_origins: [1]}",
            "steps: {delimiters: ['']}",
            "limits: {running: 0}",
            "limits: {max_tokens: 18446744073709551615}",
            "roles: {draft: {isq: 4}}",
            "roles: {draft: {cpu: 'yes'}}",
            "roles: {draft: {format: zip}}",
            "roles: {draft: {paged_attn: {block_size: 7}}}",
            "roles: {draft: {paged_attn: {memory_fraction: 0}}}",
            "reward: {kind: oracle}",
            "roles: {1: x}",
        ] {
            assert_eq!(faults(yaml, TreeExtent::Part).len(), 1, "{yaml}");
        }
    }

    #[test]
    fn a_valid_tree_is_left_as_it_is() {
        let yaml = "version: 1\nroles: {draft: {model_id: x, isq: '4', cpu: true, tokenizer: ~}, target: ~}\npolicy: {delta: 1}\nreward: {kind: judge, model: {bundled: y}}\nserver: {port: 0, cors_origins: []}\n";
        let mut tree: Value = serde_yaml::from_str(yaml).unwrap();
        let before = tree.clone();
        assert_eq!(check(&mut tree, TreeExtent::Whole), []);
        assert_eq!(tree, before);
    }

    #[test]
    fn unknown_keys_are_found_at_every_depth() {
        let yaml = "polcy: {}\ndelta: 1\npolicy: {temperature: 1}\nroles: {draft: {modelid: x, paged_attn: {mod: on}}, judge: {}}\nreward: {kind: judge, modle: {}}\n";
        insta::assert_snapshot!(faults(yaml, TreeExtent::Part).join("\n"), @"
        polcy: unknown setting
        delta: unknown setting
        policy.temperature: unknown setting: `policy` has after_rejection, ceiling, constant_probability, delta, exploration, floor, logistic_steepness, max_regret, mode, ramp_tokens, route, target_rate, warm_up, weighting
        roles.draft.modelid: unknown setting
        roles.draft.paged_attn.mod: unknown setting
        roles.judge: unknown setting: `roles` has draft, target
        reward.modle: unknown setting
        ");
    }

    #[test]
    fn a_setting_of_another_kind_is_distinguished_from_an_unknown_one() {
        insta::assert_snapshot!(faults("reward: {kind: judge, head: x, hat: y}", TreeExtent::Part).join("\n"), @"
        reward.head: is not a setting of `kind: judge`: it belongs to resident and prm
        reward.hat: unknown setting: `reward` has checks, kind, model, reject_false
        ");
    }

    #[test]
    fn what_mistralrs_has_and_a_role_does_not_support_is_rejected_with_the_reason() {
        let yaml = "roles: {draft: {hf_cache: x}, target: {max_edge: 9}}\n";
        insta::assert_snapshot!(faults(yaml, TreeExtent::Part).join("\n"), @"
        roles.draft.hf_cache: is not supported: mistral.rs 0.8.1 parses it but uses the folder that HF_HUB_CACHE or HF_HOME names. Set HF_HUB_CACHE in the environment
        roles.target.max_edge: is not supported: the models of an RSD deployment take text, no images. Leave it out
        ");
    }

    #[test]
    fn what_is_missing_is_named_and_filled() {
        insta::assert_snapshot!(faults("reward: {model: {bundled: x}}", TreeExtent::Whole).join("\n"), @"
        reward.kind: is missing: expected one of judge, resident, prm, http, weighted
        version: is missing: expected 1
        roles: is missing: expected a mapping of settings
        ");
    }
}
