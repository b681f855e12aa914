//! What an experiment saw, as plain data.

use crate::world::Change;
use serde::{Deserialize, Serialize};

/// What an experiment saw on a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// One entry a step, in the experiment's order.
    pub steps: Vec<StepSeen>,
    /// One entry a task, by task number.
    pub tasks: Vec<TaskSeen>,
    /// What changed in the world, where it was watched; see [`crate::world::changes`].
    pub world: Vec<Change>,
}

/// What was seen of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSeen {
    /// The task began the step.
    pub reached: bool,
    /// The raw value the step's call returned, if it returned.
    pub returned: Option<i64>,
    /// The SIGSYS signals whose handler ran during the step, at most [`MAX_TRAPS`].
    pub traps: Vec<Sigsys>,
    /// What the tracer was told during the step (`PTRACE_GETEVENTMSG`): the filter's
    /// `SECCOMP_RET_DATA`, at most [`MAX_TRAPS`] times.
    pub traced: Vec<u32>,
}

/// The most handler runs recorded for one step.
pub const MAX_TRAPS: usize = 4;

/// A SIGSYS as its handler saw it (sigaction(2), "The siginfo_t argument to a SA_SIGINFO handler").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sigsys {
    /// `si_signo`.
    pub signo: i32,
    /// `si_code`; `SYS_SECCOMP` is 1.
    pub code: i32,
    /// `si_errno`: the filter's `SECCOMP_RET_DATA`.
    pub errno: i32,
    /// `si_call_addr`.
    pub call_addr: u64,
    /// `si_syscall`.
    pub syscall: i32,
    /// `si_arch`.
    pub arch: u32,
    /// The result register as the handler found it in its context.
    pub result: i64,
}

/// What was seen of one task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSeen {
    /// Thread id in the guest's pid namespace, 0 when the task was never made.
    pub tid: i32,
    /// Id of the process the task belongs to.
    pub pid: i32,
    /// How the task ended.
    pub end: End,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum End {
    /// The task was never made.
    #[default]
    NeverMade,
    /// It was alive when the last step was over.
    Alive,
    /// Its process exited with this status.
    Exited(i32),
    /// Its process was killed by this signal.
    Signaled {
        /// The signal's number.
        signal: i32,
        /// Whether the wait status carries the core-dump flag.
        core: bool,
    },
    /// The thread ended while its process lived on.
    ThreadGone,
    /// It was still busy in a step when the time for the experiment was over.
    TimedOut,
}
