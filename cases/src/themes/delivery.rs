//! Tracers: SIGSYS on its way to a tracee, and what a tracer sees of a kill.

use super::stops::SYSGOOD;
use super::tracer::{GETPPID, call, calling, change, end, on};
use crate::attached::attach;
use crate::case::{is, staged};
use crate::handed::{self, finish};
use crate::tracee::{self, TRACE_SECCOMP};
use crate::{Case, listener, waiting};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Quirk, Traits};
use atlas_model::{Abi, Action};
use std::sync::atomic::Ordering::SeqCst;

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const GETTID: u64 = 186;
const SIGSYS: i64 = libc::SIGSYS as i64;
/// `PTRACE_SYSEMU`.
const SYSEMU: u32 = 31;
const TRACE_EXIT: u64 = libc::PTRACE_O_TRACEEXIT as u64;

pub(crate) const CASES: &[Case] = &[
    staged(
        "ptrace::trap_stops_for_delivery",
        "A tracer sees SIGSYS before its tracee does, with all that a handler is told, and the number as result.",
        NEEDS,
        observe_delivery,
        |_: &Traits| {
            vec![
                is("stop", SIGSYS),
                is("si_signo", SIGSYS),
                is("si_errno", 42),
                is("si_code", 1),
                is("si_call_addr is where it goes on", 1),
                is("si_syscall", 110),
                is("si_arch is native", 1),
                is("result register", 110),
                is("call returned", 110),
                is("end", 0),
            ]
        },
    ),
    staged(
        "ptrace::trap_kept_from_the_tracee",
        "A tracer that keeps SIGSYS to itself saves a tracee without a handler: its call returns its number.",
        NEEDS,
        |stage| kept(stage, None),
        |_: &Traits| vec![is("call returned", 110), is("end", 0)],
    ),
    staged(
        "ptrace::trap_answered_by_the_tracer",
        "What it leaves in the result register is what the call returns: a tracer may stand in for a handler.",
        NEEDS,
        |stage| kept(stage, Some(4711)),
        |_: &Traits| vec![is("call returned", 4711), is("end", 0)],
    ),
    staged(
        "ptrace::trap_becomes_another_signal",
        "A tracer may have another signal delivered in its place.",
        NEEDS,
        observe_another,
        |_: &Traits| vec![is("handler of the other signal ran", 1), is("call returned", 110), is("end", 0)],
    ),
    staged(
        "ptrace::trap_and_what_it_resets",
        "SIGSYS blocked or ignored is unblocked and gets its default back, also where a tracer keeps it; else nothing changes.",
        NEEDS,
        observe_reset,
        |_: &Traits| {
            vec![
                is("handled: blocked", 0),
                is("handled: handler is left", 1),
                is("ignored: blocked", 0),
                is("ignored: handler is left", 0),
                is("blocked: blocked", 0),
                is("blocked: handler is left", 0),
            ]
        },
    ),
    staged(
        "ptrace::kill_does_not_stop_for_delivery",
        "A kill cannot be kept from a tracee: the only stop is that of its end, where the registers are the call's own and the mode is 3.",
        &[Feature::ModeFilter, Feature::ActionKillProcess],
        |stage| {
            killed(stage, Action::KillThread);
            killed(stage, Action::KillProcess);
        },
        |traits: &Traits| {
            let mode = if traits.shows(Quirk::KilledKeepMode) { 2 } else { 3 };
            let one = [
                is("event", 6),
                is("signal of the end", SIGSYS),
                is("result register", 110),
                is("mode", mode),
                is("end", 1031),
            ];
            [one.clone(), one].concat()
        },
    ),
    staged(
        "ptrace::rewritten_to_a_trapped_call",
        "A rewritten call that is trapped brings SIGSYS; before 4.8 it ran.",
        NEEDS,
        observe_rewritten_trap,
        |traits: &Traits| {
            if traits.shows(Quirk::TraceNoRecheck) {
                vec![is("call returned its parent", 1), is("end", 0)]
            } else {
                vec![is("stop", SIGSYS), is("number in siginfo", 110)]
            }
        },
    ),
    staged(
        "ptrace::rewritten_to_a_notified_call",
        "A rewritten call that is handed to a listener is, by its new number.",
        &[Feature::NotifReceive],
        observe_rewritten_notify,
        |_: &Traits| vec![is("event", 7), is("number received", 110), is("call returned", 4242)],
    ),
    staged(
        "ptrace::emulated_call_is_not_judged",
        "PTRACE_SYSEMU takes a call away before filters see it: nothing is killed, and the tracer's result comes back.",
        &[Feature::ModeFilter, Feature::PtraceSyscallInfo],
        observe_emulated,
        |_: &Traits| vec![is("number at the stop", 110), is("call returned", 4711), is("end", 0)],
    ),
];

