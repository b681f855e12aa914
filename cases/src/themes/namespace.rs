//! The first process of a pid namespace: signals from inside that it does not handle do nothing to it
//! (pid_namespaces(7)).

use super::tracer::{GETPPID, call, on};
use crate::Case;
use crate::attached::attach;
use crate::case::{is, staged};
use crate::tracee;
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::Action;
use atlas_model::traits::{Feature, Traits};

const NEEDS: &[Feature] = &[Feature::ActionKillProcess, Feature::PidNamespaces];
const SIGSYS: i64 = libc::SIGSYS as i64;

pub(crate) const CASES: &[Case] = &[
    staged(
        "kill::first_of_a_pid_namespace",
        "Signals that it sends itself and does not handle leave the first process of a pid namespace alone; a filter's kill or trap ends it.",
        NEEDS,
        observe_ends,
        |_: &Traits| {
            vec![
                is("SIGSYS from itself", 7),
                is("KILL_THREAD", 1000 + SIGSYS),
                is("KILL_PROCESS", 1000 + SIGSYS),
                is("TRAP", 1000 + SIGSYS),
                is("strict mode", 1009),
            ]
        },
    ),
    staged(
        "kill::first_of_a_pid_namespace_is_traced",
        "Under a tracer it stays what it is: SIGSYS of a trap, passed on by the tracer, does nothing to it.",
        // As since eb61b5911bdc, of the release before KILL_PROCESS.
        NEEDS,
        observe_traced,
        |_: &Traits| vec![is("stop", SIGSYS), is("end", 0), is("call returned", 110)],
    ),
];

/// A fork into a new pid namespace: the pid, or the errno negated.
pub(super) fn fork(body: impl FnOnce()) -> i32 {
    let flags = libc::CLONE_NEWPID as u64 | libc::SIGCHLD as u64;
    let pid = sys::fork_with(flags, 0);
    if pid == 0 {
        body();
        sys::exit(0)
    }
    pid as i32
}

/// The probe of pid namespaces.
pub(crate) fn observe_there(stage: &Stage) {
    let pid = fork(|| stage.fact("first process", std::process::id().into()));
    if pid > 0 {
        let _ = sys::wait_for(pid, libc::__WALL);
    } else {
        stage.fact("first process", pid.into());
    }
}

fn observe_ends(stage: &Stage) {
    let end = |name: &str, body: &dyn Fn()| {
        let status = sys::wait_for(fork(body), libc::__WALL);
        stage.fact(name, end_code(sys::end_of(status as i32)));
    };
    let answered = |action: Action| {
        attach(on("getppid", action));
        let _ = call(GETPPID);
    };
    end("SIGSYS from itself", &|| {
        sys::kill(1, libc::SIGSYS);
        sys::exit(7)
    });
    end("KILL_THREAD", &|| answered(Action::KillThread));
    end("KILL_PROCESS", &|| answered(Action::KillProcess));
    end("TRAP", &|| answered(Action::Trap(1)));
    end("strict mode", &|| {
        let _ = sys::prctl(libc::PR_SET_SECCOMP, [1, 0, 0, 0]);
        let _ = call(GETPPID);
    });
}

fn observe_traced(stage: &Stage) {
    let got = crate::waiting::shared_number();
    let pid = fork(|| {
        let _ = tracee::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        sys::kill(1, libc::SIGSTOP);
        attach(on("getppid", Action::Trap(1)));
        got.store(call(GETPPID), std::sync::atomic::Ordering::SeqCst);
    });
    let _ = sys::wait_for(pid, libc::__WALL);
    stage.fact("stop", tracee::resume(pid, libc::PTRACE_CONT) >> 8);
    let status = tracee::resume_with(pid, libc::PTRACE_CONT, libc::SIGSYS);
    stage.fact("end", end_code(sys::end_of(status as i32)));
    stage.fact("call returned", got.load(std::sync::atomic::Ordering::SeqCst));
}
