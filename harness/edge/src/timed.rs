//! Calls with the time-stamp counter read around them, and what else measuring needs of the machine.
//!
//! Under QEMU's `-icount shift=0` the counter goes up by one with every instruction. Between the two
//! readings stand the instructions of the caller, whose number is fixed: [`overhead`] counts them.

use crate::stub::{INT80_ENTRY, SYSCALL_ENTRY};
use atlas_model::Abi;
use atlas_model::experiment::Call;
use core::arch::global_asm;

global_asm!(
    // extern "C" fn(regs: *const [u64; 7], entry: u64, span: *mut u64) -> i64
    // Both entries keep r12 to r15; everything else but rax and rdx is loaded before the first reading.
    ".macro atlas_edge_begin",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov r13, rdx",
    "mov r14, rdi",
    "mov r15, rsi",
    ".endm",
    ".macro atlas_edge_around",
    "lfence",
    "rdtsc",
    "shl rdx, 32",
    "or rdx, rax",
    "mov r12, rdx",
    "mov rax, [r14]",
    "mov rdx, [r14 + 24]",
    "call r15",
    "mov r14, rax",
    "lfence",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "sub rax, r12",
    "mov [r13], rax",
    "mov rax, r14",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    ".endm",
    ".globl atlas_edge_timed_syscall",
    "atlas_edge_timed_syscall:",
    "atlas_edge_begin",
    "mov rsi, [rdi + 16]",
    "mov r10, [rdi + 32]",
    "mov r8, [rdi + 40]",
    "mov r9, [rdi + 48]",
    "mov rdi, [rdi + 8]",
    "atlas_edge_around",
    ".globl atlas_edge_timed_int80",
    "atlas_edge_timed_int80:",
    "atlas_edge_begin",
    "mov rbx, [rdi + 8]",
    "mov rcx, [rdi + 16]",
    "mov rsi, [rdi + 32]",
    "mov rbp, [rdi + 48]",
    "mov rdi, [rdi + 40]",
    "atlas_edge_around",
    // extern "C" fn() -> i64: a thread of the process that sleeps for ever and needs no stack.
    ".globl atlas_edge_sleeper",
    "atlas_edge_sleeper:",
    "mov edi, {flags}",
    "xor esi, esi",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "mov eax, {clone}",
    "syscall",
    "test rax, rax",
    "jnz 3f",
    "2:",
    "mov eax, {pause}",
    "syscall",
    "jmp 2b",
    "3:",
    "ret",
    flags = const SLEEPER,
    clone = const libc::SYS_clone,
    pause = const libc::SYS_pause,
);

/// What the threads of [`sleepers`] share with their process: everything.
const SLEEPER: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM;

unsafe extern "C" {
    fn atlas_edge_timed_syscall(regs: *const [u64; 7], entry: u64, span: *mut u64) -> i64;
    fn atlas_edge_timed_int80(regs: *const [u64; 7], entry: u64, span: *mut u64) -> i64;
    fn atlas_edge_sleeper() -> i64;
}

/// Length of a `syscall` and of an `int $0x80` instruction: behind them lies the stub's `ret`.
const ENTRY_LENGTH: u64 = 2;

/// Makes a call from the stub page. Gives what it returned, and how far the counter went from before
/// the call to after it, the caller's own instructions included.
///
/// # Safety
/// As [`crate::stub::call`]; and the counter must not be forbidden to the task.
#[must_use]
#[inline]
pub unsafe fn call(call: &Call) -> (i64, u64) {
    // SAFETY: passed on to the caller.
    unsafe { around(call, 0) }
}

/// The caller's own instructions in what [`call`] gives: the same without the instruction that enters
/// the kernel. Under `-icount` it is the same number every time, unless an interrupt comes between.
#[must_use]
pub fn overhead(abi: Abi) -> u64 {
    let nothing = Call { abi, nr: 0, args: [0; 6] };
    // SAFETY: behind the entering instruction lies the stub's `ret`, so nothing is called.
    let spans = (0..16).map(|_| unsafe { around(&nothing, ENTRY_LENGTH) }.1);
    spans.min().unwrap_or_default()
}

#[inline]
unsafe fn around(call: &Call, skip: u64) -> (i64, u64) {
    let [a, b, c, d, e, f] = call.args;
    let regs = [call.nr, a, b, c, d, e, f];
    let mut span = 0;
    match call.abi {
        Abi::X86_64 | Abi::X32 => {
            // SAFETY: passed on to the caller; the assembly keeps the C calling convention.
            let result =
                unsafe { atlas_edge_timed_syscall(&raw const regs, SYSCALL_ENTRY + skip, &raw mut span) };
            (result, span)
        }
        Abi::I386 => {
            // SAFETY: as above.
            let result =
                unsafe { atlas_edge_timed_int80(&raw const regs, INT80_ENTRY + skip, &raw mut span) };
            // As in `stub::call`.
            (i64::from(result as i32), span)
        }
    }
}

/// Makes threads of the calling process that sleep until it ends. Gives how many there are.
#[must_use]
pub fn sleepers(count: u8) -> u8 {
    // SAFETY: the new thread calls pause(2) for ever and touches no memory; no signal has a handler.
    let made = (0..count).take_while(|_| unsafe { atlas_edge_sleeper() } > 0);
    made.count() as u8
}
