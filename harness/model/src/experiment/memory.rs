//! Whose memory an experiment touches.

use super::{CLONE_VM, Call, Experiment, Op, layout};
use crate::abi::{Abi, syscalls};

/// Calls that neither map nor unmap, and write to nothing but what their arguments point to. By every ABI their addresses
/// are the same arguments as those of the native call, whose widths tell which these are.
const ALONE: [&str; 56] = [
    "chdir",
    "chmod",
    "close",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "epoll_create1",
    "eventfd2",
    "exit",
    "exit_group",
    "fchmod",
    "fchmodat",
    "fcntl",
    "ftruncate",
    "geteuid",
    "getpid",
    "getppid",
    "gettid",
    "getuid",
    "inotify_init1",
    "kill",
    "link",
    "linkat",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "open",
    "openat",
    "personality",
    "pipe",
    "pipe2",
    "pwrite64",
    "read",
    "rename",
    "renameat",
    "rmdir",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "sched_yield",
    "seccomp",
    "sethostname",
    "setpriority",
    "setresuid",
    "socket",
    "stat",
    "symlink",
    "symlinkat",
    "tgkill",
    "timerfd_create",
    "tkill",
    "truncate",
    "umask",
    "unlink",
    "unlinkat",
];
/// They write to no memory at all.
const READING: [&str; 2] = ["write", "writev"];
/// `PR_GET_SECCOMP`, `PR_SET_SECCOMP`, `PR_SET_NO_NEW_PRIVS` and `PR_GET_NO_NEW_PRIVS`.
const PRCTL: [u64; 4] = [21, 22, 38, 39];
/// `RLIMIT_CORE`.
const CORE: u32 = 4;
/// From here on no ABI has calls, x32's numbers without their bit: all that a kernel does is to answer ENOSYS.
const UNUSED: u32 = 1000;

impl Experiment {
    /// Whether its tasks leave memory alone, but for what is at [`layout`]'s addresses. Then they can have the memory of
    /// the process that makes them, if nobody dumps it meanwhile. For calls that nobody has looked at the answer is no.
    ///
    /// ```
    /// use atlas_model::experiment::{Call, Experiment, Op, Step};
    /// use atlas_model::{Abi, abi::syscalls};
    /// let one = |name, args| {
    ///     let nr = syscalls::number(Abi::X86_64, name).unwrap().into();
    ///     let step = Step { task: 0, op: Op::Call(Call { abi: Abi::X86_64, nr, args }) };
    ///     Experiment { steps: vec![step], ..Experiment::default() }
    /// };
    /// assert!(one("getppid", [0x40_0000; 6]).leaves_memory_alone());
    /// assert!(!one("munmap", [0; 6]).leaves_memory_alone());
    /// ```
    #[must_use]
    pub fn leaves_memory_alone(&self) -> bool {
        self.steps.iter().all(|step| match &step.op {
            Op::Call(call) => leaves_memory_alone(call),
            Op::Exec => false,
            // Before 5.16 a core dump ends all processes of one memory (fs/coredump.c zap_threads), which would not
            // be seen where nothing is dumped.
            Op::Clone { shares, .. } => shares & CLONE_VM == 0,
            _ => true,
        })
    }
}

fn leaves_memory_alone(call: &Call) -> bool {
    let Some(name) = syscalls::name(call.abi, call.nr as u32) else {
        return call.nr as u32 & !Abi::X32_BIT >= UNUSED;
    };
    let known = match name {
        "prctl" => PRCTL.contains(&call.args[0]),
        // What is dumped then shows in how the task ends.
        "setrlimit" => call.args[0] as u32 != CORE,
        "prlimit64" => call.args[1] as u32 != CORE,
        _ => ALONE.contains(&name),
    };
    let widths = syscalls::number(Abi::X86_64, name).and_then(|nr| syscalls::widths(Abi::X86_64, nr));
    let mut taken = call.args.iter().zip(widths.unwrap_or(&[64; 6]));
    READING.contains(&name) || known && taken.all(|(&value, &width)| width < 64 || is_elsewhere(value))
}

