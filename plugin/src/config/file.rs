//! The file as a layer: read, parsed, and its relative paths turned to where the file lies.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_yaml::Value;

use super::{
    error::{Place, Problem},
    locate::{locate, locate_nearest},
    path::FieldPath,
    schema::{Node, Shape},
};

/// A deployment file as it was read.
#[derive(Debug)]
pub(super) struct Source {
    file: PathBuf,
    text: String,
}

impl Source {
    /// Reads the file. What YAML itself refuses (bad syntax, a key twice) ends here.
    pub fn read(file: &Path) -> Result<(Self, Value), Problem> {
        let refused =
            |at, message| Problem { place: Place::File { file: file.to_owned(), at }, path: String::new(), message };
        let text = fs::read_to_string(file)
            .map_err(|error| refused(None, format!("expected a readable YAML file: {error}")))?;
        let tree = serde_yaml::from_str(&text).map_err(|error| {
            let at = error.location().map(|at| (at.line(), at.column()));
            // The position is said once, before the message.
            let suffix = at.map_or_else(String::new, |(line, column)| format!(" at line {line} column {column}"));
            let error = error.to_string().replacen(&suffix, "", 1);
            refused(at, format!("expected YAML with every key once: {error}"))
        })?;
        Ok((Self { file: file.to_owned(), text }, tree))
    }

    /// Where a value of this file stands, or its key.
    pub fn place(&self, path: &FieldPath, key: bool) -> Place {
        Place::File { file: self.file.clone(), at: locate(&self.text, path, key) }
    }

    /// Where a setting that this file lacks would stand.
    pub fn place_of_missing(&self, path: &FieldPath) -> Place {
        Place::File { file: self.file.clone(), at: locate_nearest(&self.text, path) }
    }

    /// Turns relative paths in a checked tree into paths from the working directory.
    pub fn rebase(&self, tree: &mut Value) {
        if let Some(folder) = self.file.parent() {
            rebase(&Node::root(), tree, folder);
        }
    }
}

fn rebase(node: &Node, value: &mut Value, folder: &Path) {
    match value {
        Value::Mapping(settings) => {
            if let Shape::Mapping(shape) = node.shape() {
                let fields = shape.fields(Some(settings));
                for (key, value) in settings {
                    if let Some(field) = key.as_str().and_then(|name| fields.get(name)) {
                        rebase(field, value, folder);
                    }
                }
            }
        }
        Value::String(text) => match node.path_kind() {
            Some("file") => *text = join(folder, text),
            // A model id looks like a relative path; only what says `./` or `../` is one.
            Some("model") => {
                *text = text
                    .split(';')
                    .map(|id| if is_dotted(id) { join(folder, id) } else { id.to_owned() })
                    .collect::<Vec<_>>()
                    .join(";");
            }
            Some("token_source") => {
                if let Some(file) = text.strip_prefix("path:") {
                    *text = format!("path:{}", join(folder, file));
                }
            }
            _ => {}
        },
        _ => {}
    }
}

fn is_dotted(id: &str) -> bool {
    matches!(id, "." | "..") || id.starts_with("./") || id.starts_with("../")
}

fn join(folder: &Path, relative: &str) -> String {
    folder.join(relative.strip_prefix("./").unwrap_or(relative)).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d.yaml");
        fs::write(&file, text).unwrap();
        let problem = Source::read(&file).unwrap_err().to_string();
        problem.replace(&folder.path().display().to_string(), "")
    }

    #[test]
    fn what_is_not_yaml_is_refused_with_its_place() {
        insta::assert_snapshot!(refusal("version: 1\npolicy: [\n"), @"/d.yaml:3:1: expected YAML with every key once: did not find expected node content, while parsing a flow node");
        insta::assert_snapshot!(refusal("version: 1\npolicy:\n  delta: 1\n  delta: 2\n"), @r#"/d.yaml:3:3: expected YAML with every key once: policy: duplicate entry with key "delta""#);
        insta::assert_snapshot!(refusal("version: 1\n---\nversion: 1\n"), @"/d.yaml: expected YAML with every key once: deserializing from YAML containing more than one document is not supported");
        insta::assert_snapshot!(Source::read(Path::new("no/such.yaml")).unwrap_err(), @"no/such.yaml: expected a readable YAML file: No such file or directory (os error 2)");
    }

    #[test]
    fn paths_follow_the_file() {
        let source = Source { file: "conf/d.yaml".into(), text: String::new() };
        let mut tree = serde_yaml::from_str(
            "roles: {draft: {model_id: ./m, tokenizer: t.json, chat_template: /abs/c.jinja, token_source: 'path:hf'}, \
             target: {model_id: org/name, lora: 'a/b;../c', topology: ../t.yaml}}\n\
             reward: {kind: judge, model: {model_id: '..', quantized_file: q.gguf}}\nserver: {api_key_file: ./key}\n",
        )
        .unwrap();
        source.rebase(&mut tree);
        let wanted: Value = serde_yaml::from_str(
            "roles: {draft: {model_id: conf/m, tokenizer: conf/t.json, chat_template: /abs/c.jinja, token_source: 'path:conf/hf'}, \
             target: {model_id: org/name, lora: 'a/b;conf/../c', topology: conf/../t.yaml}}\n\
             reward: {kind: judge, model: {model_id: conf/.., quantized_file: q.gguf}}\nserver: {api_key_file: conf/key}\n",
        )
        .unwrap();
        assert_eq!(tree, wanted);
    }
}
