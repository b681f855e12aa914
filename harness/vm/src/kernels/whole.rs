//! Files that are there whole or not at all, and texts of a bounded length.

use super::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How long a manifest or a lock may be, in bytes.
const LONGEST: u64 = 4 << 20;

/// A whole text. Its file may be a device, whose length means nothing.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if length as u64 > LONGEST {
        return Err(io::Error::other(format!("it is longer than {} MiB", LONGEST >> 20)));
    }
    Ok(text)
}

/// Writes a file so that others see the old one or the new one, never a part.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> Result<(), Error> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    write_by(directory, path, content)
}

/// The same, by way of a directory on the same file system.
pub(super) fn write_by(scratch: &Path, path: &Path, content: &[u8]) -> Result<(), Error> {
    let cannot = |error| Error::file("cannot write", path)(error);
    let mut file = tempfile::NamedTempFile::new_in(scratch).map_err(cannot)?;
    file.write_all(content).map_err(cannot)?;
    // Temporary files are for their owner alone; the lock in the repository is not.
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(cannot)?;
    file.as_file().sync_all().map_err(cannot)?;
    file.persist(path).map_err(|error| cannot(error.error))?;
    Ok(())
}
