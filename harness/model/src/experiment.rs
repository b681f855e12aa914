//! The experiment language: tasks, filters, calls and signals as data.
//!
//! An experiment is one total order of steps, each belonging to a task. The guest carries the
//! steps out in that order on a real kernel; [`crate::expect`] carries them out on paper. Both
//! give an [`crate::Observation`], and a verdict is the comparison of the two.
//!
//! Everything a filter can see is fixed by the experiment: calls go through a stub at a fixed
//! address ([`layout`]), pointers go into a scratch area at a fixed address, descriptors have
//! fixed numbers. A watched experiment tells besides what its calls changed ([`crate::world`]).

pub mod effects;
mod memory;
mod text;

use crate::abi::SeccompData;
use crate::{Abi, Filter};
use serde::{Deserialize, Serialize};

/// The most tasks an experiment may have.
pub const MAX_TASKS: usize = 16;
/// The most steps an experiment may have.
pub const MAX_STEPS: usize = 512;

/// Names a task of an experiment. Task 0 is there from the start; others are made by steps.
pub type TaskId = u8;

/// Where the guest puts what an experiment's calls refer to.
pub mod layout {
    /// The page of call stubs. Both halves of the address are non-zero, so that filters on
    /// `instruction_pointer` can be told apart by half.
    pub const STUB: u64 = 0x1234_5678_9000;
    /// Value of `instruction_pointer` for a call by the `syscall` instruction: the address after it.
    pub const SYSCALL_IP: u64 = STUB + 0x02;
    /// Value of `instruction_pointer` for a call by `int $0x80`.
    pub const INT80_IP: u64 = STUB + 0x12;
    /// Value of `instruction_pointer` for the `rt_sigreturn` of a signal handler. All six argument
    /// registers are zero there.
    pub const SIGRETURN_IP: u64 = STUB + 0x40;
    /// Value of `instruction_pointer` for calls that [`crate::sweep`] makes for itself.
    pub const SWEEP_IP: u64 = STUB + 0x52;
    /// The `struct sigaction` that [`super::Op::Sigsys`] hands to `rt_sigaction`.
    pub const SIGACTION: u64 = BOARD;
    /// The signal set that [`super::Op::MaskSigsys`] hands to `rt_sigprocmask`.
    pub const SIGSET: u64 = BOARD + 0x40;
    /// The `struct sock_fprog` that [`super::Op::Install`] hands over.
    pub const FPROG: u64 = BOARD + 0x80;
    /// The word that holds task 0's thread id while it lives; one word a task follows.
    pub const TIDS: u64 = BOARD + 0x100;
    /// The instructions that [`FPROG`] points to: room for 65,535 of them.
    pub const INSNS: u64 = BOARD + 0x1000;
    /// Shared memory in which tasks leave what they see.
    pub const BOARD: u64 = 0x6200_0000;
    /// Length of the board in bytes.
    pub const BOARD_LEN: u64 = 0x10_0000;
    /// The lowest thread stack; task `t`'s lies `t` times [`STACK_LEN`] above it.
    pub const STACKS: u64 = 0x6100_0000;
    /// Length of one thread's stack in bytes.
    pub const STACK_LEN: u64 = 0x1_0000;

    /// The stack pointer that a thread's `clone` hands over.
    #[must_use]
    pub const fn stack_top(task: super::TaskId) -> u64 {
        STACKS + (task as u64 + 1) * STACK_LEN - 16
    }

    /// The address of a task's thread id word.
    #[must_use]
    pub const fn tid_word(task: super::TaskId) -> u64 {
        TIDS + 4 * task as u64
    }

    /// The scratch area: zeroed, readable and writable, below 4 GiB so that every ABI reaches it.
    pub const SCRATCH: u64 = 0x6000_0000;
    /// Length of the scratch area in bytes.
    pub const SCRATCH_LEN: u64 = 0x2_0000;
    /// An address at which nothing is ever mapped.
    pub const UNMAPPED: u64 = 0x5000_0000;
    /// A pipe's read end; [`PIPE_BYTES`] bytes wait in it.
    pub const FD_READ: u64 = 100;
    /// The write end of another, empty pipe.
    pub const FD_WRITE: u64 = 101;
    /// A descriptor number that is never open.
    pub const FD_CLOSED: u64 = 999;
    /// How many bytes wait in [`FD_READ`] at the start.
    pub const PIPE_BYTES: u64 = 64;
    /// The path [`super::Op::Exec`] hands to `execve`.
    pub const EXEC_PATH: u64 = BOARD + 0x200;
    /// Its arguments.
    pub const EXEC_ARGV: u64 = BOARD + 0x240;
    /// Its environment, which is empty.
    pub const EXEC_ENVP: u64 = BOARD + 0x260;

