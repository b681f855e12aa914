//! Files that commands write, or standard output by `-`.

use super::Failure;
use crate::cli::out::say;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Writes to a file, or with `-` to standard output.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if path == Path::new("-") {
        say!("{text}");
        return Ok(());
    }
    let is_file = path.metadata().map_or(true, |about| about.is_file());
    let written = if is_file { write_whole(path, text) } else { fs::write(path, text) };
    written.map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

/// Writes a file aside and renames it, so that a full disk leaves what was there.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = path.metadata().map_or(0o666, |about| about.permissions().mode());
    let aside = tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(directory);
    // Who may write the file need not be allowed to make one beside it.
    let Ok(mut aside) = aside else { return fs::write(path, text) };
    aside.write_all(text.as_bytes())?;
    aside.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

/// Files that are to be written. What was in them stays until then, and where there was none and nothing was
/// written there is none afterwards.
pub(super) struct Outputs(Vec<PathBuf>);

impl Outputs {
    /// Opens them all, so that a bad path fails at once, and one that is named twice.
    pub(super) fn open<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<Self, Failure> {
        let mut made = Self(Vec::new());
        let mut files = BTreeSet::new();
        for path in paths.filter(|path| *path != Path::new("-")) {
            if !path.exists() {
                made.0.push(path.clone());
            }
            let cannot = |error| format!("cannot write {}: {error}", path.display());
            let file = OpenOptions::new().append(true).create(true).open(path).map_err(cannot)?;
            let about = file.metadata().map_err(cannot)?;
            if about.is_file() && !files.insert((about.dev(), about.ino())) {
                return Err(format!("{} would be written twice: name another file", path.display()).into());
            }
        }
        Ok(made)
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        let is_empty = |path: &&PathBuf| path.metadata().is_ok_and(|file| file.is_file() && file.len() == 0);
        for path in self.0.iter().filter(is_empty) {
            // Nobody misses an empty file.
            let _ = fs::remove_file(path);
        }
    }
}
