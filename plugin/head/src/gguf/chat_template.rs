//! The chat template that a GGUF contains, as the entries of a `tokenizer_config.json`.

use std::{collections::HashMap, path::Path};

use candle_core::quantized::gguf_file::Value;
use serde_json::json;

use super::read_header;
use crate::models::ModelError;

/// `chat_template`, `bos_token` and `eos_token`; `None` if the file has no template.
///
/// # Errors
/// The file cannot be read, or is no GGUF.
pub fn tokenizer_config(path: &Path) -> Result<Option<serde_json::Value>, ModelError> {
    let metadata = read_header(path)?.metadata;
    let Some(Value::String(template)) = metadata.get("tokenizer.chat_template") else { return Ok(None) };
    let mut config = json!({ "chat_template": template });
    for name in ["bos", "eos"] {
        if let Some(token) = special_token(&metadata, name) {
            config[format!("{name}_token")] = json!(token);
        }
    }
    Ok(Some(config))
}

/// The text of the token whose id the file gives for a purpose.
fn special_token<'a>(metadata: &'a HashMap<String, Value>, name: &str) -> Option<&'a str> {
    let id = metadata.get(&format!("tokenizer.ggml.{name}_token_id"))?.to_u32().ok()?;
    let tokens = metadata.get("tokenizer.ggml.tokens")?.to_vec().ok()?;
    tokens.get(id as usize)?.to_string().ok().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::gguf_file;

    use super::*;

    #[test]
    fn template_and_special_tokens_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        let text = |text: &str| Value::String(text.to_owned());
        let tokens = Value::Array(vec![text("a"), text("</s>")]);
        let mut entries = vec![("tokenizer.ggml.tokens", &tokens)];
        let write = |entries: &[(&str, &Value)]| {
            let mut file = std::fs::File::create(&path).unwrap();
            gguf_file::write(&mut file, entries, &[]).unwrap();
            tokenizer_config(&path).unwrap()
        };
        assert_eq!(write(&entries), None);
        let (template, end, absent) = (text("{{ eos_token }}"), Value::U32(1), Value::U32(7));
        entries.extend([
            ("tokenizer.chat_template", &template),
            ("tokenizer.ggml.eos_token_id", &end),
            ("tokenizer.ggml.bos_token_id", &absent),
        ]);
        assert_eq!(write(&entries), Some(json!({ "chat_template": "{{ eos_token }}", "eos_token": "</s>" })));
    }
}
