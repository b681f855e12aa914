//! Fixed mappings: what experiments refer to lies where [`layout`] says.

use crate::{stub, sys};
use atlas_model::experiment::{MAX_TASKS, layout};

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

/// Maps everything that experiments need. To be called once, before the first experiment.
///
/// # Errors
/// The errno of the call that failed, negated.
pub fn map_all() -> Result<(), i64> {
    stub::map()?;
    map_fixed(layout::BOARD, layout::BOARD_LEN, true)?;
    map_fixed(layout::SCRATCH, layout::SCRATCH_LEN, true)?;
    map_fixed(layout::STACKS, layout::STACK_LEN * MAX_TASKS as u64, false)
}

/// Zeroes the scratch area and puts an experiment's bytes into it; what lies outside is dropped.
pub fn fill_scratch(memory: &[(u32, Vec<u8>)]) {
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
