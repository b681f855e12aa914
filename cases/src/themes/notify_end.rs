//! User notification: a listener's end, and its callers'.

use crate::case::{is, staged};
use crate::handed::{filter, finish, getppid, listener};
use crate::listener::{self, Caller};
use crate::passing::{hand_over, receive_descriptor, send_descriptor, sockets};
use crate::{Case, waiting};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Quirk, Traits};
use std::sync::atomic::Ordering::SeqCst;

const NEEDS: &[Feature] = &[Feature::NotifReceive];
const ENOSYS: i64 = -38;
const HUP: i64 = libc::POLLHUP as i64;

pub(crate) const CASES: &[Case] = &[
    staged(
        "notify::hang_up_with_threads",
        "Of a process with several threads the last one counts.",
        &[Feature::NotifReceive, Feature::NotifHangUp],
        observe_threads_end,
        |_: &Traits| vec![is("while one thread lives", 0), is("once all are gone", HUP)],
    ),
    staged(
        "notify::receive_from_nobody",
        "Receiving when the last filtered task is gone: ENOENT; before 6.11 it waited for ever.",
        NEEDS,
        observe_nobody,
        |traits: &Traits| {
            let waits = traits.shows(Quirk::RecvWaitsForNobody);
            vec![is("receive", if waits { 1 } else { -2 })]
        },
    ),
    staged(
        "notify::new_listener_after_the_last",
        "A chain has one listener at a time: EBUSY, also for a child, until it is closed.",
        NEEDS,
        observe_second,
        |_: &Traits| {
            vec![
                is("a second", -16),
                is("by a child", -16),
                is("after closing", 1),
                is("it is answered", 4242),
            ]
        },
    ),
    staged(
        "notify::supervisor_is_killed",
        "A supervisor that is killed closes its listener: the waiting call gets ENOSYS.",
        NEEDS,
        observe_killed_supervisor,
        |_: &Traits| vec![is("caller got", ENOSYS), is("end of the caller", 0)],
    ),
    staged(
        "notify::copied_listener",
        "The last copy of a listener counts: closing one of two changes nothing.",
        NEEDS,
        observe_copied,
        |_: &Traits| {
            vec![is("send through the copy", 0), is("caller got", 4242), is("after the last", ENOSYS)]
        },
    ),
];

fn dup(fd: i32) -> i32 {
    sys::number(libc::SYS_dup, [fd as u64, 0, 0, 0, 0, 0]) as i32
}

fn observe_copied(stage: &Stage) {
    let fd = listener(stage);
    let copy = dup(fd);
    let start = || {
        Caller::start_with(stage, fd, move |_| {
            sys::close(copy);
            getppid()
        })
    };
    let first = start();
    let Ok(seen) = listener::receive(fd) else { return };
    let second = start();
    sys::close(fd);
    stage.fact("send through the copy", listener::send(copy, seen.id, 4242, 0, 0));
    stage.fact("caller got", first.got());
    listener::wait_for_one(copy);
    sys::close(copy);
    stage.fact("after the last", second.got());
}

fn observe_killed_supervisor(stage: &Stage) {
    let [ours, theirs] = sockets();
    let ready = waiting::shared_number();
    let supervisor = stage.start(|_| {
        let fd = receive_descriptor(theirs);
        let seen = listener::receive(fd);
        ready.store(1 + i64::from(seen.is_err()), SeqCst);
        loop {
            let _ = sys::number(libc::SYS_pause, [0; 6]);
        }
    });
    let got = waiting::shared_number();
    let caller = stage.start(|stage| {
        let fd = listener(stage);
        send_descriptor(ours, fd);
        sys::close(fd);
        got.store(getppid(), SeqCst);
    });
    waiting::until(|| ready.load(SeqCst) != 0);
    sys::kill(supervisor, libc::SIGKILL);
    let status = sys::wait_for(caller, libc::__WALL);
    stage.fact("caller got", got.load(SeqCst));
    stage.fact("end of the caller", end_code(sys::end_of(status as i32)));
}

fn observe_second(stage: &Stage) {
    let fd = listener(stage);
    stage.fact("a second", listener::attach(&filter(), 0));
    let _ = stage.child(|stage| stage.fact("by a child", listener::attach(&filter(), 0)));
    sys::close(fd);
    let next = listener::attach(&filter(), 0);
    stage.fact("after closing", (next >= 0).into());
    let caller = Caller::start(stage, next as i32, 0);
    if let Ok(seen) = listener::receive(next as i32) {
        listener::send(next as i32, seen.id, 4242, 0, 0);
    }
    stage.fact("it is answered", caller.got());
}

fn observe_threads_end(stage: &Stage) {
    let alive = waiting::shared_number();
    let (pid, fd) = hand_over(stage, move || {
        let first = std::thread::spawn(|| {});
        let _ = first.join();
        std::thread::spawn(move || {
            alive.store(1, SeqCst);
            loop {
                let _ = sys::number(libc::SYS_pause, [0; 6]);
            }
        });
        // The leader ends by itself; the process lives on in its thread.
        let _ = sys::number(libc::SYS_exit, [0; 6]);
    });
    waiting::until(|| alive.load(SeqCst) == 1 && waiting::state(pid) == 'Z');
    stage.fact("while one thread lives", listener::poll(fd));
    sys::kill(pid, libc::SIGKILL);
    finish(pid);
    stage.fact("once all are gone", listener::poll(fd));
}

/// Receiving from a listener whose last task is gone. Shared with the probe.
pub(crate) fn observe_nobody(stage: &Stage) {
    let (pid, fd) = hand_over(stage, || {});
    if fd < 0 {
        return;
    }
    finish(pid);
    let receiver = stage.start(|_| {
        let errno = listener::receive(fd).err().unwrap_or(0);
        sys::exit(-errno as i32)
    });
    waiting::until(|| matches!(waiting::state(receiver), 'S' | 'Z'));
    let waits = waiting::state(receiver) == 'S';
    sys::kill(receiver, libc::SIGKILL);
    let end = end_code(sys::end_of(sys::wait_for(receiver, libc::__WALL) as i32));
    stage.fact("receive", if waits { 1 } else { -end });
}
