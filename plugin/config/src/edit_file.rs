//! Writes settings into a deployment file: all of them or none, with comments and layout unchanged, and only if the
//! result loads.

use std::{fmt, fs, io, path::Path, str::FromStr};

use rsd_files::{FileAccess, FileError, PreparedFile};
use serde_json::Value;
use serde_yaml::{Mapping, Value as Yaml};
use yaml_edit::{Document, Mapping as Lines};

use super::{ConfigError, SettingOverride, TargetRule, former_names::former_key, load};

/// What the name of the new file begins with, until it replaces the deployment file.
const NEW: &str = ".rsd-new-";

/// Whether settings are written or only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Find out whether they could be written.
    DryRun,
    /// Write them.
    Apply,
}

/// Why settings were not written. The file is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Read(#[from] io::Error),
    /// The new file cannot be written, or cannot replace the old one.
    #[error(transparent)]
    Replace(#[from] FileError),
    /// The text cannot be edited.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The edited file would not load.
    #[error("the file would be invalid with it: {0}")]
    Invalid(String),
}

/// Writes these settings, each with its dotted path, into a file, or finds out whether they could be written.
///
/// The edited file must load under the same environment and options. A setting that the file has by its former name
/// gets its present name.
///
/// # Errors
/// The file cannot be read, edited or replaced, or the result would not load. The file is then unchanged.
pub fn write_settings(
    file: &Path,
    settings: &[(String, Value)],
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[SettingOverride],
    target: TargetRule,
    mode: WriteMode,
) -> Result<(), WriteError> {
    let text = fs::read_to_string(file)?;
    let edited = edit_as_written(&text, settings)?;
    if edited == text {
        return Ok(());
    }
    // A link stays a link: the file that it names is replaced.
    let real = fs::canonicalize(file)?;
    remove_leftovers(real.parent().unwrap_or(Path::new(".")));
    let new = PreparedFile::write(&real, edited.as_bytes(), FileAccess::Inherited, (NEW, ".yaml"))?;
    if let Err(error) = load(Some(new.path()), environment, overrides, target) {
        return Err(WriteError::Invalid(with_name(&error, new.path(), &real)));
    }
    if mode == WriteMode::Apply {
        new.commit()?;
    }
    Ok(())
}

/// The message of an error about the new file, with the name of the file that it would have replaced.
fn with_name(error: &ConfigError, new: &Path, real: &Path) -> String {
    error.to_string().replace(&new.display().to_string(), &real.display().to_string())
}

/// Removes what a killed process left. Writers of one server take turns, so no other is writing here.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(NEW) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Why a text was not edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It is not YAML.
    #[error("it is not YAML: {0}")]
    Syntax(String),
    /// It could not be changed without changing more than was asked for.
    #[error("`{0}` cannot be written without changing other lines: edit the file by hand")]
    Entangled(String),
}

/// Edits a text and retains its byte order mark and its line ends.
fn edit_as_written(text: &str, settings: &[(String, Value)]) -> Result<String, EditError> {
    let (mark, body) = text.strip_prefix('\u{feff}').map_or(("", text), |body| ("\u{feff}", body));
    let lines = body.matches('\n').count();
    if lines == 0 || body.matches("\r\n").count() < lines {
        return Ok(format!("{mark}{}", edit(body, settings)?));
    }
    let edited = edit(&body.replace("\r\n", "\n"), settings)?;
    Ok(format!("{mark}{}", edited.replace('\n', "\r\n")))
}

/// `text` with these settings, each at its dotted path.
///
/// The result is parsed and compared: it says what `text` says, except for the settings.
fn edit(text: &str, settings: &[(String, Value)]) -> Result<String, EditError> {
    let syntax = |error: &dyn fmt::Display| EditError::Syntax(error.to_string());
    let mut expected: Yaml = serde_yaml::from_str(text).map_err(|error| syntax(&error))?;
    let mut edited = text.to_owned();
    for (path, value) in settings {
        let yaml = serde_yaml::to_value(value).map_err(|error| syntax(&error))?;
        set_in_tree(&mut expected, path, yaml);
        edited = set_in_text(&edited, path, value).ok_or_else(|| EditError::Entangled(path.clone()))?;
        let found: Option<Yaml> = serde_yaml::from_str(&edited).ok();
        if found.as_ref() != Some(&expected) {
            return Err(EditError::Entangled(path.clone()));
        }
    }
    Ok(edited)
}

