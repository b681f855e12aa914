//! What choreographies with a tracer share.

use atlas_edge::{Stage, sys};
use atlas_model::experiment::layout;

/// `PTRACE_O_TRACESECCOMP`.
pub(crate) const TRACE_SECCOMP: u64 = 0x80;
/// `PTRACE_SECCOMP_GET_FILTER`.
const GET_FILTER: u32 = 0x420c;

/// General registers of a tracee.
pub(crate) type Regs = libc::user_regs_struct;

/// ptrace(2), raw.
pub(crate) fn ptrace(request: u32, pid: i32, address: u64, data: u64) -> i64 {
    // SAFETY: callers pass numbers, or pointers to memory of the size that the request writes.
    unsafe { sys::raw(libc::SYS_ptrace, [request.into(), pid as u64, address, data, 0, 0]) }
}

/// Starts a child that is traced with these options and stopped before its body begins.
pub(crate) fn start(stage: &Stage, options: u64, body: impl FnOnce(&Stage)) -> i32 {
    let pid = stage.start(|stage| {
        let _ = ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        sys::kill(std::process::id() as i32, libc::SIGSTOP);
        body(stage);
    });
    let _ = sys::wait_for(pid, libc::__WALL);
    let _ = ptrace(libc::PTRACE_SETOPTIONS, pid, 0, options);
    pid
}

/// Resumes a tracee and waits for its next stop or end: the raw wait status.
pub(crate) fn resume(pid: i32, request: u32) -> i64 {
    resume_with(pid, request, 0)
}

/// The same with a signal, which is delivered; 0 is none.
pub(crate) fn resume_with(pid: i32, request: u32, signal: i32) -> i64 {
    let _ = ptrace(request, pid, 0, signal as u64);
    sys::wait_for(pid, libc::__WALL)
}

/// Whether a child has ended; it is left to be waited for.
pub(crate) fn ended(pid: i32) -> bool {
    // SAFETY: zeroes are a valid siginfo, and the call fills it at most.
    let info = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        libc::waitid(libc::P_PID, pid as u32, &raw mut info, flags);
        info
    };
    info.si_signo == libc::SIGCHLD
}

/// Resumes a tracee for good.
pub(crate) fn carry_on(pid: i32) {
    let _ = ptrace(libc::PTRACE_DETACH, pid, 0, 0);
}

/// Attaches to a thread without a signal and stops it.
pub(crate) fn seize_and_stop(tid: i32) {
    let _ = ptrace(libc::PTRACE_SEIZE, tid, 0, 0);
    let _ = ptrace(libc::PTRACE_INTERRUPT, tid, 0, 0);
    let _ = sys::wait_for(tid, libc::__WALL);
}

/// `PTRACE_GETEVENTMSG`.
pub(crate) fn message(pid: i32) -> i64 {
    let mut message = 0_u64;
    let _ = ptrace(libc::PTRACE_GETEVENTMSG, pid, 0, (&raw mut message) as u64);
    message as i64
}

/// `PTRACE_GETREGS`.
pub(crate) fn registers(pid: i32) -> Regs {
    // SAFETY: all-zero is a valid set of registers.
    let mut regs: Regs = unsafe { std::mem::zeroed() };
    let _ = ptrace(libc::PTRACE_GETREGS, pid, 0, (&raw mut regs) as u64);
    regs
}

/// `PTRACE_SETREGS`.
pub(crate) fn set_registers(pid: i32, regs: &Regs) {
    let _ = ptrace(libc::PTRACE_SETREGS, pid, 0, core::ptr::from_ref(regs) as u64);
}

/// `PTRACE_SECCOMP_GET_FILTER`: the number of instructions, or the errno negated. A buffer must
/// have room for all of them.
pub(crate) fn get_filter(pid: i32, index: u64, buffer: Option<&mut [u8]>) -> i64 {
    let pointer = buffer.map_or(0, |bytes| bytes.as_mut_ptr() as u64);
    ptrace(GET_FILTER, pid, index, pointer)
}

/// A page of memory that children share, zeroed.
pub(crate) fn shared() -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let address = sys::mmap(0, 4096, protection, flags, -1, 0);
    assert!(address > 0 && address as u64 != layout::UNMAPPED, "no page of shared memory: {address}");
    address as *mut u8
}