/// `PTRACE_GETSIGINFO`.
fn signal_of(pid: i32) -> libc::siginfo_t {
    // SAFETY: an all-zero siginfo is valid, and the request fills it at most.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let _ = tracee::ptrace(libc::PTRACE_GETSIGINFO, pid, 0, (&raw mut info) as u64);
        info
    }
}

/// What SIGSYS tells beyond its three numbers: address, number, AUDIT_ARCH
/// (include/uapi/asm-generic/siginfo.h `_sigsys`).
fn sigsys_of(info: &libc::siginfo_t) -> (u64, i32, u32) {
    let words = core::ptr::from_ref(info).cast::<u64>();
    // SAFETY: a siginfo has sixteen words of eight bytes, aligned to them.
    let [address, rest] = unsafe { [words.add(2).read(), words.add(3).read()] };
    (address, rest as i32, (rest >> 32) as u32)
}

/// The end of a tracee that is resumed with a signal.
fn end_with(pid: i32, signal: i32) -> i64 {
    end_code(sys::end_of(tracee::resume_with(pid, libc::PTRACE_CONT, signal) as i32))
}

/// Resumes a tracee and tells what comes next: the signal that it stops for, which is given, or its end.
fn next(stage: &Stage, pid: i32) -> Option<i32> {
    let status = tracee::resume(pid, libc::PTRACE_CONT) as i32;
    let signal = libc::WIFSTOPPED(status).then(|| libc::WSTOPSIG(status));
    match signal {
        Some(signal) => stage.fact("stop", signal.into()),
        None => stage.fact("end", end_code(sys::end_of(status))),
    }
    signal
}

extern "C" fn nothing(_: i32, _: *const libc::siginfo_t, _: *const libc::ucontext_t) {}

fn observe_delivery(stage: &Stage) {
    let pid = tracee::start(stage, 0, |stage| {
        crate::sigsys::handle(nothing, 0);
        attach(on("getppid", Action::Trap(42)));
        stage.fact("call returned", call(GETPPID));
    });
    let _ = next(stage, pid);
    let (info, regs) = (signal_of(pid), tracee::registers(pid));
    let (address, number, arch) = sigsys_of(&info);
    stage.fact("si_signo", info.si_signo.into());
    stage.fact("si_errno", info.si_errno.into());
    stage.fact("si_code", info.si_code.into());
    stage.fact("si_call_addr is where it goes on", (address == regs.rip).into());
    stage.fact("si_syscall", number.into());
    stage.fact("si_arch is native", (arch == Abi::X86_64.audit_arch()).into());
    stage.fact("result register", regs.rax as i64);
    stage.fact("end", end_with(pid, libc::SIGSYS));
}

fn kept(stage: &Stage, result: Option<u64>) {
    let pid = calling(stage, 0, vec![on("getppid", Action::Trap(1))], GETPPID);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    if let Some(result) = result {
        change(pid, |regs| regs.rax = result);
    }
    stage.fact("end", end(pid));
}

fn observe_another(stage: &Stage) {
    let pid = tracee::start(stage, 0, |stage| {
        waiting::count_signals(libc::SIGUSR1, 0);
        attach(on("getppid", Action::Trap(1)));
        let got = call(GETPPID);
        stage.fact("handler of the other signal ran", waiting::signals());
        stage.fact("call returned", got);
    });
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    stage.fact("end", end_with(pid, libc::SIGUSR1));
}

