//! Problems of a deployment: what was expected, what was found, and where.

use std::{fmt, path::PathBuf};

/// Where a problem is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemPlace {
    /// In the file.
    File {
        /// The path of the file, as the caller gave it.
        file: PathBuf,
        /// Line and column, from 1, if they are known.
        at: Option<(usize, usize)>,
    },
    /// In an environment variable.
    Variable(String),
    /// In an option of the command line.
    Flag(String),
    /// In no layer: the setting is missing, or the deployment was built in code.
    Nowhere,
}

impl fmt::Display for ProblemPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, at: None } => write!(f, "{}: ", file.display()),
            Self::File { file, at: Some((line, column)) } => write!(f, "{}:{line}:{column}: ", file.display()),
            Self::Variable(name) | Self::Flag(name) => write!(f, "{name}: "),
            Self::Nowhere => Ok(()),
        }
    }
}

/// One problem, or a warning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigProblem {
    pub place: ProblemPlace,
    /// The setting, such as `policy.delta`; empty for the whole file.
    pub path: String,
    /// What was expected, what was found, and what to do.
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, path, message } = self;
        if path.is_empty() { write!(f, "{place}{message}") } else { write!(f, "{place}{path}: {message}") }
    }
}

/// A deployment is invalid: all its problems, sorted by layer and by line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// Never empty.
    pub problems: Vec<ConfigProblem>,
}

impl ConfigError {
    pub(super) fn new(mut problems: Vec<ConfigProblem>) -> Self {
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
