//! Reads problem files and existing solutions: one JSON object per line.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use rsd_files::FileError;
use rsd_grading::number;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};

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
    /// The problem's id. A collection calls it `problem`.
    #[serde(alias = "problem")]
    pub id: String,
    pub text: String,
    /// Its tokens in the draft's vocabulary, without the end token. If missing, the text is tokenized.
    pub tokens: Option<Vec<u32>>,
    /// Whether the solution ends, rather than being cut off. A collection says `end`: `end_of_text` or `length`.
    #[serde(default = "yes", alias = "end", deserialize_with = "finished")]
    pub finished: bool,
}

fn yes() -> bool {
    true
}

/// A truth value, or how a collection says it.
fn finished<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum SolutionEnd {
        Finished(bool),
        Named(String),
    }
    match SolutionEnd::deserialize(value)? {
        SolutionEnd::Finished(finished) => Ok(finished),
        SolutionEnd::Named(end) if end == "end_of_text" => Ok(true),
        SolutionEnd::Named(end) if end == "length" => Ok(false),
        SolutionEnd::Named(end) => Err(D::Error::custom(format!("`end` is {end:?}, expected end_of_text or length"))),
    }
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
    fn existing_solutions_may_be_those_of_a_collection() {
        let all = file(
            "{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"a\",\"text\":\"y\",\"finished\":false}\n\
             {\"problem\":\"b\",\"sample\":0,\"text\":\"z\",\"tokens\":[1],\"steps\":[1],\"end\":\"length\"}\n\
             {\"problem\":\"b\",\"text\":\"z\",\"end\":\"end_of_text\"}\n",
        );
        let solutions = read_existing_solutions(all.path()).unwrap();
        let finished = |id: &str| solutions[id].iter().map(|solution| solution.finished).collect::<Vec<_>>();
        assert_eq!((finished("a"), finished("b")), (vec![true, false], vec![false, true]));
        assert_eq!(solutions["b"][0].tokens.as_deref(), Some(&[1][..]));
        let other = file("{\"id\":\"a\",\"text\":\"x\",\"end\":\"stop\"}\n");
        assert!(read_existing_solutions(other.path()).unwrap_err().to_string().contains("\"stop\""));
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
