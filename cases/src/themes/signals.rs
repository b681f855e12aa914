//! Signals: what SIGSYS does to a process, and what signals do to filtered calls.

use crate::attached::attach;
use crate::case::{is, staged};
use crate::sigsys::handle;
use crate::{Case, Script, waiting};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::observation::End;
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action, Filter};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const NATIVE: Abi = Abi::X86_64;
const SIGSYS: i64 = 1031;
const CORE: i64 = 0x80;

pub(crate) const CASES: &[Case] = &[
    staged(
        "signals::trap_in_its_own_handler",
        "A handler with SA_NODEFER may be trapped again, and each return goes where it came from.",
        NEEDS,
        |stage| nested(stage, libc::SA_NODEFER, false),
        |_: &Traits| vec![is("deepest handler", 3), is("end", 0)],
    ),
    staged(
        "signals::handler_that_does_not_return",
        "A handler that goes on elsewhere, as longjmp does, has to unblock SIGSYS: then it is trapped again.",
        NEEDS,
        |stage| nested(stage, 0, true),
        |_: &Traits| vec![is("deepest handler", 3), is("end", 0)],
    ),
    staged(
        "signals::handler_that_leaves_it_blocked",
        "Without unblocking, the next trapped call ends the process.",
        NEEDS,
        |stage| nested(stage, 0, false),
        |_: &Traits| vec![is("deepest handler", 1), is("end", SIGSYS)],
    ),
    staged(
        "signals::handler_once",
        "A handler with SA_RESETHAND catches one trap; the second ends the process.",
        NEEDS,
        |stage| repeated(stage, libc::SA_RESETHAND),
        |_: &Traits| vec![is("handlers that ran", 1), is("end", SIGSYS)],
    ),
    staged(
        "signals::sigsys_by_kill",
        "A SIGSYS by kill(2) is told from a filter's by its code, and can be ignored.",
        NEEDS,
        observe_kill,
        |_: &Traits| vec![is("code of kill", 0), is("code of a filter", 1), is("end when ignored", 0)],
    ),
    staged(
        "signals::end_as_waitid_tells",
        "waitid(2) says killed, or dumped where a core was written, and SIGSYS.",
        NEEDS,
        observe_waitid,
        |_: &Traits| vec![is("code", libc::CLD_KILLED.into()), is("status", 31)],
    ),
    staged(
        "signals::core_of_a_killed_process",
        "KILL_PROCESS, and KILL_THREAD of the only thread, leave a core where the limit lets them.",
        &[Feature::ActionKillProcess],
        |stage| {
            core(stage, "KILL_PROCESS", Action::KillProcess, true, false);
            core(stage, "KILL_PROCESS with a limit of 0", Action::KillProcess, false, false);
            core(stage, "KILL_THREAD", Action::KillThread, true, false);
            core(stage, "TRAP without a handler", Action::Trap(1), true, false);
        },
        |_: &Traits| {
            vec![
                is("KILL_PROCESS", CORE + 31),
                is("KILL_PROCESS with a limit of 0", 31),
                is("KILL_THREAD", CORE + 31),
                is("TRAP without a handler", CORE + 31),
            ]
        },
    ),
    staged(
        "signals::no_core_of_one_thread",
        "KILL_THREAD of one of two threads leaves no core, KILL_PROCESS does.",
        &[Feature::ActionKillProcess],
        |stage| {
            core(stage, "KILL_THREAD in a thread", Action::KillThread, true, true);
            core(stage, "KILL_PROCESS in a thread", Action::KillProcess, true, true);
        },
        |_: &Traits| vec![is("KILL_THREAD in a thread", 0), is("KILL_PROCESS in a thread", CORE + 31)],
    ),
    staged(
        "signals::restart_syscall",
        "A sleep that a stop interrupts goes on by restart_syscall, a call that filters judge.",
        NEEDS,
        observe_restart_syscall,
        |_: &Traits| vec![is("the sleep returned", -7)],
    ),
    staged(
        "signals::restart_syscall_is_killed",
        "A filter that allows the sleep and not restart_syscall ends a process that is stopped and continued.",
        NEEDS,
        observe_restart_killed,
        |_: &Traits| vec![is("end", SIGSYS)],
    ),
    staged(
        "signals::restarted_call_is_itself",
        "A call that is simply made again comes back under its own number.",
        NEEDS,
        observe_restarted,
        |_: &Traits| vec![is("the read returned", 1), is("handlers that ran", 1)],
    ),
    staged(
        "signals::handler_needs_sigreturn",
        "A filter without rt_sigreturn kills at the end of any handler.",
        NEEDS,
        observe_sigreturn,
        |_: &Traits| vec![is("handlers that ran", 1), is("end", SIGSYS)],
    ),
    staged(
        "signals::pending_sigsys_and_a_trap",
        "A SIGSYS that waits blocked does not shield a trap: the process ends, and its handler does not run.",
        NEEDS,
        observe_pending,
        |_: &Traits| vec![is("handlers that ran", 0), is("end", SIGSYS)],
    ),
    staged(
        "signals::kill_with_many_threads",
        "KILL_PROCESS ends a process of 40 threads, whichever of them made the call.",
        &[Feature::ActionKillProcess],
        observe_many,
        |_: &Traits| {
            vec![is("by the leader", SIGSYS), is("by a thread", SIGSYS), is("threads that had started", 80)]
        },
    ),
];

