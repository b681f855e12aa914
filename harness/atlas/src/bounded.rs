//! Files of the user's, which may be pipes and devices: the length that these say they have means nothing.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// A whole file, or `None` where it has more bytes than `most`.
///
/// # Errors
/// What the system says.
pub fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let length = File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    Ok((length as u64 <= most).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_asked_for() {
        let endless = Path::new("/dev/zero");
        assert_eq!(read(endless, 9).unwrap(), None);
        assert_eq!(read(Path::new("/dev/null"), 0).unwrap(), Some(vec![]));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "four").unwrap();
        assert_eq!(read(file.path(), 4).unwrap(), Some(b"four".to_vec()));
        assert_eq!(read(file.path(), 3).unwrap(), None);
    }
}
