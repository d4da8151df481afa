//! The report as files: `report.html`, `report.md`, `report.json` and pictures.

use std::path::Path;

use rsd_files::{FileAccess, FileError};

use super::{
    Report,
    html::{self, ReportAnswers},
    markdown, plot,
};

/// A report cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The file system failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The report has no JSON form.
    #[error("cannot write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Names and contents of all files.
pub type ReportFiles = Vec<(&'static str, String)>;

impl Report {
    /// The files that [`write()`] writes.
    ///
    /// # Errors
    /// The report has no JSON form; a report built from a log always has one.
    pub fn files(&self, log: &ReportAnswers) -> Result<ReportFiles, ReportError> {
        let pictures = plot::all(self).into_iter().filter_map(|(name, text)| Some((name, text?)));
        let mut files: ReportFiles = pictures.collect();
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        let text = markdown::text(self, &names);
        let page = html::page(self, log, &files);
        files.push(("report.html", page));
        files.push(("report.md", text));
        files.push(("report.json", serde_json::to_string_pretty(self)? + "\n"));
        Ok(files)
    }
}

/// Writes the report into a run's folder, replacing each file atomically. Deletes pictures of an earlier report that
/// this one does not have.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path, report: &Report, log: &ReportAnswers) -> Result<(), ReportError> {
    for (name, text) in report.files(log)? {
        rsd_files::replace(&folder.join(name), text.as_bytes(), FileAccess::Shared)?;
    }
    for (name, _) in plot::all(report).iter().filter(|(_, picture)| picture.is_none()) {
        rsd_files::replace::remove_if_present(&folder.join(name))?;
    }
    Ok(())
}
