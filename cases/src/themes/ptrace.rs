//! Tracers: RET_TRACE, and what ptrace(2) says of filters.

use crate::attached::attach;
use crate::case::{is, staged};
use crate::tracee::{self, Regs};
use crate::{Case, Script};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Quirk, Traits};
use atlas_model::{Abi, Action, Filter};

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const GETPPID: u64 = 110;
const GETTID: u64 = 186;

pub(crate) const CASES: &[Case] = &[
    staged(
        "ptrace::event_and_message",
        "RET_TRACE stops the tracee in PTRACE_EVENT_SECCOMP with the data as message.",
        NEEDS,
        |stage| trace(stage, |_| {}),
        |_: &Traits| {
            vec![is("event", 7), is("message", 33), is("number", 110), is("call returned its parent", 1)]
        },
    ),
    staged(
        "ptrace::result_faked",
        "A tracer that skips the call chooses its result.",
        NEEDS,
        |stage| {
            trace(stage, |regs| {
                regs.orig_rax = u64::MAX;
                regs.rax = 4711;
            });
        },
        |_: &Traits| vec![is("event", 7), is("message", 33), is("number", 110), is("call returned", 4711)],
    ),
    staged(
        "ptrace::number_changed",
        "A tracer may put another call in its place.",
        NEEDS,
        |stage| trace(stage, |regs| regs.orig_rax = GETTID),
        |_: &Traits| {
            vec![is("event", 7), is("message", 33), is("number", 110), is("call returned its thread id", 1)]
        },
    ),
    staged(
        "ptrace::rewritten_call_is_judged_again",
        "A call that a tracer rewrites is judged again since 4.8 (CVE-2019-2054).",
        NEEDS,
        observe_recheck,
        |traits: &Traits| {
            vec![is("rewritten call came back as", if traits.shows(Quirk::TraceNoRecheck) { 2 } else { -9 })]
        },
    ),
    staged(
        "ptrace::get_filter",
        "PTRACE_SECCOMP_GET_FILTER gives length and instructions, oldest filter first.",
        &[Feature::PtraceGetFilter],
        observe_get_filter,
        |_: &Traits| {
            vec![
                is("length of filter 0", 6),
                is("instructions of filter 0 are ours", 1),
                is("length of filter 1", 1),
                is("filter 2", -2),
            ]
        },
    ),
    staged(
        "ptrace::parked_call_and_tsync",
        "A call parked at ptrace's entry stop while a sibling attaches the first filter by TSYNC is judged by it (CVE-2026-89603).",
        &[Feature::Tsync],
        observe_parked,
        |traits: &Traits| {
            vec![is("parked call was filtered", (!traits.shows(Quirk::TsyncTraceBypass)).into())]
        },
    ),
];

/// Traces a child whose getppid is answered by RET_TRACE, changes its registers at the stop, and
/// reports what the call returned.
fn trace(stage: &Stage, change: fn(&mut Regs)) {
    let filter = Filter(Script::on(Abi::X86_64, "getppid", Action::Trace(33)));
    let me = std::process::id();
    let pid = tracee::start(stage, tracee::TRACE_SECCOMP, move |stage| {
        attach(filter);
        let got = sys::number(libc::SYS_getppid, [0; 6]);
        if got == i64::from(me) {
            stage.fact("call returned its parent", 1);
        } else if got == i64::from(std::process::id()) {
            stage.fact("call returned its thread id", 1);
        } else {
            stage.fact("call returned", got);
        }
    });
    let stop = tracee::resume(pid, libc::PTRACE_CONT);
    stage.fact("event", stop >> 16);
    stage.fact("message", tracee::message(pid));
    let mut regs = tracee::registers(pid);
    stage.fact("number", regs.orig_rax as i64);
    change(&mut regs);
    tracee::set_registers(pid, &regs);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}

/// The tracer puts getppid, which an older filter answers with an errno, in place of a traced call.
pub(crate) fn observe_recheck(stage: &Stage) {
    let refuse = Filter(Script::on(Abi::X86_64, "getppid", Action::Errno(9)));
    let traced = Filter(Script::on(Abi::X86_64, "gettid", Action::Trace(1)));
    let me = std::process::id();
    let pid = tracee::start(stage, tracee::TRACE_SECCOMP, move |stage| {
        attach(refuse);
        attach(traced);
        let got = sys::number(libc::SYS_gettid, [0; 6]);
        stage.fact("rewritten call came back as", if got == i64::from(me) { 2 } else { got });
    });
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    let mut regs = tracee::registers(pid);
    regs.orig_rax = GETPPID;
    tracee::set_registers(pid, &regs);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}

