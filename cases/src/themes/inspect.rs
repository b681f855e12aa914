//! Tracers: what ptrace(2) says of filters, and how it suspends them.

use crate::attached::{NOBODY, become_user};
use crate::case::{is, staged};
use crate::tracee::{self, ptrace};
use crate::{Case, Script};
use atlas_edge::{Stage, sys};
use atlas_model::experiment::layout;
use atlas_model::traits::{Feature, Quirk, Traits};
use atlas_model::{Abi, Action, Filter, bpf};

const NATIVE: Abi = Abi::X86_64;
/// `PTRACE_SECCOMP_GET_METADATA`.
const GET_METADATA: u32 = 0x420d;
/// `PTRACE_O_SUSPEND_SECCOMP`.
const SUSPEND: u64 = 1 << 21;
const EINVAL: i64 = -22;
const ENOENT: i64 = -2;
const EACCES: i64 = -13;
const EPERM: i64 = -1;

pub(crate) const CASES: &[Case] = &[
    staged(
        "ptrace::get_filter_errors",
        "GET_FILTER's errors: no filter, no such index, a bad buffer, no privilege, a filtered tracer, a tracee that runs.",
        &[Feature::PtraceGetFilter],
        observe_get_filter_errors,
        |_: &Traits| {
            vec![
                is("of an unfiltered tracee", EINVAL),
                is("past the end", ENOENT),
                is("into unmapped memory", -14),
                is("of a tracee that runs", -3),
                is("by nobody", EACCES),
                is("by a filtered tracer", EACCES),
            ]
        },
    ),
    staged(
        "ptrace::get_filter_of_the_checked_program",
        "What GET_FILTER gives is the program as it was handed over, not as the kernel converted it.",
        &[Feature::PtraceGetFilter],
        observe_original,
        |_: &Traits| vec![is("length", 4), is("instructions are ours", 1)],
    ),
    staged(
        "ptrace::get_metadata",
        "GET_METADATA says which filters were attached with FILTER_FLAG_LOG, oldest first, and nothing of other flags.",
        &[Feature::PtraceGetMetadata, Feature::FlagLog, Feature::SpecAllow],
        observe_metadata,
        |_: &Traits| {
            vec![
                is("flags of the first", 2),
                is("flags of the second", 0),
                is("flags of the third", 0),
                is("a fourth", ENOENT),
                is("a size too small", EINVAL),
                is("a size of 8 is the index alone", 8),
                is("a larger size", 16),
            ]
        },
    ),
    staged(
        "ptrace::suspended",
        "While PTRACE_O_SUSPEND_SECCOMP is set no filter is asked; once it is not, they are again.",
        &[Feature::SuspendSeccomp],
        observe_suspended,
        |_: &Traits| vec![is("option", 0), is("while suspended it ran", 1), is("and then", -7)],
    ),
    staged(
        "ptrace::suspension_ends_with_the_tracer",
        "A tracer that lets go takes the suspension with it.",
        &[Feature::SuspendSeccomp],
        observe_detached,
        |_: &Traits| vec![is("option", 0), is("after the tracer let go", -7)],
    ),
    staged(
        "ptrace::suspend_needs_privilege",
        "PTRACE_O_SUSPEND_SECCOMP wants CAP_SYS_ADMIN and a tracer that is not filtered itself: EPERM.",
        &[Feature::SuspendSeccomp],
        observe_suspend_refused,
        |_: &Traits| vec![is("by nobody", EPERM), is("by a filtered tracer", EPERM)],
    ),
    staged(
        "ptrace::suspend_by_seize",
        "PTRACE_SEIZE wants the same; before 5.18 it asked for nothing (CVE-2022-30594).",
        &[Feature::SuspendSeccomp],
        observe_suspend_by_seize,
        |traits: &Traits| {
            let seized = if traits.shows(Quirk::SuspendBySeize) { 0 } else { EPERM };
            vec![is("by nobody", seized)]
        },
    ),
];

/// A tracee with these filters, oldest first, that has stopped itself.
fn stopped(stage: &Stage, filters: Vec<(Filter, u32)>, then: impl FnOnce(&Stage)) -> i32 {
    let pid = tracee::start(stage, 0, move |stage| {
        for (filter, flags) in &filters {
            let attached =
                if *flags == 0 { sys::install_by_prctl(filter) } else { sys::install(filter, *flags) };
            if attached != 0 {
                stage.fact("the filter could not be attached", attached);
            }
        }
        sys::kill(std::process::id() as i32, libc::SIGSTOP);
        then(stage);
    });
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    pid
}

fn allow() -> Filter {
    Filter(vec![bpf::ret(Action::Allow)])
}

fn errno() -> Filter {
    Filter(Script::on(NATIVE, "getppid", Action::Errno(7)))
}

fn getppid() -> i64 {
    sys::number(libc::SYS_getppid, [0; 6])
}

