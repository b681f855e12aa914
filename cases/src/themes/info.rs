//! Tracers: calls read and written without registers, by PTRACE_GET_SYSCALL_INFO and PTRACE_SET_SYSCALL_INFO.

use super::stops::{SYSGOOD, to_call};
use super::tracer::{GETPPID, call, calling, on};
use crate::attached::attach;
use crate::case::{is, staged};
use crate::tracee::{self, TRACE_SECCOMP};
use crate::{Case, waiting};
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action};
use std::sync::atomic::Ordering::SeqCst;

const SET: &[Feature] = &[Feature::ModeFilter, Feature::PtraceSetSyscallInfo];
const GETTID: u64 = 186;
const UMASK: u64 = 95;
const ENOSYS: i64 = -38;
const EINVAL: i64 = -22;
const ERANGE: i64 = -34;

pub(crate) const CASES: &[Case] = &[
    staged(
        "ptrace::syscall_info",
        "GET_SYSCALL_INFO tells seccomp's stop from the others, with number, arguments and the filter's data.",
        &[Feature::PtraceSyscallInfo],
        observe_info,
        |_: &Traits| {
            vec![
                is("operation", 3),
                is("arch is native", 1),
                is("number", 110),
                is("first argument", 11),
                is("sixth argument", 66),
                is("data", 4660),
                is("the call's exit is operation 2", 2),
                is("its result is an error", 0),
            ]
        },
    ),
    staged(
        "ptrace::info_changes_number_and_arguments",
        "SET_SYSCALL_INFO at seccomp's stop puts another call, with arguments of its own, in the place of the first.",
        SET,
        observe_set,
        |_: &Traits| vec![is("set", 0), is("mask that was set", 0o77)],
    ),
    staged(
        "ptrace::info_and_a_call_that_is_denied",
        "A call that it puts there is judged as any other: what filters deny stays denied.",
        SET,
        |stage| rewritten(stage, GETPPID),
        |_: &Traits| vec![is("set", 0), is("call returned", -9)],
    ),
    staged(
        "ptrace::info_skips_the_call",
        "Number -1 skips the call, which returns ENOSYS.",
        SET,
        |stage| rewritten(stage, u64::MAX),
        |_: &Traits| vec![is("set", 0), is("call returned", ENOSYS)],
    ),
    staged(
        "ptrace::info_at_the_entry",
        "At a call's entry it chooses the call that filters judge.",
        SET,
        observe_entry,
        |_: &Traits| vec![is("set", 0), is("call returned", -9)],
    ),
    staged(
        "ptrace::info_changes_the_result",
        "At a call's exit it changes the result, also one that a filter gave.",
        SET,
        observe_result,
        |_: &Traits| vec![is("set", 0), is("call returned", 4711)],
    ),
    staged(
        "ptrace::info_that_is_refused",
        "A smaller structure, flags, and the operation of another stop are EINVAL, a number that is no int ERANGE.",
        SET,
        observe_refused,
        |_: &Traits| {
            vec![
                is("a smaller size", EINVAL),
                is("flags", EINVAL),
                is("operation of an entry", EINVAL),
                is("number of 33 bits", ERANGE),
                is("number of 32 bits with the highest", ERANGE),
                is("call returned its thread id", 1),
            ]
        },
    ),
];

/// `struct ptrace_syscall_info` as words: operation, reserved byte, flags and arch in the first, two addresses, then
/// number, six arguments and the data, or the result and whether it is an error.
struct Info([u64; WORDS]);

const WORDS: usize = 11;
const SIZE: u64 = 8 * WORDS as u64;

impl Info {
    /// `PTRACE_GET_SYSCALL_INFO`.
    fn of(pid: i32) -> Self {
        let mut words = [0; WORDS];
        let _ = tracee::ptrace(0x420e, pid, SIZE, words.as_mut_ptr() as u64);
        Self(words)
    }

    /// `PTRACE_SET_SYSCALL_INFO`.
    fn to(&self, pid: i32, size: u64) -> i64 {
        tracee::ptrace(0x4212, pid, size, self.0.as_ptr() as u64)
    }

