//! Files that commands write, or standard output by `-`.

use super::Failure;
use crate::cli::out::say;
use std::path::{Path, PathBuf};

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
