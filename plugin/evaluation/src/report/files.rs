//! The report as files.

use std::{fs, path::Path};

use anyhow::Context;

use super::{Report, markdown, plot};
use crate::record::write_whole;

/// Names and contents of all files.
pub type Files = Vec<(&'static str, String)>;

impl Report {
    /// The files that [`write()`] writes.
    ///
    /// # Errors
    /// None that a report from a log can cause: its numbers are all finite.
    pub fn files(&self) -> anyhow::Result<Files> {
        let pictures = plot::all(self).into_iter().filter_map(|(name, text)| Some((name, text?)));
        let mut files: Files = pictures.collect();
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        let text = markdown::text(self, &names);
        files.push(("report.md", text));
        files.push(("report.json", serde_json::to_string_pretty(self).context("the report as JSON")? + "\n"));
        Ok(files)
    }
}

/// Writes the report into a run's folder, each file in one go. A picture of an earlier report that has none now is
/// taken away.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path, report: &Report) -> anyhow::Result<()> {
    for (name, text) in report.files()? {
        write_whole(&folder.join(name), text.as_bytes())?;
    }
    for (name, _) in plot::all(report).iter().filter(|(_, picture)| picture.is_none()) {
        let path = folder.join(name);
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}
