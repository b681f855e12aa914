//! User notification: descriptors that the listener puts into the caller.

use crate::attached::{NOBODY, become_user};
use crate::case::{is, staged};
use crate::handed::{finish, getppid, listener};
use crate::listener::{self, AddFd, Caller};
use crate::{Case, waiting};
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Action, Filter, bpf};
use std::sync::atomic::Ordering::SeqCst;

const NEEDS: &[Feature] = &[Feature::NotifReceive, Feature::NotifAddfd];
const SEND: &[Feature] = &[Feature::NotifReceive, Feature::AddfdSend];
const EINVAL: i64 = -22;
const CHOSEN: u32 = 142;

pub(crate) const CASES: &[Case] = &[
    staged(
        "notify::add_fd_arguments",
        "ADDFD's errors: of flags, number, source and id.",
        NEEDS,
        observe_arguments,
        |_: &Traits| {
            vec![
                is("a flag of the number other than O_CLOEXEC", EINVAL),
                is("an unknown flag", EINVAL),
                is("a number without SETFD", EINVAL),
                is("a source that is not open", -9),
                is("an unknown id", -2),
                is("an unknown flag before a bad source", EINVAL),
            ]
        },
    ),
    staged(
        "notify::add_fd_sizes",
        "ADDFD's structure may grow: the request's size says how much of it the caller knows.",
        NEEDS,
        observe_sizes,
        |_: &Traits| {
            vec![
                is("size 0", EINVAL),
                is("size 23", EINVAL),
                is("size 32 with a tail of zeroes", 1),
                is("size 32 with another tail", -7),
                is("size 4095 with a tail of zeroes", 1),
                is("size 4096", EINVAL),
            ]
        },
    ),
    staged(
        "notify::add_fd_chosen",
        "With SETFD the listener chooses the number, also one that is open, and O_CLOEXEC.",
        NEEDS,
        observe_chosen,
        |_: &Traits| {
            vec![
                is("number", CHOSEN.into()),
                is("the same again", CHOSEN.into()),
                is("flags of the descriptor in the caller", libc::FD_CLOEXEC.into()),
            ]
        },
    ),
    staged(
        "notify::add_fd_many",
        "One waiting call may get many descriptors, each at the lowest free number.",
        NEEDS,
        observe_many,
        |_: &Traits| vec![is("ascending by one", 7), is("the caller has them all", 8)],
    ),
    staged(
        "notify::add_fd_is_the_same_file",
        "What the caller gets is the listener's open file itself: they share its offset.",
        NEEDS,
        observe_same,
        |_: &Traits| vec![is("offset as the caller sees it", 5), is("kcmp finds them equal", 1)],
    ),
    staged(
        "notify::add_fd_at_the_limit",
        "The caller's RLIMIT_NOFILE holds: EMFILE for any number, EBADF for a chosen one, and the call still waits.",
        SEND,
        observe_limit,
        |_: &Traits| {
            vec![
                is("any number", -24),
                is("any number, and answer", -24),
                is("a chosen number", -9),
                is("a chosen number, and answer", -9),
                is("id valid", 0),
                is("send", 0),
                is("caller got", 4242),
            ]
        },
    ),
    staged(
        "notify::add_fd_to_the_dead",
        "A caller that was killed gets nothing: ENOENT.",
        NEEDS,
        observe_dead,
        |_: &Traits| vec![is("add", -2)],
    ),
    staged(
        "notify::add_fd_chosen_and_send",
        "SETFD and SEND in one: the chosen number is the answer.",
        SEND,
        observe_chosen_send,
        |_: &Traits| vec![is("add and send", CHOSEN.into()), is("caller got", CHOSEN.into())],
    ),
    staged(
        "notify::no_descriptor_for_the_listener",
        "Privilege and program are looked at first; then a listener that finds no descriptor is EMFILE, and nothing is attached.",
        &[Feature::NewListener],
        observe_no_room,
        |_: &Traits| {
            vec![
                is("without no_new_privs", -13),
                is("refused program", -22),
                is("listener", -24),
                is("mode then", 0),
                is("without a listener", 0),
                is("mode at last", 2),
            ]
        },
    ),
];

/// Lets a process have no more descriptors.
fn no_descriptors(pid: i32) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit lives until the call returns, and the old one is not asked for.
    unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const none, std::ptr::null_mut()) };
}

/// A listener where no descriptor may be had.
fn observe_no_room(stage: &Stage) {
    let allow = Filter(vec![bpf::ret(Action::Allow)]);
    no_descriptors(std::process::id() as i32);
    stage.fact("without no_new_privs", {
        become_user(NOBODY);
        listener::attach(&allow, 0)
    });
    let _ = sys::no_new_privs();
    stage.fact("refused program", listener::attach(&Filter::default(), 0));
    stage.fact("listener", listener::attach(&allow, 0));
    stage.fact("mode then", sys::prctl(libc::PR_GET_SECCOMP, [0; 4]));
    stage.fact("without a listener", sys::install(&allow, 0));
    stage.fact("mode at last", sys::prctl(libc::PR_GET_SECCOMP, [0; 4]));
}

/// A caller waits; `add` works on its notification, then it is answered with 4242.
fn one(stage: &Stage, add: impl FnOnce(i32, AddFd), after: impl FnOnce(&Stage) + 'static) {
    let fd = listener(stage);
    let caller = Caller::start_with(stage, fd, move |stage| {
        let got = getppid();
        after(stage);
        got
    });
    if let Ok(seen) = listener::receive(fd) {
        add(fd, AddFd { id: seen.id, ..AddFd::default() });
        listener::send(fd, seen.id, 4242, 0, 0);
    }
    finish(caller.pid);
}

