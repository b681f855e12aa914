//! Files in and out.

use crate::bench::results::{Bench, SCHEMA};
use crate::cli::Failure;
use crate::cli::out::say;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Writes to a file, or with `-` to standard output.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if path == Path::new("-") {
        say!("{text}");
        return Ok(());
    }
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

/// Files that are to be written. What was in them stays until then, and where there was none and nothing was
/// written there is none afterwards.
pub(super) struct Outputs(Vec<PathBuf>);

impl Outputs {
    /// Opens them all, so that a bad path fails at once.
    pub(super) fn open<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<Self, Failure> {
        let mut made = Self(Vec::new());
        for path in paths.filter(|path| *path != Path::new("-")) {
            if !path.exists() {
                made.0.push(path.clone());
            }
            std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        Ok(made)
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        let is_empty = |path: &&PathBuf| path.metadata().is_ok_and(|file| file.is_file() && file.len() == 0);
        for path in self.0.iter().filter(is_empty) {
            // Nobody misses an empty file.
            let _ = std::fs::remove_file(path);
        }
    }
}

pub(super) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}

/// Figures that were written earlier.
pub(super) fn stored(path: &Path) -> Result<Bench, Failure> {
    let bench: Bench = serde_json::from_str(&read(path)?)
        .map_err(|error| format!("{} is no JSON of `atlas bench`: {error}", path.display()))?;
    if bench.schema == SCHEMA {
        Ok(bench)
    } else {
        let version = bench.schema;
        Err(format!("{} is of version {version}, and this is version {SCHEMA}; measure anew", path.display())
            .into())
    }
}

/// The figures of the first file, with the spreads of all.
pub(super) fn together(paths: &[PathBuf]) -> Result<Bench, Failure> {
    let mut all = paths.iter().map(|path| stored(path)).collect::<Result<Vec<_>, _>>()?.into_iter();
    let mut first = all.next().ok_or("no file to show")?;
    all.for_each(|other| first.take_spreads(&other));
    Ok(first)
}

/// The day, in UTC.
pub(super) fn today() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}