fn on(name: &str, action: Action) -> Filter {
    Filter(Script::on(NATIVE, name, action))
}

fn getppid() -> i64 {
    sys::number(libc::SYS_getppid, [0; 6])
}

fn end_of(pid: i32) -> i64 {
    end_code(sys::end_of(sys::wait_for(pid, libc::__WALL) as i32))
}

// Handlers begun in this process, what they are to do, and where they report beyond its end.
static DEPTH: AtomicI64 = AtomicI64::new(0);
static UNBLOCK: AtomicI64 = AtomicI64::new(0);
static REPORT: AtomicI64 = AtomicI64::new(0);

fn report() -> &'static AtomicI64 {
    // SAFETY: set to the address of a shared number before any handler runs.
    unsafe { &*(REPORT.load(SeqCst) as *const AtomicI64) }
}

extern "C" fn nest(_: i32, _: *const libc::siginfo_t, _: *const libc::ucontext_t) {
    let depth = DEPTH.fetch_add(1, SeqCst) + 1;
    report().store(depth, SeqCst);
    if UNBLOCK.load(SeqCst) == 1 {
        mask(libc::SIG_UNBLOCK);
    }
    if depth < 3 {
        let _ = getppid();
    }
}

/// Blocks or unblocks SIGSYS.
fn mask(how: i32) {
    let set = 1_u64 << (libc::SIGSYS - 1);
    // SAFETY: the set lives until the call returns and has the kernel's eight bytes.
    let _ = unsafe { sys::raw(libc::SYS_rt_sigprocmask, [how as u64, (&raw const set) as u64, 0, 8, 0, 0]) };
}

fn nested(stage: &Stage, flags: i32, unblock: bool) {
    let deepest = waiting::shared_number();
    let pid = stage.start(|_| {
        REPORT.store(deepest.as_ptr() as i64, SeqCst);
        UNBLOCK.store(unblock.into(), SeqCst);
        handle(nest, flags);
        attach(on("getppid", Action::Trap(1)));
        let _ = getppid();
    });
    let end = end_of(pid);
    stage.fact("deepest handler", deepest.load(SeqCst));
    stage.fact("end", end);
}

extern "C" fn count(_: i32, _: *const libc::siginfo_t, _: *const libc::ucontext_t) {
    report().fetch_add(1, SeqCst);
}

fn repeated(stage: &Stage, flags: i32) {
    let ran = waiting::shared_number();
    let pid = stage.start(|_| {
        REPORT.store(ran.as_ptr() as i64, SeqCst);
        handle(count, flags);
        attach(on("getppid", Action::Trap(1)));
        let _ = (getppid(), getppid());
    });
    let end = end_of(pid);
    stage.fact("handlers that ran", ran.load(SeqCst));
    stage.fact("end", end);
}

extern "C" fn code(_: i32, info: *const libc::siginfo_t, _: *const libc::ucontext_t) {
    // SAFETY: the kernel hands a siginfo to a handler with SA_SIGINFO.
    report().store(unsafe { (*info).si_code }.into(), SeqCst);
}

fn observe_kill(stage: &Stage) {
    let seen = waiting::shared_number();
    let pid = stage.start(|stage| {
        REPORT.store(seen.as_ptr() as i64, SeqCst);
        handle(code, 0);
        attach(on("getppid", Action::Trap(1)));
        seen.store(99, SeqCst);
        sys::kill(std::process::id() as i32, libc::SIGSYS);
        stage.fact("code of kill", seen.load(SeqCst));
        let _ = getppid();
        stage.fact("code of a filter", seen.load(SeqCst));
        // SAFETY: ignoring runs no code of ours.
        unsafe {
            libc::signal(libc::SIGSYS, libc::SIG_IGN);
        }
        sys::kill(std::process::id() as i32, libc::SIGSYS);
    });
    stage.fact("end when ignored", end_of(pid));
}

fn observe_waitid(stage: &Stage) {
    let pid = stage.start(|_| {
        attach(on("getppid", Action::KillThread));
        let _ = getppid();
    });
    // SAFETY: zeroes are a valid siginfo, and the call fills it at most.
    let (code, status) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid as u32, &raw mut info, libc::WEXITED);
        (info.si_code, info.si_status())
    };
    stage.fact("code", code.into());
    stage.fact("status", status.into());
}

