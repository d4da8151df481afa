//! Which answers are right. Answers with code are graded by running their tests, once: how each program ended stands in
//! `grades.json` beside the log, so that a report runs nothing.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    thread::available_parallelism,
};

use futures::{StreamExt, stream};
use rsd_files::{FileAccess, FileError};
pub use rsd_sandbox::PythonSandbox;
use rsd_sandbox::{ExecutionLimits, ExecutionOutcome, SandboxError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{question::Question, run_log::Answer};

const FILE: &str = "grades.json";
/// Programs after which the grades are written: what is lost when grading is killed is run again in seconds.
const WRITE_EVERY: usize = 50;

/// Answers cannot be graded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GradeError {
    /// The user has not allowed programs to be run.
    #[error(
        "{questions} of the questions ask for code, whose answers are graded by running them: allow it with \
         --allow-execution. The programs run in a sandbox without network, files and privileges"
    )]
    NotAllowed {
        /// Number of questions that ask for code.
        questions: usize,
    },
    /// There is no sandbox, or it stopped working.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The grades cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not what this program wrote.
    #[error("{} is damaged: {source}. Delete it, and the programs are run again", path.display())]
    Damaged {
        path: PathBuf,
        /// What is wrong with the JSON.
        source: serde_json::Error,
    },
}

/// What is known about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerGrade<'a> {
    /// It is right, or wrong: by its final answer, or because it was cut off.
    Known(bool),
    /// There is no complete Python block in it, so it is wrong.
    NoProgram,
    /// Its program was run and ended like this.
    Executed(&'a ExecutionOutcome),
    /// It has a program that was not run.
    NotExecuted,
}

impl AnswerGrade<'_> {
    /// `None` for a program that was not run.
    #[must_use]
    pub fn is_right(self) -> Option<bool> {
        match self {
            Self::Known(right) => Some(right),
            Self::NoProgram => Some(false),
            Self::Executed(outcome) => Some(*outcome == ExecutionOutcome::Passed),
            Self::NotExecuted => None,
        }
    }
}

/// How the programs of a run ended, by the SHA-256 of program and tests. The default knows no program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProgramOutcomes {
    outcomes: BTreeMap<String, ExecutionOutcome>,
}

impl ProgramOutcomes {
    /// Reads those of a run's folder; there are none in a folder without `grades.json`.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn read(folder: &Path) -> Result<Self, GradeError> {
        let path = folder.join(FILE);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(FileError::io("read", &path)(error).into()),
            Ok(text) => serde_json::from_slice(&text).map_err(|source| GradeError::Damaged { path, source }),
        }
    }

    /// The grade of an answer. One that was cut off is wrong, whatever is in it.
    #[must_use]
    pub fn grade(&self, question: &Question, answer: &Answer) -> AnswerGrade<'_> {
        let Some(task) = question.code.as_ref().filter(|_| answer.finished) else {
            let right = answer.finished && rsd_grading::is_right(question.kind, &question.answers, &answer.text);
            return AnswerGrade::Known(right);
        };
        let Some(program) = task.program(&answer.text) else { return AnswerGrade::NoProgram };
        self.outcomes.get(&digest(&program)).map_or(AnswerGrade::NotExecuted, AnswerGrade::Executed)
    }

    /// For tests of reports: how the programs of these answers ended.
    #[cfg(test)]
    pub(crate) fn of<'a>(question: &Question, ended: impl IntoIterator<Item = (&'a Answer, ExecutionOutcome)>) -> Self {
        let task = question.code.as_ref();
        let keyed =
            ended.into_iter().filter_map(|(answer, outcome)| Some((digest(&task?.program(&answer.text)?), outcome)));
        Self { outcomes: keyed.collect() }
    }

    /// The programs that were not run yet, by their digest.
    fn open_programs(&self, questions: &[Question], answers: &[Answer]) -> BTreeMap<String, String> {
        let tasks = questions.iter().filter_map(|question| Some((question.id.as_str(), question.code.as_ref()?)));
        let tasks: HashMap<&str, _> = tasks.collect();
        let finished = answers.iter().filter(|answer| answer.finished);
        let programs = finished.filter_map(|answer| tasks.get(answer.question.as_str())?.program(&answer.text));
        let keyed = programs.map(|program| (digest(&program), program));
        keyed.filter(|(key, _)| !self.outcomes.contains_key(key)).collect()
    }
}

/// The sandbox of this machine, if a question asks for code.
///
/// # Errors
/// There is such a question, and running programs is not allowed, or there is no sandbox.
pub async fn sandbox_for(questions: &[Question], allowed: bool) -> Result<Option<PythonSandbox>, GradeError> {
    match questions.iter().filter(|question| question.code.is_some()).count() {
        0 => Ok(None),
        questions if !allowed => Err(GradeError::NotAllowed { questions }),
        _ => Ok(Some(PythonSandbox::find(ExecutionLimits::default()).await?)),
    }
}

/// Whether a text gives the right answer; a program in it is run. Unlike an answer of a log, the text may be cut off.
///
/// # Errors
/// The question asks for code, and there is no sandbox or it stopped working.
pub async fn is_right(question: &Question, text: &str, sandbox: Option<&PythonSandbox>) -> Result<bool, GradeError> {
    let Some(task) = &question.code else {
        return Ok(rsd_grading::is_right(question.kind, &question.answers, text));
    };
    let Some(program) = task.program(text) else { return Ok(false) };
    let sandbox = sandbox.ok_or(GradeError::NotAllowed { questions: 1 })?;
    Ok(sandbox.run(&program).await? == ExecutionOutcome::Passed)
}

/// Runs the programs of all answers that have no grade in the folder yet, each program once, as many at the same time as
/// there are CPUs, and writes how they ended. Calls `on_progress` with the number of programs that this call has run and
/// will have run. The caller makes sure that only one process writes to the folder.
///
/// # Errors
/// The sandbox stopped working, or the grades cannot be read or written.
pub async fn execute(
    folder: &Path,
    questions: &[Question],
    answers: &[Answer],
    sandbox: &PythonSandbox,
    mut on_progress: impl FnMut(usize, usize),
) -> Result<(), GradeError> {
    let mut known = ProgramOutcomes::read(folder)?;
    let programs = known.open_programs(questions, answers);
    let total = programs.len();
    let parallel = available_parallelism().map_or(1, usize::from);
    let run = |(key, program): (String, String)| async move { (key, sandbox.run(&program).await) };
    let mut ended = stream::iter(programs).map(run).buffer_unordered(parallel);
    let mut done = 0;
    while let Some((key, outcome)) = ended.next().await {
        known.outcomes.insert(key, outcome?);
        done += 1;
        if done % WRITE_EVERY == 0 || done == total {
            rsd_files::replace_json(&folder.join(FILE), &known, FileAccess::Shared)?;
        }
        on_progress(done, total);
    }
    Ok(())
}

fn digest(program: &str) -> String {
    rsd_files::digest::hex(Sha256::new().chain_update(program))
}

#[cfg(test)]
mod tests;
