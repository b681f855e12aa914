//! What a traced task has stopped at, and the SIGSYS that it gets.

use crate::ptrace::ask;
use atlas_model::Abi;
use atlas_model::observation::Sigsys;

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
            Abi::of(arch, nr).map_or(Stop::Other, |abi| Stop::Entry { abi, nr, args, ip })
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
        assert_eq!(stop_of(&info(native, u32::MAX.into())), entry(Abi::X86_64, u32::MAX));
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