/// Whether SIGSYS is blocked, and whether it has a handler.
fn state_of_sigsys() -> [bool; 2] {
    // SAFETY: both structures are valid when zero, and the calls only fill them.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut set);
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGSYS, std::ptr::null(), &raw mut action);
        let handled = ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction);
        [libc::sigismember(&raw const set, libc::SIGSYS) == 1, handled]
    }
}

fn block_sigsys() {
    // SAFETY: the set is made by the calls that make sets, and lives until the last returns.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGSYS);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}

fn ignore_sigsys() {
    // SAFETY: ignoring a signal runs nothing.
    unsafe {
        libc::signal(libc::SIGSYS, libc::SIG_IGN);
    }
}

fn observe_reset(stage: &Stage) {
    let one = |names: [&str; 2], before: fn()| {
        let pid = tracee::start(stage, 0, |stage| {
            crate::sigsys::handle(nothing, 0);
            before();
            attach(on("getppid", Action::Trap(1)));
            let _ = call(GETPPID);
            for (name, is) in names.into_iter().zip(state_of_sigsys()) {
                stage.fact(name, is.into());
            }
        });
        let _ = tracee::resume(pid, libc::PTRACE_CONT);
        let _ = end(pid);
    };
    one(["handled: blocked", "handled: handler is left"], || {});
    one(["ignored: blocked", "ignored: handler is left"], ignore_sigsys);
    one(["blocked: blocked", "blocked: handler is left"], block_sigsys);
}

/// The end of a tracee whose tracer asks to be told of it, and keeps every signal from it.
fn killed(stage: &Stage, action: Action) {
    let pid = tracee::start(stage, TRACE_EXIT, move |_| {
        crate::sigsys::handle(nothing, 0);
        attach(on("getppid", action));
        let _ = call(GETPPID);
    });
    stage.fact("event", tracee::resume(pid, libc::PTRACE_CONT) >> 16);
    stage.fact("signal of the end", tracee::message(pid) & 0x7f);
    stage.fact("result register", tracee::registers(pid).rax as i64);
    stage.fact("mode", super::proc::status(&format!("/proc/{pid}/status"), "Seccomp"));
    stage.fact("end", end(pid));
}

fn observe_rewritten_trap(stage: &Stage) {
    let filters = vec![on("getppid", Action::Trap(5)), on("gettid", Action::Trace(1))];
    let pid = calling(stage, TRACE_SECCOMP, filters, GETTID);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    change(pid, |regs| regs.orig_rax = GETPPID);
    if next(stage, pid) == Some(libc::SIGSYS) {
        stage.fact("number in siginfo", sigsys_of(&signal_of(pid)).1.into());
    }
    sys::kill(pid, libc::SIGKILL);
}

fn observe_rewritten_notify(stage: &Stage) {
    let fd = handed::listener(stage);
    let got = waiting::shared_number();
    let pid = tracee::start(stage, TRACE_SECCOMP, |_| {
        sys::close(fd);
        attach(on("gettid", Action::Trace(1)));
        got.store(call(GETTID), SeqCst);
    });
    stage.fact("event", tracee::resume(pid, libc::PTRACE_CONT) >> 16);
    change(pid, |regs| regs.orig_rax = GETPPID);
    let _ = tracee::ptrace(libc::PTRACE_CONT, pid, 0, 0);
    if let Ok(seen) = listener::receive(fd) {
        stage.fact("number received", seen.nr.into());
        listener::send(fd, seen.id, 4242, 0, 0);
    }
    finish(pid);
    stage.fact("call returned", got.load(SeqCst));
}

fn observe_emulated(stage: &Stage) {
    let pid = tracee::start(stage, SYSGOOD, |stage| {
        attach(on("getppid", Action::KillProcess));
        sys::kill(std::process::id() as i32, libc::SIGSTOP);
        stage.fact("call returned", call(GETPPID));
    });
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    let _ = tracee::resume(pid, SYSEMU);
    stage.fact("number at the stop", tracee::registers(pid).orig_rax as i64);
    change(pid, |regs| regs.rax = 4711);
    stage.fact("end", end(pid));
}
