//! Kernel images: told from other files, and asked for their release.
//!
//! The layout is that of Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".

use super::Error;
use std::path::Path;

/// Offset of the boot sector's count of setup sectors.
const SETUP_SECTS: usize = 0x1f1;
/// Offset of the length of the protected-mode code, in 16-byte units.
const SYSSIZE: usize = 0x1f4;
/// Offset of `HdrS`.
const MAGIC: usize = 0x202;
/// Offset of the boot protocol's version.
const PROTOCOL: usize = 0x206;
/// Offset of the pointer to the release string, less 0x200.
const VERSION: usize = 0x20e;
/// Offset of `xloadflags`, from protocol 2.12 (Linux 3.8) on.
const XLOADFLAGS: usize = 0x236;
/// `XLF_KERNEL_64`: the kernel has the 64-bit entry point.
const KERNEL_64: u16 = 1;
/// The longest release string looked for.
const LONGEST: usize = 256;

/// The release of a bootable x86-64 image, from its setup header: the first word of what
/// `file` prints as "version". A 32-bit kernel older than 3.8 cannot be told from a 64-bit one.
///
/// # Errors
/// [`Error::NotAKernel`], which says what the file is instead where that can be told.
pub fn release_of(image: &[u8], path: &Path) -> Result<String, Error> {
    release(image).map_err(|problem| Error::NotAKernel { path: path.to_owned(), problem })
}

