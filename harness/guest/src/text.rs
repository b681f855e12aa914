//! The guest's code on huge pages.
//!
//! Every choreography is a fork or several, and so are some experiments. Pages of a file are not handed on by fork: each
//! process faults those in that it runs through, sixteen at a time since 3.15, and gives them back at its end
//! (mm/filemap.c filemap_map_pages), a thirtieth of a run's time under emulation. An anonymous huge page is handed on
//! as one entry (mm/huge_memory.c copy_huge_pmd).

use atlas_edge::{Segment, segments, sys};
use std::fs;
use std::ops::Range;

/// A huge page, to which the linker aligns the segments (see harness/vm/build.rs).
const HUGE: u64 = 2 << 20;
/// Who gets huge pages (Documentation/admin-guide/mm/transhuge.rst): nobody below 512 MB, unless somebody says
/// otherwise (mm/huge_memory.c hugepage_init).
const SWITCH: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
/// What the kernel keeps free. It keeps more while somebody gets huge pages, and before 5.16 afterwards too
/// (mm/khugepaged.c set_recommended_min_free_kbytes).
const FREE: &str = "/proc/sys/vm/min_free_kbytes";

/// Moves what nobody writes to of the guest's image onto huge pages. Where the kernel has none, has too few free, or the
/// image is linked in another way, what was not moved is as before, and slower.
pub(crate) fn move_to_huge_pages() {
    let segments = segments();
    let (written, fixed): (Vec<&Segment>, Vec<&Segment>) =
        segments.iter().partition(|segment| segment.writable);
    let places: Vec<Range<u64>> =
        fixed.iter().chain(&written).map(|segment| around(&segment.place)).collect();
    // Each has its huge pages for itself.
    if places.windows(2).all(|pair| pair[0].end <= pair[1].start) {
        let _ = with_huge_pages(|| fixed.iter().try_for_each(|segment| move_segment(segment)));
    }
}

/// Has the kernel give huge pages to who asks for them meanwhile, and puts back what that changes.
fn with_huge_pages(ask: impl FnOnce() -> Option<()>) -> Option<()> {
    let (before, free) = (fs::read_to_string(SWITCH).ok()?, fs::read_to_string(FREE).ok()?);
    let chosen = before.split_once('[')?.1.split_once(']')?.0;
    fs::write(SWITCH, "madvise").ok()?;
    let given = ask();
    let _ = fs::write(SWITCH, chosen);
    if fs::read_to_string(FREE).is_ok_and(|now| now != free) {
        let _ = fs::write(FREE, free);
    }
    given
}

/// The huge pages that a place lies in.
fn around(place: &Range<u64>) -> Range<u64> {
    place.start / HUGE * HUGE..place.end.next_multiple_of(HUGE)
}

/// Moves one segment.
fn move_segment(segment: &Segment) -> Option<()> {
    let to = around(&segment.place);
    let length = to.end - to.start;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let room =
        sys::ok(sys::mmap(0, length + HUGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)).ok()? as u64;
    let from = room.next_multiple_of(HUGE);
    let unmap = |start: u64, end: u64| {
        // SAFETY: called below for parts of the room that nothing of us lies in.
        let _ = unsafe { sys::raw(libc::SYS_munmap, [start, end - start, 0, 0, 0, 0]) };
    };
    // SAFETY: what lies between `from` and its end is in the room, which nobody else knows of.
    let advised = unsafe { sys::raw(libc::SYS_madvise, [from, length, libc::MADV_HUGEPAGE as u64, 0, 0, 0]) };
    let moved = sys::ok(advised).and_then(|_| {
        let (offset, bytes) = (segment.place.start - to.start, segment.place.end - segment.place.start);
        let protection = libc::PROT_READ | if segment.executable { libc::PROT_EXEC } else { 0 };
        // SAFETY: as above, and the segment is mapped. What is moved over holds it alone, so its bytes are the same
        // before and after, and the code that does this goes on. That the kernel has unmapped it and then finds no
        // memory for an entry in its tables would end PID 1; it is all that runs, and has just booted.
        unsafe {
            core::ptr::copy_nonoverlapping(
                segment.place.start as *const u8,
                (from + offset) as *mut u8,
                bytes as usize,
            );
            if !is_huge(from) {
                return Err(-i64::from(libc::ENOMEM));
            }
            sys::ok(sys::raw(libc::SYS_mprotect, [from, length, protection as u64, 0, 0, 0]))?;
            let how = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
            sys::ok(sys::raw(libc::SYS_mremap, [from, length, length, how, to.start, 0]))
        }
    });
    if moved.is_err() {
        unmap(room, room + length + HUGE);
        return None;
    }
    // What is left of the room lies before and behind; where one of them is empty the kernel refuses, which is right.
    unmap(room, from);
    unmap(from + length, room + length + HUGE);
    Some(())
}

/// Whether the mapping that begins here has huge pages and no others (proc_pid_smaps(5)). Small ones would be handed on by
/// fork one by one.
fn is_huge(start: u64) -> bool {
    let maps = sys::read_file("/proc/self/smaps").unwrap_or_default();
    let head = format!("{start:08x}-");
    let mut lines = maps.lines().skip_while(|line| !line.starts_with(&head));
    let size = |line: Option<&str>| line.and_then(|line| line.split_whitespace().nth(1)).map(str::to_owned);
    let resident = size(lines.find(|line| line.starts_with("Rss:")));
    resident.is_some() && resident == size(lines.find(|line| line.starts_with("AnonHugePages:")))
}
