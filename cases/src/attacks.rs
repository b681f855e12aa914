//! Attacks by the raw call, from within a worker of the runner, after the filter is loaded. They are
//! native functions of the cases' sandboxes, and in no product.

use core::arch::asm;
use libc::{SYS_getpid, SYS_getppid};

/// One attack.
pub(crate) struct Attack {
    /// What it tries.
    pub(crate) name: &'static str,
    /// The call that the filter must name, and the ABI by which it comes.
    pub(crate) call: &'static str,
    attempt: fn() -> i64,
}

/// Makes the attack of this index; the value is what the call returned, where it did.
pub(crate) fn attempt(arguments: &[i64]) -> i64 {
    let index = arguments.first().and_then(|index| usize::try_from(*index).ok());
    index.and_then(|index| ALL.get(index)).map_or(-1, |attack| (attack.attempt)())
}

fn call<const N: usize>(number: i64, arguments: [u64; N]) -> i64 {
    let mut six = [0; 6];
    six[..N].copy_from_slice(&arguments);
    let [a, b, c, d, e, f] = six;
    // SAFETY: whatever the call would do, it would do to a worker that exists for this.
    unsafe { libc::syscall(number, a, b, c, d, e, f) }
}

/// The path that openers open.
fn path() -> u64 {
    c"/etc/passwd".as_ptr() as u64
}