fn release(image: &[u8]) -> Result<String, String> {
    if let Some(other) = something_else(image) {
        return Err(other.into());
    }
    let word = |at: usize| image.get(at..at + 2).map_or(0, |w| u16::from_le_bytes([w[0], w[1]]));
    let long = |at: usize| image.get(at..at + 4).map_or(0, |w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
    if image.get(MAGIC..MAGIC + 4) != Some(b"HdrS") {
        return Err("it has no x86 setup header (`HdrS` at offset 0x202)".into());
    }
    if word(PROTOCOL) >= 0x20c && word(XLOADFLAGS) & KERNEL_64 == 0 {
        return Err("it is a 32-bit kernel, and guests here are x86-64".into());
    }
    let setup = setup_length(image);
    let wanted = setup as u64 + u64::from(long(SYSSIZE)) * 16;
    // The count is rounded up to whole units, and the file need not be.
    if (image.len() as u64) + 16 <= wanted {
        return Err(format!(
            "it is cut off: its header speaks of {wanted} bytes, and it has {}",
            image.len()
        ));
    }
    let at = usize::from(word(VERSION));
    // The string has to lie in the setup sectors, says boot.rst.
    if at == 0 || at + 512 >= setup {
        return Err("its header points to no release string".into());
    }
    let text = image.get(at + 0x200..).ok_or("its release string lies beyond its end")?;
    let end = text.iter().take(LONGEST).position(|&byte| matches!(byte, 0 | b' '));
    let word = &text[..end.ok_or("its release string does not end")?];
    match std::str::from_utf8(word) {
        Ok(release)
            if word.first().is_some_and(u8::is_ascii_digit) && word.iter().all(u8::is_ascii_graphic) =>
        {
            Ok(release.to_owned())
        }
        _ => Err("its release string does not begin with a release".into()),
    }
}

/// The length of what lies before the protected-mode code: the boot sector and the setup sectors. An image without any is
/// taken for one with the usual number.
pub(super) fn setup_length(image: &[u8]) -> usize {
    // Zero means four, says boot.rst.
    let sectors = match image.get(SETUP_SECTS) {
        None | Some(0) => 4,
        Some(&count) => usize::from(count),
    };
    (sectors + 1) * 512
}

fn something_else(image: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| image.get(offset..offset + magic.len()) == Some(magic);
    if image.len() < 0x250 {
        Some("it is too short for a kernel")
    } else if at(0x38, b"ARM\x64") {
        Some("it is an arm64 image, and guests here are x86-64")
    } else if at(0x38, b"RSC\x05") {
        Some("it is a riscv image, and guests here are x86-64")
    } else if at(0, b"\x7fELF") && at(18, &[62, 0]) {
        Some("it is an ELF file, such as vmlinux; a bzImage is needed (arch/x86/boot/bzImage of the build)")
    } else if at(0, b"\x7fELF") {
        Some("it is an ELF file for another architecture, and guests here are x86-64")
    } else if at(4, b"zimg") {
        Some("it is an EFI zboot image; a bzImage is needed")
    } else if at(0, b"\x1f\x8b") || at(0, b"\xfd7zXZ") || at(0, b"\x28\xb5\x2f\xfd") {
        Some("it is compressed as a whole; unpack it first")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The smallest file that passes for a kernel: four setup sectors and 1600 bytes.
    fn synthetic(release: &str) -> Vec<u8> {
        let mut image = vec![0; 5 * 512 + 1600];
        image[SETUP_SECTS] = 4;
        image[SYSSIZE..SYSSIZE + 4].copy_from_slice(&100_u32.to_le_bytes());
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[PROTOCOL..PROTOCOL + 2].copy_from_slice(&0x20f_u16.to_le_bytes());
        image[XLOADFLAGS] = 1;
        image[VERSION..VERSION + 2].copy_from_slice(&0x400_u16.to_le_bytes());
        image[0x600..0x600 + release.len()].copy_from_slice(release.as_bytes());
        image
    }

    fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut image = synthetic("6.12.1 (me@here) #1");
        change(&mut image);
        image
    }

    #[test]
    fn the_release_is_read() {
        assert_eq!(release(&synthetic("6.12.1-test (me@here) #1")).unwrap(), "6.12.1-test");
        // A count of zero means four, and a file may end before its last unit does.
        assert_eq!(release(&changed(|image| image[SETUP_SECTS] = 0)).unwrap(), "6.12.1");
        assert_eq!(release(&changed(|image| image.truncate(5 * 512 + 1585))).unwrap(), "6.12.1");
        // Before 3.8 there were no flags to tell.
        let old = changed(|image| {
            image[PROTOCOL] = 0x0a;
            image[XLOADFLAGS] = 0;
        });
        assert_eq!(release(&old).unwrap(), "6.12.1");
    }

    #[test]
    fn other_files_are_named() {
        let elf = |machine: u8| [b"\x7fELF".as_slice(), &[0; 14], &[machine], &[0; 4096]].concat();
        let cases: [(Vec<u8>, &str); 15] = [
            (b"MZ".to_vec(), "too short"),
            (vec![0; 4096], "no x86 setup header"),
            (elf(62), "a bzImage is needed"),
            (elf(183), "ELF file for another architecture"),
            ([[0; 0x38].as_slice(), b"ARM\x64", &[0; 4096]].concat(), "arm64"),
            ([[0; 0x38].as_slice(), b"RSC\x05", &[0; 4096]].concat(), "riscv"),
            ([b"MZ\0\0zimg".as_slice(), &[0; 4096]].concat(), "zboot"),
            ([b"\x1f\x8b".as_slice(), &[0; 4096]].concat(), "compressed as a whole"),
            (changed(|image| image.truncate(5 * 512 + 1584)), "cut off"),
            (changed(|image| image[XLOADFLAGS] = 0), "32-bit"),
            (changed(|image| image[VERSION + 1] = 0), "points to no release string"),
            (changed(|image| image[VERSION + 1] = 8), "points to no release string"),
            (changed(|image| image[0x600..0x700].fill(b'1')), "does not end"),
            (changed(|image| image[0x601] = 0x1b), "does not begin with a release"),
            (changed(|image| image[0x600] = b'v'), "does not begin with a release"),
        ];
        for (file, says) in cases {
            let problem = release(&file).unwrap_err();
            assert!(problem.contains(says), "{problem}, and not {says}");
        }
    }

    proptest! {
        #[test]
        fn damaged_images_never_panic(at in 0_usize..2560, byte: u8, cut in 0_usize..4200) {
            let mut image = synthetic("6.12.1");
            image[at] = byte;
            image.truncate(cut);
            let _ = release(&image);
        }

        #[test]
        fn any_header_is_read_without_a_panic(header in prop::collection::vec(any::<u8>(), 0x60)) {
            let mut image = synthetic("6.12.1");
            image[0x1f0..0x250].copy_from_slice(&header);
            image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
            if let Ok(release) = release(&image) {
                prop_assert!(release.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