/// Whether a value, taken for an address by whichever ABI, is none at which the guest has anything but
/// [`layout`]: it is within the first 64 KiB, which nobody maps (vm.mmap_min_addr), from [`layout::UNMAPPED`] up in the
/// lowest 4 GiB, or no address of four levels' user space (Documentation/arch/x86/x86_64/mm.rst). What begins there does
/// not reach beyond: nothing is mapped where these ranges end.
fn is_elsewhere(value: u64) -> bool {
    let elsewhere = |address: u64| {
        address < 0x1_0000 || (layout::UNMAPPED..1 << 32).contains(&address) || address >= 1 << 47
    };
    elsewhere(value) && elsewhere(value & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{CLONE_FILES, Step, effects};

    fn alone(op: Op) -> bool {
        Experiment { steps: vec![Step { task: 0, op }], ..Experiment::default() }.leaves_memory_alone()
    }

    fn asks(abi: Abi, name: &str, args: [u64; 6]) -> bool {
        alone(Op::Call(Call { abi, nr: syscalls::number(abi, name).unwrap().into(), args }))
    }

    #[test]
    fn effects_leave_memory_alone_unless_it_is_what_they_are_about() {
        for abi in [Abi::X86_64, Abi::I386] {
            let touch = |effect: &&effects::Effect| {
                let mut experiment = Experiment::default();
                effect.add_to(&mut experiment, 0, abi) && !experiment.leaves_memory_alone()
            };
            let touching: Vec<_> = effects::ALL.iter().filter(touch).map(|effect| effect.name).collect();
            // What socketcall(2) writes to is found behind its argument.
            let also = if abi == Abi::I386 { &["socket"][..] } else { &[] };
            assert_eq!(touching, [&["mmap", "munmap", "mprotect"], also].concat(), "{abi}");
        }
    }

    #[test]
    fn the_list_is_of_calls_in_their_order() {
        assert!(ALONE.is_sorted_by(|a, b| a < b), "{ALONE:?}");
        for name in ALONE.iter().chain(&READING) {
            assert!(syscalls::number(Abi::X86_64, name).is_some(), "{name}");
        }
    }

    #[test]
    fn what_may_lie_in_the_guests_own_memory_is_not_written_to() {
        for (address, alone) in [
            (0, true),
            (0xffff, true),
            (0x1_0000, false),
            (0x40_0000, false),
            (layout::UNMAPPED - 1, false),
            (layout::UNMAPPED, true),
            (layout::SCRATCH, true),
            (0xffff_ffff, true),
            (1 << 32 | layout::SCRATCH, false),
            (0x7fff_f7dd_0000, false),
            ((1 << 47) - 1, false),
            (1 << 47, true),
            (u64::MAX, true),
        ] {
            assert_eq!(asks(Abi::X86_64, "read", [100, address, 16, 0, 0, 0]), alone, "{address:#x}");
        }
        // By int 0x80 the lower half is the address.
        assert!(!asks(Abi::I386, "read", [100, 0xffff_ffff_0040_0000, 16, 0, 0, 0]));
        // A descriptor is no address.
        assert!(asks(Abi::X86_64, "read", [0x40_0000, layout::SCRATCH, 16, 0, 0, 0]));
        // What is written somewhere is read from it.
        assert!(asks(Abi::X86_64, "write", [101, 0x40_0000, 16, 0, 0, 0]));
    }

    #[test]
    fn other_calls_have_memory_of_their_own() {
        for name in
            ["brk", "mremap", "arch_prctl", "ioctl", "clone", "execve", "rt_sigaction", "set_tid_address"]
        {
            assert!(!asks(Abi::X86_64, name, [0; 6]), "{name}");
        }
        for name in ["socketcall", "ipc", "mmap2"] {
            assert!(!asks(Abi::I386, name, [0; 6]), "{name}");
        }
        // PR_SET_DUMPABLE is the memory's, and so would be an option that has these bits above others.
        for (option, alone) in
            [(4, false), (21, true), (22, true), (38, true), (39, true), (1 << 32 | 38, false)]
        {
            assert_eq!(asks(Abi::X86_64, "prctl", [option, 1, 0, 0, 0, 0]), alone, "{option:#x}");
        }
        for (limit, alone) in [(4, false), (1 << 32 | 4, false), (7, true)] {
            assert_eq!(asks(Abi::X86_64, "setrlimit", [limit, layout::SCRATCH, 0, 0, 0, 0]), alone);
            assert_eq!(asks(Abi::X86_64, "prlimit64", [0, limit, layout::SCRATCH, 0, 0, 0]), alone);
        }
    }

    #[test]
    fn numbers_that_nobody_has_do_nothing() {
        let calls = |abi, nr| alone(Op::Call(Call { abi, nr, args: [0x40_0000; 6] }));
        for abi in [Abi::X86_64, Abi::I386] {
            assert!(calls(abi, 1000) && calls(abi, 0xffff_ffff) && calls(abi, 1 << 32 | 9999));
            // They may come to be calls, and others are x32's.
            assert!(!calls(abi, 600) && !calls(abi, 999));
            assert!(!calls(abi, u64::from(Abi::X32_BIT) | 9), "mmap");
        }
        assert!(!calls(Abi::X86_64, 545), "x32's execveat");
    }

    #[test]
    fn images_and_shared_memory_are_apart() {
        assert!(!alone(Op::Exec));
        assert!(!alone(Op::Clone { child: 1, shares: CLONE_VM }));
        assert!(alone(Op::Clone { child: 1, shares: CLONE_FILES }));
        assert!(alone(Op::Thread { child: 1 }));
    }
}
