//! User notification: callers that are stopped while they wait, and supervisors that look and then let the call go on.

use super::tracer::on;
use crate::case::{is, staged};
use crate::cgroup::Group;
use crate::handed::{finish, getppid, listener, listener_with};
use crate::listener::{self, CONTINUE, Caller, WAIT_KILLABLE};
use crate::{Case, Fact, tracee, waiting};
use atlas_edge::{Stage, sys};
use atlas_model::Action;
use atlas_model::traits::{Feature, Quirk, Traits};
use std::sync::atomic::Ordering::SeqCst;

const NEEDS: &[Feature] = &[Feature::NotifReceive, Feature::NotifIdValid];
const ENOENT: i64 = -2;
const EINVAL: i64 = -22;

pub(crate) const CASES: &[Case] = &[
    staged(
        "notify::caller_is_stopped",
        "A stop takes a waiting call back, without a handler: its id dies, and once it goes on it is handed over anew.",
        NEEDS,
        |stage| {
            taken_back(
                stage,
                |caller| {
                    sys::kill(caller, libc::SIGSTOP);
                    waiting::until(|| waiting::state(caller) == 'T');
                },
                |caller| {
                    sys::kill(caller, libc::SIGCONT);
                },
            );
        },
        taken_back_facts,
    ),
    staged(
        "notify::caller_is_interrupted_by_a_tracer",
        "So does a tracer's PTRACE_INTERRUPT.",
        NEEDS,
        |stage| taken_back(stage, tracee::seize_and_stop, tracee::carry_on),
        taken_back_facts,
    ),
    staged(
        "notify::caller_is_frozen",
        "So does freezing its control group, which is how container engines pause.",
        &[Feature::NotifReceive, Feature::NotifIdValid, Feature::Freezer],
        observe_frozen,
        taken_back_facts,
    ),
    staged(
        "notify::caller_gets_an_ignored_signal",
        "A signal that is ignored, or is by default, leaves the call waiting.",
        NEEDS,
        observe_ignored,
        |_: &Traits| vec![is("id valid", 0), is("send", 0), is("caller got", 4242)],
    ),
    staged(
        "notify::killable_is_stopped",
        "With WAIT_KILLABLE_RECV a received call outlasts a stop, which comes once it is answered.",
        &[Feature::NotifReceive, Feature::NotifIdValid, Feature::WaitKillable],
        observe_killable_stop,
        |_: &Traits| {
            vec![
                is("sleeps so that only death wakes it", 1),
                is("id valid", 0),
                is("send", 0),
                is("stops then", 1),
                is("caller got", 4242),
            ]
        },
    ),
    staged(
        "notify::memory_changes_before_it_goes_on",
        "A continued call reads its memory when it runs: what the supervisor has looked at may be another thing by then.",
        &[Feature::NotifContinue, Feature::NotifIdValid],
        observe_changed,
        |_: &Traits| {
            vec![is("the supervisor saw", b'a'.into()), is("id valid", 0), is("the call wrote", b'b'.into())]
        },
    ),
    staged(
        "notify::second_receiver_waits",
        "What poll tells may be gone when it is received: the second receiver sleeps, O_NONBLOCK or not.",
        NEEDS,
        observe_second_receiver,
        |_: &Traits| {
            vec![is("poll of both", libc::POLLIN.into()), is("O_NONBLOCK", 0), is("second sleeps", 1)]
        },
    ),
    staged(
        "notify::buffer_that_is_not_zero",
        "A buffer that is not zero is EINVAL, and costs nothing: the call can be received after that; before 5.5 it was taken.",
        &[Feature::NotifReceive],
        observe_dirty,
        |traits: &Traits| {
            let taken = traits.shows(Quirk::RecvDirtyBuffer);
            vec![
                is("receive", if taken { 0 } else { EINVAL }),
                is("poll", if taken { libc::POLLOUT } else { libc::POLLIN }.into()),
                is("caller got", 4242),
            ]
        },
    ),
];

fn taken_back_facts(_: &Traits) -> Vec<Fact> {
    vec![
        is("id valid while it is stopped", ENOENT),
        is("send while it is stopped", ENOENT),
        is("another id", 1),
        is("caller got", 4242),
    ]
}

fn taken_back(stage: &Stage, stop: impl FnOnce(i32), go_on: impl FnOnce(i32)) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    taken_back_from(stage, fd, &caller, stop, go_on);
}

fn taken_back_from(stage: &Stage, fd: i32, caller: &Caller, stop: impl FnOnce(i32), go_on: impl FnOnce(i32)) {
    let Ok(first) = listener::receive(fd) else { return };
    waiting::until_blocked(caller.pid);
    stop(caller.pid);
    stage.fact("id valid while it is stopped", listener::id_valid(fd, first.id));
    stage.fact("send while it is stopped", listener::send(fd, first.id, 1, 0, 0));
    go_on(caller.pid);
    listener::wait_for_one(fd);
    if let Ok(second) = listener::receive(fd) {
        stage.fact("another id", (second.id != first.id).into());
        listener::send(fd, second.id, 4242, 0, 0);
    }
    stage.fact("caller got", caller.got());
}