fn observe_arguments(stage: &Stage) {
    let add = |fd, ask: AddFd| {
        let fact = |name, ask: AddFd| stage.fact(name, ask.to(fd));
        let nonblock = libc::O_NONBLOCK as u32;
        fact("a flag of the number other than O_CLOEXEC", AddFd { number_flags: nonblock, ..ask });
        fact("an unknown flag", AddFd { flags: 4, ..ask });
        fact("a number without SETFD", AddFd { number: CHOSEN, ..ask });
        fact("a source that is not open", AddFd { source: 999, ..ask });
        fact("an unknown id", AddFd { id: ask.id.wrapping_add(1000), ..ask });
        fact("an unknown flag before a bad source", AddFd { flags: 4, source: 999, ..ask });
    };
    one(stage, add, |_| {});
}

fn observe_sizes(stage: &Stage) {
    let add = |fd, ask: AddFd| {
        let fact = |name, size, fill| {
            let got = ask.sized(fd, size, fill);
            // The number itself depends on what else the caller has open.
            stage.fact(name, if got > 0 { 1 } else { got });
        };
        fact("size 0", 0, 0);
        fact("size 23", 23, 0);
        fact("size 32 with a tail of zeroes", 32, 0);
        fact("size 32 with another tail", 32, 1);
        fact("size 4095 with a tail of zeroes", 4095, 0);
        fact("size 4096", 4096, 0);
    };
    one(stage, add, |_| {});
}

fn observe_chosen(stage: &Stage) {
    let add = |fd, ask: AddFd| {
        let ask = AddFd { flags: AddFd::SET, number: CHOSEN, ..ask };
        stage.fact("number", ask.to(fd));
        stage.fact("the same again", AddFd { number_flags: libc::O_CLOEXEC as u32, ..ask }.to(fd));
    };
    one(stage, add, |stage| stage.fact("flags of the descriptor in the caller", flags_of(CHOSEN.into())));
}

/// `F_GETFD`.
fn flags_of(fd: i64) -> i64 {
    sys::number(libc::SYS_fcntl, [fd as u64, libc::F_GETFD as u64, 0, 0, 0, 0])
}

fn observe_many(stage: &Stage) {
    let first = waiting::shared_number();
    let add = |fd, ask: AddFd| {
        let numbers: Vec<i64> = (0..8).map(|_| ask.to(fd)).collect();
        first.store(numbers[0], SeqCst);
        let ascending = numbers.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
        stage.fact("ascending by one", ascending as i64);
    };
    one(stage, add, move |stage| {
        let first = first.load(SeqCst);
        let open = (first..first + 8).filter(|&fd| flags_of(fd) == 0).count();
        stage.fact("the caller has them all", open as i64);
    });
}

fn observe_same(stage: &Stage) {
    let source = sys::open(c"/proc/self/status", libc::O_RDONLY) as i32;
    let seek = |fd: u64, to: u64, from: i32| sys::number(libc::SYS_lseek, [fd, to, from as u64, 0, 0, 0]);
    seek(source as u64, 5, libc::SEEK_SET);
    let parent = u64::from(std::process::id());
    let add = |fd, ask: AddFd| {
        AddFd { flags: AddFd::SET, number: CHOSEN, source, ..ask }.to(fd);
    };
    one(stage, add, move |stage| {
        stage.fact("offset as the caller sees it", seek(CHOSEN.into(), 0, libc::SEEK_CUR));
        // kcmp(2), KCMP_FILE: 0 for one and the same open file.
        let me = u64::from(std::process::id());
        let equal = sys::number(libc::SYS_kcmp, [me, parent, 0, CHOSEN.into(), source as u64, 0]);
        stage.fact("kcmp finds them equal", (equal == 0).into());
    });
}

fn observe_limit(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    let Ok(seen) = listener::receive(fd) else { return };
    no_descriptors(caller.pid);
    let ask = AddFd { id: seen.id, ..AddFd::default() };
    let chosen = AddFd { flags: AddFd::SET, number: CHOSEN, ..ask };
    stage.fact("any number", ask.to(fd));
    stage.fact("any number, and answer", AddFd { flags: AddFd::SEND, ..ask }.to(fd));
    stage.fact("a chosen number", chosen.to(fd));
    stage.fact("a chosen number, and answer", AddFd { flags: AddFd::SET | AddFd::SEND, ..chosen }.to(fd));
    stage.fact("id valid", listener::id_valid(fd, seen.id));
    stage.fact("send", listener::send(fd, seen.id, 4242, 0, 0));
    stage.fact("caller got", caller.got());
}

fn observe_dead(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    let Ok(seen) = listener::receive(fd) else { return };
    sys::kill(caller.pid, libc::SIGKILL);
    finish(caller.pid);
    stage.fact("add", AddFd { id: seen.id, ..AddFd::default() }.to(fd));
}

fn observe_chosen_send(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    if let Ok(seen) = listener::receive(fd) {
        let flags = AddFd::SET | AddFd::SEND;
        let ask = AddFd { id: seen.id, flags, number: CHOSEN, ..AddFd::default() };
        stage.fact("add and send", ask.to(fd));
    }
    stage.fact("caller got", caller.got());
}
