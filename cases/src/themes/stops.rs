//! Tracers: stops at a call's entry and exit, and seccomp between them.

use super::tracer::{GETPPID, calling, change, end, on};
use crate::Case;
use crate::attached::attach;
use crate::case::{is, staged};
use crate::tracee::{self, Regs, TRACE_SECCOMP};
use atlas_edge::{Stage, sys};
use atlas_model::Action;
use atlas_model::traits::{Feature, Quirk, Traits};

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const GETTID: u64 = 186;
const SKIP: u64 = u64::MAX;
const ENOSYS: i64 = -38;
const TRAP: i64 = libc::SIGTRAP as i64;
/// `PTRACE_O_TRACESYSGOOD`: a stop at a call is SIGTRAP with this bit.
pub(super) const SYSGOOD: u64 = 1;
const SYSCALL_STOP: i64 = TRAP | 0x80;

pub(crate) const CASES: &[Case] = &[
    staged(
        "ptrace::order_of_stops",
        "The stop at a call's entry comes first, then seccomp's, then the stop at its exit; before 4.8 seccomp's came first.",
        NEEDS,
        observe_order,
        |traits: &Traits| {
            let event = TRAP | 7 << 8;
            let [one, two] = if traits.shows(Quirk::TraceNoRecheck) {
                [event, SYSCALL_STOP]
            } else {
                [SYSCALL_STOP, event]
            };
            vec![is("first stop", one), is("second stop", two), is("third stop", SYSCALL_STOP)]
        },
    ),
    staged(
        "ptrace::stops_of_an_errno",
        "A call that a filter answers has both stops: its own number at the entry, the errno at the exit.",
        // Before 4.8 the filter came first and left the tracer -1, or nothing, to see.
        &[Feature::PtraceSyscallInfo],
        observe_errno_stops,
        |_: &Traits| {
            vec![
                is("number at the entry", 110),
                is("result at the entry", ENOSYS),
                is("number at the exit", 110),
                is("result at the exit", -7),
                is("call returned", -7),
            ]
        },
    ),
    staged(
        "ptrace::result_changed_at_exit",
        "What a filter answered a tracer may still change at the call's exit.",
        &[Feature::PtraceSyscallInfo],
        observe_exit_changed,
        |_: &Traits| vec![is("call returned", 4711)],
    ),
    staged(
        "ptrace::entry_allowed",
        "A call stopped at its entry and left alone runs.",
        NEEDS,
        |stage| entry_stop(stage, Action::Errno(7), GETTID, |_| {}),
        |_: &Traits| vec![is("call returned its thread id", 1), is("end", 0)],
    ),
    staged(
        "ptrace::entry_redirected",
        "A number put in at the entry is the one that filters judge; before 4.8 they had judged before.",
        NEEDS,
        |stage| entry_stop(stage, Action::Errno(7), GETTID, |regs| regs.orig_rax = GETPPID),
        |traits: &Traits| {
            let judged = !traits.shows(Quirk::TraceNoRecheck);
            vec![
                if judged { is("call returned", -7) } else { is("call returned its parent", 1) },
                is("end", 0),
            ]
        },
    ),
    staged(
        "ptrace::entry_redirected_to_allowed",
        "So a tracer may also save a call from its filter.",
        &[Feature::PtraceSyscallInfo],
        |stage| entry_stop(stage, Action::Errno(7), GETPPID, |regs| regs.orig_rax = GETTID),
        |_: &Traits| vec![is("call returned its thread id", 1), is("end", 0)],
    ),
    staged(
        "ptrace::entry_skipped",
        "A call skipped at its entry is not judged at all, and the tracer's result comes back.",
        &[Feature::PtraceSyscallInfo],
        |stage| {
            entry_stop(stage, Action::KillThread, GETPPID, |regs| {
                (regs.orig_rax, regs.rax) = (SKIP, 4711);
            });
        },
        |_: &Traits| vec![is("call returned", 4711), is("end", 0)],
    ),
    staged(
        "ptrace::entry_skipped_with_errno",
        "The tracer's result may be an errno.",
        &[Feature::PtraceSyscallInfo],
        |stage| {
            entry_stop(stage, Action::KillThread, GETPPID, |regs| {
                (regs.orig_rax, regs.rax) = (SKIP, -3_i64 as u64);
            });
        },
        |_: &Traits| vec![is("call returned", -3), is("end", 0)],
    ),
    staged(
        "ptrace::entry_redirected_to_killed",
        "A number put in at the entry may be one that is killed; before 4.8 it ran.",
        NEEDS,
        |stage| entry_stop(stage, Action::KillThread, GETTID, |regs| regs.orig_rax = GETPPID),
        |traits: &Traits| {
            if traits.shows(Quirk::TraceNoRecheck) {
                vec![is("call returned its parent", 1), is("end", 0)]
            } else {
                vec![is("end", 1031)]
            }
        },
    ),
    staged(
        "ptrace::entry_of_a_killed_call",
        "A call that is killed stops at its entry before it is.",
        &[Feature::PtraceSyscallInfo],
        |stage| entry_stop(stage, Action::KillThread, GETPPID, |_| {}),
        |_: &Traits| vec![is("end", 1031)],
    ),
    staged(
        "ptrace::negative_numbers",
        "Numbers -1 and -101 are ENOSYS, also for a tracee that stops at every call.",
        &[Feature::PtraceSyscallInfo],
        observe_negative,
        |_: &Traits| {
            vec![
                is("-1", ENOSYS),
                is("-101", ENOSYS),
                is("-1 behind a filter that allows", ENOSYS),
                is("-101 behind it", ENOSYS),
            ]
        },
    ),
];

