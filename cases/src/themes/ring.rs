//! io_uring: three calls to a filter, and whatever goes through the ring is not one.

use crate::Case;
use crate::attached::attach;
use crate::case::{is, staged};
use atlas_edge::{Stage, sys};
use atlas_model::abi::offset;
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Action, bpf};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

const SETUP: i64 = 425;
const ENTER: i64 = 426;
const REGISTER: i64 = 427;
const OPENAT: u32 = 257;
/// `IORING_OP_OPENAT`.
const OP_OPENAT: u64 = 18;

pub(crate) const CASES: &[Case] = &[
    staged(
        "ring::open_is_not_seen",
        "Where openat is refused a ring opens the file all the same.",
        &[Feature::ModeFilter, Feature::IoUring],
        |stage| {
            let ring = Ring::new();
            refuse(&[OPENAT, 2]);
            stage.fact("openat", open());
            stage.fact("open through the ring", ring.map_or(-1, |ring| ring.open().min(0)));
        },
        |_: &Traits| vec![is("openat", -1), is("open through the ring", 0)],
    ),
    staged(
        "ring::enter_is_judged",
        "Refusing io_uring_enter closes a ring that was there before.",
        &[Feature::ModeFilter, Feature::IoUring],
        |stage| {
            let ring = Ring::new();
            refuse(&[ENTER as u32]);
            stage.fact("io_uring_enter", ring.map_or(-99, |ring| ring.open()));
        },
        |_: &Traits| vec![is("io_uring_enter", -1)],
    ),
    staged(
        "ring::can_be_refused",
        "A filter keeps rings away by their three calls.",
        &[Feature::ModeFilter],
        |stage| {
            refuse(&[SETUP as u32, ENTER as u32, REGISTER as u32]);
            for (name, nr) in
                [("io_uring_setup", SETUP), ("io_uring_enter", ENTER), ("io_uring_register", REGISTER)]
            {
                stage.fact(name, sys::number(nr, [0; 6]));
            }
        },
        |_: &Traits| vec![is("io_uring_setup", -1), is("io_uring_enter", -1), is("io_uring_register", -1)],
    ),
];

/// Answers these calls with EPERM.
fn refuse(numbers: &[u32]) {
    let mut filter = vec![bpf::ld(offset::NR)];
    let count = numbers.len();
    filter.extend(numbers.iter().enumerate().map(|(at, &nr)| bpf::jeq(nr, (count - at) as u8, 0)));
    filter.extend([bpf::ret(Action::Allow), bpf::ret(Action::Errno(1))]);
    attach(filter);
}

const PATH: &std::ffi::CStr = c"/proc/self/status";
const AT_FDCWD: u64 = -100_i64 as u64;

fn open() -> i64 {
    // SAFETY: the path is a C string of static life.
    unsafe { sys::raw(OPENAT.into(), [AT_FDCWD, PATH.as_ptr() as u64, 0, 0, 0, 0]) }
}

/// A ring with room for one request at a time.
struct Ring {
    fd: i64,
    submission: u64,
    completion: u64,
    requests: u64,
    /// `struct io_uring_params` as words: offsets of both rings stand in it.
    params: [u32; 30],
}

impl Ring {
    fn new() -> Option<Self> {
        let mut params = [0_u32; 30];
        // SAFETY: 120 bytes, the size of the structure, which lives until the call returns.
        let fd = unsafe { sys::raw(SETUP, [1, params.as_mut_ptr() as u64, 0, 0, 0, 0]) };
        if fd < 0 {
            return None;
        }
        let map = |offset| {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            sys::ok(sys::mmap(0, 4096, protection, libc::MAP_SHARED, fd as i32, offset)).ok()
        };
        // IORING_OFF_SQ_RING, IORING_OFF_CQ_RING, IORING_OFF_SQES.
        let [submission, completion, requests] =
            [map(0)?, map(0x800_0000)?, map(0x1000_0000)?].map(|address| address as u64);
        Some(Self { fd, submission, completion, requests, params })
    }

    /// A word of a ring, by the word of the parameters that holds its offset.
    fn word(&self, ring: u64, at: usize, further: u64) -> &AtomicU32 {
        // SAFETY: a page of the ring, mapped for good; the kernel's offsets lie in it for a ring of
        // one entry.
        unsafe { &*((ring + u64::from(self.params[at]) + further) as *const AtomicU32) }
    }

    /// Opens the file through the ring: the descriptor, or the errno negated.
    fn open(&self) -> i64 {
        // struct io_uring_sqe: operation, and directory in the upper half; offset; path; mode and flags.
        let request = [OP_OPENAT | AT_FDCWD << 32, 0, PATH.as_ptr() as u64, 0, 0, 0, 0, 0];
        // SAFETY: the page of requests has room for one of 64 bytes.
        unsafe { std::ptr::write_volatile(self.requests as *mut [u64; 8], request) };
        // Word 16 is sq_off.array, word 11 sq_off.tail.
        self.word(self.submission, 16, 0).store(0, SeqCst);
        self.word(self.submission, 11, 0).fetch_add(1, SeqCst);
        // One to submit, one to wait for, IORING_ENTER_GETEVENTS.
        let entered = sys::number(ENTER, [self.fd as u64, 1, 1, 1, 0, 0]);
        if entered != 1 {
            return entered;
        }
        // Word 25 is cq_off.cqes; the result follows the eight bytes of user data.
        i64::from(self.word(self.completion, 25, 8).load(SeqCst) as i32)
    }
}

/// The probe of the feature: a file opened through a ring.
pub(crate) fn observe_ring(stage: &Stage) {
    stage.fact("opened", Ring::new().map_or(-1, |ring| ring.open().min(0)));
}
