//! Tracers: what they may change at a stop, and in which order the stops come.

use crate::attached::attach;
use crate::case::{is, staged};
use crate::tracee::{self, Regs, TRACE_SECCOMP};
use crate::{Case, Script, waiting};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Quirk, Traits};
use atlas_model::{Abi, Action, Filter};
use std::sync::atomic::Ordering::SeqCst;

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const NATIVE: Abi = Abi::X86_64;
pub(super) const GETPPID: u64 = 110;
pub(super) const GETTID: u64 = 186;
const SKIP: u64 = u64::MAX;
const ENOSYS: i64 = -38;
pub(crate) const CASES: &[Case] = &[
    staged(
        "ptrace::memory_changed",
        "A tracer that RET_TRACE has called may write into the tracee's memory.",
        NEEDS,
        observe_poke,
        |_: &Traits| vec![is("event", 7), is("word in the tracee", 0x1001)],
    ),
    staged(
        "ptrace::other_calls_do_not_stop",
        "Calls that the filter allows cause no stop.",
        NEEDS,
        observe_no_stop,
        |_: &Traits| vec![is("call returned its thread id", 1), is("end", 0)],
    ),
    staged(
        "ptrace::arguments_changed",
        "A tracer may change a call's arguments.",
        NEEDS,
        observe_arguments,
        |_: &Traits| vec![is("mask that was set", 0o77)],
    ),
    staged(
        "ptrace::skipped_with_errno",
        "A tracer that skips the call may leave an errno.",
        NEEDS,
        |stage| seccomp_stop(stage, |regs| (regs.orig_rax, regs.rax) = (SKIP, -1_i64 as u64)),
        |_: &Traits| vec![is("call returned", -1)],
    ),
    staged(
        "ptrace::skipped_with_nothing",
        "Skipped and nothing more: the call returns ENOSYS, which stood there before.",
        NEEDS,
        |stage| seccomp_stop(stage, |regs| regs.orig_rax = SKIP),
        |_: &Traits| vec![is("call returned", ENOSYS)],
    ),
    staged(
        "ptrace::number_beyond_the_table",
        "A number that no call has, put in by a tracer, is ENOSYS.",
        NEEDS,
        |stage| seccomp_stop(stage, |regs| regs.orig_rax = 0x1234),
        |_: &Traits| vec![is("call returned", ENOSYS)],
    ),
    staged(
        "ptrace::rewritten_to_a_traced_call",
        "The second judgement does not stop again: a rewritten call that is traced runs.",
        &[Feature::ModeFilter],
        observe_traced_again,
        |_: &Traits| vec![is("event", 7), is("call returned its thread id", 1), is("next stop or end", 0)],
    ),
    staged(
        "ptrace::rewritten_to_a_killed_call",
        "A rewritten call that is killed ends the tracee; before 4.8 it ran.",
        NEEDS,
        |stage| rewritten(stage, Action::KillThread),
        |traits: &Traits| {
            if traits.shows(Quirk::TraceNoRecheck) {
                vec![is("call returned", 1), is("end", 0)]
            } else {
                vec![is("end", 1031)]
            }
        },
    ),
    staged(
        "ptrace::kill_over_trace",
        "A call that one filter kills and a newer one traces is killed before the tracer sees it.",
        NEEDS,
        |stage| {
            let filters = vec![on("getppid", Action::KillThread), on("getppid", Action::Trace(1))];
            let pid = calling(stage, TRACE_SECCOMP, filters, GETPPID);
            stage.fact("end without a stop", end(pid));
        },
        |_: &Traits| vec![is("end without a stop", 1031)],
    ),
    staged(
        "ptrace::negative_numbers_behind_a_trace",
        "Numbers -1 and -101 that a filter traces stop, and are ENOSYS when the tracer lets them go.",
        NEEDS,
        observe_negative_traced,
        |_: &Traits| vec![is("-1", ENOSYS), is("-101", ENOSYS), is("stops", 2)],
    ),
    staged(
        "ptrace::restart_syscall_is_traced",
        "A tracer is told of restart_syscall by its own number when a stopped sleep goes on.",
        NEEDS,
        observe_restart,
        |_: &Traits| vec![is("number", 219), is("the sleep returned", -9)],
    ),
    staged(
        "ptrace::option_is_needed",
        "A tracer that did not ask for the event is none: ENOSYS.",
        NEEDS,
        observe_no_option,
        |_: &Traits| vec![is("call returned", ENOSYS)],
    ),
    staged(
        "ptrace::tracer_dies",
        "A tracer that dies at the stop lets the call run, unless it has asked for its tracee's death.",
        NEEDS,
        observe_tracer_dies,
        |_: &Traits| vec![is("call ran", 1)],
    ),
    staged(
        "ptrace::killed_at_the_stop",
        "A tracee killed at the stop does not make the call any more.",
        NEEDS,
        observe_killed,
        |_: &Traits| vec![is("end", 1009), is("bytes written", 0)],
    ),
];

