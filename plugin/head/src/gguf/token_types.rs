//! The types that a GGUF gives to the tokens of its vocabulary (`tokenizer.ggml.token_type`).

use std::path::Path;

use candle_core::quantized::gguf_file::Value;

use super::read_header;

/// The type of tokens that stand apart from the merges and are text all the same, such as `<tool_call>`.
const USER_DEFINED: i64 = 4;

/// The ids of the user-defined tokens; none if the file is no GGUF or lists no types.
#[must_use]
pub fn user_defined_tokens(path: &Path) -> Vec<u32> {
    if path.extension().is_none_or(|extension| extension != "gguf") {
        return Vec::new();
    }
    let Ok(header) = read_header(path) else { return Vec::new() };
    match header.metadata.get("tokenizer.ggml.token_type") {
        Some(Value::Array(types)) => {
            (0..).zip(types).filter(|(_, kind)| is_user_defined(kind)).map(|(id, _)| id).collect()
        }
        _ => Vec::new(),
    }
}

fn is_user_defined(kind: &Value) -> bool {
    match kind {
        Value::I32(kind) => i64::from(*kind) == USER_DEFINED,
        Value::U32(kind) => i64::from(*kind) == USER_DEFINED,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::gguf_file;

    use super::*;

    #[test]
    fn user_defined_tokens_are_found_by_their_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        let types = Value::Array([1, 4, 3, 4, 5].map(Value::I32).to_vec());
        let mut file = std::fs::File::create(&path).unwrap();
        gguf_file::write(&mut file, &[("tokenizer.ggml.token_type", &types)], &[]).unwrap();
        assert_eq!(user_defined_tokens(&path), [1, 3]);
        assert_eq!(user_defined_tokens(&folder.path().join("absent.gguf")), [0u32; 0]);
        assert_eq!(user_defined_tokens(Path::new("model.safetensors")), [0u32; 0]);
    }
}
