//! User notification: several requests for one waiting call, made before it has run, and who sleeps in poll(2).
//!
//! The order of the former is the scheduler's: on one processor the caller runs once all others sleep.

use crate::case::{Want, is, staged};
use crate::handed::{finish, getppid, listener};
use crate::listener::{self, AddFd, Caller};
use crate::passing::hand_over;
use crate::scheduling::LastOfAll;
use crate::{Case, Fact, scheduling, waiting};
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Quirk, Traits};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

const NEEDS: &[Feature] = &[Feature::NotifReceive, Feature::NotifAddfd];
const SEND: &[Feature] = &[Feature::NotifReceive, Feature::AddfdSend];
const POLL: &[Feature] = &[Feature::NotifReceive, Feature::NotifHangUp];
const ENOENT: i64 = -2;
const EINTR: i64 = -4;
const ESRCH: i64 = -3;
const EBUSY: i64 = -16;
const EINPROGRESS: i64 = -115;
const CHOSEN: u32 = 142;
const IN: i64 = libc::POLLIN as i64;
const OUT: i64 = libc::POLLOUT as i64;
const HUP: i64 = libc::POLLHUP as i64;

pub(crate) const CASES: &[Case] = &[
    staged(
        "notify::add_fd_later_one_first",
        "Of two ADDFDs that wait for the caller the later one gets its descriptor first.",
        NEEDS,
        |stage| {
            queued(stage, |fd, id| {
                let [first, second] = asked(stage, fd, [plain(id), plain(id)]);
                stage.fact("the later one has the lower number", (0 < second && second < first).into());
                listener::send(fd, id, 4242, 0, 0);
            });
        },
        |_: &Traits| vec![is("the later one has the lower number", 1), is("caller got", 4242)],
    ),
    staged(
        "notify::add_fd_send_behind_another",
        "ADDFD with SEND while another ADDFD waits: EBUSY, and the call waits on.",
        SEND,
        |stage| {
            queued(stage, |fd, id| {
                let send = AddFd { flags: AddFd::SEND, ..plain(id) };
                let [first, second] = asked(stage, fd, [plain(id), send]);
                stage.fact("first", (first > 0).into());
                stage.fact("and send", second);
                stage.fact("id valid", listener::id_valid(fd, id));
                listener::send(fd, id, 4242, 0, 0);
            });
        },
        |_: &Traits| vec![is("first", 1), is("and send", EBUSY), is("id valid", 0), is("caller got", 4242)],
    ),
    staged(
        "notify::add_fd_behind_a_send",
        "Once ADDFD with SEND waits, whatever comes later is too late: EINPROGRESS.",
        SEND,
        |stage| {
            queued(stage, |fd, id| {
                let send = AddFd { flags: AddFd::SEND | AddFd::SET, number: CHOSEN, ..plain(id) };
                let [first, second] = asked(stage, fd, [send, plain(id)]);
                stage.fact("and send", first);
                stage.fact("later", second);
            });
        },
        |_: &Traits| {
            vec![is("and send", CHOSEN.into()), is("later", EINPROGRESS), is("caller got", CHOSEN.into())]
        },
    ),
    staged(
        "notify::add_fd_overtaken_by_the_answer",
        "ADDFDs that wait while the answer comes: the latest gets its descriptor, all others ESRCH; before 5.13 every one got ESRCH.",
        NEEDS,
        observe_overtaken,
        |traits: &Traits| {
            let second = if traits.shows(Quirk::AddfdEarlyReturn) { ESRCH } else { 1 };
            vec![is("first", ESRCH), is("second", second), is("caller got", 4242)]
        },
    ),
    staged(
        "notify::add_fd_interrupted",
        "ADDFD that a signal interrupts before the caller has run can be repeated, and the call waits; before 5.13 the call returned 0.",
        NEEDS,
        observe_interrupted,
        |traits: &Traits| {
            let early = traits.shows(Quirk::AddfdEarlyReturn);
            vec![
                is("add", EINTR),
                is("again", if early { ENOENT } else { CHOSEN.into() }),
                is("send", if early { ENOENT } else { 0 }),
                is("caller got", if early { 0 } else { 4242 }),
            ]
        },
    ),
    staged(
        "notify::add_fd_send_interrupted",
        "ADDFD with SEND that a signal interrupts before the caller has run can be repeated; before 7.4 the caller got 0 and no descriptor.",
        SEND,
        observe_send_interrupted,
        |traits: &Traits| {
            let lost = traits.shows(Quirk::AddfdSendLost);
            vec![
                is("add", EINTR),
                Fact {
                    name: "again".into(),
                    want: if lost { Want::OneOf(&[ENOENT, EINPROGRESS]) } else { Want::Is(CHOSEN.into()) },
                },
                Fact { name: "send".into(), want: Want::OneOf(&[ENOENT, EINPROGRESS]) },
                is("caller got", if lost { 0 } else { CHOSEN.into() }),
            ]
        },
    ),
    staged(
        "notify::poll_sleeps_until_there_is_something",
        "Who sleeps in poll is woken by a call, by another's receiving of it, and by the end of the last filtered task.",
        POLL,
        |stage| sleepers(stage, asleep_in_poll),
        woken,
    ),
    staged(
        "notify::epoll_sleeps_until_there_is_something",
        "So is who sleeps in epoll_wait.",
        POLL,
        |stage| sleepers(stage, asleep_in_epoll),
        woken,
    ),
];

fn woken(_: &Traits) -> Vec<Fact> {
    vec![is("a call came", IN), is("it was received", OUT), is("nobody is left", HUP)]
}

fn plain(id: u64) -> AddFd {
    AddFd { id, ..AddFd::default() }
}

