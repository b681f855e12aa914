//! The VM lifecycle: kernels found, verified and unpacked ([`kernels`]), booted, watched and
//! killed ([`Machine`]).
//!
//! Nothing needs root, and nothing is left behind: serial lines are socket pairs, the initramfs and
//! the window are anonymous files, and QEMU dies with the process that started it.

mod accel;
mod console;
mod digest;
mod error;
mod initramfs;
mod line;
mod machine;
mod monitor;
mod proof;
mod qemu;
mod talk;

pub mod templates;

pub mod kernels;

pub use accel::{Accel, Accelerator};
pub use error::{Error, Lost, Reason};
pub use machine::{BootOptions, Machine};
pub use qemu::{kill_all, version};

/// The static binary that is PID 1 in every guest. The build script of this crate builds it, unless
/// `ATLAS_GUEST_BIN` named a ready one.
#[must_use]
pub fn guest_binary() -> &'static [u8] {
    include_bytes!(env!("ATLAS_GUEST_IMAGE"))
}
