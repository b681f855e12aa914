//! The interpreter's whole memory: one mapping, made before the filter.

use mruby_sys::mrb_state;
use rlsf::Tlsf;
use std::alloc::Layout;
use std::ffi::c_void;
use std::ptr::NonNull;

/// What malloc(3) aligns to.
const ALIGN: usize = 16;

/// An allocator over one private mapping; two-level segregated fit, in constant time.
pub(crate) struct Arena {
    blocks: Tlsf<'static, u32, u32, 28, 32>,
    used: usize,
    peak: usize,
}

impl Arena {
    /// Maps `size` bytes; none is touched before it is used.
    pub(crate) fn new(size: usize) -> Option<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at a place of the kernel's choice.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return None;
        }
        let mut blocks = Tlsf::new();
        let pool = NonNull::slice_from_raw_parts(NonNull::new(start.cast::<u8>())?, size);
        // SAFETY: the mapping is fresh, nobody else's, and never unmapped.
        unsafe { blocks.insert_free_block_ptr(pool) }?;
        Some(Self { blocks, used: 0, peak: 0 })
    }

    /// The most bytes in use since [`Self::restart_peak`], blocks' headers included.
    pub(crate) fn peak(&self) -> u64 {
        self.peak as u64
    }

    /// Counts the peak from what is in use now.
    pub(crate) fn restart_peak(&mut self) {
        self.peak = self.used;
    }

    fn size_of(block: NonNull<u8>) -> usize {
        // SAFETY: the block came from `blocks`, with this alignment.
        unsafe { Tlsf::<'static, u32, u32, 28, 32>::allocation_usable_size(block) }
    }

    fn change(&mut self, old: Option<NonNull<u8>>, size: usize) -> Option<NonNull<u8>> {
        let layout = Layout::from_size_align(size, ALIGN).ok()?;
        let before = old.map_or(0, Self::size_of);
        let new = match old {
            None => self.blocks.allocate(layout)?,
            // SAFETY: the block came from `blocks`, with this alignment.
            Some(old) => unsafe { self.blocks.reallocate(old, layout) }?,
        };
        self.used = self.used - before + Self::size_of(new);
        self.peak = self.peak.max(self.used);
        Some(new)
    }

    fn free(&mut self, block: NonNull<u8>) {
        self.used -= Self::size_of(block);
        // SAFETY: the block came from `blocks`, with this alignment.
        unsafe { self.blocks.deallocate(block, ALIGN) };
    }
}

/// mruby's `mrb_allocf`: malloc, realloc and free in one (include/mruby.h).
pub(crate) unsafe extern "C" fn allocate(
    _: *mut mrb_state,
    block: *mut c_void,
    size: usize,
    arena: *mut c_void,
) -> *mut c_void {
    // SAFETY: mruby gives back the pointer it was opened with.
    let arena = unsafe { &mut *arena.cast::<Arena>() };
    let block = NonNull::new(block.cast::<u8>());
    if size == 0 {
        if let Some(block) = block {
            arena.free(block);
        }
        return std::ptr::null_mut();
    }
    arena.change(block, size).map_or(std::ptr::null_mut(), |new| new.as_ptr().cast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_grow_and_go_within_the_bound() {
        let mut arena = Arena::new(1 << 20).unwrap();
        let first = arena.change(None, 1000).unwrap();
        let grown = arena.change(Some(first), 500_000).unwrap();
        assert!(arena.change(None, 600_000).is_none(), "more than there is");
        arena.free(grown);
        assert_eq!(arena.used, 0);
        assert!(arena.peak() >= 500_000 && arena.peak() < 1 << 20);
        let all = arena.change(None, 1_000_000).unwrap();
        arena.free(all);
    }
}
