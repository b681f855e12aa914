//! Programs of a user's: how the host hands one over with its files, has it run behind a filter, and
//! learns every system call that it made.
//!
//! The guest observes and judges nothing. What it answers is bounded however long the program runs:
//! calls that came out alike are one group, which is shown by examples and counted.

use atlas_model::observation::{End, Sigsys};
use atlas_model::{Abi, Call, Filter};
use serde::{Deserialize, Serialize};

/// The most bytes of a program's files, all together and each one, where each takes whole [pages](PAGE). They
/// stand in the guest's memory, of which there are [`crate::window::ADDRESS`] bytes, and the program needs
/// some as well.
pub const MAX_BYTES: u64 = 40 << 20;
/// What the room that a file takes in the guest is a multiple of, in bytes.
pub const PAGE: u64 = 4096;
/// The most files of a program.
pub const MAX_FILES: usize = 4096;
/// The longest path of a file in bytes: `PATH_MAX` (include/uapi/linux/limits.h) less some for where a guest keeps it.
pub const MAX_PATH: usize = 4000;
/// How many bytes of a file the host sends at once. Less than [`crate::frame::MAX_INLINE`], so that
/// it does without the window.
pub const PART: usize = 1 << 20;
/// How many bytes are kept of what a program writes to its standard output, and of its standard error.
pub const MAX_OUTPUT: usize = 64 << 10;
/// How many different arguments are kept of the calls that make a group.
pub const MAX_EXAMPLES: usize = 8;
/// The most entries of [`Traced::calls`].
pub const MAX_CALLS: usize = 4096;
/// The most entries of [`Traced::missed`].
pub const MAX_MISSED: usize = 32;
/// The most bytes that are kept of a name in a program's memory.
pub const MAX_NAME: usize = 256;

/// The most entries of [`Traced::late`].
pub const MAX_LATE: usize = 32;

/// What a program shall find at a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A file that cannot be executed.
    #[default]
    File,
    /// One that can.
    Executable,
    /// A directory. It has no bytes.
    Directory,
}

/// A part of a file that a program shall find.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Where the program finds the file: an absolute path without `.` and `..`, of at most [`MAX_PATH`] bytes.
    pub path: String,
    /// What it finds there.
    pub kind: Kind,
    /// Where the part belongs: where the part before it ended. 0 begins the file anew.
    pub offset: u64,
    /// The part.
    pub bytes: Vec<u8>,
}

/// A program, whose files were [put](crate::Request::Put) into the guest before, to be run and traced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// What `net.core.bpf_jit_enable` shall be meanwhile; `None` leaves it alone.
    pub jit: Option<bool>,
    /// How long the program may take before the guest ends it, in milliseconds.
    pub limit_ms: u32,
    /// The file that is executed, by its path there.
    pub program: String,
    /// Where it is run, which is made where it is not there.
    pub directory: String,
    /// Its arguments, from `argv[0]`.
    pub arguments: Vec<String>,
    /// Its environment, `NAME=value` each.
    pub environment: Vec<String>,
    /// The filter that it runs behind; `None` for none.
    pub filter: Option<Filter>,
}

/// How many calls a program made that are not kept one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Those for which the filter gives anything but ALLOW.
    pub denied: u64,
    /// The others.
    pub allowed: u64,
}

/// What was seen of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// What attaching the filter returned: 0, or the errno negated, and then nothing was run.
    pub attached: i64,
    /// How the program's first process ended; `None` when it had not when time ran out. [`End::NeverMade`] when
    /// there never was a program: the filter was refused, or execve(2) returned, as the first of the calls says.
    pub end: Option<End>,
    /// The calls of all tasks from the execve(2) of the program on, in the order in which they were begun.
    /// At most [`MAX_CALLS`], of which half are for those that the filter does not let through.
    pub calls: Vec<Made>,
    /// The calls besides, which neither [`MAX_EXAMPLES`] nor [`MAX_CALLS`] left room for.
    pub left_out: LeftOut,
    /// What it wrote to its standard output, at most [`MAX_OUTPUT`].
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error, at most [`MAX_OUTPUT`].
    pub stderr: Vec<u8>,
    /// Whether it wrote more to one of them.
    pub cut: bool,
    /// What its calls looked for by name and did not find (ENOENT, where the filter lets the call through), each
    /// once: the first [`MAX_MISSED`]. As its memory has them when the call returns.
    pub missed: Vec<String>,
    /// How many processes the kernel ended for want of memory meanwhile: `oom_kill` in /proc/vmstat, which came with
    /// 4.13 (mm/oom_kill.c); `None` before.
    pub starved: Option<u64>,
    /// How many processes and threads it came to.
    pub tasks: u32,
    /// How long it took in the guest, in microseconds.
    pub micros: u64,
    /// Its tasks that had not ended when time ran out, in the order in which they were seen, at most [`MAX_LATE`];
    /// `None` when all ended in time.
    pub late: Option<Vec<Late>>,
}

/// A task that had not ended when time ran out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Its number, as in [`Made::task`].
    pub task: u32,
    /// The call that it was in, if it was in one.
    pub call: Option<Call>,
}

