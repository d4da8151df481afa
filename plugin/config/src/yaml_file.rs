//! The deployment file as a layer: its text, its settings, and the positions of settings in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    error::{ConfigProblem, ProblemPlace},
    field_path::FieldPath,
    former_names::{self, FormerName},
    schema::{SchemaNode, ValueShape},
    schema_check::SchemaFault,
    yaml::{self, locate, locate_nearest},
};

/// The text of a deployment file.
#[derive(Debug)]
pub(super) struct DeploymentText {
    file: PathBuf,
    text: String,
    /// Settings that the text has by their former names.
    pub former: Vec<FormerName>,
}

impl DeploymentText {
    /// Reads the file. Returns its settings by their present names, and the faults of single settings.
    ///
    /// # Errors
    /// The file cannot be read, or is not YAML.
    pub fn read(file: &Path) -> Result<(Self, Value, Vec<SchemaFault>), ConfigProblem> {
        Self::parse(file, fs::read_to_string(file))
    }

    /// The settings of a file that was read.
    ///
    /// # Errors
    /// The file could not be read, or is not YAML.
    pub fn parse(file: &Path, text: io::Result<String>) -> Result<(Self, Value, Vec<SchemaFault>), ConfigProblem> {
        let problem = |at, message| ConfigProblem {
            place: ProblemPlace::File { file: file.to_owned(), at },
            path: String::new(),
            message,
        };
        let text = text.map_err(|error| problem(None, format!("expected a readable YAML file: {error}")))?;
        // Some editors begin a file with a byte order mark, which YAML allows.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let (mut tree, mut faults) = yaml::parse(text).map_err(|error| {
            let at = error.location().map(|at| (at.line(), at.column()));
            // The place has the position already.
            let suffix = at.map_or_else(String::new, |(line, column)| format!(" at line {line} column {column}"));
            let error = error.to_string().replacen(&suffix, "", 1);
            problem(at, format!("expected YAML with every key once: {error}"))
        })?;
        let (former, both) = former_names::replace(&mut tree);
        faults.extend(both);
        Ok((Self { file: file.to_owned(), text: text.to_owned(), former }, tree, faults))
    }

    /// The position of a setting's value, or of its key.
    pub fn place(&self, path: &FieldPath, key: bool) -> ProblemPlace {
        let path = self.as_written(path);
        ProblemPlace::File { file: self.file.clone(), at: locate(&self.text, path, key) }
    }

    /// The position of a setting, or of the section that it would belong to if the file had it.
    pub fn place_of_missing(&self, path: &FieldPath) -> ProblemPlace {
        let path = self.as_written(path);
        ProblemPlace::File { file: self.file.clone(), at: locate_nearest(&self.text, path) }
    }

    fn as_written<'p>(&'p self, path: &'p FieldPath) -> &'p FieldPath {
        self.former.iter().find(|name| name.present == *path).map_or(path, |name| &name.former)
    }

    /// Resolves relative paths in a checked tree: they are relative to the folder of the file.
    pub fn rebase(&self, tree: &mut Value) {
        if let Some(folder) = self.file.parent() {
            rebase(&SchemaNode::root(), tree, folder);
        }
    }
}

fn rebase(node: &SchemaNode, value: &mut Value, folder: &Path) {
    match value {
        Value::Object(settings) => {
            if let ValueShape::Mapping(shape) = node.shape() {
                let fields = shape.fields(Some(settings));
                for (key, value) in settings {
                    if let Some(field) = fields.get(key.as_str()) {
                        rebase(field, value, folder);
                    }
                }
            }
        }
        Value::Array(items) => {
            if let ValueShape::List(item) = node.shape() {
                for value in items {
                    rebase(&item, value, folder);
                }
            }
        }
        Value::String(text) => match node.path_kind() {
            Some("file") => *text = join(folder, text),
            // A model id looks like a relative path. Only an id that begins with `./` or `../` is one.
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

    fn problem(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d.yaml");
        fs::write(&file, text).unwrap();
        let problem = DeploymentText::read(&file).unwrap_err().to_string();
        problem.replace(&folder.path().display().to_string(), "")
    }

    #[test]
    fn what_is_not_yaml_is_an_error_with_its_position() {
        insta::assert_snapshot!(problem("version: 1\npolicy: [\n"), @"/d.yaml:3:1: expected YAML with every key once: did not find expected node content, while parsing a flow node");
        insta::assert_snapshot!(problem("version: 1\npolicy:\n  delta: 1\n  delta: 2\n"), @r#"/d.yaml:3:3: expected YAML with every key once: policy: duplicate entry with key "delta""#);
        insta::assert_snapshot!(problem("version: 1\n---\nversion: 1\n"), @"/d.yaml: expected YAML with every key once: deserializing from YAML containing more than one document is not supported");
        insta::assert_snapshot!(DeploymentText::read(Path::new("no/such.yaml")).unwrap_err(), @"no/such.yaml: expected a readable YAML file: No such file or directory (os error 2)");
    }

    #[test]
    fn a_byte_order_mark_and_line_ends_of_windows_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d.yaml");
        fs::write(&file, "\u{feff}version: 1\r\npolicy: {delta: 0.5}\r\n").unwrap();
        let (_, tree, faults) = DeploymentText::read(&file).unwrap();
        assert_eq!(tree, serde_json::json!({"version": 1, "policy": {"delta": 0.5}}));
        assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn merge_keys_are_answered() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d.yaml");
        let text = "roles:\n  draft: &model {model_id: a, dtype: f32}\n  target: {<<: *model, model_id: b}\n";
        fs::write(&file, text).unwrap();
        let (_, tree, faults) = DeploymentText::read(&file).unwrap();
        assert_eq!(tree["roles"]["target"], serde_json::json!({"dtype": "f32", "model_id": "b"}));
        assert!(faults.is_empty(), "{faults:?}");
        assert!(problem("policy: {<<: 1}\n").contains("merging"), "{}", problem("policy: {<<: 1}\n"));
    }

    #[test]
    fn paths_follow_the_file() {
        let source = DeploymentText { file: "conf/d.yaml".into(), text: String::new(), former: Vec::new() };
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
