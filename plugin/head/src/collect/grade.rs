//! Grades the solutions of a folder, without their models: those that another program left without a grade, and all
//! others again.

use std::{collections::HashMap, fs, path::Path, thread::available_parallelism};

use futures::{StreamExt, TryStreamExt, stream};
use rsd_evaluation::{
    grades::{self, PythonSandbox},
    question::Question,
};
use rsd_files::{FileAccess, FileError, lock, replace};
use serde_json::Value;

use super::{CollectionError, final_answer};
use crate::progress::ProgressReporter;

/// How many solutions of a folder are right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GradeCounts {
    pub solutions: usize,
    pub right: usize,
}

/// Writes `correct` and `answer` of every solution in a folder's `rollouts.jsonl`, all at once. Programs are run in the
/// sandbox, as many at the same time as there are CPUs.
///
/// # Errors
/// The folder cannot be read or written, a solution is of no question in `questions`, or its program cannot be run. The
/// folder then is as before.
pub async fn grade(
    folder: &Path,
    questions: &[Question],
    sandbox: Option<&PythonSandbox>,
    progress: &ProgressReporter,
) -> Result<GradeCounts, CollectionError> {
    let path = folder.join("rollouts.jsonl");
    fs::metadata(&path).map_err(FileError::io("read", &path))?;
    let _lock = lock::acquire(&folder.join(".lock"), |message| progress.note(message))?;
    let text = fs::read_to_string(&path).map_err(FileError::io("read", &path))?;
    let questions: HashMap<&str, &Question> = questions.iter().map(|one| (one.id.as_str(), one)).collect();
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let graded = lines.map(|(number, line)| {
        let (path, questions) = (&path, &questions);
        async move { graded_line(path, number, line, questions, sandbox).await }
    });
    let parallel = available_parallelism().map_or(1, usize::from);
    let lines: Vec<(String, bool)> = stream::iter(graded).buffered(parallel).try_collect().await?;
    let text: String = lines.iter().map(|(line, _)| line.as_str()).collect();
    replace(&path, text.as_bytes(), FileAccess::Shared)?;
    Ok(GradeCounts { solutions: lines.len(), right: lines.iter().filter(|(_, right)| *right).count() })
}

/// A line with its grade, and whether the solution is right.
async fn graded_line(
    path: &Path,
    number: usize,
    line: &str,
    questions: &HashMap<&str, &Question>,
    sandbox: Option<&PythonSandbox>,
) -> Result<(String, bool), CollectionError> {
    let invalid = |reason: String| CollectionError::line(path, number, reason);
    let mut line: Value = serde_json::from_str(line).map_err(|error| invalid(error.to_string()))?;
    let field = |name: &str| line.get(name).and_then(Value::as_str);
    let (Some(problem), Some(text)) = (field("problem"), field("text")) else {
        return Err(invalid("`problem` and `text` must be texts".to_owned()));
    };
    let question = questions.get(problem).ok_or_else(|| {
        invalid(format!("no problem has the id {problem}; name the problems that were solved with --data"))
    })?;
    let right = grades::is_right(question, text, sandbox).await?;
    let answer = final_answer(question.kind, text);
    (line["correct"], line["answer"]) = (right.into(), answer.into());
    Ok((format!("{line}\n"), right))
}

#[cfg(test)]
mod tests {
    use rsd_grading::AnswerKind;

    use super::*;

    fn folder(lines: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("rollouts.jsonl"), lines).unwrap();
        folder
    }

    fn question(id: &str, answer: &str) -> Question {
        Question {
            id: id.to_owned(),
            text: "q".to_owned(),
            answers: vec![answer.to_owned()],
            kind: AnswerKind::Number,
            code: None,
            level: None,
        }
    }

    async fn grade_all(folder: &Path) -> Result<GradeCounts, CollectionError> {
        grade(folder, &[question("a", "4"), question("b", "5")], None, &ProgressReporter::silent()).await
    }

    #[tokio::test]
    async fn every_solution_gets_the_grade_of_its_question_and_keeps_the_rest() {
        let lines = "{\"problem\":\"a\",\"more\":1,\"text\":\"it is 4\",\"correct\":null}\n\
                     {\"problem\":\"b\",\"text\":\"it is 4\",\"correct\":true}\n";
        let folder = folder(lines);
        assert_eq!(grade_all(folder.path()).await.unwrap(), GradeCounts { solutions: 2, right: 1 });
        let text = fs::read_to_string(folder.path().join("rollouts.jsonl")).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let grades: Vec<&Value> = lines.iter().map(|line| &line["correct"]).collect();
        assert_eq!(grades, [true, false]);
        assert_eq!((&lines[0]["more"], &lines[0]["answer"]), (&1.into(), &4.0.into()));
    }

    #[tokio::test]
    async fn a_line_that_cannot_be_graded_is_named_and_nothing_is_written() {
        let lines = "{\"problem\":\"a\",\"text\":\"4\",\"correct\":null}\n{\"problem\":\"c\",\"text\":\"4\"}\n";
        let folder = folder(lines);
        let error = grade_all(folder.path()).await.unwrap_err().to_string();
        assert!(error.contains("line 2: no problem has the id c"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("rollouts.jsonl")).unwrap(), lines);
    }
}
