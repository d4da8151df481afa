//! The demo that is part of the program: its deployment file and its questions.
//!
//! Both are written to the cache folder when they are used, so that an installed program needs no clone of the
//! repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use rsd_files::FileAccess;
use rsd_head::models::cache_dir;

/// The value of `--rsd` without a file. No path on the command line can be confused with it.
pub(super) const DEPLOYMENT: &str = "<the demo>";

/// What `--data` reads if no file is named.
const QUESTIONS: &str = include_str!("../../../../examples/questions.jsonl");

/// True if `--rsd` was used without a file.
pub(super) fn is_demo(file: &Path) -> bool {
    file == Path::new(DEPLOYMENT)
}

/// Writes the demo's deployment file and its reward head to the cache folder and returns the path of the former.
pub(super) fn deployment_file() -> anyhow::Result<PathBuf> {
    let cache = cache_dir()?;
    rsd_config::embedded_demo(&cache)
        .with_context(|| format!("writing the demo's deployment file to {}", cache.display()))
}

/// Writes the demo's questions to the cache folder and returns their path.
pub(super) fn questions_file() -> anyhow::Result<PathBuf> {
    let path = cache_dir()?.join("questions.jsonl");
    if fs::read(&path).ok().as_deref() != Some(QUESTIONS.as_bytes()) {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        rsd_files::replace(&path, QUESTIONS.as_bytes(), FileAccess::Shared)?;
    }
    Ok(path)
}
