//! Problem files and solutions that are already there: one JSON object per line.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use anyhow::{Context, bail};
use rsd_evaluation::grade::number;
use serde::{Deserialize, de::DeserializeOwned};

/// A problem with a number as its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Unique in its file.
    pub id: String,
    /// What is asked.
    pub question: String,
    /// The right answer.
    pub answer: f64,
}

#[derive(Deserialize)]
struct Line {
    id: Option<serde_json::Value>,
    question: String,
    answer: serde_json::Value,
}

/// Reads problems: `question`, `answer` (a number, or a text that ends in one), and an `id` or else the line's number.
///
/// # Errors
/// The first line that is no problem.
pub fn read_problems(path: &Path) -> anyhow::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (number, line) in lines::<Line>(path)? {
        let place = || format!("{}, line {number}", path.display());
        let id = match line.id {
            None => number.to_string(),
            Some(serde_json::Value::String(id)) => id,
            Some(other) => other.to_string(),
        };
        if let Some(first) = seen.insert(id.clone(), number) {
            bail!("{}: the id {id} is on line {first} already", place());
        }
        let answer = match &line.answer {
            serde_json::Value::Number(answer) => answer.as_f64(),
            serde_json::Value::String(answer) => number::reference_number(answer),
            _ => None,
        };
        let answer = answer.with_context(|| format!("{}: `answer` holds no number", place()))?;
        problems.push(Problem { id, question: line.question, answer });
    }
    if problems.is_empty() {
        bail!("{}: no problem in it", path.display());
    }
    Ok(problems)
}

/// A solution that somebody has written already.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Written {
    /// The problem's id.
    pub id: String,
    /// The solution.
    pub text: String,
    /// Its tokens in the draft's vocabulary, the end token left out. Without them the text is tokenised.
    pub tokens: Option<Vec<u32>>,
    /// Whether it came to its end, rather than being cut off.
    #[serde(default = "yes")]
    pub finished: bool,
}

fn yes() -> bool {
    true
}

/// Reads written solutions, by problem in the order of the file.
///
/// # Errors
/// The first line that is no solution.
pub fn read_written(path: &Path) -> anyhow::Result<HashMap<String, Vec<Written>>> {
    let mut solutions: HashMap<String, Vec<Written>> = HashMap::new();
    for (_, line) in lines::<Written>(path)? {
        solutions.entry(line.id.clone()).or_default().push(line);
    }
    Ok(solutions)
}

fn lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<(usize, T)>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut lines = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("reading {}", path.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        let value = serde_json::from_str(&line).with_context(|| format!("{}, line {}", path.display(), index + 1))?;
        lines.push((index + 1, value));
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
        let of = |id: &str, question: &str, answer| Problem { id: id.into(), question: question.into(), answer };
        assert_eq!(problems, [of("a", "q", 1200.0), of("3", "r", 7.0)]);
    }

    #[test]
    fn what_is_no_problem_is_named_by_its_line() {
        let of = |text: &str| format!("{:#}", read_problems(file(text).path()).unwrap_err());
        assert!(of("{\"question\":\"q\",\"answer\":\"none\"}").contains("line 1: `answer` holds no number"));
        assert!(of("{\"question\":\"q\",\"answer\":1}\n{").contains("line 2"));
        assert!(
            of("{\"id\":1,\"question\":\"q\",\"answer\":1}\n{\"id\":1,\"question\":\"q\",\"answer\":1}")
                .contains("on line 1 already")
        );
        assert!(of("").contains("no problem"));
    }
}
