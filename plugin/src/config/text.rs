//! Reads text from the environment and the command line as the type that the schema wants.

use serde_yaml::{Mapping, Number, Value};

use super::{
    path::{FieldPath, Segment},
    schema::{Node, Shape},
};

/// The value that `text` stands for at `path`. Text that does not fit stays text, for the check to refuse.
pub(super) fn read(path: &FieldPath, text: &str) -> Value {
    Node::root().descend(path).map_or_else(|| text.into(), |node| typed(&node, text))
}

fn typed(node: &Node, text: &str) -> Value {
    if node.nullable && text.is_empty() {
        return Value::Null;
    }
    let shape = node.shape();
    if let Shape::Text = shape {
        return text.into();
    }
    let trimmed = text.trim();
    let value = match shape {
        Shape::Text => None,
        Shape::Choice(choices) => choices
            .into_iter()
            .find(|choice| {
                choice.as_str().map_or_else(|| choice.to_string(), str::to_lowercase) == trimmed.to_lowercase()
            })
            .and_then(|choice| serde_yaml::to_value(choice).ok()),
        Shape::Flag => trimmed.to_lowercase().parse::<bool>().ok().map(Value::Bool),
        Shape::Whole => trimmed
            .parse::<u64>()
            .map(Number::from)
            .or_else(|_| trimmed.parse::<i64>().map(Number::from))
            .or_else(|_| trimmed.parse::<f64>().map(Number::from))
            .ok()
            .map(Value::Number),
        Shape::Number => trimmed.parse::<f64>().ok().map(|number| Value::Number(number.into())),
        Shape::List(_) if trimmed.starts_with('[') => serde_yaml::from_str(trimmed).ok(),
        Shape::List(_) if trimmed.is_empty() => Some(Value::Sequence(Vec::new())),
        Shape::List(item) => Some(Value::Sequence(trimmed.split(',').map(|part| typed(&item, part.trim())).collect())),
        Shape::Mapping(_) => serde_yaml::from_str(trimmed).ok().filter(Value::is_mapping),
    };
    value.unwrap_or_else(|| text.into())
}

/// A tree that holds nothing but `value` at `path`.
pub(super) fn tree(path: &FieldPath, value: Value) -> Value {
    path.segments().iter().rev().fold(value, |inner, segment| match segment {
        Segment::Key(key) => Value::Mapping(Mapping::from_iter([(key.as_str().into(), inner)])),
        Segment::Index(_) => Value::Sequence(vec![inner]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(path: &str, text: &str) -> String {
        serde_yaml::to_string(&read(&FieldPath::parse(path), text)).unwrap().trim_end().to_owned()
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
            read(&FieldPath::parse("steps.delimiters"), r#"["\n\n", "\n"]"#),
            Value::Sequence(vec!["\n\n".into(), "\n".into()])
        );
        assert_eq!(yaml("roles.target", "{bundled: target}"), "bundled: target");
    }

    #[test]
    fn what_does_not_fit_stays_text() {
        assert_eq!(yaml("policy.delta", "high"), "high");
        assert_eq!(yaml("server.port", ""), "''");
        assert_eq!(yaml("roles.draft.cpu", "1"), "'1'");
        assert_eq!(yaml("roles.target", "target"), "target");
    }

    #[test]
    fn numbers_that_do_not_fit_are_still_numbers() {
        assert_eq!(yaml("server.port", "80.5"), "80.5");
        assert_eq!(yaml("server.port", "-1"), "-1");
    }
}
