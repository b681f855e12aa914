//! ptrace(2), as far as tracers here have need of it.

use crate::sys;

/// Traces a task from now on, with these options, without stopping it.
///
/// # Errors
/// The errno negated, as of all of these.
pub(crate) fn seize(tid: i32, options: u64) -> Result<(), i64> {
    plain(libc::PTRACE_SEIZE, tid, options)
}

/// Has a task stop.
pub(crate) fn interrupt(tid: i32) -> Result<(), i64> {
    plain(libc::PTRACE_INTERRUPT, tid, 0)
}

/// Lets a stopped task go on, with this signal or 0. A task that was killed meanwhile is no longer there to go on.
pub(crate) fn go_on(tid: i32, signal: i32) {
    let _ = plain(libc::PTRACE_CONT, tid, signal as u64);
}

/// The same up to the beginning or end of a call.
pub(crate) fn go_on_to_a_call(tid: i32, signal: i32) {
    let _ = plain(libc::PTRACE_SYSCALL, tid, signal as u64);
}

/// Leaves a task stopped that a signal has stopped, until another continues it.
pub(crate) fn leave_stopped(tid: i32) {
    let _ = plain(libc::PTRACE_LISTEN, tid, 0);
}

/// What belongs to the event that a task has stopped for: at an execve(2), the thread id that the
/// task had before; at a call that a filter has traced, the filter's data.
pub(crate) fn message(tid: i32) -> Option<u64> {
    let mut message = 0_u64;
    let pointer = (&raw mut message) as u64;
    // SAFETY: the word lives until the call returns, and is as long as the kernel's.
    unsafe { ask(libc::PTRACE_GETEVENTMSG, tid, 0, pointer) }.ok().map(|_| message)
}

/// A request without a pointer.
fn plain(request: libc::c_uint, tid: i32, data: u64) -> Result<(), i64> {
    sys::ok(sys::number(libc::SYS_ptrace, [request.into(), tid as u64, 0, data, 0, 0])).map(|_| ())
}

/// Any request, and what it returns.
///
/// # Safety
/// What the request takes for pointers must be ones that the kernel may use as it does.
pub(crate) unsafe fn ask(request: libc::c_uint, tid: i32, address: u64, data: u64) -> Result<i64, i64> {
    // SAFETY: passed on to the caller.
    sys::ok(unsafe { sys::raw(libc::SYS_ptrace, [request.into(), tid as u64, address, data, 0, 0]) })
}
