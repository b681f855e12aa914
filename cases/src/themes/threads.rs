//! Threads: TSYNC against leaders that are dead, siblings that cannot follow, and many of them.

use crate::case::{Want, case, is, staged};
use crate::themes::proc::status;
use crate::{Case, Fact, Script, waiting};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Quirk, Traits};
use atlas_model::{Abi, Action, Filter, bpf};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

const NEEDS: &[Feature] = &[Feature::Tsync];
const NATIVE: Abi = Abi::X86_64;
const TSYNC: u32 = 1;
const ESRCH: u32 = 16;
const THREADS: i64 = 48;

pub(crate) const CASES: &[Case] = &[
    staged(
        "tsync::dead_leader",
        "A leader that has ended with a filter of its own is no obstacle since 6.11; before, it was named as one that diverged.",
        NEEDS,
        |stage| dead_leader(stage, TSYNC),
        |traits: &Traits| {
            let named = traits.shows(Quirk::ZombieHoldsFilter);
            vec![is("the leader is named", named.into()), is("attached", (!named).into()), is("end", 0)]
        },
    ),
    staged(
        "tsync::dead_leader_as_esrch",
        "The same with TSYNC_ESRCH.",
        &[Feature::Tsync, Feature::TsyncEsrch],
        |stage| dead_leader(stage, TSYNC | ESRCH),
        |traits: &Traits| {
            let named = traits.shows(Quirk::ZombieHoldsFilter);
            vec![is("ESRCH", named.into()), is("attached", (!named).into()), is("end", 0)]
        },
    ),
    case(
        "tsync::sibling_that_cannot_diverge",
        "A sibling under a filter that refuses its prctl gets no filter of its own, and follows.",
        NEEDS,
        |abi| {
            // prctl(PR_SET_SECCOMP) is refused; seccomp(2), by which the caller attaches, is not.
            let refuse = vec![
                bpf::ld(0),
                bpf::jeq(157, 0, 3),
                bpf::ld(atlas_model::abi::offset::arg_low(0)),
                bpf::jeq(22, 0, 1),
                bpf::ret(Action::Errno(22)),
                bpf::ret(Action::Allow),
            ];
            Script::new(abi)
                .no_new_privs()
                .filter(refuse)
                .thread(1)
                .task(1)
                .filter(vec![bpf::ret(Action::Allow)])
                .task(0)
                .filter_with(TSYNC, Script::on(abi, "getppid", Action::Errno(3)))
                .task(1)
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "tsync::sibling_without_nnp",
        "A sibling without no_new_privs or privilege attaches nothing of its own; TSYNC then gives it both.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .become_nobody()
                .thread(1)
                .task(1)
                .filter(vec![bpf::ret(Action::Allow)])
                .task(0)
                .no_new_privs()
                .filter_with(TSYNC, Script::on(abi, "getppid", Action::Errno(4)))
                .task(1)
                .call("getppid", [])
                .call("prctl", [39])
                .filter(vec![bpf::ret(Action::Allow)])
                .done()
        },
    ),
    staged(
        "tsync::many_threads",
        "All of 48 threads get the filter and the mode, asleep or awake.",
        &[Feature::Tsync, Feature::StatusSeccomp],
        observe_many,
        |_: &Traits| {
            vec![
                is("attached", 0),
                is("threads in filter mode", THREADS),
                is("threads that got the errno", THREADS),
            ]
        },
    ),
    staged(
        "tsync::one_of_many_diverged",
        "One diverged thread among many is named, and none of the others gets anything.",
        &[Feature::Tsync, Feature::StatusSeccomp],
        observe_one_diverged,
        |_: &Traits| {
            vec![is("its id came back", 1), is("threads in filter mode", 1), is("once it is gone", 0)]
        },
    ),
    staged(
        "tsync::threads_made_meanwhile",
        "Threads made while others synchronise never run without the filter.",
        NEEDS,
        observe_meanwhile,
        |_: &Traits| {
            vec![
                is("attached", 0),
                Fact { name: "threads made".into(), want: Want::AtLeast(1) },
                is("calls that came through afterwards", 0),
            ]
        },
    ),
    staged(
        "kill::leader_waits_for_its_threads",
        "A killed leader stays as a zombie and its process ends when the last thread does, with that thread's status.",
        &[Feature::ModeFilter],
        observe_leader,
        |_: &Traits| vec![is("state of the leader is zombie", 1), is("end", 9)],
    ),
];

fn attach_sync(flags: u32, errno: u16) -> i64 {
    sys::install(&Filter(Script::on(NATIVE, "getppid", Action::Errno(errno))), flags)
}

fn getppid() -> i64 {
    sys::number(libc::SYS_getppid, [0; 6])
}

fn gettid() -> i64 {
    sys::number(libc::SYS_gettid, [0; 6])
}

fn end_of(pid: i32) -> i64 {
    end_code(sys::end_of(sys::wait_for(pid, libc::__WALL) as i32))
}

/// Waits asleep: dozens of threads that look by turns would leave an emulated processor no time.
fn sleep_until(go: &AtomicI64) {
    while go.load(SeqCst) != 1 {
        std::thread::park();
    }
}

