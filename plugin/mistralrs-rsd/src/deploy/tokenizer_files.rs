//! The `tokenizer.json` files of a deployment. Draft, target and reward model often name the same one, which takes about
//! 100 MB in memory for 150,000 tokens.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
};

use rsd_vocabulary::Vocabulary;

use super::DeployError;

/// The files that were read, each once.
#[derive(Default)]
pub(super) struct TokenizerFiles(HashMap<PathBuf, Arc<Vocabulary>>);

impl TokenizerFiles {
    /// The vocabulary of a file, which `section` of the deployment file names.
    pub(super) fn read(&mut self, section: &str, path: &Path) -> Result<Arc<Vocabulary>, DeployError> {
        match self.0.entry(path.to_owned()) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(free) => {
                let read = Vocabulary::from_file(path).map_err(|reason| DeployError::Tokenizer {
                    section: section.to_owned(),
                    path: path.to_owned(),
                    reason,
                })?;
                Ok(free.insert(Arc::new(read)).clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once_and_a_bad_one_is_named_with_its_section() {
        let dir = tempfile::tempdir().unwrap();
        let (good, bad) = (dir.path().join("tokenizer.json"), dir.path().join("bad.json"));
        let text = r#"{"model": {"type": "WordLevel", "vocab": {"<unk>": 0, "a": 1}, "unk_token": "<unk>"},
            "added_tokens": [{"id": 0, "content": "<unk>", "special": true, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false}], "decoder": {"type": "ByteLevel", "add_prefix_space": false,
            "trim_offsets": true, "use_regex": true}}"#;
        std::fs::write(&good, text).unwrap();
        std::fs::write(&bad, "{").unwrap();
        let mut files = TokenizerFiles::default();
        let first = files.read("roles.draft", &good).unwrap();
        assert!(Arc::ptr_eq(&first, &files.read("roles.target", &good).unwrap()));
        let error = files.read("roles.target", &bad).err().unwrap().to_string();
        assert!(error.contains("roles.target") && error.contains("bad.json"), "{error}");
    }
}