/// By the i386 entry point.
fn int80(number: u32, first: u64, second: u64) -> i64 {
    let result: i64;
    // SAFETY: rbx is restored; the kernel clobbers r8 to r11 on this way.
    unsafe {
        asm!(
            "push rbx",
            "mov ebx, {first:e}",
            "int 0x80",
            "pop rbx",
            first = in(reg) first,
            inlateout("rax") u64::from(number) => result,
            in("rcx") second,
            in("rdx") 0_u64,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}

const fn attack(name: &'static str, call: &'static str, attempt: fn() -> i64) -> Attack {
    Attack { name, call, attempt }
}

const X32: i64 = 0x4000_0000;
const AT_FDCWD: u64 = -100_i64 as u64;

/// Every attack, in groups of a theme.
pub(crate) const ALL: &[Attack] = &[
    // Files.
    attack("open", "open by x86-64", || call(libc::SYS_open, [path(), 0])),
    attack("open to create", "open by x86-64", || {
        call(libc::SYS_open, [c"/pwned".as_ptr() as u64, 0o101, 0o600])
    }),
    attack("openat", "openat by x86-64", || call(libc::SYS_openat, [AT_FDCWD, path(), 0])),
    attack("openat2", "openat2 by x86-64", || call(libc::SYS_openat2, [AT_FDCWD, path(), 0, 24])),
    attack("creat", "creat by x86-64", || call(libc::SYS_creat, [c"/pwned".as_ptr() as u64, 0o600])),
    attack("read a foreign descriptor", "read by x86-64", || call(libc::SYS_read, [3, 0, 0])),
    attack("read the answers' descriptor", "read by x86-64", || call(libc::SYS_read, [1, 0, 0])),
    attack("read with a high half set", "read by x86-64", || call(libc::SYS_read, [1 << 32, 0, 0])),
    attack("write to a foreign descriptor", "write by x86-64", || call(libc::SYS_write, [2, path(), 5])),
    attack("write to the code's descriptor", "write by x86-64", || call(libc::SYS_write, [0, path(), 5])),
    attack("writev", "writev by x86-64", || call(libc::SYS_writev, [1, 0, 0])),
    attack("pread64", "pread64 by x86-64", || call(libc::SYS_pread64, [0, 0, 0, 0])),
    attack("close", "close by x86-64", || call(libc::SYS_close, [1])),
    attack("dup2 over the answers", "dup2 by x86-64", || call(libc::SYS_dup2, [0, 1])),
    attack("fcntl to duplicate", "fcntl by x86-64", || call(libc::SYS_fcntl, [1, 0, 9])),
    attack("ioctl", "ioctl by x86-64", || call(libc::SYS_ioctl, [0, 0x5412, path()])),
    attack("sendfile", "sendfile by x86-64", || call(libc::SYS_sendfile, [1, 0, 0, 1])),
    attack("splice", "splice by x86-64", || call(libc::SYS_splice, [0, 0, 1, 0, 1, 0])),
    attack("memfd_create", "memfd_create by x86-64", || call(libc::SYS_memfd_create, [path(), 0])),
    attack("unlink", "unlink by x86-64", || call(libc::SYS_unlink, [path()])),
    attack("mount", "mount by x86-64", || call(libc::SYS_mount, [path(), path(), path(), 0, 0])),
    // Processes.
    attack("execve", "execve by x86-64", || call(libc::SYS_execve, [c"/bin/sh".as_ptr() as u64, 0, 0])),
    attack("execveat", "execveat by x86-64", || call(libc::SYS_execveat, [0, path(), 0, 0, 0x1000])),
    attack("fork", "fork by x86-64", || call(libc::SYS_fork, [])),
    attack("vfork", "vfork by x86-64", || call(libc::SYS_vfork, [])),
    attack("clone", "clone by x86-64", || call(libc::SYS_clone, [17])),
    attack("clone of a thread", "clone by x86-64", || call(libc::SYS_clone, [0x0001_0f00, 0])),
    attack("clone3", "clone3 by x86-64", || call(libc::SYS_clone3, [0, 64])),
    attack("kill the master", "kill by x86-64", || call(libc::SYS_kill, [1, 9])),
    attack("kill everything", "kill by x86-64", || call(libc::SYS_kill, [u64::MAX, 9])),
    attack("tgkill itself to a stop", "tgkill by x86-64", || call(libc::SYS_tgkill, [1, 1, 19])),
    attack("ptrace the master", "ptrace by x86-64", || call(libc::SYS_ptrace, [16, 1])),
    attack("process_vm_writev", "process_vm_writev by x86-64", || {
        call(libc::SYS_process_vm_writev, [1, 0, 0, 0, 0, 0])
    }),
    attack("pidfd_open", "pidfd_open by x86-64", || call(libc::SYS_pidfd_open, [1, 0])),
    attack("unshare", "unshare by x86-64", || call(libc::SYS_unshare, [0x1000_0000])),
    attack("setns", "setns by x86-64", || call(libc::SYS_setns, [0, 0])),
    attack("setuid", "setuid by x86-64", || call(libc::SYS_setuid, [0])),
    attack("setrlimit", "setrlimit by x86-64", || call(libc::SYS_setrlimit, [7, path()])),
    attack("exit_group", "exit_group by x86-64", || call(libc::SYS_exit_group, [0])),
    attack("getpid", "getpid by x86-64", || call(SYS_getpid, [])),
    // Memory.
    attack("mmap to execute", "mmap by x86-64", || call(libc::SYS_mmap, [0, 4096, 7, 0x22, u64::MAX, 0])),
    attack("mmap at all", "mmap by x86-64", || call(libc::SYS_mmap, [0, 4096, 3, 0x22, u64::MAX, 0])),
    attack("mprotect to execute", "mprotect by x86-64", || {
        call(libc::SYS_mprotect, [path() & !4095, 4096, 7])
    }),
    attack("pkey_mprotect", "pkey_mprotect by x86-64", || {
        call(libc::SYS_pkey_mprotect, [path() & !4095, 4096, 7, 0])
    }),
    attack("brk", "brk by x86-64", || call(libc::SYS_brk, [0])),
    attack("munmap", "munmap by x86-64", || call(libc::SYS_munmap, [path() & !4095, 4096])),
    attack("userfaultfd", "userfaultfd by x86-64", || call(libc::SYS_userfaultfd, [0])),
    // The kernel's other doors.
    attack("socket", "socket by x86-64", || call(libc::SYS_socket, [1, 1, 0])),
    attack("connect", "connect by x86-64", || call(libc::SYS_connect, [0, path(), 16])),
    attack("io_uring_setup", "io_uring_setup by x86-64", || call(libc::SYS_io_uring_setup, [8, path()])),
    attack("bpf", "bpf by x86-64", || call(libc::SYS_bpf, [0, path(), 8])),
    attack("perf_event_open", "perf_event_open by x86-64", || call(libc::SYS_perf_event_open, [path()])),
    attack("keyctl", "keyctl by x86-64", || call(libc::SYS_keyctl, [0, 0])),
    attack("personality", "personality by x86-64", || call(libc::SYS_personality, [0x0040_0000])),
    attack("rseq", "rseq by x86-64", || call(libc::SYS_rseq, [path(), 32, 0, 0])),
    attack("sigreturn", "rt_sigreturn by x86-64", || call(libc::SYS_rt_sigreturn, [])),
    attack("a handler of its own", "rt_sigaction by x86-64", || call(libc::SYS_rt_sigaction, [31, 0, 0, 8])),
    attack("prctl to another filter", "prctl by x86-64", || call(libc::SYS_prctl, [22, 2, path()])),
    attack("seccomp", "seccomp by x86-64", || call(libc::SYS_seccomp, [1, 0, path()])),
    attack("prctl to be dumpable", "prctl by x86-64", || call(libc::SYS_prctl, [4, 1])),
    attack("arch_prctl", "arch_prctl by x86-64", || call(libc::SYS_arch_prctl, [0x1002, 0])),
    attack("modify_ldt", "modify_ldt by x86-64", || call(libc::SYS_modify_ldt, [0, 0, 0])),
    attack("clock_gettime", "clock_gettime by x86-64", || call(libc::SYS_clock_gettime, [2, path()])),
    attack("the number -1", "no call by x86-64", || call(-1, [])),
    attack("a number beyond the table", "no call by x86-64", || call(9999, [])),
    // Other ABIs.
    attack("getppid by x32", "getppid by x32", || call(X32 | SYS_getppid, [])),
    attack("write by x32", "write by x32", || call(X32 | libc::SYS_write, [1, path(), 1])),
    attack("execve by x32", "execve by x32", || call(X32 | 520, [path(), 0, 0])),
    attack("exit by int 0x80", "exit by i386", || int80(1, 0, 0)),
    attack("open by int 0x80", "open by i386", || int80(5, 0, 0)),
    attack("execve by int 0x80", "execve by i386", || int80(11, 0, 0)),
    attack("getppid by int 0x80", "getppid by i386", || int80(64, 0, 0)),
];

/// Time's entry of the vsyscall page (Documentation/arch/x86/x86_64/mm.rst); the old way into the kernel.
pub(crate) fn vsyscall(_: &[i64]) -> i64 {
    const TIME: usize = 0xffff_ffff_ff60_0400;
    // SAFETY: where the page is, this is a function of that type; where it is not, the worker faults.
    unsafe {
        let time: extern "C" fn(*mut i64) -> i64 = core::mem::transmute(TIME);
        time(core::ptr::null_mut())
    }
}

/// What a worker may write instead of an answer, and what the master must make of it.
pub(crate) const FORGERIES: &[(&str, &[u8], &str)] = &[
    (
        "an answer of its own",
        b"V\x01\0\0\09E\x11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        "broken a frame after the last one",
    ),
    ("an unknown kind", b"?\0\0\0\0", "broken a frame of the unknown kind 0x3f"),
    (
        "a length without bound",
        b"O\xff\xff\xff\xff",
        "broken a frame of 4294967295 bytes, and 4096 is the most",
    ),
    ("ready twice", b"R\0\0\0\0", "broken ready twice"),
    ("a misshapen end", b"E\x01\0\0\0\0", "broken a frame that is misshapen"),
    ("a refusal that comes too late", b"U\x01\0\0\0\x63", "broken ready twice"),
    (
        "JSON that is none",
        b"J\x01\0\0\0{",
        "broken its JSON is none: key must be a string at line 1 column 2",
    ),
    ("half a frame", b"O\x10\0\0\0abc", "broken it ended within a frame"),
    ("nothing", b"", "broken it ended without an answer"),
];

/// Writes the forgery of this index as the worker's own; the last two end the worker behind it.
pub(crate) fn forge(arguments: &[i64]) -> i64 {
    let index = arguments.first().copied().unwrap_or(-1) as usize;
    let Some((_, bytes, _)) = FORGERIES.get(index) else { return -1 };
    call(libc::SYS_write, [1, bytes.as_ptr() as u64, bytes.len() as u64]);
    if index + 2 >= FORGERIES.len() {
        call(libc::SYS_exit, [0]);
    }
    0
}