/// A process, or a thread of one, makes a call that ends it. The wait status's lower byte: the
/// signal, and 0x80 with a core.
fn core(stage: &Stage, name: &str, action: Action, limit: bool, in_thread: bool) {
    const FILE: &str = "/tmp-core";
    let pattern = "/proc/sys/kernel/core_pattern";
    let before = sys::read_file(pattern).unwrap_or_default();
    let _ = std::fs::write(pattern, FILE);
    let pid = stage.start(|_| {
        let bytes = if limit { 1 << 16 } else { 0 };
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: the limit lives until the call returns.
        unsafe {
            libc::setrlimit(libc::RLIMIT_CORE, &raw const limit);
        }
        attach(on("getppid", action));
        if in_thread {
            std::thread::spawn(getppid);
            // The thread is gone, or we are.
            waiting::until(|| std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count) == 1);
        } else {
            let _ = getppid();
        }
    });
    let end = sys::end_of(sys::wait_for(pid, libc::__WALL) as i32);
    let seen = match end {
        End::Signaled { signal, core } => i64::from(signal) + if core { CORE } else { 0 },
        other => end_code(other),
    };
    stage.fact(name, seen);
    let _ = std::fs::remove_file(FILE);
    let _ = std::fs::write(pattern, before.trim());
}

/// A process sleeps, is stopped and goes on.
fn sleeper(stage: &Stage, action: Action, got: &'static AtomicI64) -> i32 {
    let pid = stage.start(|_| {
        attach(on("restart_syscall", action));
        let span = [1000_u64, 0];
        // SAFETY: the span lives until the call returns, and the rest is not asked for.
        got.store(unsafe { sys::raw(libc::SYS_nanosleep, [span.as_ptr() as u64, 0, 0, 0, 0, 0]) }, SeqCst);
    });
    waiting::until_blocked(pid);
    waiting::stop_and_continue(pid);
    pid
}

fn observe_restart_syscall(stage: &Stage) {
    let got = waiting::shared_number();
    let _ = end_of(sleeper(stage, Action::Errno(7), got));
    stage.fact("the sleep returned", got.load(SeqCst));
}

fn observe_restart_killed(stage: &Stage) {
    let got = waiting::shared_number();
    stage.fact("end", end_of(sleeper(stage, Action::KillThread, got)));
}

fn observe_restarted(stage: &Stage) {
    let [reader, writer] = sys::pipe();
    let [got, ran] = [waiting::shared_number(), waiting::shared_number()];
    let pid = stage.start(|_| {
        waiting::count_signals(libc::SIGUSR1, libc::SA_RESTART);
        attach(on("restart_syscall", Action::KillThread));
        let mut byte = [0_u8];
        // SAFETY: room for one byte, which lives until the call returns.
        let read = unsafe { sys::raw(libc::SYS_read, [reader as u64, byte.as_mut_ptr() as u64, 1, 0, 0, 0]) };
        got.store(read, SeqCst);
        ran.store(waiting::signals(), SeqCst);
    });
    waiting::until_blocked(pid);
    sys::kill(pid, libc::SIGUSR1);
    waiting::until_blocked(pid);
    let byte = [b'!'];
    // SAFETY: one byte, which lives until the call returns.
    let _ = unsafe { sys::raw(libc::SYS_write, [writer as u64, byte.as_ptr() as u64, 1, 0, 0, 0]) };
    let _ = end_of(pid);
    stage.fact("the read returned", got.load(SeqCst));
    stage.fact("handlers that ran", ran.load(SeqCst));
}

fn observe_sigreturn(stage: &Stage) {
    let ran = waiting::shared_number();
    let pid = stage.start(|_| {
        REPORT.store(ran.as_ptr() as i64, SeqCst);
        handle(count, 0);
        attach(on("rt_sigreturn", Action::KillThread));
        sys::kill(std::process::id() as i32, libc::SIGSYS);
    });
    let end = end_of(pid);
    stage.fact("handlers that ran", ran.load(SeqCst));
    stage.fact("end", end);
}

fn observe_pending(stage: &Stage) {
    let ran = waiting::shared_number();
    let pid = stage.start(|_| {
        REPORT.store(ran.as_ptr() as i64, SeqCst);
        handle(count, 0);
        mask(libc::SIG_BLOCK);
        attach(on("getppid", Action::Trap(1)));
        sys::kill(std::process::id() as i32, libc::SIGSYS);
        let _ = getppid();
    });
    let end = end_of(pid);
    stage.fact("handlers that ran", ran.load(SeqCst));
    stage.fact("end", end);
}

fn observe_many(stage: &Stage) {
    let started = waiting::shared_number();
    let crowd = |by_leader: bool| {
        let all = started.load(SeqCst) + 40;
        let pid = stage.start(|_| {
            attach(on("getppid", Action::KillProcess));
            for at in 0..40 {
                std::thread::spawn(move || {
                    started.fetch_add(1, SeqCst);
                    if at == 39 && !by_leader {
                        waiting::until(|| started.load(SeqCst) == all);
                        let _ = getppid();
                    }
                    loop {
                        std::thread::park();
                    }
                });
            }
            waiting::until(|| started.load(SeqCst) == all);
            if by_leader {
                let _ = getppid();
            }
            loop {
                std::thread::park();
            }
        });
        end_of(pid)
    };
    stage.fact("by the leader", crowd(true));
    stage.fact("by a thread", crowd(false));
    stage.fact("threads that had started", started.load(SeqCst));
}
