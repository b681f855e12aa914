//! Files that commands write, or standard output by `-`.

use super::Failure;
use crate::cli::out::say;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Writes to a file, or with `-` to standard output.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if path == Path::new("-") {
        say!("{text}");
        return Ok(());
    }
    let place = beside(path);
    let written = match &place {
        Some(place) => write_whole(place, text),
        None => fs::write(path, text),
    };
    written.map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

/// Where a file is that another one may take the place of: one of one name, and nobody's descriptor.
fn beside(path: &Path) -> Option<PathBuf> {
    if ["/dev", "/proc"].iter().any(|own| path.starts_with(own)) {
        return None;
    }
    // A link stays one.
    let place = path.canonicalize().ok()?;
    let about = place.metadata().ok()?;
    (about.is_file() && about.nlink() == 1).then_some(place)
}

/// Writes a file aside and renames it, so that a full disk leaves what was there.
fn write_whole(place: &Path, text: &str) -> io::Result<()> {
    let directory = place.parent().unwrap_or(Path::new("/"));
    let mut aside = match tempfile::NamedTempFile::new_in(directory) {
        Ok(aside) => aside,
        // Who may write the file need not be allowed to make one beside it.
        Err(error)
            if [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem].contains(&error.kind()) =>
        {
            return fs::write(place, text);
        }
        Err(error) => return Err(error),
    };
    let about = place.metadata()?;
    if aside.as_file().metadata()?.uid() != about.uid() {
        // It stays its owner's.
        return fs::write(place, text);
    }
    aside.write_all(text.as_bytes())?;
    aside.as_file().set_permissions(about.permissions())?;
    // Where something is mounted on the file, nothing can take its place.
    aside.persist(place).map(drop).or_else(|_| fs::write(place, text))
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
            let is_new = !path.exists();
            let cannot = |error| format!("cannot write {}: {error}", path.display());
            let file = OpenOptions::new().append(true).create(true).open(path).map_err(cannot)?;
            let about = file.metadata().map_err(cannot)?;
            // Where a link leads to, and not the link.
            made.0.extend(path.canonicalize().ok().filter(|_| is_new));
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