/// Reports what a call returned, in words where the number differs from run to run.
fn report(stage: &Stage, parent: u32, got: i64) {
    if got == i64::from(parent) {
        stage.fact("call returned its parent", 1);
    } else if got == i64::from(std::process::id()) {
        stage.fact("call returned its thread id", 1);
    } else {
        stage.fact("call returned", got);
    }
}

pub(super) fn call(nr: u64) -> i64 {
    sys::number(nr as i64, [0; 6])
}

/// A tracee that attaches filters, oldest first, and makes one call.
pub(super) fn calling(stage: &Stage, options: u64, filters: Vec<Filter>, nr: u64) -> i32 {
    let parent = std::process::id();
    tracee::start(stage, options, move |stage| {
        let _ = sys::no_new_privs();
        for filter in filters {
            attach(filter);
        }
        report(stage, parent, call(nr));
    })
}

pub(super) fn on(name: &str, action: Action) -> Filter {
    Filter(Script::on(NATIVE, name, action))
}

/// Changes a stopped tracee's registers.
pub(super) fn change(pid: i32, with: impl FnOnce(&mut Regs)) {
    let mut regs = tracee::registers(pid);
    with(&mut regs);
    tracee::set_registers(pid, &regs);
}

/// The end of a tracee that is resumed.
pub(super) fn end(pid: i32) -> i64 {
    end_code(sys::end_of(tracee::resume(pid, libc::PTRACE_CONT) as i32))
}

fn seccomp_stop(stage: &Stage, with: fn(&mut Regs)) {
    let pid = calling(stage, TRACE_SECCOMP, vec![on("getppid", Action::Trace(1))], GETPPID);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    change(pid, with);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}

fn observe_poke(stage: &Stage) {
    let word = waiting::shared_number();
    let filter = on("getppid", Action::Trace(1));
    let pid = tracee::start(stage, TRACE_SECCOMP, move |_| {
        attach(filter);
        let _ = call(GETPPID);
    });
    stage.fact("event", tracee::resume(pid, libc::PTRACE_CONT) >> 16);
    let _ = tracee::ptrace(libc::PTRACE_POKEDATA, pid, word.as_ptr() as u64, 0x1001);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    stage.fact("word in the tracee", word.load(SeqCst));
}

fn observe_no_stop(stage: &Stage) {
    let pid = calling(stage, TRACE_SECCOMP, vec![on("getppid", Action::Trace(1))], GETTID);
    stage.fact("end", end(pid));
}

fn observe_arguments(stage: &Stage) {
    let pid = tracee::start(stage, TRACE_SECCOMP, |stage| {
        let mask = |mask| sys::number(libc::SYS_umask, [mask, 0, 0, 0, 0, 0]);
        let filter = Script::on(NATIVE, "umask", Action::Trace(1));
        attach(filter);
        mask(0o22);
        stage.fact("mask that was set", mask(0));
    });
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    change(pid, |regs| regs.rdi = 0o77);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}

fn observe_traced_again(stage: &Stage) {
    let filters = vec![on("gettid", Action::Trace(2)), on("getppid", Action::Trace(1))];
    let pid = calling(stage, TRACE_SECCOMP, filters, GETPPID);
    stage.fact("event", tracee::resume(pid, libc::PTRACE_CONT) >> 16);
    change(pid, |regs| regs.orig_rax = GETTID);
    stage.fact("next stop or end", tracee::resume(pid, libc::PTRACE_CONT));
}

