//! Copies of files that are holes for the most part, as a guest's memory is.

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Copies one file into another that is empty, and leaves holes where it has them (lseek(2), `SEEK_DATA`).
pub(super) fn copy(mut from: &File, mut to: &File) -> io::Result<()> {
    to.set_len(from.metadata()?.len())?;
    let mut at = 0;
    loop {
        let data = match lseek(from, at, Whence::SeekData) {
            Ok(data) => data,
            // There is a hole up to the end.
            Err(Errno::ENXIO) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        at = lseek(from, data, Whence::SeekHole)?;
        from.seek(SeekFrom::Start(data as u64))?;
        to.seek(SeekFrom::Start(data as u64))?;
        let length = (at - data) as u64;
        if io::copy(&mut from.take(length), &mut to)? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn a_copy_has_the_bytes_and_the_holes() {
        const LENGTH: usize = 16 << 20;
        let [from, to] = [(); 2].map(|()| tempfile::tempfile().unwrap());
        from.set_len(LENGTH as u64).unwrap();
        for (at, byte) in [(0, 1), (5 << 20, 2), (LENGTH - 4096, 3)] {
            from.write_all_at(&[byte; 4096], at as u64).unwrap();
        }
        copy(&from, &to).unwrap();
        let read = |file: &File| {
            let mut bytes = vec![0xff; LENGTH];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        assert!(read(&from) == read(&to), "the copy differs");
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20, "the holes are filled");
    }

    #[test]
    fn what_is_a_hole_from_end_to_end_is_copied_too() {
        let [from, to] = [(); 2].map(|()| tempfile::tempfile().unwrap());
        copy(&from, &to).unwrap();
        from.set_len(1 << 20).unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(to.metadata().unwrap().len(), 1 << 20);
    }

    #[test]
    fn a_copy_that_cannot_be_written_says_so() {
        use nix::fcntl::{FcntlArg, SealFlag, fcntl};
        use nix::sys::memfd::{MFdFlags, memfd_create};
        let from = tempfile::tempfile().unwrap();
        from.write_all_at(&[1; 4096], 0).unwrap();
        let to = File::from(memfd_create(c"sealed", MFdFlags::MFD_ALLOW_SEALING).unwrap());
        fcntl(&to, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).unwrap();
        assert_eq!(copy(&from, &to).unwrap_err().raw_os_error(), Some(Errno::EPERM as i32));
    }
}
