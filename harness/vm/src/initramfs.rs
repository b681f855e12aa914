//! The guest's file system: a newc archive made in memory.

use crate::Error;
use cpio::newc::{self, ModeFileType};
use std::io::{self, Write};

/// Devices: name, major, minor. devtmpfs is not mounted, so that every kernel finds the same.
const DEVICES: [(&str, u32, u32); 9] = [
    ("dev/console", 5, 1),
    ("dev/kmsg", 1, 11),
    ("dev/mem", 1, 1),
    ("dev/null", 1, 3),
    ("dev/ttyS0", 4, 64),
    ("dev/ttyS1", 4, 65),
    ("dev/urandom", 1, 9),
    ("dev/zero", 1, 5),
    ("dev/tty", 5, 0),
];
const DIRECTORIES: [&str; 6] = ["dev", "mnt", "proc", "root", "sys", "tmp"];

/// Makes the archive around a PID 1. Equal input gives equal bytes.
///
/// # Errors
/// [`Error::InitramfsTooBig`] when unpacked next to itself it would not leave the guest half of its
/// memory, and [`Error::System`] when it cannot be written.
pub(crate) fn build(init: &[u8], memory: usize) -> Result<Vec<u8>, Error> {
    let archive = write(init).map_err(|source| Error::System { what: "the initramfs", source })?;
    let room = memory / 4;
    if archive.len() > room {
        return Err(Error::InitramfsTooBig { length: archive.len(), room });
    }
    Ok(archive)
}

fn write(init: &[u8]) -> io::Result<Vec<u8>> {
    let mut archive = Vec::new();
    let mut inode = 0;
    let mut entry =
        |name: &str, kind: ModeFileType, mode: u32, device: (u32, u32), content: &[u8]| -> io::Result<()> {
            inode += 1;
            let mut file = newc::Builder::new(name)
                .ino(inode)
                .nlink(1)
                .mode(mode)
                .set_mode_file_type(kind)
                .rdev_major(device.0)
                .rdev_minor(device.1)
                .write(&mut archive, content.len() as u32);
            file.write_all(content)?;
            file.finish()?;
            Ok(())
        };
    for name in DIRECTORIES {
        entry(name, ModeFileType::Directory, 0o755, (0, 0), &[])?;
    }
    for (name, major, minor) in DEVICES {
        entry(name, ModeFileType::Char, 0o600, (major, minor), &[])?;
    }
    entry("init", ModeFileType::Regular, 0o755, (0, 0), init)?;
    newc::trailer(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_input_gives_equal_bytes_that_begin_with_the_magic() {
        let one = build(b"init", 128 << 20).unwrap();
        assert_eq!(one, build(b"init", 128 << 20).unwrap());
        assert!(one.starts_with(b"070701"));
    }

    #[test]
    fn too_big_an_init_is_refused() {
        let error = build(&vec![0; 40 << 20], 128 << 20).unwrap_err();
        assert!(matches!(error, Error::InitramfsTooBig { .. }), "{error}");
    }
}
