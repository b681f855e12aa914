//! The guest's file system: a newc archive made in memory.

use crate::{Error, digest, guest_binary};
use atlas_wire::window;
use cpio::newc::{self, ModeFileType};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Write};
use std::sync::OnceLock;

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

/// The archive around this build's PID 1.
pub(crate) struct Initramfs {
    /// Where it is: without a name, and sealed, so that no QEMU changes it for the others (memfd_create(2)).
    pub(crate) file: File,
    /// Its SHA-256 in hex.
    pub(crate) digest: String,
}

/// The initramfs of all guests, which is made once a process.
///
/// # Errors
/// [`Error::InitramfsTooBig`] when unpacked next to itself it would not leave the guest half of its
/// memory, and [`Error::System`] when it cannot be written.
pub(crate) fn get() -> Result<&'static Initramfs, Error> {
    static MADE: OnceLock<Initramfs> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(made);
    }
    let archive = build(guest_binary(), window::ADDRESS as usize)?;
    let file =
        sealed(&archive).map_err(|source| Error::System { what: "a file for the initramfs", source })?;
    Ok(MADE.get_or_init(|| Initramfs { file, digest: digest::of(&archive) }))
}

fn sealed(content: &[u8]) -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(c"seccomp-atlas", flags)?);
    file.write_all(content)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::all()))?;
    Ok(file)
}

/// Makes the archive around a PID 1. Equal input gives equal bytes.
fn build(init: &[u8], memory: usize) -> Result<Vec<u8>, Error> {
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
    fn there_is_one_for_all_guests_and_nobody_changes_it() {
        let (one, other) = (get().unwrap(), get().unwrap());
        assert!(std::ptr::eq(one, other));
        let refused = (&one.file).write_all(b"x").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
        assert!(one.file.set_len(0).is_err());
    }

    #[test]
    fn too_big_an_init_is_refused() {
        let error = build(&vec![0; 40 << 20], 128 << 20).unwrap_err();
        assert!(matches!(error, Error::InitramfsTooBig { .. }), "{error}");
    }
}