    fn with(mut self, word: usize, value: u64) -> Self {
        self.0[word] = value;
        self
    }

    /// 1 at a call's entry, 2 at its exit, 3 at seccomp's stop.
    fn operation(&self) -> i64 {
        (self.0[0] & 0xff) as i64
    }
}

const NUMBER: usize = 3;
const FIRST: usize = 4;

/// Shared with the probe of the request.
pub(crate) fn observe_info(stage: &Stage) {
    let pid = tracee::start(stage, TRACE_SECCOMP | SYSGOOD, move |_| {
        attach(on("getppid", Action::Trace(4660)));
        let _ = sys::number(libc::SYS_getppid, [11, 22, 33, 44, 55, 66]);
    });
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    let at = Info::of(pid);
    stage.fact("operation", at.operation());
    stage.fact("arch is native", (at.0[0] >> 32 == u64::from(Abi::X86_64.audit_arch())).into());
    stage.fact("number", at.0[NUMBER] as i64);
    stage.fact("first argument", at.0[FIRST] as i64);
    stage.fact("sixth argument", at.0[FIRST + 5] as i64);
    stage.fact("data", at.0[FIRST + 6] as i64 & 0xffff_ffff);
    let _ = tracee::resume(pid, libc::PTRACE_SYSCALL);
    let at = Info::of(pid);
    stage.fact("the call's exit is operation 2", at.operation());
    stage.fact("its result is an error", at.0[FIRST] as i64 & 0xff);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}

/// Shared with the probe of the request.
pub(crate) fn observe_set(stage: &Stage) {
    let mask = waiting::shared_number();
    let pid = tracee::start(stage, TRACE_SECCOMP, |_| {
        attach(on("getppid", Action::Trace(1)));
        let _ = call(GETPPID);
        mask.store(sys::number(libc::SYS_umask, [0; 6]), SeqCst);
    });
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    stage.fact("set", Info::of(pid).with(NUMBER, UMASK).with(FIRST, 0o77).to(pid, SIZE));
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    stage.fact("mask that was set", mask.load(SeqCst));
}

/// The tracer puts a call in place of a traced one, behind a filter that answers getppid.
fn rewritten(stage: &Stage, nr: u64) {
    let filters = vec![on("getppid", Action::Errno(9)), on("gettid", Action::Trace(1))];
    let pid = calling(stage, TRACE_SECCOMP, filters, GETTID);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    stage.fact("set", Info::of(pid).with(NUMBER, nr).to(pid, SIZE));
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}

fn observe_entry(stage: &Stage) {
    let pid = calling(stage, SYSGOOD, vec![on("getppid", Action::Errno(9))], GETTID);
    to_call(pid, GETTID);
    stage.fact("set", Info::of(pid).with(NUMBER, GETPPID).to(pid, SIZE));
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}

fn observe_result(stage: &Stage) {
    let pid = calling(stage, SYSGOOD, vec![on("getppid", Action::Errno(9))], GETPPID);
    to_call(pid, GETPPID);
    let _ = tracee::resume(pid, libc::PTRACE_SYSCALL);
    // The result, and that it is no error.
    stage.fact("set", Info::of(pid).with(NUMBER, 4711).with(FIRST, 0).to(pid, SIZE));
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}

fn observe_refused(stage: &Stage) {
    let pid = calling(stage, TRACE_SECCOMP, vec![on("gettid", Action::Trace(1))], GETTID);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    let first = Info::of(pid).0[0];
    stage.fact("a smaller size", Info::of(pid).to(pid, SIZE - 1));
    stage.fact("flags", Info::of(pid).with(0, first | 1 << 16).to(pid, SIZE));
    stage.fact("operation of an entry", Info::of(pid).with(0, first & !0xff | 1).to(pid, SIZE));
    for (name, nr) in
        [("number of 33 bits", 1 << 32 | GETPPID), ("number of 32 bits with the highest", 0xffff_ffff)]
    {
        stage.fact(name, Info::of(pid).with(NUMBER, nr).to(pid, SIZE));
    }
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}
