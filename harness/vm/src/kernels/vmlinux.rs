//! The kernel that an image holds packed, unpacked on the host: emulated, its own decompressor takes about as long as the
//! kernel's boot after it.
//!
//! An image that cannot be unpacked here, or whose kernel QEMU could not start, is booted as it is: then its own
//! decompressor says what is wrong with it.

use super::image;
use crate::qemu;
use object::LittleEndian;
use object::elf::{EM_X86_64, FileHeader64, NoteType, PT_NOTE};
use object::read::ReadCache;
use object::read::elf::{FileHeader as _, NoteIterator, ProgramHeader as _};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

/// Offset of the place of the packed kernel, from the protected-mode code on, and of its length
/// (Documentation/arch/x86/boot.rst, `payload_offset` and `payload_length`, from protocol 2.08 on).
const PAYLOAD: usize = 0x248;
/// The longest kernel that is unpacked, in bytes: one that leaves a guest no memory.
const LONGEST: usize = (qemu::MEMORY << 20) as usize;
/// How much memory a decoder may take for it, in bytes; xz asks for up to 4 GiB.
const WORKING: u64 = 2 * (qemu::MEMORY << 20);
/// The same for zstd, as a power of two: kernels are packed for 128 MiB (scripts/Makefile.lib, `cmd_zstd22`).
const ZSTD_WINDOW: u32 = 27;
/// How much of a kernel is written at once, in bytes.
const CHUNK: usize = 1 << 20;
/// Segments and bytes of notes that are looked at: kernels have four or five, and a few hundred.
const SEGMENTS: usize = 64;
const NOTES: u64 = 64 << 10;
/// Owner and type of the note that has the address at which a kernel is entered without paging
/// (include/xen/interface/elfnote.h, `XEN_ELFNOTE_PHYS32_ENTRY`; CONFIG_PVH, Linux 5.0).
const OWNER: &[u8] = b"Xen";
const PHYS32_ENTRY: NoteType = NoteType(18);

/// The ELF file of the kernel in an image, where QEMU can enter it by the boot protocol of PVH guests
/// (QEMU's hw/i386/x86.c, `load_elfboot`). One that there is no room for is left to its image as well.
///
/// # Errors
/// There can be no anonymous file.
pub(crate) fn vmlinux(image: &[u8]) -> io::Result<Option<File>> {
    let Some(packed) = packed(image) else { return Ok(None) };
    let kernel = qemu::anonymous(&[], 0)?;
    Ok((unpack(packed, &kernel).is_ok() && has_entry(&kernel)).then_some(kernel))
}

/// The packed kernel.
fn packed(image: &[u8]) -> Option<&[u8]> {
    let long = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?) as usize);
    let start = image::setup_length(image).checked_add(long(PAYLOAD)?)?;
    image.get(start..start.checked_add(long(PAYLOAD + 4)?)?)
}

/// Unpacks it into a file. Behind it stands how long it will be (scripts/Makefile.lib, `size_append`), which in gzip is
/// part of the format.
fn unpack(packed: &[u8], kernel: &File) -> io::Result<()> {
    let damaged = || io::Error::from(io::ErrorKind::InvalidData);
    let length = packed.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    if !(1..=LONGEST).contains(&length) {
        return Err(damaged());
    }
    let mut kernel = BufWriter::with_capacity(CHUNK, kernel);
    // At its end a format's checksums, if it has any, are held against what came out.
    let mut whole = |stream: &mut dyn Read, has_end: bool| -> io::Result<bool> {
        let written = io::copy(&mut (&mut *stream).take(length as u64), &mut kernel)?;
        kernel.flush()?;
        Ok(written == length as u64 && (!has_end || stream.read(&mut [0])? == 0))
    };
    let whole = match packed {
        [0x1f, 0x8b, ..] => whole(&mut flate2::read::GzDecoder::new(packed), true)?,
        [0xfd, b'7', b'z', b'X', b'Z', ..] => {
            let stream = liblzma::stream::Stream::new_stream_decoder(WORKING, 0).map_err(io::Error::other)?;
            whole(&mut liblzma::read::XzDecoder::new_stream(packed, stream), true)?
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut stream = zstd::Decoder::with_buffer(packed)?.single_frame();
            stream.window_log_max(ZSTD_WINDOW)?;
            whole(&mut stream, true)?
        }
        // Neither a checksum nor an end: what stands behind it looks like one block more.
        [0x02, 0x21, 0x4c, 0x18, ..] => whole(&mut lz4_flex::frame::FrameDecoder::new(packed), false)?,
        [b'B', b'Z', b'h', ..] => whole(&mut bzip2::read::BzDecoder::new(packed), true)?,
        _ => false,
    };
    if whole { Ok(()) } else { Err(damaged()) }
}