fn freeze(group: &Group, frozen: bool) -> bool {
    let word = u8::from(frozen).to_string();
    let says = format!("frozen {word}");
    group.write("cgroup.freeze", &word)
        && waiting::until(|| group.read("cgroup.events").lines().any(|line| line == says))
}

/// The probe of the freezer: an empty group freezes at once.
pub(crate) fn observe_freezer(stage: &Stage) {
    let frozen = Group::make("").is_some_and(|group| freeze(&group, true) && freeze(&group, false));
    stage.fact("freezes", frozen.into());
}

fn observe_frozen(stage: &Stage) {
    let Some(group) = Group::make("") else { return };
    let fd = listener(stage);
    let caller = Caller::start_with(stage, fd, |_| {
        group.join();
        getppid()
    });
    let stop = |_| {
        freeze(&group, true);
    };
    let go_on = |_| {
        freeze(&group, false);
    };
    taken_back_from(stage, fd, &caller, stop, go_on);
}

fn observe_ignored(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start_with(stage, fd, |_| {
        // SAFETY: ignoring a signal runs nothing.
        unsafe {
            libc::signal(libc::SIGUSR1, libc::SIG_IGN);
        }
        getppid()
    });
    let Ok(seen) = listener::receive(fd) else { return };
    waiting::until_blocked(caller.pid);
    for signal in [libc::SIGUSR1, libc::SIGURG, libc::SIGWINCH] {
        sys::kill(caller.pid, signal);
    }
    stage.fact("id valid", listener::id_valid(fd, seen.id));
    stage.fact("send", listener::send(fd, seen.id, 4242, 0, 0));
    stage.fact("caller got", caller.got());
}

fn observe_killable_stop(stage: &Stage) {
    let fd = listener_with(stage, WAIT_KILLABLE);
    let caller = Caller::start(stage, fd, 0);
    let Ok(seen) = listener::receive(fd) else { return };
    sys::kill(caller.pid, libc::SIGSTOP);
    let killable = waiting::until(|| waiting::state(caller.pid) == 'D');
    stage.fact("sleeps so that only death wakes it", killable.into());
    stage.fact("id valid", listener::id_valid(fd, seen.id));
    stage.fact("send", listener::send(fd, seen.id, 4242, 0, 0));
    stage.fact("stops then", waiting::until(|| waiting::state(caller.pid) == 'T').into());
    sys::kill(caller.pid, libc::SIGCONT);
    stage.fact("caller got", caller.got());
}

/// The supervisor stands for whoever shares the caller's memory, too: it changes what it has looked at.
fn observe_changed(stage: &Stage) {
    let byte = waiting::shared_number();
    let [reader, writer] = sys::pipe();
    let _ = sys::no_new_privs();
    byte.store(b'a'.into(), SeqCst);
    let fd = listener::attach(&on("write", Action::UserNotif), 0) as i32;
    let caller = Caller::start_with(stage, fd, |_| {
        let args = [writer as u64, byte.as_ptr() as u64, 1, 0, 0, 0];
        // SAFETY: the number is shared memory that is kept for good.
        unsafe { sys::raw(libc::SYS_write, args) }
    });
    let Ok(seen) = listener::receive(fd) else { return };
    stage.fact("the supervisor saw", byte.swap(b'b'.into(), SeqCst));
    stage.fact("id valid", listener::id_valid(fd, seen.id));
    listener::send(fd, seen.id, 0, 0, CONTINUE);
    finish(caller.pid);
    // Whatever the call did, reading ends.
    sys::close(writer);
    let mut got = [0_u8];
    // SAFETY: room for one byte, which lives until the call returns.
    let _ = unsafe { sys::raw(libc::SYS_read, [reader as u64, got.as_mut_ptr() as u64, 1, 0, 0, 0]) };
    stage.fact("the call wrote", got[0].into());
}

fn observe_second_receiver(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    listener::wait_for_one(fd);
    stage.fact("poll of both", listener::poll(fd));
    let nonblock = [fd as u64, libc::F_SETFL as u64, libc::O_NONBLOCK as u64, 0, 0, 0];
    stage.fact("O_NONBLOCK", sys::number(libc::SYS_fcntl, nonblock));
    let seen = listener::receive(fd);
    let second = stage.start(|_| {
        let _ = listener::receive(fd);
    });
    stage.fact("second sleeps", waiting::until_blocked(second).into());
    sys::kill(second, libc::SIGKILL);
    if let Ok(seen) = seen {
        listener::send(fd, seen.id, 0, 0, 0);
    }
    finish(caller.pid);
}

fn observe_dirty(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    listener::wait_for_one(fd);
    let dirty = listener::receive_into(fd, [1; 80]);
    stage.fact("receive", dirty.err().unwrap_or(0));
    stage.fact("poll", listener::poll(fd));
    if let Ok(seen) = dirty.or_else(|_| listener::receive(fd)) {
        listener::send(fd, seen.id, 4242, 0, 0);
    }
    stage.fact("caller got", caller.got());
}
