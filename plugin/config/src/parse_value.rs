//! Parses text from the environment and the command line as the type that the schema has for the setting.

use serde_json::{Map, Number, Value};

use super::{
    field_path::{FieldPath, PathSegment},
    former_names::present_path,
    schema::{SchemaNode, ValueShape},
    yaml,
};

/// The value that `text` stands for at `path`. Text that does not fit stays text; the check then reports it.
pub(super) fn parse_value(path: &FieldPath, text: &str) -> Value {
    SchemaNode::root().descend(&present_path(path)).map_or_else(|| text.into(), |node| typed(&node, text))
}

fn typed(node: &SchemaNode, text: &str) -> Value {
    if node.nullable && text.is_empty() {
        return Value::Null;
    }
    let shape = node.shape();
    if let ValueShape::Text = shape {
        return text.into();
    }
    let trimmed = text.trim();
    let value = match shape {
        ValueShape::Text => None,
        ValueShape::Choice(choices) => choices
            .into_iter()
            .find(|choice| {
                choice.as_str().map_or_else(|| choice.to_string(), str::to_lowercase) == trimmed.to_lowercase()
            })
            .cloned(),
        ValueShape::Flag => trimmed.to_lowercase().parse::<bool>().ok().map(Value::Bool),
        ValueShape::Whole => trimmed
            .parse::<u64>()
            .map(Number::from)
            .or_else(|_| trimmed.parse::<i64>().map(Number::from))
            .ok()
            .or_else(|| Number::from_f64(trimmed.parse().ok()?))
            .map(Value::Number),
        ValueShape::Number => trimmed.parse().ok().and_then(Number::from_f64).map(Value::Number),
        ValueShape::List(_) if trimmed.starts_with('[') => yaml::parse_value(trimmed),
        ValueShape::List(_) if trimmed.is_empty() => Some(Value::Array(Vec::new())),
        ValueShape::List(item) => {
            Some(Value::Array(trimmed.split(',').map(|part| typed(&item, part.trim())).collect()))
        }
        ValueShape::Mapping(_) => yaml::parse_value(trimmed).filter(Value::is_object),
    };
    value.unwrap_or_else(|| text.into())
}

/// A tree with `value` at `path` and nothing else.
pub(super) fn tree(path: &FieldPath, value: Value) -> Value {
    path.segments().iter().rev().fold(value, |inner, segment| match segment {
        PathSegment::Key(key) => Value::Object(Map::from_iter([(key.clone(), inner)])),
        PathSegment::Index(_) => Value::Array(vec![inner]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(path: &str, text: &str) -> String {
        serde_yaml::to_string(&parse_value(&FieldPath::parse(path), text)).unwrap().trim_end().to_owned()
    }

    #[test]
    fn text_becomes_the_type_of_its_setting() {
        assert_eq!(yaml("policy.delta", "0.5"), "0.5");
        assert_eq!(yaml("server.port", " 8080 "), "8080");
        assert_eq!(yaml("server.model_name", "123"), "'123'");
        assert_eq!(yaml("roles.draft.isq", "4"), "'4'");
        assert_eq!(yaml("roles.draft.cpu", "TRUE"), "true");
        assert_eq!(yaml("roles.draft.dtype", "BF16"), "bf16");
        assert_eq!(yaml("roles.draft.paged_attn.block_size", "16"), "16");
        assert_eq!(yaml("roles.draft.isq", ""), "null");
        assert_eq!(yaml("server.cors_origins", "http://a, http://b"), "- http://a\n- http://b");
        assert_eq!(yaml("server.cors_origins", ""), "[]");
        assert_eq!(
            parse_value(&FieldPath::parse("steps.delimiters"), r#"["\n\n", "\n"]"#),
            Value::Array(vec!["\n\n".into(), "\n".into()])
        );
        assert_eq!(yaml("roles.target", "{bundled: target}"), "bundled: target");
    }

    #[test]
    fn what_does_not_fit_stays_text() {
        assert_eq!(yaml("policy.delta", "high"), "high");
        assert_eq!(yaml("server.port", ""), "''");
        assert_eq!(yaml("policy.delta", "nan"), "nan");
        assert_eq!(yaml("roles.draft.cpu", "1"), "'1'");
        assert_eq!(yaml("roles.target", "target"), "target");
    }

    #[test]
    fn numbers_that_do_not_fit_are_still_numbers() {
        assert_eq!(yaml("server.port", "80.5"), "80.5");
        assert_eq!(yaml("server.port", "-1"), "-1");
    }
}
