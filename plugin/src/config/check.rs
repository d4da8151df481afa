//! Checks a tree of settings against the schema, finds all its faults and takes the faulty parts out.
//!
//! Types are strict: nothing is turned into something else. What is left can be merged with other layers
//! without reporting one fault twice.

use serde_yaml::{Mapping, Number, Value};

use super::{
    nearest::nearest,
    path::FieldPath,
    refusal,
    schema::{self, Node, Shape},
    words,
};

/// One fault of a tree.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    /// The setting.
    pub path: FieldPath,
    /// Whether the key itself is at fault, not its value.
    pub key: bool,
    /// What is wrong.
    pub message: String,
    /// What an unknown key may have been meant for.
    pub meant: Vec<FieldPath>,
}

impl Fault {
    /// A fault of a value.
    pub fn of_value(path: FieldPath, message: String) -> Self {
        Self { path, key: false, message, meant: Vec::new() }
    }

    /// The settings whose value cannot be known because of this fault.
    pub fn touched(&self) -> Vec<FieldPath> {
        let mut all = self.meant.clone();
        all.push(self.path.clone());
        all
    }
}

/// How much of a deployment a tree is meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// One layer: anything may be absent.
    Part,
    /// All layers together: what is required must be there. What is missing is filled with something harmless.
    Whole,
}

/// All faults of `tree`; afterwards it holds none.
pub(super) fn check(tree: &mut Value, extent: Extent) -> Vec<Fault> {
    let mut check = Check { extent, faults: Vec::new() };
    if !check.visit(&Node::root(), tree, &FieldPath::default()) {
        *tree = Value::Mapping(Mapping::new());
    }
    check.faults
}

struct Check {
    extent: Extent,
    faults: Vec<Fault>,
}

impl Check {
    /// Whether the value may stay.
    fn visit(&mut self, node: &Node, value: &mut Value, path: &FieldPath) -> bool {
        if node.nullable && value.is_null() {
            return true;
        }
        let accepted = match (node.shape(), &mut *value) {
            (Shape::Mapping(shape), Value::Mapping(settings)) => {
                self.mapping(&shape, settings, path);
                true
            }
            (Shape::List(item), Value::Sequence(items)) => {
                let mut whole = true;
                for (index, value) in items.iter_mut().enumerate() {
                    whole &= self.visit(&item, value, &path.index(index));
                }
                // The faults of the items are noted; the list is faulty because of them.
                return whole;
            }
            (Shape::Choice(choices), value) => choices.iter().any(|choice| equal(choice, value)),
            (Shape::Text, Value::String(text)) => node.bound("minLength").is_none() || !text.is_empty(),
            (Shape::Flag, Value::Bool(_)) => true,
            (Shape::Whole, Value::Number(number)) => !number.is_f64() && in_range(node, number),
            (Shape::Number, Value::Number(number)) => number.is_finite() && in_range(node, number),
            _ => false,
        };
        if !accepted {
            let (expected, found) = (words::expected(node), words::found(path, value));
            let hint = if path.is_root() { None } else { hint(&node.shape(), value) }.unwrap_or_default();
            self.faults.push(Fault::of_value(path.clone(), format!("expected {expected}, found {found}{hint}")));
        }
        accepted
    }

    fn mapping(&mut self, shape: &schema::Mapping, settings: &mut Mapping, path: &FieldPath) {
        let fields = shape.fields(Some(settings));
        let required = shape.required(settings);
        let kind = shape.kind(settings);
        let given: Vec<_> = settings.keys().cloned().collect();
        settings.retain(|key, value| {
            let Some(name) = key.as_str() else {
                let found = words::found(path, key);
                self.faults.push(Fault::of_value(
                    path.clone(),
                    format!("expected the name of a setting, found {found} as a key"),
                ));
                return false;
            };
            let path = path.key(name);
            if let Some(field) = fields.get(name) {
                return self.visit(field, value, &path);
            }
            if let Some(refusal) = refusal::of_setting(name) {
                let message = format!("is refused: {}. {}", refusal.reason, refusal.instead);
                self.faults.push(Fault { path, key: true, message, meant: Vec::new() });
                return false;
            }
            let others = shape.kinds_with(name);
            if let Some(kind) = kind.as_ref().filter(|_| !others.is_empty()) {
                let message = format!("does not go with `{kind}`: it is a setting of {}", others.join(" and "));
                self.faults.push(Fault { path, key: true, message, meant: Vec::new() });
                return false;
            }
            let meant = nearest(&path, fields.keys().copied());
            let message = unknown(&path.parent(), &fields.keys().copied().collect::<Vec<_>>(), meant.is_empty());
            self.faults.push(Fault { path, key: true, message, meant });
            false
        });
        if self.extent == Extent::Whole {
            for (name, field) in required.iter().filter_map(|name| fields.get_key_value(name)) {
                if settings.contains_key(name) {
                    continue;
                }
                settings.insert((*name).into(), placeholder(field));
                if !given.iter().any(|key| key == name) {
                    let message = format!("is missing: expected {}", words::expected(field));
                    self.faults.push(Fault::of_value(path.key(name), message));
                }
            }
        }
    }
}

fn unknown(section: &FieldPath, known: &[&str], list: bool) -> String {
    let owner = if section.is_root() { "the file".to_owned() } else { format!("`{section}`") };
    match (list, known.len()) {
        (true, 1..=12) => format!("unknown setting: {owner} has {}", known.join(", ")),
        (true, _) => format!("unknown setting: `mistralrs-rsd config schema` lists those of {owner}"),
        (false, _) => "unknown setting".to_owned(),
    }
}