fn dead_leader(stage: &Stage, flags: u32) {
    let answer = waiting::shared_number();
    let got = waiting::shared_number();
    let pid = stage.start(|_| {
        let _ = sys::no_new_privs();
        let leader = std::process::id() as i32;
        std::thread::spawn(move || {
            waiting::until(|| waiting::state(leader) == 'Z');
            answer.store(attach_sync(flags, 5), SeqCst);
            got.store(getppid(), SeqCst);
            sys::exit(0)
        });
        let _ = sys::install(&Filter(vec![bpf::ret(Action::Allow)]), 0);
        // This thread alone ends, not its process.
        let _ = sys::number(libc::SYS_exit, [0; 6]);
    });
    let end = end_of(pid);
    let answer = answer.load(SeqCst);
    if flags & ESRCH == 0 {
        stage.fact("the leader is named", (answer == i64::from(pid)).into());
    } else {
        stage.fact("ESRCH", (answer == -3).into());
    }
    stage.fact("attached", (answer == 0 && got.load(SeqCst) == -5).into());
    stage.fact("end", end);
}

/// Threads in filter mode, of all that this process has.
fn in_filter_mode() -> i64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mode = |task: std::fs::DirEntry| status(&task.path().join("status").to_string_lossy(), "Seccomp");
    tasks.filter_map(|task| (mode(task) == 2).then_some(())).count() as i64
}

fn observe_many(stage: &Stage) {
    let [there, go, errnos] = std::array::from_fn(|_| waiting::shared_number());
    let threads: Vec<_> = (1..THREADS)
        .map(|at| {
            std::thread::spawn(move || {
                there.fetch_add(1, SeqCst);
                if at == 1 {
                    waiting::until(|| go.load(SeqCst) == 1);
                }
                sleep_until(go);
                if getppid() == -5 {
                    errnos.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    waiting::until(|| there.load(SeqCst) == THREADS - 1);
    let _ = sys::no_new_privs();
    stage.fact("attached", attach_sync(TSYNC, 5));
    stage.fact("threads in filter mode", in_filter_mode());
    go.store(1, SeqCst);
    for thread in threads {
        thread.thread().unpark();
        let _ = thread.join();
    }
    if getppid() == -5 {
        errnos.fetch_add(1, SeqCst);
    }
    stage.fact("threads that got the errno", errnos.load(SeqCst));
}

fn observe_one_diverged(stage: &Stage) {
    let [there, diverged, go] = std::array::from_fn(|_| waiting::shared_number());
    let _ = sys::no_new_privs();
    let threads: Vec<_> = (0..12)
        .map(|at| {
            std::thread::spawn(move || {
                if at == 7 {
                    let _ = sys::install(&Filter(vec![bpf::ret(Action::Allow)]), 0);
                    diverged.store(gettid(), SeqCst);
                }
                there.fetch_add(1, SeqCst);
                sleep_until(go);
            })
        })
        .collect();
    waiting::until(|| there.load(SeqCst) == 12);
    stage.fact("its id came back", (attach_sync(TSYNC, 5) == diverged.load(SeqCst)).into());
    stage.fact("threads in filter mode", in_filter_mode());
    go.store(1, SeqCst);
    for thread in threads {
        thread.thread().unpark();
        let _ = thread.join();
    }
    // Joining is by memory; the kernel's own list is what TSYNC walks.
    waiting::until(|| std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count) == 1);
    stage.fact("once it is gone", attach_sync(TSYNC, 5));
}

fn observe_meanwhile(stage: &Stage) {
    let [made, attached, through] = std::array::from_fn(|_| waiting::shared_number());
    let maker = std::thread::spawn(move || {
        while attached.load(SeqCst) == 0 || made.load(SeqCst) < 20 {
            let late = attached.load(SeqCst) == 1;
            let call = move || {
                made.fetch_add(1, SeqCst);
                if late && getppid() != -5 {
                    through.fetch_add(1, SeqCst);
                }
            };
            let _ = std::thread::spawn(call).join();
        }
    });
    waiting::until(|| made.load(SeqCst) > 5);
    let _ = sys::no_new_privs();
    stage.fact("attached", attach_sync(TSYNC, 5));
    attached.store(1, SeqCst);
    let _ = maker.join();
    stage.fact("threads made", made.load(SeqCst));
    stage.fact("calls that came through afterwards", through.load(SeqCst));
}

fn observe_leader(stage: &Stage) {
    let go = waiting::shared_number();
    let pid = stage.start(|_| {
        let _ = sys::no_new_privs();
        std::thread::spawn(move || {
            waiting::until(|| go.load(SeqCst) == 1);
            sys::exit(9)
        });
        let _ = sys::install_by_prctl(&Filter(Script::on(NATIVE, "getppid", Action::KillThread)));
        let _ = getppid();
    });
    let zombie = waiting::until(|| waiting::state(pid) == 'Z');
    stage.fact("state of the leader is zombie", zombie.into());
    go.store(1, SeqCst);
    stage.fact("end", end_of(pid));
}