fn observe_get_filter(stage: &Stage) {
    let older = Filter(Script::on(Abi::X86_64, "getppid", Action::Errno(9)));
    let newer = Filter(vec![atlas_model::bpf::ret(Action::Allow)]);
    let ours = older.to_bytes();
    let pid = tracee::start(stage, 0, move |_| {
        attach(older);
        attach(newer);
        sys::kill(std::process::id() as i32, libc::SIGSTOP);
    });
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    stage.fact("length of filter 0", tracee::get_filter(pid, 0, None));
    let mut bytes = vec![0; ours.len()];
    let _ = tracee::get_filter(pid, 0, Some(&mut bytes));
    stage.fact("instructions of filter 0 are ours", (bytes == ours).into());
    stage.fact("length of filter 1", tracee::get_filter(pid, 1, None));
    stage.fact("filter 2", tracee::get_filter(pid, 2, None));
    sys::kill(pid, libc::SIGKILL);
}

/// A thread is parked at the entry of getppid; its sibling attaches the process's first filter.
pub(crate) fn observe_parked(stage: &Stage) {
    use std::sync::atomic::{AtomicI32, AtomicI64, Ordering::SeqCst};
    let shared = tracee::shared();
    // SAFETY: freshly mapped shared memory of a page, zeroed; atomics take any bits.
    let (thread, go, result) = unsafe {
        (
            &*shared.cast::<AtomicI32>(),
            &*shared.add(4).cast::<AtomicI32>(),
            &*shared.add(8).cast::<AtomicI64>(),
        )
    };
    result.store(i64::MIN, SeqCst);
    let pid = stage.start(|_| {
        let parked = std::thread::spawn(|| {
            thread.store(sys::number(libc::SYS_gettid, [0; 6]) as i32, SeqCst);
            while go.load(SeqCst) == 0 {
                std::hint::spin_loop();
            }
            result.store(sys::number(libc::SYS_getppid, [0; 6]), SeqCst);
        });
        while go.load(SeqCst) < 2 {
            std::thread::yield_now();
        }
        let _ = sys::no_new_privs();
        let filter = Filter(Script::on(Abi::X86_64, "getppid", Action::Errno(7)));
        let attached = sys::install(&filter, 1) == 0;
        go.store(if attached { 3 } else { 4 }, SeqCst);
        let _ = parked.join();
    });
    // A kernel that gives no thread must not cost the case's whole time.
    while thread.load(SeqCst) == 0 {
        if tracee::ended(pid) {
            return stage
                .fact("no thread; end", end_code(sys::end_of(sys::wait_for(pid, libc::__WALL) as i32)));
        }
        std::thread::yield_now();
    }
    let tid = thread.load(SeqCst);
    tracee::seize_and_stop(tid);
    go.store(1, SeqCst);
    // To the entry stop of getppid, through whatever stop the interruption itself caused.
    let mut number = 0;
    for _ in 0..16 {
        let _ = tracee::resume(tid, libc::PTRACE_SYSCALL);
        number = tracee::registers(tid).orig_rax;
        if number == GETPPID {
            break;
        }
    }
    if number != GETPPID {
        stage.fact("the thread could not be parked at its call; last number", number as i64);
    }
    go.store(2, SeqCst);
    while go.load(SeqCst) < 3 {
        std::thread::yield_now();
    }
    if go.load(SeqCst) != 3 {
        // Nothing can be said of what TSYNC does where it does nothing.
        sys::kill(pid, libc::SIGKILL);
        return stage.fact("attached", 0);
    }
    tracee::carry_on(tid);
    let end = sys::end_of(sys::wait_for(pid, libc::__WALL) as i32);
    if end_code(end) != 0 {
        stage.fact("end", end_code(end));
    }
    stage.fact("parked call was filtered", (result.load(SeqCst) == -7).into());
}
