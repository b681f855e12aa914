//! Where the shared window lies in the guest's memory.
//!
//! The window is the last part of the guest's RAM, kept from its kernel by `memmap=` and backed by
//! a file of the host's. One half a direction, so that neither side overwrites what the other
//! writes; but the guest wipes the header of a request that it has taken.

/// Guest-physical address of the window, which is also the size of the RAM below it.
pub const ADDRESS: u64 = 128 << 20;
/// Its length in bytes.
pub const LENGTH: u64 = 16 << 20;
/// Length of one half: requests in the first, answers in the second.
pub const HALF: usize = (LENGTH / 2) as usize;
/// Offset of the host's requests.
pub const REQUESTS: usize = 0;
/// Offset of the guest's answers.
pub const ANSWERS: usize = HALF;

/// What the host writes at the beginning of the window before it starts a guest. A guest that does
/// not find it there has mapped something else and does without a window.
pub const TOKEN: &[u8] = b"seccomp-atlas window";
