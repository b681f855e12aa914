//! Tracers as jailers: who may be one, what becomes of tracees without one, and whose children they have.

use super::stops::{SYSGOOD, to_call};
use super::tracer::{GETPPID, GETTID, call, change, on, orphaned};
use crate::attached::attach;
use crate::case::{is, staged};
use crate::tracee::{self, TRACE_SECCOMP};
use crate::{Case, waiting};
use atlas_edge::{Stage, sys};
use atlas_model::Action;
use atlas_model::traits::{Feature, Traits};
use std::sync::atomic::Ordering::SeqCst;

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const ENOSYS: i64 = -38;
const EVENT_SECCOMP: i64 = 7;
const TRACE_FORK: u64 = libc::PTRACE_O_TRACEFORK as u64;
const EXIT_KILL: u64 = libc::PTRACE_O_EXITKILL as u64;

pub(crate) const CASES: &[Case] = &[
    staged(
        "ptrace::traced_by_the_confined",
        "RET_TRACE asks any tracer: whoever may use ptrace behind a filter lets its own children do what the filter traces.",
        NEEDS,
        observe_confined,
        |_: &Traits| vec![is("alone", ENOSYS), is("with a tracer behind the same filter it ran", 1)],
    ),
    staged(
        "ptrace::filtered_tracer_and_its_tracee",
        "A filter is its task's alone: a tracer has its unfiltered tracee make the call that it may not make itself.",
        &[Feature::ModeFilter, Feature::PtraceSyscallInfo],
        observe_borrowed,
        |_: &Traits| vec![is("its own call", -7), is("its tracee's call ran", 1)],
    ),
    staged(
        "ptrace::tracer_dies_and_kills",
        "With PTRACE_O_EXITKILL a tracer that dies takes its tracee along, and a call that it was asked about is not made.",
        // The option is of the release that has this line.
        &[Feature::ModeFilter, Feature::StatusSeccomp],
        observe_exit_kill,
        |_: &Traits| vec![is("end of the tracee", 1009), is("its call ran", 0)],
    ),
    staged(
        "ptrace::children_of_a_tracee",
        "A child has no tracer unless it is asked for, and none if it is made by CLONE_UNTRACED: what is traced is then ENOSYS.",
        NEEDS,
        |stage| {
            child(stage, "child", 0, 0);
            child(stage, "child under PTRACE_O_TRACEFORK", TRACE_FORK, 0);
            child(stage, "child by CLONE_UNTRACED", TRACE_FORK, libc::CLONE_UNTRACED as u64);
        },
        |_: &Traits| {
            vec![
                is("child", ENOSYS),
                is("child under PTRACE_O_TRACEFORK", 1),
                is("child by CLONE_UNTRACED", ENOSYS),
            ]
        },
    ),
];

fn observe_confined(stage: &Stage) {
    attach(on("getppid", Action::Trace(1)));
    let me = i64::from(std::process::id());
    let _ = stage.child(|stage| stage.fact("alone", call(GETPPID)));
    let pid = tracee::start(stage, TRACE_SECCOMP, |stage| {
        stage.fact("with a tracer behind the same filter it ran", (call(GETPPID) == me).into());
    });
    while libc::WIFSTOPPED(tracee::resume(pid, libc::PTRACE_CONT) as i32) {}
}

/// The tracee is stopped in kill(2); its next call is gettid, in whose place the tracer puts getppid.
fn observe_borrowed(stage: &Stage) {
    let pid = tracee::start(stage, SYSGOOD, |_| {
        loop {
            let _ = call(GETTID);
        }
    });
    attach(on("getppid", Action::Errno(7)));
    stage.fact("its own call", call(GETPPID));
    to_call(pid, GETTID);
    change(pid, |regs| regs.orig_rax = GETPPID);
    let _ = tracee::resume(pid, libc::PTRACE_SYSCALL);
    let got = tracee::registers(pid).rax;
    stage.fact("its tracee's call ran", (got == u64::from(std::process::id())).into());
    sys::kill(pid, libc::SIGKILL);
}

fn observe_exit_kill(stage: &Stage) {
    let (end, ran) = orphaned(stage, TRACE_SECCOMP | EXIT_KILL);
    stage.fact("end of the tracee", end);
    stage.fact("its call ran", ran.into());
}

/// What a traced call comes to in a tracee's child: 1 where it ran, after a stop of its own.
fn child(stage: &Stage, name: &str, options: u64, flags: u64) {
    let got = waiting::shared_number();
    let tracee = tracee::start(stage, TRACE_SECCOMP | options, |_| {
        attach(on("getppid", Action::Trace(1)));
        let me = i64::from(std::process::id());
        let pid = sys::fork_with(flags | libc::SIGCHLD as u64, 0);
        if pid == 0 {
            let value = call(GETPPID);
            got.store(if value == me { 1 } else { value }, SeqCst);
            sys::exit(0)
        }
        let _ = sys::wait_for(pid as i32, libc::__WALL);
    });
    let _ = tracee::ptrace(libc::PTRACE_CONT, tracee, 0, 0);
    let mut asked = 0;
    // Until the tracee has ended, which waits for its child.
    waiting::until(|| match sys::news() {
        Some((pid, status)) if libc::WIFSTOPPED(status) => {
            asked += i64::from(i64::from(status >> 16) == EVENT_SECCOMP);
            let _ = tracee::ptrace(libc::PTRACE_CONT, pid, 0, 0);
            false
        }
        Some((pid, _)) => pid == tracee,
        None => false,
    });
    let got = got.load(SeqCst);
    if asked != i64::from(got == 1) {
        stage.fact("stops for the call", asked);
    }
    stage.fact(name, got);
}
