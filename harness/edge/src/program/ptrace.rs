//! ptrace(2) and wait4(2), as far as a tracer of calls needs them.

use crate::sys;
use atlas_model::Abi;
use atlas_model::observation::Sigsys;

/// `PTRACE_O_TRACESYSGOOD`, `TRACEFORK`, `TRACEVFORK`, `TRACECLONE`, `TRACEEXEC` and `EXITKILL`
/// (include/uapi/linux/ptrace.h).
const OPTIONS: u64 = 1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 20;
/// Length of `siginfo_t` in words (include/uapi/asm-generic/siginfo.h).
const SIGINFO: usize = 16;
/// How many signals are looked through that wait for a task. More than a few never do.
const PENDING: usize = 32;

/// What a task has stopped at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The beginning of a call.
    Entry { abi: Abi, nr: u32, args: [u64; 6], ip: u64 },
    /// The end of a call, and what it returns.
    Exit(i64),
    /// Anything else.
    Other,
}

/// Traces a task from now on, and what it makes with it, without stopping it.
pub(super) fn seize(tid: i32) -> Result<(), i64> {
    plain(libc::PTRACE_SEIZE, tid, OPTIONS).map(|_| ())
}

/// Has a task stop.
pub(super) fn interrupt(tid: i32) -> Result<(), i64> {
    plain(libc::PTRACE_INTERRUPT, tid, 0).map(|_| ())
}

/// Lets a stopped task go on up to the beginning or end of a call, with this signal or 0. A task that was
/// killed meanwhile is no longer there to go on.
pub(super) fn go_on(tid: i32, signal: i32) {
    let _ = plain(libc::PTRACE_SYSCALL, tid, signal as u64);
}

/// Leaves a task stopped that a signal has stopped, until another continues it.
pub(super) fn leave_stopped(tid: i32) {
    let _ = plain(libc::PTRACE_LISTEN, tid, 0);
}

/// What belongs to the event that a task has stopped for: at an execve(2), the thread id that the
/// task had before.
pub(super) fn message(tid: i32) -> Option<u64> {
    let mut message = 0_u64;
    let pointer = (&raw mut message) as u64;
    // SAFETY: the word lives until the call returns, and is as long as the kernel's.
    unsafe { ask(libc::PTRACE_GETEVENTMSG, tid, 0, pointer) }.ok().map(|_| message)
}

/// What a stopped task has stopped at, by `PTRACE_GET_SYSCALL_INFO`.
///
/// # Errors
/// The errno negated: EIO where the kernel has no such request.
pub(super) fn stop(tid: i32) -> Result<Stop, i64> {
    // `struct ptrace_syscall_info`: operation and architecture, instruction pointer, stack pointer, and
    // then number and arguments, or the result.
    let mut info = [0_u64; 11];
    let (size, pointer) = (size_of_val(&info) as u64, info.as_mut_ptr() as u64);
    // SAFETY: the kernel writes as many bytes as it is told there are, to words that live until it returns.
    unsafe { ask(libc::PTRACE_GET_SYSCALL_INFO, tid, size, pointer) }?;
    Ok(stop_of(&info))
}

fn stop_of(info: &[u64; 11]) -> Stop {
    let &[operation, ip, _, first, ref rest @ ..] = info;
    match operation as u8 {
        libc::PTRACE_SYSCALL_INFO_ENTRY => {
            let mut args = [0; 6];
            args.copy_from_slice(&rest[..6]);
            let (arch, nr) = ((operation >> 32) as u32, first as u32);
            let abi = match arch == Abi::I386.audit_arch() {
                true => Abi::I386,
                false if nr & Abi::X32_BIT != 0 => Abi::X32,
                false => Abi::X86_64,
            };
            Stop::Entry { abi, nr, args, ip }
        }
        libc::PTRACE_SYSCALL_INFO_EXIT => Stop::Exit(first as i64),
        _ => Stop::Other,
    }
}

/// The SIGSYS that a task is about to get.
pub(super) fn signal(tid: i32) -> Option<Sigsys> {
    let mut info = [0_u64; SIGINFO];
    let pointer = info.as_mut_ptr() as u64;
    // SAFETY: the words live until the call returns, and are as many as the kernel's.
    unsafe { ask(libc::PTRACE_GETSIGINFO, tid, 0, pointer) }.ok()?;
    sigsys(&info)
}

