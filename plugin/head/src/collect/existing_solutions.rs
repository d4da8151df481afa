//! Reads solutions that another program wrote: one JSON object per line.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use rsd_files::FileError;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};

use super::CollectionError;

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
    fn a_line_that_is_no_solution_is_named() {
        let of = |text: &str| read_existing_solutions(file(text).path()).unwrap_err().to_string();
        assert!(of("{\"id\":\"a\",\"text\":\"x\"}\n{").contains("line 2"));
        assert!(of("{\"id\":\"a\"}").contains("line 1: missing field `text`"));
    }
}
