//! User notification: what becomes of a caller that is signalled or killed while it waits.

use crate::case::{is, staged};
use crate::handed::{finish, getppid, listener, listener_with};
use crate::listener::{self, CONTINUE, Caller, WAIT_KILLABLE};
use crate::{Case, Fact, Script, waiting};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action, Filter};
use std::sync::atomic::Ordering::SeqCst;

const NEEDS: &[Feature] = &[Feature::NotifReceive];
const KILLABLE: &[Feature] = &[Feature::NotifReceive, Feature::WaitKillable];
const ENOENT: i64 = -2;
const EINTR: i64 = -4;

pub(crate) const CASES: &[Case] = &[
    staged(
        "notify::killed_before_receive",
        "A caller killed before anyone received its call leaves nothing: poll says so, and receiving finds nobody.",
        NEEDS,
        observe_killed_before,
        |_: &Traits| vec![is("end of the caller", 1009), is("poll", 0), is("receive", ENOENT)],
    ),
    staged(
        "notify::killed_by_a_sibling",
        "A caller that ends because its process exits takes its id with it.",
        NEEDS,
        observe_exit_of_sibling,
        |_: &Traits| vec![is("exit status", 7), is("send", ENOENT), is("poll", 0)],
    ),
    staged(
        "notify::signal_before_receive",
        "A signal with a handler interrupts the call: EINTR, and receiving finds nobody.",
        NEEDS,
        |stage| interrupted(stage, 0, false),
        interrupted_facts,
    ),
    staged(
        "notify::signal_after_receive",
        "So it does once the call has been received: the id dies and an answer finds nobody.",
        NEEDS,
        |stage| interrupted(stage, 0, true),
        interrupted_facts,
    ),
    staged(
        "notify::signal_and_restart",
        "With SA_RESTART the call is made again: a new notification, while the old id is dead.",
        NEEDS,
        observe_restart,
        |_: &Traits| {
            vec![
                is("the second id is another", 1),
                is("send to the first", ENOENT),
                is("send to the second", 0),
                is("caller got", 4242),
            ]
        },
    ),
    staged(
        "notify::restart_code_as_error",
        "A listener's -512 is the kernel's own restart code, and reaches the caller where no signal waits.",
        NEEDS,
        |stage| answered(stage, 0, -512),
        |_: &Traits| vec![is("send", 0), is("caller got", -512)],
    ),
    staged(
        "notify::positive_error",
        "A positive error is no errno: it comes back as a value.",
        NEEDS,
        |stage| answered(stage, 0, 5),
        |_: &Traits| vec![is("send", 0), is("caller got", 5)],
    ),
    staged(
        "notify::error_over_value",
        "Of an error and a value the error comes back.",
        NEEDS,
        |stage| answered(stage, 77, -13),
        |_: &Traits| vec![is("send", 0), is("caller got", -13)],
    ),
    staged(
        "notify::value_of_64_bits",
        "A value has 64 bits, and a small negative one looks like an errno.",
        NEEDS,
        |stage| {
            answered(stage, 0x1234_5678_9abc, 0);
            answered(stage, -11, 0);
        },
        |_: &Traits| {
            vec![is("send", 0), is("caller got", 0x1234_5678_9abc), is("send", 0), is("caller got", -11)]
        },
    ),
    staged(
        "notify::answer_without_receiving",
        "The id of a call that waits but was not received: EINPROGRESS to SEND and ADDFD, not valid to ID_VALID.",
        &[Feature::NotifAddfd, Feature::NotifIdValid],
        observe_unreceived,
        |_: &Traits| {
            vec![
                is("id valid", ENOENT),
                is("send", -115),
                is("add a descriptor", -115),
                is("its id once received is the next", 1),
            ]
        },
    ),
    staged(
        "notify::continued_call_is_interrupted",
        "A continued call that sleeps and is restarted by a signal is notified anew: the listener sees it twice.",
        &[Feature::NotifContinue],
        observe_continued,
        |_: &Traits| vec![is("continued", 0), is("notified again", 1), is("caller got", 4242)],
    ),
    staged(
        "notify::killable_before_receive",
        "With WAIT_KILLABLE_RECV a signal still interrupts a call that nobody has received.",
        KILLABLE,
        |stage| interrupted(stage, WAIT_KILLABLE, false),
        interrupted_facts,
    ),
    staged(
        "notify::killable_after_receive",
        "Once received it waits on; the handler runs after the answer.",
        KILLABLE,
        observe_killable,
        |_: &Traits| {
            vec![
                is("sleeps so that only death wakes it", 1),
                is("id valid", 0),
                is("send", 0),
                is("caller got", 4242),
                is("handler ran", 1),
            ]
        },
    ),
    staged(
        "notify::killable_fatal",
        "A fatal signal ends it all the same.",
        KILLABLE,
        observe_killable_fatal,
        |_: &Traits| vec![is("end of the caller", 1015), is("send", ENOENT)],
    ),
];