/// The SIGSYS that waits for a stopped task, if one does.
pub(super) fn pending_signal(tid: i32) -> Option<Sigsys> {
    // `struct ptrace_peeksiginfo_args`: from the first on; flags, of which none is set, and how many.
    let wanted = [0_u64, (PENDING as u64) << 32];
    let mut info = [[0_u64; SIGINFO]; PENDING];
    let pointers = [wanted.as_ptr() as u64, info.as_mut_ptr() as u64];
    // SAFETY: both live until the call returns, and there is room for as many as are asked for.
    let found = unsafe { ask(libc::PTRACE_PEEKSIGINFO, tid, pointers[0], pointers[1]) }.ok()?;
    info.iter().take(found as usize).find_map(sigsys)
}

/// A `siginfo_t` of a SIGSYS: number and errno, code, then the address after the call, and its
/// number and architecture.
fn sigsys(info: &[u64; SIGINFO]) -> Option<Sigsys> {
    let (signo, code) = (info[0] as i32, info[1] as i32);
    (signo == libc::SIGSYS).then(|| Sigsys {
        signo,
        code,
        errno: (info[0] >> 32) as i32,
        call_addr: info[2],
        syscall: info[3] as i32,
        arch: (info[3] >> 32) as u32,
        result: 0,
    })
}

/// What wait4(2) has to say.
pub(super) enum Waited {
    /// A task, and its wait status.
    News(i32, i32),
    /// There are tasks, and nothing new of them.
    Nothing,
    /// There are no tasks.
    Nobody,
}

/// Looks for a task that has stopped or ended.
pub(super) fn wait() -> Waited {
    let mut status = 0_i32;
    let (word, options) = ((&raw mut status) as u64, (libc::WNOHANG | libc::__WALL) as u64);
    // SAFETY: the status word lives until the call returns.
    match unsafe { sys::raw(libc::SYS_wait4, [u64::MAX, word, options, 0, 0, 0]) } {
        0 => Waited::Nothing,
        pid @ 1.. => Waited::News(pid as i32, status),
        _ => Waited::Nobody,
    }
}

fn plain(request: libc::c_uint, tid: i32, data: u64) -> Result<i64, i64> {
    sys::ok(sys::number(libc::SYS_ptrace, [request.into(), tid as u64, 0, data, 0, 0]))
}

/// # Safety
/// What the request takes for pointers must be ones that the kernel may use as it does.
unsafe fn ask(request: libc::c_uint, tid: i32, address: u64, data: u64) -> Result<i64, i64> {
    // SAFETY: passed on to the caller.
    sys::ok(unsafe { sys::raw(libc::SYS_ptrace, [request.into(), tid as u64, address, data, 0, 0]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_with_its_abi() {
        let info = |arch: u32, nr: u64| [u64::from(arch) << 32 | 1, 9, 8, nr, 1, 2, 3, 4, 5, 6, 0];
        let entry = |abi, nr| Stop::Entry { abi, nr, args: [1, 2, 3, 4, 5, 6], ip: 9 };
        let [native, compat] = [Abi::X86_64.audit_arch(), Abi::I386.audit_arch()];
        assert_eq!(stop_of(&info(native, 39)), entry(Abi::X86_64, 39));
        assert_eq!(stop_of(&info(compat, 39)), entry(Abi::I386, 39));
        let x32 = 39 | Abi::X32_BIT;
        assert_eq!(stop_of(&info(native, x32.into())), entry(Abi::X32, x32));
        assert_eq!(stop_of(&info(compat, x32.into())), entry(Abi::I386, x32));
    }

    #[test]
    fn a_result_is_read_with_its_sign() {
        let info = |operation| [operation, 9, 8, -13_i64 as u64, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(stop_of(&info(2)), Stop::Exit(-13));
        assert_eq!((stop_of(&info(0)), stop_of(&info(3))), (Stop::Other, Stop::Other));
    }

    #[test]
    fn a_sigsys_is_read() {
        let mut info = [0; SIGINFO];
        info[..4].copy_from_slice(&[7 << 32 | 31, 1, 1 << 40, 0xc000_003e << 32 | 110]);
        let seen = sigsys(&info).unwrap();
        assert_eq!((seen.signo, seen.code, seen.errno, seen.call_addr), (31, 1, 7, 1 << 40));
        assert_eq!((seen.syscall, seen.arch), (110, 0xc000_003e));
        info[0] = 17;
        assert_eq!(sigsys(&info), None);
    }
}
