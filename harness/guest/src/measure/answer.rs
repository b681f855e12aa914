//! Those who answer a call from outside its process: a tracer, a listener.

use super::{Context, WARM_UP, settle_after};
use atlas_edge::sys;
use atlas_wire::Measured;
use atlas_wire::measure::Reply;
use std::time::{Duration, Instant};

/// `PTRACE_O_TRACESECCOMP`.
const TRACE_SECCOMP: u64 = 0x80;
/// `PTRACE_EVENT_SECCOMP` in a wait status.
const EVENT_SECCOMP: i64 = 7;
/// `SECCOMP_IOCTL_NOTIF_RECV`.
const RECV: u64 = 0xc050_2100;
/// `SECCOMP_IOCTL_NOTIF_SEND`.
const SEND: u64 = 0xc018_2101;
/// `SECCOMP_IOCTL_NOTIF_ADDFD`.
const ADDFD: u64 = 0x4018_2103;
/// `SECCOMP_ADDFD_FLAG_SETFD`.
const SETFD: u32 = 1;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
const CONTINUE: u32 = 1;
/// The descriptor that [`Reply::AddFd`] puts into the caller, over and over.
const PLACE: u32 = 200;
/// How long nobody runs before a caller is answered for the first time, in nanoseconds of the guest, which passes
/// idle time at once. A switch of processes costs by 5 to 12 instructions more or less by what ran in the seconds
/// before; after these it costs the same whatever was measured before.
const IDLE: i64 = 3_000_000_000;
/// How often a caller that is not ready is looked at.
const LOOK: Duration = Duration::from_micros(500);

fn ptrace(request: u32, pid: i32, data: u64) -> i64 {
    // SAFETY: none of the requests made here takes a pointer.
    unsafe { sys::raw(libc::SYS_ptrace, [request.into(), pid as u64, 0, data, 0, 0]) }
}

/// Makes the calling process a tracee of its parent, and stops it for the parent to come.
pub(super) fn be_traced() {
    let _ = ptrace(libc::PTRACE_TRACEME, 0, 0);
    sys::kill(std::process::id() as i32, libc::SIGSTOP);
}

/// Lets every call go on that a filter hands to the tracer, until the tracee is about to end.
pub(super) fn trace(context: &Context<'_>, pid: i32) -> Result<(), Measured> {
    let _ = sys::wait_for(pid, libc::__WALL);
    let result = ptrace(libc::PTRACE_SETOPTIONS, pid, TRACE_SECCOMP);
    if result < 0 {
        return Err(Measured::Impossible(format!("no tracing: errno {}", -result)));
    }
    let mut signal = 0;
    let mut settled = false;
    loop {
        let _ = ptrace(libc::PTRACE_CONT, pid, signal);
        let status = sys::wait_for(pid, libc::__WALL);
        if status < 0 || status & 0xff != 0x7f {
            // It has ended, and is reaped.
            return context
                .judge(sys::end_of(status as i32))
                .and_then(|()| Err(Measured::Ended("before it was let go".into())));
        }
        if status >> 16 == EVENT_SECCOMP {
            signal = 0;
            if !settled {
                // As a listener does.
                settle_after(IDLE);
                settled = true;
            }
            continue;
        }
        if context.sheet.is_done() || context.sheet.not_attached().is_some() {
            // The fault that it ends itself with; its signal is delivered without us.
            let _ = ptrace(libc::PTRACE_DETACH, pid, (status >> 8 & 0xff) as u64);
            return Ok(());
        }
        signal = (status >> 8 & 0xff) as u64;
    }
}

/// Answers every round of a caller whose filter notifies.
pub(super) fn listen(context: &Context<'_>, pid: i32, reply: Reply) -> Result<(), Measured> {
    while context.sheet.word() == 0 {
        if context.sheet.not_attached().is_some() {
            return context.wait(pid.into());
        }
        if Instant::now() >= context.deadline {
            return Err(Measured::Ended("before it had a listener".into()));
        }
        sys::wait_for_child_signal(LOOK);
    }
    let listener = context.sheet.word() as i32;
    // The caller waits in its first call, so nobody runs now.
    settle_after(IDLE);
    let mut notification = [0; 80];
    let mut sent = [0; 24];
    let mut added = [0; 24];
    added[8..12].copy_from_slice(&SETFD.to_ne_bytes());
    // Any descriptor will do as the source; the guest's standard input is always there.
    added[16..20].copy_from_slice(&PLACE.to_ne_bytes());
    let result = (0..WARM_UP + context.rounds).try_for_each(|_| {
        notification.fill(0);
        sys::ok(sys::ioctl(listener, RECV, &mut notification))?;
        sent[..8].copy_from_slice(&notification[..8]);
        match reply {
            Reply::Value => {}
            Reply::Continue => sent[20..].copy_from_slice(&CONTINUE.to_ne_bytes()),
            Reply::AddFd => {
                added[..8].copy_from_slice(&notification[..8]);
                sys::ok(sys::ioctl(listener, ADDFD, &mut added))?;
            }
        }
        sys::ok(sys::ioctl(listener, SEND, &mut sent)).map(drop)
    });
    let shut = |fd: u64| sys::number(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
    let _ = (shut(listener as u64), shut(PLACE.into()));
    match result {
        Ok(()) => Ok(()),
        Err(errno) => {
            sys::kill(pid, libc::SIGKILL);
            Err(Measured::Impossible(format!("the listener could not answer: errno {}", -errno)))
        }
    }
}
