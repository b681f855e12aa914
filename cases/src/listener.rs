//! What choreographies with a listener share: the structures of seccomp_unotify(2) as bytes.

use crate::waiting;
use atlas_edge::{Stage, sys};
use atlas_model::bpf::Filter;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

/// `SECCOMP_IOCTL_NOTIF_RECV`.
pub(crate) const RECV: u64 = 0xc050_2100;
/// `SECCOMP_IOCTL_NOTIF_SEND`.
pub(crate) const SEND: u64 = 0xc018_2101;
/// `SECCOMP_IOCTL_NOTIF_ID_VALID`.
pub(crate) const ID_VALID: u64 = 0x4008_2102;
/// `SECCOMP_IOCTL_NOTIF_ADDFD`.
pub(crate) const ADDFD: u64 = 0x4018_2103;
/// `SECCOMP_IOCTL_NOTIF_SET_FLAGS`.
pub(crate) const SET_FLAGS: u64 = 0x4008_2104;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
pub(crate) const CONTINUE: u32 = 1;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
pub(crate) const NEW_LISTENER: u32 = 8;

/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`.
pub(crate) const WAIT_KILLABLE: u32 = 32;

/// `struct seccomp_notif`, as far as it is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notification {
    pub(crate) id: u64,
    pub(crate) pid: u32,
    pub(crate) nr: u32,
    pub(crate) arch: u32,
    pub(crate) first_argument: u64,
}

/// Attaches a filter with a listener and gives the listener's descriptor, or the errno negated.
pub(crate) fn attach(filter: &Filter, flags: u32) -> i64 {
    sys::install(filter, flags | NEW_LISTENER)
}

/// Receives one notification.
pub(crate) fn receive(listener: i32) -> Result<Notification, i64> {
    receive_into(listener, [0; 80])
}

/// Receives into a buffer with this content, which kernels since 5.5 want to be zero.
pub(crate) fn receive_into(listener: i32, mut buffer: [u8; 80]) -> Result<Notification, i64> {
    sys::ok(sys::ioctl(listener, RECV, &mut buffer))?;
    let word = |at: usize| u32::from_ne_bytes([buffer[at], buffer[at + 1], buffer[at + 2], buffer[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    Ok(Notification { id: long(0), pid: word(8), nr: word(16), arch: word(20), first_argument: long(32) })
}

/// Answers a notification.
pub(crate) fn send(listener: i32, id: u64, value: i64, error: i32, flags: u32) -> i64 {
    let mut buffer = [0; 24];
    buffer[..8].copy_from_slice(&id.to_ne_bytes());
    buffer[8..16].copy_from_slice(&value.to_ne_bytes());
    buffer[16..20].copy_from_slice(&error.to_ne_bytes());
    buffer[20..].copy_from_slice(&flags.to_ne_bytes());
    sys::ioctl(listener, SEND, &mut buffer)
}

/// Asks whether an id is still waiting.
pub(crate) fn id_valid(listener: i32, id: u64) -> i64 {
    sys::ioctl(listener, ID_VALID, &mut id.to_ne_bytes().to_vec())
}

/// Puts a descriptor of ours into the caller.
pub(crate) fn add_fd(listener: i32, id: u64, flags: u32, source: i32) -> i64 {
    let mut buffer = [0; 24];
    buffer[..8].copy_from_slice(&id.to_ne_bytes());
    buffer[8..12].copy_from_slice(&flags.to_ne_bytes());
    buffer[12..16].copy_from_slice(&source.to_ne_bytes());
    sys::ioctl(listener, ADDFD, &mut buffer)
}

/// `struct pollfd.revents` of the listener now.
pub(crate) fn poll(listener: i32) -> i64 {
    let mut entry = libc::pollfd { fd: listener, events: libc::POLLIN | libc::POLLOUT, revents: 0 };
    // SAFETY: one entry, which lives until the call returns; the wait is bounded.
    unsafe {
        libc::poll(&raw mut entry, 1, 0);
    }
    i64::from(entry.revents)
}

/// Waits until a descriptor has something to receive, and says whether it came to that.
pub(crate) fn wait_for_one(listener: i32) -> bool {
    let mut entry = libc::pollfd { fd: listener, events: libc::POLLIN, revents: 0 };
    // SAFETY: as in `poll`.
    let found = unsafe { libc::poll(&raw mut entry, 1, waiting::LIMIT.as_millis() as i32) };
    found == 1
}

/// A child that makes the notifying call, without a descriptor of the listener: one more would keep
/// the listener open after everybody else has closed it.
pub(crate) struct Caller {
    pub(crate) pid: i32,
    got: &'static AtomicI64,
}

impl Caller {
    /// Starts a child that calls getppid with this argument.
    pub(crate) fn start(stage: &Stage, listener: i32, argument: u64) -> Self {
        Self::start_with(stage, listener, move |_| sys::number(libc::SYS_getppid, [argument, 0, 0, 0, 0, 0]))
    }

    /// Starts a child that makes a call of its own kind.
    pub(crate) fn start_with(stage: &Stage, listener: i32, call: impl FnOnce(&Stage) -> i64) -> Self {
        let got = waiting::shared_number();
        let pid = stage.start(|stage| {
            sys::close(listener);
            got.store(call(stage), SeqCst);
        });
        Self { pid, got }
    }

    /// Waits for the child and says what its call returned.
    pub(crate) fn got(&self) -> i64 {
        let _ = sys::wait_for(self.pid, libc::__WALL);
        self.got.load(SeqCst)
    }
}

/// `struct seccomp_notif_addfd`, every field.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AddFd {
    pub(crate) id: u64,
    pub(crate) flags: u32,
    pub(crate) source: i32,
    pub(crate) number: u32,
    pub(crate) number_flags: u32,
}

impl AddFd {
    /// `SECCOMP_ADDFD_FLAG_SETFD`.
    pub(crate) const SET: u32 = 1;
    /// `SECCOMP_ADDFD_FLAG_SEND`.
    pub(crate) const SEND: u32 = 2;

    /// Hands it over with the kernel's size.
    pub(crate) fn to(self, listener: i32) -> i64 {
        self.sized(listener, 24, 0)
    }

    /// Hands it over with another size in the request's number; bytes beyond the fields are `fill`.
    pub(crate) fn sized(self, listener: i32, size: u64, fill: u8) -> i64 {
        let mut buffer = vec![fill; 8192];
        buffer[..8].copy_from_slice(&self.id.to_ne_bytes());
        for (at, word) in [self.flags, self.source as u32, self.number, self.number_flags].iter().enumerate()
        {
            buffer[8 + 4 * at..12 + 4 * at].copy_from_slice(&word.to_ne_bytes());
        }
        // The size stands in bits 16 to 29 of the request (include/uapi/asm-generic/ioctl.h).
        sys::ioctl(listener, ADDFD & !(0x3fff << 16) | size << 16, &mut buffer)
    }
}
