//! The worker's last words: what it writes when a signal ends it.

use crate::frame::Kind;
use crate::vm::{self, reached};
use crate::{Limit, out, sys};
use nix::errno::Errno;
use std::ffi::{c_int, c_void};

/// Room for a handler's frame and the kernel's, with the largest vector registers.
const STACK: usize = 128 << 10;
/// How near the stack's pointer an address must be for the fault to be the stack's end.
const NEAR: u64 = 64 << 10;

/// The signals that the worker itself reports.
pub(crate) const FAULTS: [c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// Gives this thread a stack for handlers. A process that it forks has a copy of it (sigaltstack(2)), and maps
/// nothing of its own.
pub(crate) fn make_stack() -> Result<(), Errno> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh mapping, for the life of the process.
    unsafe {
        let stack = libc::mmap(std::ptr::null_mut(), STACK, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if stack == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let stack = libc::stack_t { ss_sp: stack, ss_flags: 0, ss_size: STACK };
        Errno::result(libc::sigaltstack(&raw const stack, std::ptr::null_mut())).map(drop)
    }
}

/// Sets the handlers, on the stack of [`make_stack`]: for faults always, for SIGSYS where calls are to be named.
pub(crate) fn handle(diagnose: bool) -> Result<(), Errno> {
    // SAFETY: handlers of the right signature, and a mask that lives until the calls return.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut mask);
        for signal in FAULTS {
            set(signal, fault as *const () as usize, mask)?;
        }
        let sys = if diagnose { forbidden as *const () as usize } else { libc::SIG_DFL };
        set(libc::SIGSYS, sys, mask)?;
        set(libc::SIGPIPE, libc::SIG_IGN, mask)?;
        Errno::result(libc::sigprocmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut()))?;
    }
    Ok(())
}

unsafe fn set(signal: c_int, handler: usize, mask: libc::sigset_t) -> Result<(), Errno> {
    let flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    let action = libc::sigaction { sa_sigaction: handler, sa_mask: mask, sa_flags: flags, sa_restorer: None };
    // SAFETY: the handler is a function of the signature that the flags ask for, or a constant.
    Errno::result(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }).map(drop)
}

/// The part of `siginfo_t` that SIGSYS fills (include/uapi/asm-generic/siginfo.h `_sigsys`).
#[repr(C)]
struct SigsysInfo {
    head: [i32; 4],
    call_addr: u64,
    syscall: i32,
    arch: u32,
}

extern "C" fn forbidden(_: c_int, info: *const SigsysInfo, context: *const c_void) {
    // SAFETY: the kernel gives a siginfo of SIGSYS and a ucontext.
    let (info, registers) = unsafe { (&*info, &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs) };
    let order = if info.arch == atlas_model::Abi::I386.audit_arch() {
        [libc::REG_RBX, libc::REG_RCX, libc::REG_RDX, libc::REG_RSI, libc::REG_RDI, libc::REG_RBP]
    } else {
        [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10, libc::REG_R8, libc::REG_R9]
    };
    let mut payload = [0; 68];
    payload[..4].copy_from_slice(&info.syscall.to_le_bytes());
    payload[4..8].copy_from_slice(&info.arch.to_le_bytes());
    payload[8..16].copy_from_slice(&info.call_addr.to_le_bytes());
    for (place, register) in payload[16..64].chunks_exact_mut(8).zip(order) {
        place.copy_from_slice(&registers[register as usize].to_le_bytes());
    }
    payload[64..].copy_from_slice(&vm::line().to_le_bytes());
    out::frame(Kind::Forbidden, &payload);
    sys::exit()
}

extern "C" fn fault(signal: c_int, info: *const libc::siginfo_t, context: *const c_void) {
    // SAFETY: the kernel gives a siginfo of a fault and a ucontext.
    let (address, stack) = unsafe {
        let registers = &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        ((*info).si_addr() as u64, registers[libc::REG_RSP as usize] as u64)
    };
    if signal == libc::SIGSEGV && address.abs_diff(stack) < NEAR {
        reached(Limit::Depth);
    }
    out::frame(Kind::Fault, &signal.to_le_bytes());
    sys::exit()
}
