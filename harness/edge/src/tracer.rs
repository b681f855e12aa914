//! A tracer that lets every call go on and keeps what seccomp told it.

use crate::board::board;
use crate::ptrace;

/// `PTRACE_O_TRACESECCOMP` and `PTRACE_O_EXITKILL` (include/uapi/linux/ptrace.h).
const OPTIONS: u64 = 1 << 7 | 1 << 20;

/// Traces a task from now on.
///
/// # Errors
/// The errno of `PTRACE_SEIZE`, negated.
pub(crate) fn seize(tid: i32) -> Result<(), i64> {
    ptrace::seize(tid, OPTIONS)
}

/// Answers a stop of the traced task: keeps the message of a seccomp event, passes signals on, and
/// lets it go on.
pub(crate) fn attend(tid: i32, status: i32) {
    let event = status >> 16;
    if event == libc::PTRACE_EVENT_SECCOMP
        && let Some(message) = ptrace::message(tid)
    {
        board().told(message as u32);
    }
    ptrace::go_on(tid, if event == 0 { libc::WSTOPSIG(status) } else { 0 });
}