fn interrupted_facts(_: &Traits) -> Vec<Fact> {
    vec![is("caller got", EINTR), is("handler ran", 1), is("it is gone", ENOENT), is("poll", 0)]
}

/// A caller with a handler for SIGUSR1, and the word that says how often it ran.
fn caller_with_handler(stage: &Stage, fd: i32, flags: i32) -> (Caller, impl Fn() -> i64) {
    let ran = waiting::shared_number();
    let caller = Caller::start_with(stage, fd, move |_| {
        waiting::count_signals(libc::SIGUSR1, flags);
        let got = getppid();
        ran.store(waiting::signals(), SeqCst);
        got
    });
    (caller, || ran.load(SeqCst))
}

fn interrupted(stage: &Stage, flags: u32, received: bool) {
    let fd = listener_with(stage, flags);
    let (caller, ran) = caller_with_handler(stage, fd, 0);
    listener::wait_for_one(fd);
    let id = if received { listener::receive(fd).map(|seen| seen.id) } else { Ok(0) };
    waiting::until_blocked(caller.pid);
    sys::kill(caller.pid, libc::SIGUSR1);
    stage.fact("caller got", caller.got());
    stage.fact("handler ran", ran());
    let gone = match id {
        Ok(id) if received => listener::send(fd, id, 0, 0, 0),
        _ => listener::receive(fd).err().unwrap_or(0),
    };
    stage.fact("it is gone", gone);
    stage.fact("poll", listener::poll(fd));
}

fn observe_killed_before(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    listener::wait_for_one(fd);
    sys::kill(caller.pid, libc::SIGKILL);
    let status = sys::wait_for(caller.pid, libc::__WALL);
    stage.fact("end of the caller", end_code(sys::end_of(status as i32)));
    stage.fact("poll", listener::poll(fd));
    stage.fact("receive", listener::receive(fd).err().unwrap_or(0));
}

fn observe_exit_of_sibling(stage: &Stage) {
    let fd = listener(stage);
    let go = waiting::shared_number();
    let pid = stage.start(|_| {
        sys::close(fd);
        std::thread::spawn(getppid);
        waiting::until(|| go.load(SeqCst) == 1);
        sys::exit(7)
    });
    let Ok(seen) = listener::receive(fd) else { return };
    go.store(1, SeqCst);
    let status = sys::wait_for(pid, libc::__WALL);
    stage.fact("exit status", end_code(sys::end_of(status as i32)));
    stage.fact("send", listener::send(fd, seen.id, 0, 0, 0));
    stage.fact("poll", listener::poll(fd));
}

fn observe_restart(stage: &Stage) {
    let fd = listener(stage);
    let (caller, _) = caller_with_handler(stage, fd, libc::SA_RESTART);
    let Ok(first) = listener::receive(fd) else { return };
    waiting::until_blocked(caller.pid);
    sys::kill(caller.pid, libc::SIGUSR1);
    listener::wait_for_one(fd);
    let Ok(second) = listener::receive(fd) else { return };
    stage.fact("the second id is another", (first.id != second.id).into());
    stage.fact("send to the first", listener::send(fd, first.id, 1, 0, 0));
    stage.fact("send to the second", listener::send(fd, second.id, 4242, 0, 0));
    stage.fact("caller got", caller.got());
}

