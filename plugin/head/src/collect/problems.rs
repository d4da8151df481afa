//! Reads problem files and existing solutions: one JSON object per line.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use rsd_files::FileError;
use rsd_grading::number;
use serde::{Deserialize, de::DeserializeOwned};

use super::CollectionError;

/// A problem whose answer is a number.
#[derive(Debug, Clone, PartialEq)]
pub struct MathProblem {
    /// Unique in its file.
    pub id: String,
    pub question: String,
    pub answer: f64,
}

#[derive(Deserialize)]
struct ProblemLine {
    id: Option<serde_json::Value>,
    question: String,
    answer: serde_json::Value,
}

/// Reads problems: `question`, `answer` (a number, or a text that ends in one), and an `id` or else the line's number.
///
/// # Errors
/// The first line that is not a problem.
pub fn read_problems(path: &Path) -> Result<Vec<MathProblem>, CollectionError> {
    let mut problems = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (number, line) in lines::<ProblemLine>(path)? {
        let id = match line.id {
            None => number.to_string(),
            Some(serde_json::Value::String(id)) => id,
            Some(other) => other.to_string(),
        };
        if let Some(first) = seen.insert(id.clone(), number) {
            return Err(CollectionError::line(path, number, format!("the id {id} is on line {first} already")));
        }
        let answer = match &line.answer {
            serde_json::Value::Number(answer) => answer.as_f64(),
            serde_json::Value::String(answer) => number::reference_number(answer),
            _ => None,
        };
        let answer = answer.ok_or_else(|| CollectionError::line(path, number, "`answer` has no number"))?;
        problems.push(MathProblem { id, question: line.question, answer });
    }
    if problems.is_empty() {
        return Err(CollectionError::invalid(path, "it has no problem"));
    }
    Ok(problems)
}

/// A solution that another program wrote.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ExistingSolution {
    pub id: String,
    pub text: String,
    /// Its tokens in the draft's vocabulary, without the end token. If missing, the text is tokenized.
    pub tokens: Option<Vec<u32>>,
    /// Whether the solution ends, rather than being cut off.
    #[serde(default = "yes")]
    pub finished: bool,
}

fn yes() -> bool {
    true
}

/// Reads existing solutions, by problem in the order of the file.
///
/// # Errors
/// The first line that is not a solution.
pub fn read_existing_solutions(path: &Path) -> Result<HashMap<String, Vec<ExistingSolution>>, CollectionError> {
    let mut solutions: HashMap<String, Vec<ExistingSolution>> = HashMap::new();
    for (_, line) in lines::<ExistingSolution>(path)? {
        solutions.entry(line.id.clone()).or_default().push(line);
    }
    Ok(solutions)
}

/// The lines that are not empty, with their numbers from 1.
fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<(usize, T)>, CollectionError> {
    let file = File::open(path).map_err(FileError::io("open", path))?;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let line = line.map_err(FileError::io("read", path))?;
        if line.trim().is_empty() {
            continue;
        }
        let value = serde_json::from_str(&line).map_err(|error| CollectionError::line(path, number, error))?;
        lines.push((number, value));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn answers_may_be_numbers_or_texts() {
        let file = file(
            "{\"id\":\"a\",\"question\":\"q\",\"answer\":\"so #### 1,200\"}\n\n{\"question\":\"r\",\"answer\":7}\n",
        );
        let problems = read_problems(file.path()).unwrap();
        let of = |id: &str, question: &str, answer| MathProblem { id: id.into(), question: question.into(), answer };
        assert_eq!(problems, [of("a", "q", 1200.0), of("3", "r", 7.0)]);
    }

    #[test]
    fn what_is_not_a_problem_is_named_by_its_line() {
        let of = |text: &str| read_problems(file(text).path()).unwrap_err().to_string();
        assert!(of("{\"question\":\"q\",\"answer\":\"none\"}").contains("line 1: `answer` has no number"));
        assert!(of("{\"question\":\"q\",\"answer\":1}\n{").contains("line 2"));
        assert!(
            of("{\"id\":1,\"question\":\"q\",\"answer\":1}\n{\"id\":1,\"question\":\"q\",\"answer\":1}")
                .contains("on line 1 already")
        );
        assert!(of("").contains("no problem"));
    }
}
