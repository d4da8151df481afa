//! How a run was made, and the notes on it.

use serde_json::Value;

use super::super::{
    Report,
    format::{code, count, fenced, literal, table},
};

/// Commands, machine, settings and notes.
pub(super) fn setting(report: &Report) -> String {
    let setup = &report.setup;
    let mut rows = vec![vec!["machine".to_owned(), literal(&setup.machine)]];
    for (role, parameters) in ["draft", "reward", "target"].iter().zip(setup.parameters.iter().flatten()) {
        rows.push(vec![format!("parameters of the {role}, without embeddings"), count(*parameters as f64)]);
    }
    for (name, value) in &setup.settings {
        flatten(name, value, &mut rows);
    }
    let mut text = format!(
        "\n## How the run was made\n\n{}\n{}",
        fenced("sh", &setup.commands.join("\n")),
        table(2, &["setting", "value"], &rows)
    );
    if !report.notes.is_empty() {
        let notes: Vec<String> = report.notes.iter().map(|note| format!("- {note}\n")).collect();
        text.push_str("\n## Notes\n\n");
        text.push_str(&notes.concat());
    }
    text
}

/// Adds nested settings by their path; settings without a value are left out.
fn flatten(path: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Null => {}
        Value::Object(inner) => inner.iter().for_each(|(name, value)| flatten(&format!("{path}.{name}"), value, rows)),
        value => rows.push(vec![path.to_owned(), code(&value.to_string())]),
    }
}