/// Something that satisfies the node, so that one missing setting does not hide the problems of the others.
fn placeholder(node: &Node) -> Value {
    match node.shape() {
        Shape::Mapping(shape) => {
            let mut settings = Mapping::new();
            let fields = shape.fields(None);
            for name in shape.required(&settings.clone()) {
                if let Some(field) = fields.get(name) {
                    settings.insert(name.into(), placeholder(field));
                }
            }
            Value::Mapping(settings)
        }
        Shape::List(_) => Value::Sequence(Vec::new()),
        Shape::Choice(choices) => {
            choices.first().map_or(Value::Null, |choice| serde_yaml::to_value(choice).unwrap_or_default())
        }
        Shape::Text => Value::String("-".to_owned()),
        Shape::Flag => Value::Bool(false),
        Shape::Whole | Shape::Number => Value::Number(Number::from(1)),
    }
}

fn equal(choice: &serde_json::Value, value: &Value) -> bool {
    match value {
        Value::String(text) => choice.as_str() == Some(text),
        Value::Number(number) => choice.as_u64().is_some() && choice.as_u64() == number.as_u64(),
        _ => false,
    }
}

fn in_range(node: &Node, number: &Number) -> bool {
    let Some(value) = number.as_f64() else { return false };
    node.bound("minimum").is_none_or(|low| value >= low)
        && node.bound("maximum").is_none_or(|high| value <= high)
        && node.bound("exclusiveMinimum").is_none_or(|low| value > low)
}

/// What to do about the commonest slips of YAML.
fn hint(shape: &Shape, value: &Value) -> Option<String> {
    match (shape, value) {
        (Shape::Whole | Shape::Number, Value::String(text)) if text.parse::<f64>().is_ok_and(f64::is_finite) => {
            Some(format!("; write it without quotes: {text}"))
        }
        (Shape::Flag, Value::String(text)) => match text.to_lowercase().as_str() {
            "yes" | "on" | "true" => Some("; write true".to_owned()),
            "no" | "off" | "false" => Some("; write false".to_owned()),
            _ => None,
        },
        (Shape::Text, Value::Number(_) | Value::Bool(_)) => Some(format!("; write it in quotes: \"{}\"", plain(value))),
        (Shape::List(_), Value::String(text)) => Some(format!("; write it as a list: [{text:?}]")),
        (Shape::Mapping(_), Value::Null) => Some("; give it settings or leave it out".to_owned()),
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
    use super::*;

    fn faults(yaml: &str, extent: Extent) -> Vec<String> {
        let mut tree = serde_yaml::from_str(yaml).unwrap();
        let faults = check(&mut tree, extent);
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
            assert_eq!(faults(yaml, Extent::Part).len(), 1, "{yaml}");
        }
    }

    #[test]
    fn what_is_right_stays() {
        let yaml = "version: 1\nroles: {draft: {model_id: x, isq: '4', cpu: true, tokenizer: ~}, target: ~}\npolicy: {delta: 1}\nreward: {kind: judge, model: {bundled: y}}\nserver: {port: 0, cors_origins: []}\n";
        let mut tree: Value = serde_yaml::from_str(yaml).unwrap();
        let before = tree.clone();
        assert_eq!(check(&mut tree, Extent::Whole), []);
        assert_eq!(tree, before);
    }

    #[test]
    fn unknown_keys_are_found_at_every_depth() {
        let yaml = "polcy: {}\ndelta: 1\npolicy: {temperature: 1}\nroles: {draft: {modelid: x, paged_attn: {mod: on}}, judge: {}}\nreward: {kind: judge, modle: {}}\n";
        insta::assert_snapshot!(faults(yaml, Extent::Part).join("\n"), @"
        polcy: unknown setting
        delta: unknown setting
        policy.temperature: unknown setting: `policy` has alpha, answers, ceiling, delta, floor, gamma, mode, p, warm_up, weighting
        roles.draft.modelid: unknown setting
        roles.draft.paged_attn.mod: unknown setting
        roles.judge: unknown setting: `roles` has draft, target
        reward.modle: unknown setting
        ");
    }

    #[test]
    fn a_setting_of_another_kind_is_told_from_an_unknown_one() {
        insta::assert_snapshot!(faults("reward: {kind: judge, head: x, hat: y}", Extent::Part).join("\n"), @"
        reward.head: does not go with `kind: judge`: it is a setting of resident and prm
        reward.hat: unknown setting: `reward` has kind, model
        ");
    }

    #[test]
    fn what_mistralrs_has_and_a_role_cannot_honour_is_refused_with_the_reason() {
        let yaml = "roles: {draft: {hf_cache: x}, target: {max_edge: 9}}\n";
        insta::assert_snapshot!(faults(yaml, Extent::Part).join("\n"), @"
        roles.draft.hf_cache: is refused: mistral.rs 0.8.1 reads it and then takes the folder that HF_HUB_CACHE or HF_HOME names all the same. Set HF_HUB_CACHE in the environment
        roles.target.max_edge: is refused: the models of an RSD deployment read text, no images. Leave it out
        ");
    }

    #[test]
    fn what_is_missing_is_named_and_filled() {
        insta::assert_snapshot!(faults("reward: {model: {bundled: x}}", Extent::Whole).join("\n"), @"
        reward.kind: is missing: expected one of judge, resident, prm
        version: is missing: expected 1
        roles: is missing: expected a mapping of settings
        ");
    }
}
