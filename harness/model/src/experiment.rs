//! The experiment language: tasks, filters, calls and signals as data.
//!
//! An experiment is one total order of steps, each belonging to a task. The guest carries the
//! steps out in that order on a real kernel; [`crate::expect`] carries them out on paper. Both
//! give an [`crate::Observation`], and a verdict is the comparison of the two.
//!
//! Everything a filter can see is fixed by the experiment: calls go through a stub at a fixed
//! address ([`layout`]), pointers go into a scratch area at a fixed address, descriptors have
//! fixed numbers.

mod text;

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
}

/// An experiment: steps in one total order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    /// Bytes put into the scratch area before the first step: offset, content.
    pub memory: Vec<(u32, Vec<u8>)>,
    /// The steps. Step `i + 1` starts when step `i` has returned or its task has ended.
    pub steps: Vec<Step>,
}

impl Experiment {
    /// How many tasks it has, those included that may never be made.
    #[must_use]
    pub fn tasks(&self) -> usize {
        1 + self.steps.iter().filter(|step| matches!(step.op, Op::Fork { .. } | Op::Thread { .. })).count()
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
