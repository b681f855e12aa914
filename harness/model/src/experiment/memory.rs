//! Whose memory an experiment touches.

use super::{CLONE_VM, Call, Experiment, Op, layout};
use crate::abi::{Abi, syscalls};

/// Calls that neither map nor unmap, and read and write nothing but what their arguments point to. prctl(2) is one by some of
/// its options.
const ALONE: [&str; 58] = [
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
    "prlimit64",
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
    "setrlimit",
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
/// They read vectors whose places are in memory, and write nothing.
const READING: [&str; 2] = ["write", "writev"];
/// `PR_GET_SECCOMP`, `PR_SET_SECCOMP`, `PR_SET_NO_NEW_PRIVS` and `PR_GET_NO_NEW_PRIVS`.
const PRCTL: [u64; 4] = [21, 22, 38, 39];

impl Experiment {
    /// Whether its tasks leave memory alone, but for what is at [`layout`]'s addresses, so that they can have that of
    /// the process that makes them, which is not dumped meanwhile. For calls that nobody has looked at the answer is no.
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
            // What a core dump does to them (before 5.16, fs/coredump.c zap_threads) shows where there is one.
            Op::Clone { shares, .. } => shares & CLONE_VM == 0,
            _ => true,
        })
    }
}

fn leaves_memory_alone(call: &Call) -> bool {
    let Some(name) = syscalls::name(call.abi, call.nr as u32) else { return false };
    let known = match name {
        "prctl" => PRCTL.contains(&call.args[0]),
        _ => ALONE.contains(&name),
    };
    // Calls of one name take the same by every ABI: numbers, or what is as wide as an address.
    let widths = syscalls::number(Abi::X86_64, name).and_then(|nr| syscalls::widths(Abi::X86_64, nr));
    let mut taken = call.args.iter().zip(widths.unwrap_or(&[64; 6]));
    READING.contains(&name) || known && taken.all(|(&value, &width)| width < 64 || is_elsewhere(value))
}

/// Whether a value, taken for an address by whichever ABI, is none at which the guest has anything but
/// [`layout`]: it is within the first 64 KiB, which nobody maps (vm.mmap_min_addr), from [`layout::UNMAPPED`] up in the
/// lowest 4 GiB, or no address of four levels' user space (Documentation/arch/x86/x86_64/mm.rst).
fn is_elsewhere(value: u64) -> bool {
    let elsewhere = |address: u64| {
        address < 0x1_0000 || (layout::UNMAPPED..1 << 32).contains(&address) || address >= 1 << 47
    };
    elsewhere(value) && elsewhere(value & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{Step, effects};

    fn asks(abi: Abi, name: &str, args: [u64; 6]) -> bool {
        let nr = syscalls::number(abi, name).unwrap().into();
        let step = Step { task: 0, op: Op::Call(Call { abi, nr, args }) };
        Experiment { steps: vec![step], ..Experiment::default() }.leaves_memory_alone()
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
    fn what_may_lie_in_the_guests_own_memory_is_not_written_to() {
        for (address, alone) in [
            (layout::SCRATCH, true),
            (0, true),
            (0xffff, true),
            (u64::MAX, true),
            (0x40_0000, false),
            (0x4fff_ffff, false),
            (0x7fff_f7dd_0000, false),
        ] {
            assert_eq!(asks(Abi::X86_64, "read", [100, address, 16, 0, 0, 0]), alone, "{address:#x}");
        }
        // By int 0x80 the lower half is the address.
        assert!(!asks(Abi::I386, "read", [100, 0xffff_ffff_0040_0000, 16, 0, 0, 0]));
        // What is written somewhere is read from it.
        assert!(asks(Abi::X86_64, "write", [101, 0x40_0000, 16, 0, 0, 0]));
    }

    #[test]
    fn unknown_calls_and_images_have_memory_of_their_own() {
        let step = |op| Experiment { steps: vec![Step { task: 0, op }], ..Experiment::default() };
        assert!(!step(Op::Exec).leaves_memory_alone());
        assert!(step(Op::Thread { child: 1 }).leaves_memory_alone());
        assert!(!step(Op::Clone { child: 1, shares: CLONE_VM }).leaves_memory_alone());
        assert!(!step(Op::Call(Call { abi: Abi::X86_64, nr: 100_000, args: [0; 6] })).leaves_memory_alone());
        // PR_SET_DUMPABLE is the memory's.
        assert!(!asks(Abi::X86_64, "prctl", [4, 1, 0, 0, 0, 0]));
        assert!(asks(Abi::X86_64, "prctl", [38, 1, 0, 0, 0, 0]));
    }
}