/// Whether it is an x86-64 ELF file with a note of where to enter it, among as many notes as kernels have.
fn has_entry(kernel: &File) -> bool {
    let kernel = &ReadCache::new(kernel);
    let noted = || -> object::Result<bool> {
        let header = FileHeader64::<LittleEndian>::parse(kernel)?;
        let endian = header.endian()?;
        // So many that they are counted elsewhere are more than that, too (elf(5), `PN_XNUM`).
        if header.e_machine(endian) != EM_X86_64 || usize::from(header.e_phnum(endian)) > SEGMENTS {
            return Ok(false);
        }
        let segments = header.program_headers(endian, kernel)?;
        let notes = segments.iter().filter(|segment| segment.p_type(endian) == PT_NOTE);
        for segment in notes.filter(|segment| segment.p_filesz(endian) <= NOTES) {
            let Some(mut notes) = segment.notes(endian, kernel)? else { continue };
            if name_an_entry(&mut notes)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    noted().unwrap_or(false)
}

fn name_an_entry(notes: &mut NoteIterator<'_, FileHeader64<LittleEndian>>) -> object::Result<bool> {
    while let Some(note) = notes.next()? {
        if note.name() == OWNER && note.n_type(LittleEndian) == PHYS32_ENTRY {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::FileExt;

    /// An image with one setup sector, which holds this.
    fn image_of(packed: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * 512];
        image[0x1f1] = 1;
        image[PAYLOAD..PAYLOAD + 4].copy_from_slice(&7_u32.to_le_bytes());
        image[PAYLOAD + 4..PAYLOAD + 8].copy_from_slice(&(packed.len() as u32).to_le_bytes());
        image.extend([0; 7]);
        image.extend(packed);
        image
    }

    /// The legacy format, which the crate only reads: blocks of 8 MiB, the length of each before it.
    fn lz4(kernel: &[u8]) -> Vec<u8> {
        let mut packed = vec![0x02, 0x21, 0x4c, 0x18];
        for block in kernel.chunks(8 << 20).map(lz4_flex::block::compress) {
            packed.extend((block.len() as u32).to_le_bytes());
            packed.extend(block);
        }
        packed
    }

    /// A kernel packed in each of the formats, as its build packs it.
    fn packings(kernel: &[u8]) -> Vec<Vec<u8>> {
        let length = (kernel.len() as u32).to_le_bytes();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(kernel).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(kernel).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(kernel).unwrap();
        let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
        zstd.include_checksum(true).unwrap();
        zstd.write_all(kernel).unwrap();
        let others = [xz.finish().unwrap(), bzip2.finish().unwrap(), lz4(kernel), zstd.finish().unwrap()];
        let others = others.into_iter().map(|packed| [packed.as_slice(), &length].concat());
        others.chain([gzip.finish().unwrap()]).collect()
    }

    /// The smallest file with the note.
    fn smallest() -> Vec<u8> {
        // Where it claims to be entered, and to lie.
        const PLACE: u64 = 1 << 20;
        let note = [4, 8, PHYS32_ENTRY.0, u32::from_le_bytes(*b"Xen\0"), PLACE as u32, 0];
        let length = size_of_val(&note) as u64;
        // An executable of this machine: 64 bytes of this, 56 of one program header, and its note.
        let header = [2 | u64::from(EM_X86_64.0) << 16 | 1 << 32, PLACE, 64, 0, 64 << 32 | 56 << 48, 1];
        let segment = [u64::from(PT_NOTE.0), 64 + 56, PLACE, PLACE, length, length, 4];
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend(header.into_iter().chain(segment).flat_map(u64::to_le_bytes));
        file.extend(note.into_iter().flat_map(u32::to_le_bytes));
        file
    }

    /// What comes out of an image.
    fn out_of(image: &[u8]) -> Option<Vec<u8>> {
        let file = vmlinux(image).unwrap()?;
        let mut kernel = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut kernel, 0).unwrap();
        Some(kernel)
    }

    /// Whether these bytes have an entry.
    fn have_entry(kernel: &[u8]) -> bool {
        has_entry(&qemu::anonymous(kernel, kernel.len() as u64).unwrap())
    }

    fn kernel() -> Vec<u8> {
        [smallest(), vec![0x90; 100_000]].concat()
    }

    #[test]
    fn a_kernel_comes_out_of_every_packing() {
        for packed in packings(&kernel()) {
            assert!(out_of(&image_of(&packed)) == Some(kernel()), "{:x?}", &packed[..4]);
        }
    }

    #[test]
    fn a_kernel_may_be_many_blocks() {
        let kernel = [smallest(), vec![0x90; 20 << 20]].concat();
        let packed = [lz4(&kernel), (kernel.len() as u32).to_le_bytes().to_vec()].concat();
        assert!(out_of(&image_of(&packed)) == Some(kernel));
    }

    #[test]
    fn what_stands_behind_the_end_is_no_kernel() {
        let mut two = packings(&kernel()).swap_remove(3);
        two.truncate(two.len() - 4);
        let length = (2 * kernel().len() as u32).to_le_bytes();
        assert_eq!(out_of(&image_of(&[two.clone(), two, length.to_vec()].concat())), None);
    }

    #[test]
    fn what_cannot_be_entered_is_left_to_its_image() {
        let mut without = kernel();
        let note = smallest().len() - 16;
        without[note] ^= 1;
        let mut elsewhere = kernel();
        elsewhere[18] = 183;
        for kernel in [without, elsewhere, b"no ELF file".to_vec()] {
            assert!(packings(&kernel).iter().all(|packed| out_of(&image_of(packed)).is_none()));
        }
        assert!(out_of(&image_of(b"\x89LZO packed some other way")).is_none());
    }

    #[test]
    fn damage_that_leaves_the_length_is_seen_by_formats_with_checksums() {
        // Nothing in it repeats, so that it is packed as it is.
        let mut random =
            proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
        let mut kernel = smallest();
        kernel.extend(std::iter::repeat_with(|| random.next_u32() as u8).take(60_000));
        for mut packed in packings(&kernel) {
            let checked = packed[0] != 0x02;
            let middle = packed.len() / 2;
            packed[middle] ^= 1;
            assert_eq!(out_of(&image_of(&packed)).is_none(), checked, "{:x?}", &packed[..4]);
        }
    }

    #[test]
    fn notes_without_end_are_not_looked_through() {
        // Segments that all have the same notes, of which the last is the one that is wanted.
        let with = |segments: u16, before: usize| {
            let mut file = smallest()[..64].to_vec();
            file[56..58].copy_from_slice(&segments.to_le_bytes());
            let at = 64 + 56 * u64::from(segments);
            let note = smallest()[64 + 56..].to_vec();
            let length = (12 * before + note.len()) as u64;
            let segment = [u64::from(PT_NOTE.0), at, 0, 0, length, length, 4];
            file.extend((0..segments).flat_map(|_| segment).flat_map(u64::to_le_bytes));
            file.resize(file.len() + 12 * before, 0);
            [file, note].concat()
        };
        let counted_elsewhere = {
            let mut file = with(1, 0);
            file[56..58].copy_from_slice(&u16::MAX.to_le_bytes());
            file
        };
        assert!(!have_entry(&counted_elsewhere));
        assert!(have_entry(&with(1, 0)) && have_entry(&with(SEGMENTS as u16, 5000)));
        assert!(!have_entry(&with(SEGMENTS as u16 + 1, 0)) && !have_entry(&with(1, 6000)));
    }

    #[test]
    fn a_kernel_of_another_length_than_was_said_is_none() {
        for packed in packings(&kernel()) {
            for length in [0, 1, kernel().len() as u32 + 1, LONGEST as u32 + 1, u32::MAX] {
                let mut packed = packed.clone();
                let end = packed.len() - 4;
                packed[end..].copy_from_slice(&length.to_le_bytes());
                assert!(out_of(&image_of(&packed)).is_none(), "{length}: {:x?}", &packed[..4]);
            }
        }
    }

    proptest! {
        #[test]
        fn any_elf_file_is_looked_at_without_a_panic(at in 16_usize..120, bytes: [u8; 8]) {
            let mut file = smallest();
            let end = file.len().min(at + 8);
            file[at..end].copy_from_slice(&bytes[..end - at]);
            let _ = have_entry(&file);
        }

        #[test]
        fn damage_never_panics(format in 0_usize..5, at in 0_usize..1200, byte: u8, cut in 0_usize..1200) {
            let mut image = image_of(&packings(&smallest())[format]);
            let (at, cut) = (at % image.len(), cut % image.len());
            image[at] = byte;
            let _ = out_of(&image);
            image.truncate(cut);
            let _ = out_of(&image);
        }
    }
}