/// A call, and how often it was made.
///
/// Calls of one number and ABI on which the same instruction of the filter decides and that came to the same make a group: all that came back with one errno,
/// all that came back with anything else, all that never came back, and all that were trapped with
/// one errno. Of each group the first [`MAX_EXAMPLES`] different arguments and paths have an entry each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// By which ABI.
    pub abi: Abi,
    /// Its number as a filter sees it, for x32 with [`Abi::X32_BIT`].
    pub nr: u32,
    /// Its argument registers, all six of them, whatever the call takes.
    pub args: [u64; 6],
    /// The instruction pointer, as a filter sees it, the first time.
    pub ip: u64,
    /// What came of it the first time.
    pub came: Came,
    /// How often it was made.
    pub count: u64,
    /// The path that it was given by name, where the filter does not let it through and it takes one: as the task's
    /// memory had it when the call was begun, at most [`MAX_NAME`] bytes. No filter has seen it.
    pub path: Option<String>,
    /// The task that made it the first time; 0 for the first one, and so on in the order in which they
    /// were seen.
    pub task: u32,
}

impl Made {
    /// The call itself.
    #[must_use]
    pub fn call(&self) -> Call {
        Call { abi: self.abi, nr: self.nr.into(), args: self.args }
    }
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Came {
    /// It returned this value, or an errno negated. From 512 on there are those by which the kernel marks a
    /// call that a signal interrupted, which is then made again or fails with EINTR: the program does not
    /// see them (include/linux/errno.h).
    Back(i64),
    /// It did not: the task ended in it, or time ran out.
    Never,
    /// A SIGSYS with the code `SYS_SECCOMP` was raised in its place.
    Trapped(Sigsys),
}

impl Traced {
    /// Whether a guest can have seen this: nothing in it is beyond its bound.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let is_short = |name: &String| name.len() <= MAX_NAME;
        let possible =
            |made: &Made| made.count > 0 && made.task < self.tasks && made.path.as_ref().is_none_or(is_short);
        self.attached <= 0
            && self.calls.len() <= MAX_CALLS
            && self.stdout.len().max(self.stderr.len()) <= MAX_OUTPUT
            && self.missed.len() <= MAX_MISSED
            && self.missed.iter().all(is_short)
            && self.calls.iter().all(possible)
            && self.late.iter().all(|late| late.len() <= MAX_LATE)
            && self.late.iter().flatten().all(|late| late.task < self.tasks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let made = Made {
            abi: Abi::X86_64,
            nr: 0,
            args: [0; 6],
            ip: 0,
            came: Came::Never,
            count: 1,
            path: None,
            task: 0,
        };
        let traced = |change: fn(&mut Traced)| {
            let mut traced = Traced { calls: vec![made.clone()], tasks: 1, ..Traced::default() };
            change(&mut traced);
            traced.is_possible()
        };
        assert!(traced(|_| {}));
        assert!(traced(|traced| traced.stdout = vec![0; MAX_OUTPUT]));
        assert!(traced(|traced| traced.calls = vec![traced.calls[0].clone(); MAX_CALLS]));
        assert!(!traced(|traced| traced.stdout = vec![0; MAX_OUTPUT + 1]));
        assert!(!traced(|traced| traced.stderr = vec![0; MAX_OUTPUT + 1]));
        assert!(!traced(|traced| traced.calls = vec![traced.calls[0].clone(); MAX_CALLS + 1]));
        assert!(traced(|traced| traced.missed = vec!["/".repeat(MAX_NAME); MAX_MISSED]));
        assert!(!traced(|traced| traced.missed = vec![String::new(); MAX_MISSED + 1]));
        assert!(!traced(|traced| traced.missed = vec!["/".repeat(MAX_NAME + 1)]));
        assert!(traced(|traced| traced.calls[0].path = Some("/".repeat(MAX_NAME))));
        assert!(!traced(|traced| traced.calls[0].path = Some("/".repeat(MAX_NAME + 1))));
        assert!(!traced(|traced| traced.calls[0].count = 0));
        assert!(!traced(|traced| traced.calls[0].task = 1));
        assert!(!traced(|traced| traced.attached = 1));
        let late = Late { task: 0, call: None };
        assert!(is_possible_with(vec![late.clone(); MAX_LATE]));
        assert!(!is_possible_with(vec![late; MAX_LATE + 1]));
        assert!(!is_possible_with(vec![Late { task: 1, call: None }]));
    }

    fn is_possible_with(late: Vec<Late>) -> bool {
        Traced { late: Some(late), tasks: 1, ..Traced::default() }.is_possible()
    }

    #[test]
    fn the_largest_answer_goes_over_the_serial_line() {
        let sigsys = Sigsys {
            signo: i32::MIN,
            code: i32::MIN,
            errno: i32::MIN,
            call_addr: u64::MAX,
            syscall: i32::MIN,
            arch: u32::MAX,
            result: i64::MIN,
        };
        let made = Made {
            abi: Abi::X32,
            nr: u32::MAX,
            args: [u64::MAX; 6],
            ip: u64::MAX,
            came: Came::Trapped(sigsys),
            count: u64::MAX,
            path: Some("/".repeat(MAX_NAME)),
            task: u32::MAX - 1,
        };
        let largest = Traced {
            attached: i64::MIN,
            end: Some(End::Signaled { signal: i32::MIN, core: true }),
            late: Some(vec![Late { task: u32::MAX - 1, call: Some(made.call()) }; MAX_LATE]),
            calls: vec![made; MAX_CALLS],
            left_out: LeftOut { denied: u64::MAX, allowed: u64::MAX },
            stdout: vec![0; MAX_OUTPUT],
            stderr: vec![0; MAX_OUTPUT],
            cut: true,
            missed: vec!["/".repeat(MAX_NAME); MAX_MISSED],
            starved: Some(u64::MAX),
            tasks: u32::MAX,
            micros: u64::MAX,
        };
        assert!(largest.is_possible());
        let length = crate::encode(&crate::Response::Traced(largest)).unwrap().len();
        assert!(length <= crate::frame::MAX_INLINE, "{length} bytes");
    }
}