/// The tracer puts getppid, which an older filter answers, in place of a traced call.
fn rewritten(stage: &Stage, action: Action) {
    let filters = vec![on("getppid", action), on("gettid", Action::Trace(1))];
    let pid = calling(stage, TRACE_SECCOMP, filters, GETTID);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    change(pid, |regs| regs.orig_rax = GETPPID);
    stage.fact("end", end(pid));
}

fn observe_no_option(stage: &Stage) {
    let pid = calling(stage, 0, vec![on("getppid", Action::Trace(1))], GETPPID);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}

fn observe_tracer_dies(stage: &Stage) {
    stage.fact("call ran", orphaned(stage, TRACE_SECCOMP).1.into());
}

/// The end of a tracee whose tracer, with these options, dies when it is asked about a call; and whether the call ran.
pub(super) fn orphaned(stage: &Stage, options: u64) -> (i64, bool) {
    let [traced, got] = [waiting::shared_number(), waiting::shared_number()];
    let filter = on("getppid", Action::Trace(1));
    // Tracee and tracer are siblings: the tracee's parent outlives its tracer.
    let tracee = stage.start(|_| {
        waiting::until(|| traced.load(SeqCst) == 1);
        attach(filter);
        got.store(call(GETPPID), SeqCst);
    });
    let tracer = stage.start(|_| {
        let _ = tracee::ptrace(libc::PTRACE_SEIZE, tracee, 0, options);
        traced.store(1, SeqCst);
        let _ = sys::wait_for(tracee, libc::__WALL);
    });
    let _ = sys::wait_for(tracer, libc::__WALL);
    let status = sys::wait_for(tracee, libc::__WALL);
    (end_code(sys::end_of(status as i32)), got.load(SeqCst) == i64::from(std::process::id()))
}

fn observe_killed(stage: &Stage) {
    let [reader, writer] = sys::pipe();
    let filter = on("write", Action::Trace(1));
    let pid = tracee::start(stage, TRACE_SECCOMP, move |_| {
        attach(filter);
        let byte = [b'!'];
        // SAFETY: one byte, which lives until the call returns.
        let _ = unsafe { sys::raw(libc::SYS_write, [writer as u64, byte.as_ptr() as u64, 1, 0, 0, 0]) };
    });
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    sys::kill(pid, libc::SIGKILL);
    let status = sys::wait_for(pid, libc::__WALL);
    stage.fact("end", end_code(sys::end_of(status as i32)));
    sys::close(writer);
    let mut byte = [0_u8];
    // SAFETY: room for one byte, which lives until the call returns.
    let read = unsafe { sys::raw(libc::SYS_read, [reader as u64, byte.as_mut_ptr() as u64, 1, 0, 0, 0]) };
    stage.fact("bytes written", read);
}

fn observe_negative_traced(stage: &Stage) {
    use atlas_model::bpf;
    // Every number from the highest bit on.
    let negative = bpf::jge(1 << 31, 0, 1);
    let filter = vec![bpf::ld(0), negative, bpf::ret(Action::Trace(1)), bpf::ret(Action::Allow)];
    let pid = tracee::start(stage, TRACE_SECCOMP, move |stage| {
        attach(filter);
        stage.fact("-1", sys::number(-1, [0; 6]));
        stage.fact("-101", sys::number(-101, [0; 6]));
    });
    let mut stops = 0;
    while tracee::resume(pid, libc::PTRACE_CONT) >> 16 == 7 {
        stops += 1;
    }
    stage.fact("stops", stops);
}

fn observe_restart(stage: &Stage) {
    let filter = on("restart_syscall", Action::Trace(1));
    let pid = stage.start(|stage| {
        attach(filter);
        let span = [1000_u64, 0];
        // SAFETY: the span lives until the call returns, and the rest is not asked for.
        let slept = unsafe { sys::raw(libc::SYS_nanosleep, [span.as_ptr() as u64, 0, 0, 0, 0, 0]) };
        stage.fact("the sleep returned", slept);
    });
    waiting::until_blocked(pid);
    let _ = tracee::ptrace(libc::PTRACE_SEIZE, pid, 0, TRACE_SECCOMP);
    let _ = tracee::ptrace(libc::PTRACE_INTERRUPT, pid, 0, 0);
    let _ = sys::wait_for(pid, libc::__WALL);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    stage.fact("number", tracee::registers(pid).orig_rax as i64);
    change(pid, |regs| (regs.orig_rax, regs.rax) = (SKIP, -9_i64 as u64));
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}
