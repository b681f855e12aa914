//! A tracer that lets every call go on and keeps what seccomp told it.

use crate::board::board;
use crate::sys;

/// `PTRACE_O_TRACESECCOMP` and `PTRACE_O_EXITKILL` (include/uapi/linux/ptrace.h).
const OPTIONS: u64 = 1 << 7 | 1 << 20;

/// Traces a task from now on.
///
/// # Errors
/// The errno of `PTRACE_SEIZE`, negated.
pub(crate) fn seize(tid: i32) -> Result<(), i64> {
    sys::ok(ptrace(libc::PTRACE_SEIZE, tid, OPTIONS))?;
    Ok(())
}

/// Answers a stop of the traced task: keeps the message of a seccomp event, passes signals on, and
/// lets it go on.
pub(crate) fn attend(tid: i32, status: i32) {
    let event = status >> 16;
    if event == libc::PTRACE_EVENT_SECCOMP {
        let mut message = 0_u64;
        // SAFETY: the word lives until the call returns, and is as long as the kernel's.
        let got = unsafe {
            let args = [libc::PTRACE_GETEVENTMSG as u64, tid as u64, 0, (&raw mut message) as u64, 0, 0];
            sys::raw(libc::SYS_ptrace, args)
        };
        if got == 0 {
            board().told(message as u32);
        }
    }
    let signal = if event == 0 { libc::WSTOPSIG(status) } else { 0 };
    let _ = ptrace(libc::PTRACE_CONT, tid, signal as u64);
}

fn ptrace(request: libc::c_uint, tid: i32, data: u64) -> i64 {
    sys::number(libc::SYS_ptrace, [request.into(), tid as u64, 0, data, 0, 0])
}
