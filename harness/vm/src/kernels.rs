//! Kernels on disk: fetched from a distribution's archive or added by hand, verified, and proven by
//! a first boot.
//!
//! [`Manifest`] says what to boot, [`Lock`] which exact packages were booted, [`Store`] is the cache
//! on this machine. A kernel counts as usable only once it has booted here.

mod apt;
mod deb;
mod error;
mod fetch;
mod image;
mod lock;
mod manifest;
mod store;
mod vmlinux;
mod whole;

pub use apt::Archive;
pub use error::Error;
pub use fetch::{FetchEvent, FetchOptions, Proof};
pub use image::release_of;
pub use lock::{Lock, Locked};
pub use manifest::{Entry, Manifest, Origin};
pub use store::{Kernel, Store, Stored};
pub(crate) use vmlinux::vmlinux;