/// The tracee makes a call, is stopped at its entry, changed there, and goes on. The filter answers
/// getppid.
fn entry_stop(stage: &Stage, action: Action, nr: u64, with: fn(&mut Regs)) {
    let pid = calling(stage, SYSGOOD, vec![on("getppid", action)], nr);
    to_call(pid, nr);
    change(pid, with);
    stage.fact("end", end(pid));
}

/// Resumes a tracee until the entry of a call.
pub(super) fn to_call(pid: i32, nr: u64) {
    for _ in 0..64 {
        let stop = tracee::resume(pid, libc::PTRACE_SYSCALL);
        if stop >> 8 == SYSCALL_STOP && tracee::registers(pid).orig_rax == nr {
            return;
        }
    }
}

fn observe_order(stage: &Stage) {
    let pid = calling(stage, SYSGOOD | TRACE_SECCOMP, vec![on("getppid", Action::Trace(1))], GETPPID);
    let mut stop = 0;
    for _ in 0..64 {
        stop = tracee::resume(pid, libc::PTRACE_SYSCALL);
        if tracee::registers(pid).orig_rax == GETPPID {
            break;
        }
    }
    stage.fact("first stop", stop >> 8);
    stage.fact("second stop", tracee::resume(pid, libc::PTRACE_SYSCALL) >> 8);
    stage.fact("third stop", tracee::resume(pid, libc::PTRACE_SYSCALL) >> 8);
    sys::kill(pid, libc::SIGKILL);
}

fn observe_errno_stops(stage: &Stage) {
    let pid = calling(stage, SYSGOOD, vec![on("getppid", Action::Errno(7))], GETPPID);
    to_call(pid, GETPPID);
    for (number, result) in
        [("number at the entry", "result at the entry"), ("number at the exit", "result at the exit")]
    {
        let regs = tracee::registers(pid);
        stage.fact(number, regs.orig_rax as i64);
        stage.fact(result, regs.rax as i64);
        if result.ends_with("entry") {
            let _ = tracee::resume(pid, libc::PTRACE_SYSCALL);
        }
    }
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}

fn observe_exit_changed(stage: &Stage) {
    let pid = calling(stage, SYSGOOD, vec![on("getppid", Action::Errno(7))], GETPPID);
    to_call(pid, GETPPID);
    let _ = tracee::resume(pid, libc::PTRACE_SYSCALL);
    change(pid, |regs| regs.rax = 4711);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}

fn observe_negative(stage: &Stage) {
    let pid = tracee::start(stage, SYSGOOD, |stage| {
        stage.fact("-1", sys::number(-1, [0; 6]));
        stage.fact("-101", sys::number(-101, [0; 6]));
        attach(vec![atlas_model::bpf::ret(Action::Allow)]);
        stage.fact("-1 behind a filter that allows", sys::number(-1, [0; 6]));
        stage.fact("-101 behind it", sys::number(-101, [0; 6]));
    });
    while libc::WIFSTOPPED(tracee::resume(pid, libc::PTRACE_SYSCALL) as i32) {}
}
