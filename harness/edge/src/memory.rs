//! Fixed mappings: what experiments refer to lies where [`layout`] says.

use crate::{stub, sys};
use atlas_model::experiment::{MAX_TASKS, layout};
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::ffi::CStr;
use std::sync::OnceLock;

/// Maps anonymous memory, readable and writable, at exactly this address.
///
/// # Errors
/// The errno of `mmap`, negated.
pub fn map_fixed(address: u64, length: u64, shared: bool) -> Result<(), i64> {
    let sharing = if shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
    let flags = sharing | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    sys::ok(sys::mmap(address, length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0))?;
    Ok(())
}

/// The file behind board and scratch area, so that an image that a task executes can map them too.
const SHARED: &CStr = c"/.shared";

/// Maps everything that experiments need. To be called once, before the first experiment.
///
/// # Errors
/// The errno of the call that failed, negated.
pub fn map_all() -> Result<(), i64> {
    let _ = std::fs::remove_file("/.shared");
    let file = sys::ok(sys::open(SHARED, libc::O_RDWR | libc::O_CREAT))?;
    let length = layout::BOARD_LEN + layout::SCRATCH_LEN;
    sys::ok(sys::number(libc::SYS_ftruncate, [file as u64, length, 0, 0, 0, 0]))?;
    // A task that is nobody may execute an image as well.
    sys::ok(sys::number(libc::SYS_fchmod, [file as u64, 0o666, 0, 0, 0, 0]))?;
    map_with(file as i32)
}

/// Maps everything in an image that a task executed.
///
/// # Errors
/// The errno of the call that failed, negated.
pub(crate) fn map_again() -> Result<(), i64> {
    map_with(sys::ok(sys::open(SHARED, libc::O_RDWR))? as i32)
}

/// Maps the page that calls are made from.
fn map_stub() -> Result<(), i64> {
    let page = stub::page();
    map_fixed(layout::STUB, layout::PAGE, false)?;
    // SAFETY: mapped writable just now, a page long, and nobody else knows of it.
    unsafe { core::ptr::copy_nonoverlapping(page.as_ptr(), layout::STUB as *mut u8, page.len()) };
    sys::ok(sys::mprotect(layout::STUB, layout::PAGE, libc::PROT_READ | libc::PROT_EXEC))?;
    Ok(())
}

fn map_with(file: i32) -> Result<(), i64> {
    map_stub()?;
    let flags = libc::MAP_SHARED | libc::MAP_FIXED;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let parts =
        [(layout::BOARD, layout::BOARD_LEN, 0), (layout::SCRATCH, layout::SCRATCH_LEN, layout::BOARD_LEN)];
    for (address, length, offset) in parts {
        sys::ok(sys::mmap(address, length, protection, flags, file, offset))?;
    }
    let _ = sys::number(libc::SYS_close, [file as u64, 0, 0, 0, 0, 0]);
    map_fixed(layout::STACKS, layout::STACK_LEN * MAX_TASKS as u64, false)
}

/// Maps the pages of the watched window that are there at the start.
pub(crate) fn map_window() {
    let _ = map_fixed(layout::WINDOW, layout::WINDOW_MAPPED * layout::PAGE, false);
}

/// Unmaps the watched window, as far as it is there.
pub(crate) fn unmap_window() {
    let length = layout::WINDOW_PAGES * layout::PAGE;
    // SAFETY: no object of Rust's lives in this range of `layout`.
    let _ = unsafe { sys::raw(libc::SYS_munmap, [layout::WINDOW, length, 0, 0, 0, 0]) };
}

/// Whether the scratch area may hold anything but zeros.
static WRITTEN: AtomicBool = AtomicBool::new(false);

/// Zeroes the scratch area and puts an experiment's bytes into it; what lies outside is dropped. The
/// experiment's own calls may write there where they `touch` memory at all; zeroing again what
/// is zero would cost as much as everything else that a small experiment does.
pub fn fill_scratch(memory: &[(u32, Vec<u8>)], touches: bool) {
    let writes = touches || !memory.is_empty();
    if !WRITTEN.swap(writes, SeqCst) && memory.is_empty() {
        return;
    }
    let base = layout::SCRATCH as *mut u8;
    // SAFETY: the scratch area is mapped, writable and this long; tasks of an earlier experiment
    // are gone.
    let area = unsafe { core::slice::from_raw_parts_mut(base, layout::SCRATCH_LEN as usize) };
    area.fill(0);
    for (offset, bytes) in memory {
        if let Some(room) = area.get_mut(*offset as usize..) {
            let length = room.len().min(bytes.len());
            room[..length].copy_from_slice(&bytes[..length]);
        }
    }
}

/// Memory that this process and those that it makes share: mapped at the first use, zeroed, page-aligned, and
/// never unmapped. `place` keeps where it is.
///
/// # Safety
/// Zeroes have to be a valid value, and the other processes' writes must be none that Rust does not
/// expect: every field is an atomic.
///
/// # Errors
/// The errno, negated, with which it could not be mapped.
pub(crate) unsafe fn shared<T>(place: &OnceLock<u64>) -> Result<&'static T, i64> {
    let address = match place.get() {
        Some(&address) => address,
        None => {
            let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let mapped = sys::ok(sys::mmap(0, size_of::<T>() as u64, protection, flags, -1, 0))?;
            *place.get_or_init(|| mapped as u64)
        }
    };
    // SAFETY: mapped for the life of the process, large enough and page-aligned; the caller vouches for the rest.
    Ok(unsafe { &*(address as *const T) })
}
