//! A clone becomes a guest of its own: what it shares with its template and must not is made anew. Guests that count are
//! told the same after a boot.
//!
//! Clock and entropy are set here. What stays the same in all clones is said in `docs/warm-start.md`: the
//! time since boot, the next process id, the memory of PID 1.

use atlas_edge::sys;
use atlas_wire::Wake;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::AsRawFd;

/// `RNDADDENTROPY` of random(4).
const ADD_ENTROPY: u64 = 0x4008_5203;
/// `RNDRESEEDCRNG` of random(4), since Linux 4.17: the generator takes what the pool has at once.
const RESEED: u64 = 0x5207;

/// The kernel's `struct rand_pool_info` with our seed.
#[repr(C)]
struct Pool {
    bits: i32,
    bytes: i32,
    seed: [u8; 32],
}

/// Takes time and entropy from the host.
///
/// # Errors
/// A sentence, where the kernel does not take one of them: the guest is then not one to be used.
pub(crate) fn wake(wake: &Wake) -> Result<(), String> {
    let time = [wake.unix_ns / 1_000_000_000, wake.unix_ns % 1_000_000_000];
    let clock = libc::CLOCK_REALTIME as u64;
    // SAFETY: the time lives until the call returns.
    let set = unsafe { sys::raw(libc::SYS_clock_settime, [clock, time.as_ptr() as u64, 0, 0, 0, 0]) };
    sys::ok(set).map_err(|errno| format!("the clock cannot be set: errno {}", -errno))?;
    let wrong = |error: std::io::Error| format!("/dev/urandom takes no entropy: {error}");
    let mut device = OpenOptions::new().write(true).open("/dev/urandom").map_err(wrong)?;
    device.write_all(&wake.seed).map_err(wrong)?;
    let pool = Pool { bits: 256, bytes: 32, seed: wake.seed };
    let descriptor = device.as_raw_fd() as u64;
    // SAFETY: the structure says how long it is, and lives until the call returns.
    let added =
        unsafe { sys::raw(libc::SYS_ioctl, [descriptor, ADD_ENTROPY, (&raw const pool) as u64, 0, 0, 0]) };
    sys::ok(added).map_err(|errno| format!("/dev/urandom credits no entropy: errno {}", -errno))?;
    // Older kernels take the credited entropy without being asked.
    let _ = sys::number(libc::SYS_ioctl, [descriptor, RESEED, 0, 0, 0, 0]);
    Ok(())
}
