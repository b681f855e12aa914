//! Where this process's image lies in memory and in its file.

use std::ops::Range;

/// A part of the image that is loaded (elf(5), `PT_LOAD`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it lies.
    pub place: Range<u64>,
    /// Where its first byte stands in the file.
    pub offset: u64,
    /// Whether the process may write to it.
    pub writable: bool,
    /// Whether the process may execute what is in it.
    pub executable: bool,
}

/// The segments of this process's image, by address.
#[must_use]
pub fn segments() -> Vec<Segment> {
    // SAFETY: the kernel says where the image's headers lie and how many they are (getauxval(3)), for the life of the
    // process.
    let headers = unsafe {
        let (start, count) = (libc::getauxval(libc::AT_PHDR), libc::getauxval(libc::AT_PHNUM));
        std::slice::from_raw_parts(start as *const libc::Elf64_Phdr, count as usize)
    };
    // An image that is linked to no fixed address was moved as a whole, its headers with it; one without an entry for
    // them is taken for one that was not.
    let linked = headers.iter().find(|header| header.p_type == libc::PT_PHDR).map(|header| header.p_vaddr);
    let moved = linked.map_or(0, |linked| (headers.as_ptr() as u64).wrapping_sub(linked));
    let loaded = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    let segment = |header: &libc::Elf64_Phdr| {
        let start = header.p_vaddr.wrapping_add(moved);
        Segment {
            place: start..start + header.p_memsz,
            offset: header.p_offset,
            writable: header.p_flags & libc::PF_W != 0,
            executable: header.p_flags & libc::PF_X != 0,
        }
    };
    loaded.map(segment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    static WRITTEN: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(7);

    #[test]
    fn what_lies_in_a_segment_stands_in_the_file() {
        let here = what_lies_in_a_segment_stands_in_the_file as *const () as u64;
        let segments = segments();
        let code: Vec<&Segment> = segments.iter().filter(|segment| segment.place.contains(&here)).collect();
        let [Segment { place, offset, writable: false, executable: true }] = code[..] else {
            panic!("{here:x} {segments:x?}")
        };
        let mut stands = [0; 16];
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        file.read_exact_at(&mut stands, here - place.start + offset).unwrap();
        // SAFETY: sixteen bytes of this function, which is longer.
        assert_eq!(stands, unsafe { *(here as *const [u8; 16]) });

        let data = (&raw const WRITTEN) as u64;
        assert!(segments.iter().any(|segment| segment.place.contains(&data) && segment.writable));
    }
}