    /// The directory that watched experiments watch. Each finds in it what it holds at the start: [`SEED_FILES`]
    /// and [`SEED_DIRECTORIES`].
    pub const WORLD: &str = "/world";
    /// Files of [`SEED_LENGTH`] bytes that root owns and everybody may write.
    pub const SEED_FILES: [&str; 11] = [
        "to-unlink",
        "to-unlinkat",
        "to-rename",
        "to-renameat",
        "to-link",
        "to-chmod",
        "to-fchmodat",
        "to-truncate",
        FCHMOD,
        FTRUNCATE,
        PWRITE,
    ];
    /// Length of each of the files.
    pub const SEED_LENGTH: u64 = 4;
    /// Mode of each of the files.
    pub const SEED_MODE: u32 = 0o666;
    /// Directories that root owns, with mode 755.
    pub const SEED_DIRECTORIES: [&str; 2] = ["to-rmdir", "to-enter"];
    /// The file of [`FD_FCHMOD`].
    pub const FCHMOD: &str = "to-fchmod";
    /// The file of [`FD_FTRUNCATE`].
    pub const FTRUNCATE: &str = "to-ftruncate";
    /// The file of [`FD_PWRITE`].
    pub const PWRITE: &str = "to-pwrite";
    /// A descriptor to close, in watched experiments: the read end of the pipe of [`FD_READ`].
    pub const FD_CLOSE: u64 = 120;
    /// [`FCHMOD`], open for reading and writing, in watched experiments.
    pub const FD_FCHMOD: u64 = 121;
    /// [`FTRUNCATE`], likewise.
    pub const FD_FTRUNCATE: u64 = 122;
    /// [`PWRITE`], likewise.
    pub const FD_PWRITE: u64 = 123;
    /// The lowest descriptor that is free in watched experiments; all are from there to [`FD_READ`].
    pub const FD_FREE: u64 = 3;
    /// The umask of watched experiments.
    pub const UMASK: u32 = 0o022;
    /// The watched addresses.
    pub const WINDOW: u64 = 0x5800_0000;
    /// How many pages of them are watched.
    pub const WINDOW_PAGES: u64 = 16;
    /// How many of them are mapped at the start, readable and writable.
    pub const WINDOW_MAPPED: u64 = 2;
    /// Length of a page in bytes.
    pub const PAGE: u64 = 4096;
}

/// An experiment: steps in one total order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    /// Bytes put into the scratch area before the first step: offset, content.
    pub memory: Vec<(u32, Vec<u8>)>,
    /// The steps. Step `i + 1` starts when step `i` has returned or its task has ended.
    pub steps: Vec<Step>,
    /// Whether to watch the [`crate::world`] and report what changed in it.
    #[serde(default)]
    pub watch: bool,
    /// Whether a tracer is there for `SECCOMP_RET_TRACE` (`PTRACE_O_TRACESECCOMP`), which keeps what it is
    /// told and lets every call go on. For experiments of one task.
    #[serde(default)]
    pub tracer: bool,
}

impl Experiment {
    /// How many tasks it has, those included that may never be made.
    #[must_use]
    pub fn tasks(&self) -> usize {
        1 + self.steps.iter().filter(|step| step.op.makes().is_some()).count()
    }
}

impl Op {
    /// The task that the step makes.
    #[must_use]
    pub fn makes(&self) -> Option<TaskId> {
        match self {
            Self::Fork { child } | Self::Thread { child } | Self::Clone { child, .. } => Some(*child),
            _ => None,
        }
    }
}

/// One step of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The task that takes the step.
    pub task: TaskId,
    /// What it does.
    pub op: Op,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Makes a process by `clone` with [`FORK_FLAGS`], as a call that filters see.
    Fork {
        /// The new task.
        child: TaskId,
    },
    /// Makes a thread by `clone` with [`THREAD_FLAGS`], as a call that filters see.
    Thread {
        /// The new task.
        child: TaskId,
    },
    /// Makes a process by `clone` that shares some of what its maker has, as a call that filters
    /// see: [`FORK_FLAGS`] and these.
    Clone {
        /// The new task.
        child: TaskId,
        /// Bits of [`SHARES`]. `CLONE_SIGHAND` without `CLONE_VM` is answered with EINVAL.
        shares: u64,
    },
    /// Executes the guest binary again, by `execve`, as a call that filters see. It maps what
    /// experiments refer to anew, all but the watched window, and the task takes its later steps. The
    /// other threads of the process are gone. The step returns 0.
    ///
    /// Between the two the new image makes the calls of a static binary that starts. The filters
    /// and limits in force must leave these alone, in any number: [`EXEC_NEEDS`]. It is for whoever
    /// writes the experiment to see to that; the model takes it for granted.
    Exec,
    /// Attaches a filter.
    Install(Install),
    /// Makes one syscall.
    Call(Call),
    /// Sets what SIGSYS does in this process, by `rt_sigaction`, as a call that filters see.
    Sigsys(Disposition),
    /// Blocks or unblocks SIGSYS in this task, by `rt_sigprocmask`, as a call that filters see.
    MaskSigsys {
        /// True blocks, false unblocks.
        block: bool,
    },
    /// Executes RDTSC, which strict mode forbids (`disable_TSC`, arch/x86/kernel/process.c).
    Rdtsc,
}

