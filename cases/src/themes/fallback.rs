//! What a C library does when a filter refuses a call that it has an older one for: ENOSYS it takes
//! for an old kernel and falls back, EPERM it takes for an answer.
//!
//! The guest's C library is linked into it, so each row is one and the same library on every kernel:
//! glibc 2.34 or later, the first whose pthread_create makes clone3.

use crate::attached::attach;
use crate::case::{is, staged};
use crate::{Case, Fact};
use atlas_edge::{Stage, sys};
use atlas_model::abi::offset;
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Action, bpf};

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const EPERM: u16 = 1;
const ENOSYS: u16 = 38;
const EBADF: i64 = -9;
const FILE: &std::ffi::CStr = c"/proc/self/status";

pub(crate) const CASES: &[Case] = &[
    staged(
        "fallback::clone3",
        "pthread_create: clone3 refused with ENOSYS becomes clone, refused with EPERM there is no thread.",
        NEEDS,
        |stage| {
            refused(stage, 435, || {
                std::thread::Builder::new().spawn(|| {}).map(|_| 0).unwrap_or_else(|error| errno_of(&error))
            });
        },
        |_: &Traits| facts(0, -1),
    ),
    staged(
        "fallback::faccessat2",
        "faccessat with flags: ENOSYS becomes fstatat and arithmetic, EPERM is handed on.",
        NEEDS,
        |stage| {
            refused(stage, 439, || {
                // SAFETY: the path is a C string of static life.
                last(unsafe { libc::faccessat(libc::AT_FDCWD, FILE.as_ptr(), libc::R_OK, libc::AT_EACCESS) })
            });
        },
        |_: &Traits| facts(0, -1),
    ),
    staged(
        "fallback::statx",
        "statx of the library: ENOSYS becomes fstatat, EPERM is handed on.",
        NEEDS,
        |stage| {
            refused(stage, 332, || {
                // SAFETY: zeroes are a valid statx, and it lives until the call returns.
                unsafe {
                    let mut seen: libc::statx = std::mem::zeroed();
                    last(libc::statx(libc::AT_FDCWD, FILE.as_ptr(), 0, libc::STATX_SIZE, &raw mut seen))
                }
            });
        },
        |_: &Traits| facts(0, -1),
    ),
    staged(
        "fallback::close_range",
        "closefrom of the library: whatever errno close_range is refused with, it goes by /proc/self/fd instead.",
        NEEDS,
        |stage| refused(stage, 436, close_from_200),
        |_: &Traits| facts(EBADF, EBADF),
    ),
    staged(
        "fallback::calls_without_one",
        "close_range and openat2 have no older call: what the filter says reaches the program.",
        NEEDS,
        |stage| {
            for (name, nr) in [("close_range", 436), ("openat2", 437)] {
                for errno in [ENOSYS, EPERM] {
                    let got = behind(stage, nr, errno, move || sys::number(nr, [u64::MAX, 0, 0, 0, 0, 0]));
                    stage.fact(name, got);
                }
            }
        },
        |_: &Traits| {
            vec![is("close_range", -38), is("close_range", -1), is("openat2", -38), is("openat2", -1)]
        },
    ),
];

unsafe extern "C" {
    /// closefrom(3), which the bindings do not have.
    safe fn closefrom(lowest: i32);
}

/// What a descriptor is that the library was asked to close among others.
fn close_from_200() -> i64 {
    let made = sys::number(libc::SYS_dup2, [crate::script::FD_WRITE, 200, 0, 0, 0, 0]);
    if made != 200 {
        return -1000;
    }
    closefrom(200);
    sys::number(libc::SYS_fcntl, [200, libc::F_GETFD as u64, 0, 0, 0, 0])
}

fn facts(with_enosys: i64, with_eperm: i64) -> Vec<Fact> {
    vec![is("refused with ENOSYS", with_enosys), is("refused with EPERM", with_eperm)]
}

/// A library's -1 as its errno, negated.
fn last(result: i32) -> i64 {
    if result == -1 { errno_of(&std::io::Error::last_os_error()) } else { result.into() }
}

fn errno_of(error: &std::io::Error) -> i64 {
    -i64::from(error.raw_os_error().unwrap_or(0))
}

/// What a call of the library says while a filter refuses a call of the kernel's with either errno.
fn refused(stage: &Stage, nr: i64, call: fn() -> i64) {
    stage.fact("refused with ENOSYS", behind(stage, nr, ENOSYS, call));
    stage.fact("refused with EPERM", behind(stage, nr, EPERM, call));
}

/// The same with one errno, in a process of its own.
fn behind(stage: &Stage, nr: i64, errno: u16, call: impl FnOnce() -> i64) -> i64 {
    let got = crate::waiting::shared_number();
    let _ = stage.child(|_| {
        let filter = vec![
            bpf::ld(offset::NR),
            bpf::jeq(nr as u32, 0, 1),
            bpf::ret(Action::Errno(errno)),
            bpf::ret(Action::Allow),
        ];
        attach(filter);
        got.store(call(), std::sync::atomic::Ordering::SeqCst);
    });
    got.load(std::sync::atomic::Ordering::SeqCst)
}
