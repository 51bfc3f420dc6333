//! What is wrong with a configuration.

use std::{fmt, path::PathBuf};

/// One thing wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where in config.yaml, for example `memory.cache_seconds`.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" | "." => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// Collects problems while values are checked.
#[derive(Debug, Default)]
pub struct Check {
    prefix: String,
    problems: Vec<Problem>,
}

impl Check {
    /// Nothing wrong yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn within(prefix: &str) -> Self {
        Self { prefix: format!("{prefix}."), problems: Vec::new() }
    }

    /// Notes a problem at `path` unless `holds`; `message` says what is allowed, for example
    /// "must be between 1 and 64".
    pub fn that(&mut self, holds: bool, path: impl fmt::Display, message: impl Into<String>) {
        if !holds {
            let path = format!("{}{path}", self.prefix);
            self.problems.push(Problem { path, message: message.into() });
        }
    }

    /// What was noted.
    #[must_use]
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// The configuration cannot be used.
#[derive(Debug, Clone)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn one(
        file: impl Into<PathBuf>,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let problem = Problem { path: path.into(), message: message.into() };
        Self { file: file.into(), problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be used:", self.file.display())?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