fn observe_get_filter_errors(stage: &Stage) {
    let bare = stopped(stage, Vec::new(), |_| {});
    stage.fact("of an unfiltered tracee", tracee::get_filter(bare, 0, None));
    sys::kill(bare, libc::SIGKILL);
    let pid = stopped(stage, vec![(allow(), 0)], |_| {
        loop {
            let _ = sys::number(libc::SYS_pause, [0; 6]);
        }
    });
    stage.fact("past the end", tracee::get_filter(pid, 1, None));
    stage.fact("into unmapped memory", ptrace(0x420c, pid, 0, layout::UNMAPPED));
    let _ = ptrace(libc::PTRACE_CONT, pid, 0, 0);
    stage.fact("of a tracee that runs", tracee::get_filter(pid, 0, None));
    sys::kill(pid, libc::SIGKILL);
    let _ = stage.child(|stage| {
        let pid = stopped(stage, vec![(allow(), 0)], |_| {});
        become_nobody();
        stage.fact("by nobody", tracee::get_filter(pid, 0, None));
    });
    let _ = stage.child(|stage| {
        let pid = stopped(stage, vec![(allow(), 0)], |_| {});
        let _ = sys::install_by_prctl(&allow());
        stage.fact("by a filtered tracer", tracee::get_filter(pid, 0, None));
    });
}

/// Gives every privilege away, and stays one that may be traced.
fn become_nobody() {
    become_user(NOBODY);
    let _ = sys::prctl(libc::PR_SET_DUMPABLE, [1, 0, 0, 0]);
}

fn observe_original(stage: &Stage) {
    // A load of the data's length is rewritten to a constant (kernel/seccomp.c seccomp_check_filter).
    let length = atlas_model::Insn { code: 0x80, jt: 0, jf: 0, k: 0 };
    let filter = Filter(vec![length, bpf::ld(0), bpf::jeq(110, 0, 0), bpf::ret(Action::Allow)]);
    let ours = filter.to_bytes();
    let pid = stopped(stage, vec![(filter, 0)], |_| {});
    let mut bytes = vec![0; ours.len()];
    stage.fact("length", tracee::get_filter(pid, 0, Some(&mut bytes)));
    stage.fact("instructions are ours", (bytes == ours).into());
    sys::kill(pid, libc::SIGKILL);
}

fn observe_metadata(stage: &Stage) {
    let pid = stopped(stage, vec![(allow(), 2), (allow(), 0), (allow(), 4)], |_| {});
    let ask = |index: u64, size: u64| {
        // struct seccomp_metadata: the index that is asked for, then the flags that are given; the
        // kernel writes no more of it than both.
        let mut metadata = [index, 99];
        let got = ptrace(GET_METADATA, pid, size, metadata.as_mut_ptr() as u64);
        if got < 0 { (got, got) } else { (metadata[1] as i64, got) }
    };
    stage.fact("flags of the first", ask(0, 16).0);
    stage.fact("flags of the second", ask(1, 16).0);
    stage.fact("flags of the third", ask(2, 16).0);
    stage.fact("a fourth", ask(3, 16).0);
    stage.fact("a size too small", ask(0, 7).0);
    stage.fact("a size of 8 is the index alone", ask(0, 8).1);
    stage.fact("a larger size", ask(0, 64).1);
    sys::kill(pid, libc::SIGKILL);
}

fn observe_suspended(stage: &Stage) {
    let me = i64::from(std::process::id());
    let pid = stopped(stage, vec![(errno(), 0)], move |stage| {
        stage.fact("while suspended it ran", (getppid() == me).into());
        sys::kill(std::process::id() as i32, libc::SIGSTOP);
        stage.fact("and then", getppid());
    });
    stage.fact("option", ptrace(libc::PTRACE_SETOPTIONS, pid, 0, SUSPEND));
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    let _ = ptrace(libc::PTRACE_SETOPTIONS, pid, 0, 0);
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}

fn observe_detached(stage: &Stage) {
    let pid = stopped(stage, vec![(errno(), 0)], |stage| stage.fact("after the tracer let go", getppid()));
    stage.fact("option", ptrace(libc::PTRACE_SETOPTIONS, pid, 0, SUSPEND));
    tracee::carry_on(pid);
    let _ = sys::wait_for(pid, libc::__WALL);
}

fn observe_suspend_refused(stage: &Stage) {
    let _ = stage.child(|stage| {
        become_nobody();
        let pid = stopped(stage, Vec::new(), |_| {});
        stage.fact("by nobody", ptrace(libc::PTRACE_SETOPTIONS, pid, 0, SUSPEND));
    });
    let _ = stage.child(|stage| {
        let pid = stopped(stage, Vec::new(), |_| {});
        let _ = sys::install_by_prctl(&allow());
        stage.fact("by a filtered tracer", ptrace(libc::PTRACE_SETOPTIONS, pid, 0, SUSPEND));
    });
}

fn observe_suspend_by_seize(stage: &Stage) {
    let _ = stage.child(|stage| {
        become_nobody();
        let pid = stage.start(|_| {
            let _ = sys::number(libc::SYS_pause, [0; 6]);
        });
        stage.fact("by nobody", ptrace(libc::PTRACE_SEIZE, pid, 0, SUSPEND));
        sys::kill(pid, libc::SIGKILL);
    });
}
