//! Reading a report back: from a JSON file, or from a directory that keeps results.

use crate::bounded;
use crate::results::{Report, SCHEMA};
use crate::store::{self, StoreError};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// How long a report may be, in bytes: one of eleven kernels has about 20 MB.
const LONGEST: u64 = 256 << 20;

/// A report that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no report.
    #[error("{path} is no JSON report of atlas: {problem}")]
    NoReport {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It is a report that this program cannot read.
    #[error(
        "{path} is a report of schema {found}, and this atlas reads schema {SCHEMA}: make it anew with `atlas run --json`"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u64,
    },
    /// The directory holds no results.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Only what every schema has.
#[derive(Deserialize)]
struct Versioned {
    schema: u64,
}

/// A report from a JSON file, or from a directory that keeps results.
///
/// # Errors
/// [`ReadError`].
pub fn read(path: &Path) -> Result<Report, ReadError> {
    if path.is_dir() {
        return Ok(store::load(path)?);
    }
    let text =
        bounded::read(path, LONGEST).map_err(|source| ReadError::File { path: path.into(), source })?;
    let no_report = |problem| ReadError::NoReport { path: path.into(), problem };
    let text = text.ok_or_else(|| no_report(format!("it is longer than {} MiB", LONGEST >> 20)))?;
    let wrong = |error: serde_json::Error| no_report(error.to_string());
    let versioned: Versioned = serde_json::from_slice(&text).map_err(wrong)?;
    if versioned.schema != u64::from(SCHEMA) {
        return Err(ReadError::Schema { path: path.into(), found: versioned.schema });
    }
    serde_json::from_slice(&text).map_err(wrong)
}