fn set_in_text(text: &str, path: &str, value: &Value) -> Option<String> {
    let document = Document::from_str(text).ok()?;
    let mut section = document.as_mapping()?;
    let (sections, key) =
        path.rsplit_once('.').map_or((Vec::new(), path), |(sections, key)| (sections.split('.').collect(), key));
    for name in sections {
        if section.get_mapping(name).is_none() {
            section.set(name, Lines::new());
        }
        section = section.get_mapping(name)?;
    }
    if let Some(former) = former_key(path).filter(|former| section.contains_key(*former)) {
        section.rename_key(former, key);
    }
    match value {
        Value::Bool(flag) => section.set(key, *flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => section.set(key, whole),
            (None, Some(number)) => section.set(key, number),
            (None, None) => return None,
        },
        Value::String(text) => section.set(key, text.as_str()),
        // A list is written in one line: the layout of the old list does not fit the new one.
        other => {
            let holder = Document::from_str(&format!("{key}: {other}\n")).ok()?;
            section.set(key, holder.as_mapping()?.get(key)?);
        }
    }
    Some(document.to_string())
}

fn set_in_tree(tree: &mut Yaml, path: &str, value: Yaml) {
    let former = former_key(path);
    let mut here = tree;
    let mut keys = path.split('.').peekable();
    while let Some(key) = keys.next() {
        if !here.is_mapping() {
            *here = Yaml::Mapping(Mapping::new());
        }
        let Yaml::Mapping(settings) = here else { return };
        if let (None, Some(former)) = (keys.peek(), former) {
            settings.remove(former);
        }
        here = settings.entry(key.into()).or_insert(Yaml::Null);
    }
    *here = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, settings: &[(&str, &str)]) -> Result<String, EditError> {
        let settings: Vec<_> =
            settings.iter().map(|(path, value)| ((*path).to_owned(), serde_yaml::from_str(value).unwrap())).collect();
        edit(text, &settings)
    }

    #[test]
    fn a_value_changes_and_its_line_stays() {
        let text = "# The demo.\npolicy:\n  # why\n  delta: 0.5   # half\n\nserver:\n  port: 1 # one\n";
        insta::assert_snapshot!(set(text, &[("policy.delta", "0.25"), ("policy.route", "draft"), ("limits.max_steps", "7")]).unwrap(), @r"
        # The demo.
        policy:
          # why
          delta: 0.25   # half
          route: draft

        server:
          port: 1 # one
        limits:
          max_steps: 7
        ");
    }

    #[test]
    fn flow_style_and_lists_are_kept_valid() {
        insta::assert_snapshot!(set("policy: {delta: 0.5, floor: 0} # c\n", &[("policy.delta", "2"), ("policy.target_rate", "0.1")]).unwrap(), @"policy: {delta: 2, floor: 0, target_rate: 0.1} # c");
        let presets = "[{name: careful, delta: 0.9}]";
        let once = set("version: 1\n", &[("presets", presets)]).unwrap();
        let twice = set(&once, &[("presets", "[]"), ("steps.lookahead", "1")]).unwrap();
        insta::assert_snapshot!(format!("{once}---\n{twice}"), @r#"
        version: 1
        presets: [{"name":"careful","delta":0.9}]
        ---
        version: 1
        presets: []
        steps:
          lookahead: 1
        "#);
    }

    #[test]
    fn a_former_name_gets_its_present_name_and_keeps_its_line() {
        let text = "policy:\n  # why\n  gamma: 0.5   # half\n  delta: 1\nserver: {probe: true, port: 1}\n";
        let settings = [("policy.target_rate", "0.25"), ("server.warmup", "false"), ("policy.delta", "2")];
        insta::assert_snapshot!(set(text, &settings).unwrap(), @r"
        policy:
          # why
          target_rate: 0.25   # half
          delta: 2
        server: {warmup: false, port: 1}
        ");
        // Settings that are not written keep the names that they have.
        insta::assert_snapshot!(set(text, &[("policy.delta", "2")]).unwrap(), @r"
        policy:
          # why
          gamma: 0.5   # half
          delta: 2
        server: {probe: true, port: 1}
        ");
    }

    #[test]
    fn a_byte_order_mark_and_line_ends_stay() {
        let text = "\u{feff}version: 1\r\npolicy:\r\n  delta: 0.5 # half\r\n";
        let settings = [
            ("policy.delta".to_owned(), serde_json::json!(0.25)),
            ("limits.max_steps".to_owned(), serde_json::json!(7)),
        ];
        let edited = edit_as_written(text, &settings).unwrap();
        let wanted = "\u{feff}version: 1\r\npolicy:\r\n  delta: 0.25 # half\r\nlimits:\r\n  max_steps: 7\r\n";
        assert_eq!(edited, wanted);
        assert_eq!(edit_as_written("a: 1\n", &[]).unwrap(), "a: 1\n");
    }

    #[test]
    fn a_text_that_hides_its_settings_is_left_alone() {
        for text in ["a: &x {delta: 1, floor: 1}\npolicy: *x\n", "- 1\n", "a: [\n"] {
            assert!(set(text, &[("policy.delta", "0.5")]).is_err(), "{text}");
        }
    }
}
