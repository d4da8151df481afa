//! The words of errors: what a setting accepts, and what was found instead.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    field_path::{FieldPath, PathSegment},
    schema::{SchemaNode, ValueShape},
};

/// Characters of a value that an error repeats at most.
const SHOWN: usize = 60;

/// What a setting accepts, such as "a number from -1 to 2".
pub(super) fn expected(node: &SchemaNode) -> String {
    match node.shape() {
        ValueShape::Mapping(_) => "a mapping of settings".to_owned(),
        ValueShape::List(item) => format!("a list, each item {}", expected(&item)),
        ValueShape::Choice(choices) => {
            let names: Vec<_> = choices
                .iter()
                .map(|choice| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned))
                .collect();
            if let [only] = names.as_slice() { only.clone() } else { format!("one of {}", names.join(", ")) }
        }
        ValueShape::Text if node.bound("minLength").is_some() => "text that is not empty".to_owned(),
        ValueShape::Text => "text".to_owned(),
        ValueShape::Flag => "true or false".to_owned(),
        ValueShape::Whole => ranged("a whole number", node),
        ValueShape::Number => ranged("a number", node),
    }
}

fn ranged(kind: &str, node: &SchemaNode) -> String {
    let mut text = kind.to_owned();
    // Writing to a String cannot fail.
    let _ = match (node.bound("minimum"), node.bound("exclusiveMinimum"), node.bound("maximum")) {
        (Some(low), _, Some(high)) if low.total_cmp(&high).is_eq() => return low.to_string(),
        (Some(low), _, Some(high)) => write!(text, " from {low} to {high}"),
        (Some(low), _, None) => write!(text, ", at least {low}"),
        (None, Some(low), Some(high)) => write!(text, " above {low}, at most {high}"),
        (None, Some(low), None) => write!(text, " above {low}"),
        (None, None, Some(high)) => write!(text, ", at most {high}"),
        (None, None, None) => Ok(()),
    };
    text
}

/// What was found, such as `the text "0.5"`. Secrets are not repeated.
pub(super) fn found(path: &FieldPath, value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.is_empty() => "empty text".to_owned(),
        Value::String(text) => format!("the text {}", quoted(path, text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

/// Text in quotes, cut if it is long, masked if it may hold a secret.
pub(super) fn quoted(path: &FieldPath, text: &str) -> String {
    let text = mask(path, text);
    if text.chars().count() > SHOWN {
        let start: String = text.chars().take(SHOWN).collect();
        return format!("{start:?}...");
    }
    format!("{text:?}")
}

/// The text as it may be shown: a token, or text that may be a key, is replaced by `***`.
pub(super) fn mask(path: &FieldPath, text: &str) -> String {
    let field = match path.segments().last() {
        Some(PathSegment::Key(key)) => key.as_str(),
        _ => "",
    };
    match field {
        "token_source" => match text.split_once(':') {
            Some(("env" | "path", _)) => text.to_owned(),
            Some(("literal", _)) => "literal:***".to_owned(),
            None if matches!(text, "cache" | "none" | "env" | "path" | "literal") => text.to_owned(),
            // This may be the token itself, without its prefix.
            _ => "***".to_owned(),
        },
        // A key where the name of its variable belongs.
        "api_key_env" | "read_token_env" | "write_token_env" | "value_env" if !is_variable_name(text) => {
            "***".to_owned()
        }
        // Of a header.
        "value" => "***".to_owned(),
        // A section that does not parse, or a token source in another setting.
        _ => text.split_once("literal:").map_or_else(|| text.to_owned(), |(before, _)| format!("{before}literal:***")),
    }
}

/// Whether this is the URL of a server, to which paths such as `/v1/completions` are added.
pub(super) fn is_base_url(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with(['/', ':'])
            && !rest.contains([' ', '@', '?', '#'])
            && !rest.trim_end_matches('/').ends_with("/v1")
    })
}

/// Whether this can be the name of an environment variable.
pub(super) fn is_variable_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|each| each.is_ascii_alphanumeric() || each == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected_at(path: &str) -> String {
        expected(&SchemaNode::root().descend(&FieldPath::parse(path)).unwrap())
    }

    #[test]
    fn expectations_are_sentences() {
        assert_eq!(expected_at("policy.delta"), "a number from -1 to 2");
        assert_eq!(expected_at("policy.logistic_steepness"), "a number above 0, at most 1000");
        assert_eq!(expected_at("server.port"), "a whole number from 0 to 65535");
        assert_eq!(expected_at("roles.draft.context_length"), "a whole number, at least 1");
        assert_eq!(expected_at("version"), "1");
        assert_eq!(expected_at("reward.kind"), "one of judge, resident, prm, http, weighted");
        assert_eq!(expected_at("roles.draft.paged_attn.block_size"), "one of 8, 16, 32");
        assert_eq!(expected_at("steps.delimiters"), "a list, each item text that is not empty");
    }

    #[test]
    fn secrets_are_not_repeated() {
        let source = FieldPath::parse("roles.draft.token_source");
        for (text, shown) in [
            ("literal:hf_abc", "literal:***"),
            ("hf_abc", "***"),
            ("litteral:hf_abc", "***"),
            ("env:HF_TOKEN", "env:HF_TOKEN"),
            ("cache", "cache"),
        ] {
            assert_eq!(mask(&source, text), shown);
        }
        assert_eq!(
            mask(&FieldPath::parse("roles.draft"), "{token_source: literal:hf_abc"),
            "{token_source: literal:***"
        );
        assert_eq!(mask(&FieldPath::parse("server.api_key_env"), "sk-123"), "***");
        assert_eq!(mask(&FieldPath::parse("server.api_key_env"), "RSD_KEY"), "RSD_KEY");
        let header = FieldPath::parse("roles.target.remote.headers").index(0);
        assert_eq!(mask(&header.key("value"), "tenant-7"), "***");
        assert_eq!(mask(&header.key("value_env"), "sk 123"), "***");
        assert_eq!(mask(&header.key("name"), "x-tenant"), "x-tenant");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let shown = quoted(&FieldPath::default(), &"ä".repeat(200));
        assert_eq!(shown.chars().count(), SHOWN + 5);
    }
}
