//! Why a deployment was refused: every problem found, each with where it stands and what to do.

use std::{fmt, path::PathBuf};

/// Where a problem stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file.
    File {
        /// Its name, as the caller gave it.
        file: PathBuf,
        /// Line and column, from 1, where known.
        at: Option<(usize, usize)>,
    },
    /// In an environment variable.
    Variable(String),
    /// In an option of the command line.
    Flag(String),
    /// In no layer: a setting that nobody gave, or a deployment built in code.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, at: None } => write!(f, "{}: ", file.display()),
            Self::File { file, at: Some((line, column)) } => write!(f, "{}:{line}:{column}: ", file.display()),
            Self::Variable(name) | Self::Flag(name) => write!(f, "{name}: "),
            Self::Nowhere => Ok(()),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// The setting, such as `policy.delta`; empty for the whole file.
    pub path: String,
    /// What was expected, what was found, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, path, message } = self;
        if path.is_empty() { write!(f, "{place}{message}") } else { write!(f, "{place}{path}: {message}") }
    }
}

/// A deployment that cannot be used: all its problems, in the order of the layers and then of the lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self { problems }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.problems.as_slice() {
            return problem.fmt(f);
        }
        write!(f, "{} problems in the configuration:", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}