/// A call that was received, whose caller runs only while everybody else sleeps.
struct Held {
    fd: i32,
    id: u64,
    caller: Caller,
    last: LastOfAll,
}

fn hold(stage: &Stage) -> Option<Held> {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    let id = listener::receive(fd).ok()?.id;
    let last = LastOfAll::new(caller.pid);
    if last.is_none() {
        stage.fact("no order of processes could be had", 1);
    }
    Some(Held { fd, id, caller, last: last? })
}

/// Plays with a held call, lets it go and says what its caller got.
fn queued(stage: &Stage, play: impl FnOnce(i32, u64)) {
    let Some(Held { fd, id, caller, last }) = hold(stage) else { return };
    play(fd, id);
    drop(last);
    stage.fact("caller got", caller.got());
}

/// Starts who asks with this priority; the answer comes in the number.
fn asker(stage: &Stage, fd: i32, ask: AddFd, priority: i32) -> (i32, &'static AtomicI64) {
    let got = waiting::shared_number();
    let pid = scheduling::child(stage, priority, || got.store(ask.to(fd), SeqCst));
    (pid, got)
}

/// What two ADDFDs come back with, the second made while the first waits.
fn asked(stage: &Stage, fd: i32, asks: [AddFd; 2]) -> [i64; 2] {
    let [first, second] = [(asks[0], 50), (asks[1], 40)].map(|(ask, at)| asker(stage, fd, ask, at));
    [first, second].map(|(pid, got)| {
        finish(pid);
        got.load(SeqCst)
    })
}

fn observe_overtaken(stage: &Stage) {
    queued(stage, |fd, id| {
        let first = asker(stage, fd, plain(id), 50);
        let second = asker(stage, fd, plain(id), 40);
        let sender = scheduling::child(stage, 30, || {
            listener::send(fd, id, 4242, 0, 0);
        });
        finish(sender);
        for (name, (pid, got)) in [("first", first), ("second", second)] {
            finish(pid);
            stage.fact(name, got.load(SeqCst).min(1));
        }
    });
}

/// The supervisor sleeps in ADDFD, the signaller runs before the caller does, and its signal wakes the supervisor at
/// once.
fn interrupted(stage: &Stage, flags: u32) {
    let Some(Held { fd, id, caller, last }) = hold(stage) else { return };
    let me = std::process::id() as i32;
    waiting::count_signals(libc::SIGUSR1, 0);
    let signaller = scheduling::child(stage, 50, || {
        sys::kill(me, libc::SIGUSR1);
    });
    let ask = AddFd { flags, number: CHOSEN, ..plain(id) };
    stage.fact("add", ask.to(fd));
    drop(last);
    finish(signaller);
    // A caller that was answered returns to user space by itself and ends; another goes on to wait.
    waiting::until(|| matches!(waiting::state(caller.pid), 'S' | 'Z'));
    stage.fact("again", ask.to(fd));
    stage.fact("send", listener::send(fd, id, 4242, 0, 0));
    // Whoever waits even now gets ENOSYS from this.
    sys::close(fd);
    stage.fact("caller got", caller.got());
}

/// The probe of ADDFD's interruption.
pub(crate) fn observe_interrupted(stage: &Stage) {
    interrupted(stage, AddFd::SET);
}

/// The probe of the interruption of ADDFD with SEND.
pub(crate) fn observe_send_interrupted(stage: &Stage) {
    interrupted(stage, AddFd::SET | AddFd::SEND);
}

/// Sleeps in poll(2) until one of these events, and says which came.
fn asleep_in_poll(fd: i32, events: i64) -> i64 {
    let mut entry = libc::pollfd { fd, events: events as i16, revents: 0 };
    // SAFETY: one entry, which lives until the call returns.
    unsafe {
        libc::poll(&raw mut entry, 1, -1);
    }
    entry.revents.into()
}

/// The same by epoll_wait(2), whose events have poll's numbers.
fn asleep_in_epoll(fd: i32, events: i64) -> i64 {
    let mut event = libc::epoll_event { events: events as u32, u64: 0 };
    // SAFETY: the event lives until the calls return, and there is room for the one that is asked for.
    unsafe {
        let epoll = libc::epoll_create1(0);
        libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event);
        event.events = 0;
        libc::epoll_wait(epoll, &raw mut event, 1, -1);
    }
    event.events.into()
}

fn sleepers(stage: &Stage, asleep: fn(i32, i64) -> i64) {
    let go = waiting::shared_number();
    let (pid, fd) = hand_over(stage, || {
        waiting::until(|| go.load(SeqCst) == 1);
        getppid();
        loop {
            let _ = sys::number(libc::SYS_pause, [0; 6]);
        }
    });
    if fd < 0 {
        return;
    }
    // Somebody who is not filtered sleeps, and what wakes it is done once it does.
    let woken_by = |name: &str, events: i64, wake: &dyn Fn()| {
        let got = waiting::shared_number();
        let sleeper = stage.start(|_| got.store(asleep(fd, events), SeqCst));
        waiting::until_blocked(sleeper);
        wake();
        finish(sleeper);
        stage.fact(name, got.load(SeqCst));
    };
    let id = AtomicI64::new(0);
    woken_by("a call came", IN, &|| go.store(1, SeqCst));
    woken_by("it was received", OUT, &|| {
        id.store(listener::receive(fd).map_or(0, |seen| seen.id as i64), SeqCst);
    });
    listener::send(fd, id.load(SeqCst) as u64, 0, 0, 0);
    woken_by("nobody is left", 0, &|| {
        sys::kill(pid, libc::SIGKILL);
        finish(pid);
    });
}
