//! Case files: experiments as data in files, which `atlas fuzz` writes for what it finds and
//! `atlas run --experiment` takes.

use crate::bounded;
use crate::results::Jit;
use atlas_cases::{Body, Case};
use atlas_model::experiment::{MAX_STEPS, MAX_TASKS};
use atlas_model::{Abi, Experiment};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The longest case file that is read, in bytes.
const LONGEST: u64 = 8 << 20;

/// A case as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// `theme::case`.
    pub name: String,
    /// What it is for, in one sentence.
    pub about: String,
    /// How it was found, where a fuzz run did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// The experiments, at least one; each becomes a case.
    pub experiments: Vec<Experiment>,
}

/// Where a fuzz run found something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// The property that it breaks.
    pub property: String,
    /// `uname -r` of the kernel.
    pub kernel: String,
    /// The JIT setting.
    pub jit: Jit,
    /// Seed of the run.
    pub seed: u64,
    /// Number of the trial.
    pub trial: u64,
    /// What was expected and what was seen, line by line.
    pub story: Vec<String>,
}

/// A file that is no case file.
#[derive(Debug, thiserror::Error)]
pub enum CaseFileError {
    /// It cannot be read.
    #[error("cannot read the case file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the case file {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is too long.
    #[error("{path} is longer than {LONGEST} bytes, and a case file is not")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It is no JSON of a case.
    #[error("{path} is no case file: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// Its experiment is one that no guest carries out.
    #[error("{path}: {problem}")]
    Experiment {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl CaseFile {
    /// Reads a case file.
    ///
    /// # Errors
    /// [`CaseFileError`].
    pub fn read(path: &Path) -> Result<Self, CaseFileError> {
        let failed = |source| CaseFileError::Read { path: path.to_owned(), source };
        let Some(text) = bounded::read(path, LONGEST).map_err(failed)? else {
            return Err(CaseFileError::TooLong { path: path.to_owned() });
        };
        let file: Self = serde_json::from_slice(&text)
            .map_err(|source| CaseFileError::Parse { path: path.to_owned(), source })?;
        match file.problem() {
            Some(problem) => Err(CaseFileError::Experiment { path: path.to_owned(), problem }),
            None => Ok(file),
        }
    }

    fn problem(&self) -> Option<String> {
        if self.experiments.is_empty() {
            return Some("it has no experiment".into());
        }
        let wrong =
            |experiment: &Experiment| experiment.steps.len() > MAX_STEPS || experiment.tasks() > MAX_TASKS;
        self.experiments
            .iter()
            .position(wrong)
            .map(|index| format!("experiment {index} has more than {MAX_STEPS} steps or {MAX_TASKS} tasks"))
    }

    /// Writes a case file.
    ///
    /// # Errors
    /// [`CaseFileError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), CaseFileError> {
        let failed = |source| CaseFileError::Write { path: path.to_owned(), source };
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::from).map_err(failed)?;
        std::fs::write(path, text + "\n").map_err(failed)
    }

    /// Its experiments as cases, which live as long as the process: cases of the catalogue do too.
    #[must_use]
    pub fn into_cases(self) -> Vec<&'static Case> {
        let count = self.experiments.len();
        let about: &'static str = self.about.leak();
        let name = |index| if count > 1 { format!("{}_{index}", self.name) } else { self.name.clone() };
        let case = |(index, experiment)| -> &'static Case {
            let body = Body::Given(Box::leak(Box::new(experiment)));
            let name = name(index).leak();
            Box::leak(Box::new(Case { name, about, needs: &[], abis: &[Abi::X86_64], body, alone: true }))
        };
        self.experiments.into_iter().enumerate().map(case).collect()
    }
}
