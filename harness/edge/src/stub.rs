//! Calls by every ABI, made from one fixed page so that filters see a known instruction pointer.

use crate::sys;
use atlas_model::Abi;
use atlas_model::experiment::{Call, layout};
use core::arch::global_asm;

/// Offsets in the stub page, as [`layout`] publishes them.
const SYSCALL: usize = 0x00;
const INT80: usize = 0x10;
const SIGRETURN: usize = 0x2a;
const SWEEP: usize = 0x50;

/// `syscall; ret`
const SYSCALL_CODE: [u8; 3] = [0x0f, 0x05, 0xc3];
/// `int $0x80; ret`
const INT80_CODE: [u8; 3] = [0xcd, 0x80, 0xc3];
/// Zeroes the six argument registers, makes call 15 (`rt_sigreturn`), and stops on `ud2` where a
/// filter answers it.
const SIGRETURN_CODE: [u8; 24] = [
    0x31, 0xff, 0x31, 0xf6, 0x31, 0xd2, 0x45, 0x31, 0xd2, 0x45, 0x31, 0xc0, 0x45, 0x31, 0xc9, 0xb8, 0x0f,
    0x00, 0x00, 0x00, 0x0f, 0x05, 0x0f, 0x0b,
];

const _: () = {
    assert!(layout::SYSCALL_IP == layout::STUB + SYSCALL as u64 + 2);
    assert!(layout::INT80_IP == layout::STUB + INT80 as u64 + 2);
    assert!(layout::SIGRETURN_IP == layout::STUB + SIGRETURN as u64 + 22);
    assert!(layout::SWEEP_IP == layout::STUB + SWEEP as u64 + 2);
};

/// Address of the stub's `syscall`, which a `ret` follows.
pub(crate) const SYSCALL_ENTRY: u64 = layout::STUB + SYSCALL as u64;
/// Address of the stub's `int $0x80`, which a `ret` follows.
pub(crate) const INT80_ENTRY: u64 = layout::STUB + INT80 as u64;
/// Address of the code that ends a signal handler.
pub const RESTORER: u64 = layout::STUB + SIGRETURN as u64;

global_asm!(
    // extern "C" fn(regs: *const [u64; 7], entry: u64) -> i64
    ".globl atlas_edge_syscall",
    "atlas_edge_syscall:",
    "mov r11, rsi",
    "mov rax, [rdi]",
    "mov rsi, [rdi + 16]",
    "mov rdx, [rdi + 24]",
    "mov r10, [rdi + 32]",
    "mov r8, [rdi + 40]",
    "mov r9, [rdi + 48]",
    "mov rdi, [rdi + 8]",
    "call r11",
    "ret",
    ".globl atlas_edge_int80",
    "atlas_edge_int80:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov r11, rsi",
    "mov rax, [rdi]",
    "mov rbx, [rdi + 8]",
    "mov rcx, [rdi + 16]",
    "mov rdx, [rdi + 24]",
    "mov rsi, [rdi + 32]",
    "mov rbp, [rdi + 48]",
    "mov rdi, [rdi + 40]",
    "call r11",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
);

unsafe extern "C" {
    fn atlas_edge_syscall(regs: *const [u64; 7], entry: u64) -> i64;
    fn atlas_edge_int80(regs: *const [u64; 7], entry: u64) -> i64;
}

/// The page as it is mapped at [`layout::STUB`].
pub(crate) fn page() -> [u8; layout::PAGE as usize] {
    let mut page = [0xcc; layout::PAGE as usize];
    page[SYSCALL..SYSCALL + SYSCALL_CODE.len()].copy_from_slice(&SYSCALL_CODE);
    page[INT80..INT80 + INT80_CODE.len()].copy_from_slice(&INT80_CODE);
    page[SIGRETURN..SIGRETURN + SIGRETURN_CODE.len()].copy_from_slice(&SIGRETURN_CODE);
    page[SWEEP..SWEEP + SYSCALL_CODE.len()].copy_from_slice(&SYSCALL_CODE);
    page
}

/// Makes one call from the stub page and returns the raw result register, or 32 bits of it
/// sign-extended for an i386 call.
///
/// # Safety
/// The call is made as it stands: pointers among its arguments must be ones that the kernel may
/// write through, and the stub page must be mapped.
#[must_use]
pub unsafe fn call(call: &Call) -> i64 {
    // SAFETY: passed on to the caller.
    unsafe { call_or_not(call, true) }
}

/// As [`call()`]; or the same instructions without the one that enters the kernel, which then do nothing
/// and give no sensible result. Both take the same way through this code, so that the difference is the
/// entering instruction and what the kernel does.
///
/// # Safety
/// As [`call()`].
#[must_use]
pub unsafe fn call_or_not(call: &Call, enters: bool) -> i64 {
    // Both entering instructions have two bytes, and a `ret` behind them.
    let skip = 2 * u64::from(!enters);
    let [a, b, c, d, e, f] = call.args;
    let regs = [call.nr, a, b, c, d, e, f];
    match call.abi {
        Abi::X86_64 | Abi::X32 => {
            // SAFETY: passed on to the caller; the assembly keeps the C calling convention.
            unsafe { atlas_edge_syscall(&raw const regs, SYSCALL_ENTRY + skip) }
        }
        Abi::I386 => {
            // SAFETY: as above.
            let result = unsafe { atlas_edge_int80(&raw const regs, INT80_ENTRY + skip) };
            // The i386 entry returns a 32-bit value; kernels differ in whether they extend it.
            i64::from(result as i32)
        }
    }
}

/// Makes a call by the `syscall` instruction from [`layout::SWEEP_IP`], which no experiment calls from.
///
/// # Safety
/// As for [`call`].
#[must_use]
pub(crate) unsafe fn call_for_sweep(nr: i64, args: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = args;
    let regs = [nr as u64, a, b, c, d, e, f];
    // SAFETY: passed on to the caller; the assembly keeps the C calling convention.
    unsafe { atlas_edge_syscall(&raw const regs, layout::STUB + SWEEP as u64) }
}

/// Gives SIGSYS a handler that returns at once.
pub fn handle_by_nothing() {
    extern "C" fn nothing(_: i32, _: *const libc::siginfo_t, _: *const libc::c_void) {}
    /// `struct sigaction` as the kernel has it (arch/x86/include/uapi/asm/signal.h).
    const SA_RESTORER: u64 = 0x0400_0000;
    let action: [u64; 4] = [nothing as *const () as u64, libc::SA_SIGINFO as u64 | SA_RESTORER, RESTORER, 0];
    let pointer = action.as_ptr() as u64;
    // SAFETY: the action lives until the call returns; the handler touches nothing.
    let _ = unsafe { sys::raw(libc::SYS_rt_sigaction, [libc::SIGSYS as u64, pointer, 0, 8, 0, 0]) };
}
