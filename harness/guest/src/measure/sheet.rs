//! Memory in which a measured process leaves its figures, by stores alone.

use atlas_edge::sys;
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};

#[repr(C)]
struct Head {
    /// Figures that are there.
    count: AtomicU32,
    /// All rounds were taken.
    done: AtomicU32,
    /// 1 plus the filter that could not be attached.
    refused: AtomicU32,
    errno: AtomicI32,
    returned: AtomicI64,
    /// A word for whatever else two processes have to tell each other.
    word: AtomicI64,
}

/// A sheet with room for a number of figures, shared with every process made after it.
pub(super) struct Sheet {
    head: &'static Head,
    figures: &'static [AtomicU64],
    length: u64,
}

impl Sheet {
    /// Maps a sheet, and touches all of it so that the processes find its pages there.
    pub(super) fn new(rounds: u32) -> Result<Self, i64> {
        let length = (size_of::<Head>() + 8 * rounds as usize).next_multiple_of(4096) as u64;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let base = sys::ok(sys::mmap(0, length, protection, flags, -1, 0))? as usize;
        // SAFETY: freshly mapped, zeroed, long enough and page-aligned; every field is an atomic, for
        // which any bit pattern is valid. It is unmapped when the sheet is dropped, and the references
        // do not leave it.
        let (head, figures) = unsafe {
            let figures = (base + size_of::<Head>()) as *const AtomicU64;
            (&*(base as *const Head), core::slice::from_raw_parts(figures, rounds as usize))
        };
        Ok(Self { head, figures, length })
    }

    /// Adds a figure; more than there is room for are dropped.
    pub(super) fn add(&self, figure: u64) {
        let count = self.head.count.load(SeqCst);
        if let Some(place) = self.figures.get(count as usize) {
            place.store(figure, SeqCst);
            self.head.count.store(count + 1, SeqCst);
        }
    }

    /// The figures that are there.
    pub(super) fn figures(&self) -> Vec<u64> {
        let count = self.head.count.load(SeqCst) as usize;
        self.figures.iter().take(count).map(|figure| figure.load(SeqCst)).collect()
    }

    /// Says what the measured call returned.
    pub(super) fn give(&self, returned: i64) {
        self.head.returned.store(returned, SeqCst);
    }

    /// What the measured call returned.
    pub(super) fn returned(&self) -> i64 {
        self.head.returned.load(SeqCst)
    }

    /// Says that a filter could not be attached.
    pub(super) fn refuse(&self, filter: usize, negated: i64) {
        self.head.errno.store(-negated as i32, SeqCst);
        self.head.refused.store(filter as u32 + 1, SeqCst);
    }

    /// The filter that could not be attached, and why.
    pub(super) fn not_attached(&self) -> Option<(u32, i32)> {
        let refused = self.head.refused.load(SeqCst);
        (refused != 0).then(|| (refused - 1, self.head.errno.load(SeqCst)))
    }

    /// Says that all rounds were taken.
    pub(super) fn finish(&self) {
        self.head.done.store(1, SeqCst);
    }

    /// Whether all rounds were taken.
    pub(super) fn is_done(&self) -> bool {
        self.head.done.load(SeqCst) != 0
    }

    /// Sets the spare word.
    pub(super) fn put(&self, word: i64) {
        self.head.word.store(word, SeqCst);
    }

    /// The spare word.
    pub(super) fn word(&self) -> i64 {
        self.head.word.load(SeqCst)
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        let base = core::ptr::from_ref(self.head) as u64;
        // SAFETY: our own mapping; nobody has a reference into it any more.
        let _ = unsafe { sys::raw(libc::SYS_munmap, [base, self.length, 0, 0, 0, 0]) };
    }
}