/// Flags of [`Op::Fork`]: `CLONE_PARENT | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD`. The
/// supervisor, not the forking task, is the new process's parent and sees it end.
pub const FORK_FLAGS: u64 = 0x8000 | 0x10_0000 | 0x20_0000 | 17;
/// Flags of [`Op::Thread`]: `CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
/// CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID`.
pub const THREAD_FLAGS: u64 = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x10_0000 | 0x20_0000;

/// `CLONE_VM`: the memory is shared.
pub const CLONE_VM: u64 = 0x100;
/// `CLONE_FS`: working directory and umask are shared.
pub const CLONE_FS: u64 = 0x200;
/// `CLONE_FILES`: the table of descriptors is shared.
pub const CLONE_FILES: u64 = 0x400;
/// `CLONE_SIGHAND`: what signals do is shared.
pub const CLONE_SIGHAND: u64 = 0x800;
/// What [`Op::Clone`] may share.
pub const SHARES: u64 = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND;

/// What the guest binary may call, by the native ABI, from `execve` to its next step: the C library's
/// and the language's start-up, then the mappings of the experiment. The case `inherit::exec_needs`
/// holds the list against kernels: behind a filter that kills for anything else it must go on.
pub const EXEC_NEEDS: [&str; 26] = [
    "arch_prctl",
    "brk",
    "close",
    "execve",
    "exit_group",
    "fstat",
    "getrandom",
    "gettid",
    "lseek",
    "mmap",
    "mprotect",
    "munmap",
    "newfstatat",
    "open",
    "openat",
    "poll",
    "prlimit64",
    "read",
    "readlink",
    "rseq",
    "rt_sigaction",
    "sched_getaffinity",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "statx",
];

/// One syscall: number, six arguments, ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Call {
    /// The calling convention, which decides the entry and the arch that filters see.
    pub abi: Abi,
    /// The whole register that carries the number. Filters see its lower 32 bits. For x32 it
    /// carries the x32 bit already.
    pub nr: u64,
    /// The six argument registers, all 64 bits of each.
    pub args: [u64; 6],
}

impl Call {
    /// The `instruction_pointer` that filters see of it.
    #[must_use]
    pub const fn address(&self) -> u64 {
        match self.abi {
            Abi::X86_64 | Abi::X32 => layout::SYSCALL_IP,
            Abi::I386 => layout::INT80_IP,
        }
    }

    /// What filters see of it, made by the stubs.
    ///
    /// ```
    /// use atlas_model::{Abi, Call};
    /// let getppid = Call { abi: Abi::I386, nr: 64, args: [0; 6] };
    /// assert_eq!((getppid.data().nr, getppid.data().arch), (64, 0x4000_0003));
    /// ```
    #[must_use]
    pub const fn data(&self) -> SeccompData {
        self.data_at(self.address())
    }

    /// The call of which filters see this, wherever it is made from; `None` for an arch that is not this
    /// machine's.
    ///
    /// ```
    /// use atlas_model::{Abi, Call};
    /// let call = Call { abi: Abi::X32, nr: 0x4000_0001, args: [7; 6] };
    /// assert_eq!(Call::from_data(&call.data()), Some(call));
    /// ```
    #[must_use]
    pub fn from_data(data: &SeccompData) -> Option<Self> {
        let abi = Abi::of(data.arch, data.nr)?;
        Some(Self { abi, nr: data.nr.into(), args: data.args })
    }

    /// What filters see of it, made by an instruction that ends at this address.
    #[must_use]
    pub const fn data_at(&self, instruction_pointer: u64) -> SeccompData {
        // syscall_get_arguments hands over whole registers, for calls by int 0x80 as well
        // (arch/x86/include/asm/syscall.h).
        SeccompData { nr: self.nr as u32, arch: self.abi.audit_arch(), instruction_pointer, args: self.args }
    }
}

/// How a filter is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// By which call.
    pub via: Via,
    /// What is handed over as `struct sock_fprog`.
    pub program: Program,
}

/// The call that attaches a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Via {
    /// `prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, prog)`.
    Prctl,
    /// `seccomp(SECCOMP_SET_MODE_FILTER, flags, prog)`.
    Seccomp {
        /// `SECCOMP_FILTER_FLAG_*` bits.
        flags: u32,
    },
}

/// What is handed over as `struct sock_fprog`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// The filter, with its true length.
    Filter(Filter),
    /// The filter, with another length in `sock_fprog.len`.
    Length(Filter, u16),
    /// A null pointer in place of the `sock_fprog`.
    NullFprog,
    /// An unmapped address in place of the `sock_fprog`.
    BadFprog,
    /// A `sock_fprog` of this length whose instruction pointer is null.
    NullInsns(u16),
    /// A `sock_fprog` of this length whose instruction pointer is unmapped.
    BadInsns(u16),
}

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Disposition {
    /// `SIG_DFL`.
    Default,
    /// `SIG_IGN`.
    Ignore,
    /// A handler that records its `siginfo` and returns, leaving registers as they are.
    Record,
}