fn answered(stage: &Stage, value: i64, error: i32) {
    // A process each, since a chain of filters has one listener.
    let _ = stage.child(|stage| {
        let fd = listener(stage);
        let caller = Caller::start(stage, fd, 0);
        if let Ok(seen) = listener::receive(fd) {
            stage.fact("send", listener::send(fd, seen.id, value, error, 0));
        }
        stage.fact("caller got", caller.got());
    });
}

fn observe_unreceived(stage: &Stage) {
    let fd = listener(stage);
    let first = Caller::start(stage, fd, 0);
    let Ok(seen) = listener::receive(fd) else { return };
    listener::send(fd, seen.id, 0, 0, 0);
    let _ = first.got();
    let second = Caller::start(stage, fd, 0);
    listener::wait_for_one(fd);
    // Ids of one listener ascend by one (kernel/seccomp.c seccomp_next_notify_id).
    let next = seen.id.wrapping_add(1);
    stage.fact("id valid", listener::id_valid(fd, next));
    stage.fact("send", listener::send(fd, next, 0, 0, 0));
    stage.fact("add a descriptor", listener::add_fd(fd, next, 0, 0));
    if let Ok(seen) = listener::receive(fd) {
        stage.fact("its id once received is the next", (seen.id == next).into());
        listener::send(fd, seen.id, 0, 0, 0);
    }
    let _ = second.got();
}

/// A pause that the listener continues, interrupted while it sleeps.
fn observe_continued(stage: &Stage) {
    let _ = sys::no_new_privs();
    let filter = Script::on(Abi::X86_64, "pause", Action::UserNotif);
    let fd = listener::attach(&Filter(filter), 0) as i32;
    let caller = Caller::start_with(stage, fd, |_| {
        waiting::count_signals(libc::SIGUSR1, 0);
        sys::number(libc::SYS_pause, [0; 6])
    });
    let Ok(first) = listener::receive(fd) else { return };
    stage.fact("continued", listener::send(fd, first.id, 0, 0, CONTINUE));
    // Stopping and going on restarts a call that sleeps, and no handler is in the way of it
    // (pause returns ERESTARTNOHAND).
    waiting::until_blocked(caller.pid);
    waiting::stop_and_continue(caller.pid);
    listener::wait_for_one(fd);
    if let Ok(second) = listener::receive(fd) {
        stage.fact("notified again", (second.id != first.id).into());
        listener::send(fd, second.id, 4242, 0, 0);
    }
    stage.fact("caller got", caller.got());
}

fn observe_killable(stage: &Stage) {
    let fd = listener_with(stage, WAIT_KILLABLE);
    let (caller, ran) = caller_with_handler(stage, fd, 0);
    let Ok(seen) = listener::receive(fd) else { return };
    sys::kill(caller.pid, libc::SIGUSR1);
    let killable = waiting::until(|| waiting::state(caller.pid) == 'D');
    stage.fact("sleeps so that only death wakes it", killable.into());
    stage.fact("id valid", listener::id_valid(fd, seen.id));
    stage.fact("send", listener::send(fd, seen.id, 4242, 0, 0));
    stage.fact("caller got", caller.got());
    stage.fact("handler ran", ran());
}

fn observe_killable_fatal(stage: &Stage) {
    let fd = listener_with(stage, WAIT_KILLABLE);
    let caller = Caller::start(stage, fd, 0);
    let Ok(seen) = listener::receive(fd) else { return };
    sys::kill(caller.pid, libc::SIGTERM);
    let status = sys::wait_for(caller.pid, libc::__WALL);
    stage.fact("end of the caller", end_code(sys::end_of(status as i32)));
    stage.fact("send", listener::send(fd, seen.id, 0, 0, 0));
    finish(caller.pid);
}
