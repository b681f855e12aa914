//! User notification: a listener decides.

use crate::case::{Want, is, staged};
use crate::handed::{finish, getppid, listener};
use crate::listener::{self, CONTINUE, Caller};
use crate::passing::hand_over;
use crate::{Case, Fact, waiting};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::Abi;
use atlas_model::traits::{Feature, Quirk, Traits};

const NEEDS: &[Feature] = &[Feature::NotifReceive];
const ENOENT: i64 = -2;
const ENOSYS: i64 = -38;
const EINPROGRESS: i64 = -115;

pub(crate) const CASES: &[Case] = &[
    staged(
        "notify::value",
        "The listener sees number, arch and argument, and its value comes back; then the id is dead.",
        NEEDS,
        observe_value,
        |traits: &Traits| {
            let valid = |live| if traits.has(Feature::NotifIdValid) { live } else { -22 };
            vec![
                is("poll before", 0),
                is("poll with one waiting", libc::POLLIN.into()),
                is("number", 110),
                is("arch is native", 1),
                is("first argument", 77),
                is("pid is the caller's", 1),
                is("poll once received", libc::POLLOUT.into()),
                is("id valid", valid(0)),
                is("send", 0),
                is("caller got", 4242),
                is("id valid afterwards", valid(ENOENT)),
                is("send again", ENOENT),
            ]
        },
    ),
    staged(
        "notify::error",
        "A listener's error comes back as an errno.",
        NEEDS,
        observe_error,
        |_: &Traits| vec![is("send", 0), is("caller got", -13)],
    ),
    staged(
        "notify::closed_listener",
        "Closing the listener answers the waiting call, and every later one, with ENOSYS.",
        NEEDS,
        observe_closed,
        |_: &Traits| vec![is("waiting caller got", ENOSYS), is("next call got", ENOSYS)],
    ),
    staged(
        "notify::continue",
        "CONTINUE lets the call run, and goes with neither value nor error.",
        &[Feature::NotifContinue],
        observe_continue,
        |_: &Traits| {
            vec![
                is("with a value", -22),
                is("with an error", -22),
                is("alone", 0),
                is("caller got its parent", 1),
            ]
        },
    ),
    staged(
        "notify::killed_caller",
        "When the caller is killed its id is dead and an answer finds nobody.",
        NEEDS,
        observe_killed,
        |_: &Traits| vec![is("end of the caller", 1009), is("send", ENOENT)],
    ),
    staged(
        "notify::answer_before_receive",
        "An id that nobody has received cannot be answered.",
        NEEDS,
        observe_unknown_id,
        |_: &Traits| {
            vec![
                is("send to an unknown id", ENOENT),
                is("unknown flag", -22),
                is("id valid for an unknown id", ENOENT),
            ]
        },
    ),
    staged(
        "notify::order",
        "Waiting calls are received oldest first since 5.19; newest first before.",
        NEEDS,
        observe_order,
        |traits: &Traits| {
            let (first, second) = if traits.shows(Quirk::NotifNewestFirst) { (2, 1) } else { (1, 2) };
            vec![is("received first", first), is("received second", second)]
        },
    ),
    staged(
        "notify::add_fd",
        "ADDFD puts a descriptor into the caller, which can use it.",
        &[Feature::NotifAddfd],
        observe_add_fd,
        |_: &Traits| {
            vec![
                is("bad source", -9),
                is("unknown flag", -22),
                Fact { name: "descriptor in the caller".into(), want: Want::AtLeast(0) },
                is("caller wrote to it", 1),
            ]
        },
    ),
    staged(
        "notify::add_fd_and_send",
        "With ADDFD_FLAG_SEND the descriptor's number is the answer.",
        &[Feature::AddfdSend],
        observe_add_fd_send,
        |_: &Traits| vec![is("caller got the number", 1), is("send afterwards finds it answered", 1)],
    ),
    staged(
        "notify::set_flags",
        "SET_FLAGS knows the synchronous wake-up and nothing else.",
        &[Feature::NotifSetFlags],
        observe_set_flags,
        |_: &Traits| vec![is("sync wake-up", 0), is("off again", 0), is("unknown flag", -22)],
    ),
    staged(
        "notify::sizes",
        "GET_NOTIF_SIZES: 80, 24 and 64 bytes.",
        &[Feature::GetNotifSizes],
        observe_sizes,
        |_: &Traits| {
            vec![
                is("struct seccomp_notif", 80),
                is("struct seccomp_notif_resp", 24),
                is("struct seccomp_data", 64),
            ]
        },
    ),
    staged(
        "notify::hang_up",
        "The listener hangs up when the last task with the filter is gone.",
        &[Feature::NotifReceive, Feature::NotifHangUp],
        observe_hang_up,
        |_: &Traits| vec![is("hung up while it lives", 0), is("hung up once reaped", 1)],
    ),
];

fn observe_value(stage: &Stage) {
    let fd = listener(stage);
    stage.fact("poll before", listener::poll(fd));
    let caller = Caller::start(stage, fd, 77);
    listener::wait_for_one(fd);
    stage.fact("poll with one waiting", listener::poll(fd));
    match listener::receive(fd) {
        Ok(seen) => {
            stage.fact("number", seen.nr.into());
            stage.fact("arch is native", (seen.arch == Abi::X86_64.audit_arch()).into());
            stage.fact("first argument", seen.first_argument as i64);
            stage.fact("pid is the caller's", (seen.pid == caller.pid as u32).into());
            stage.fact("poll once received", listener::poll(fd));
            stage.fact("id valid", listener::id_valid(fd, seen.id));
            stage.fact("send", listener::send(fd, seen.id, 4242, 0, 0));
            stage.fact("caller got", caller.got());
            stage.fact("id valid afterwards", listener::id_valid(fd, seen.id));
            stage.fact("send again", listener::send(fd, seen.id, 4242, 0, 0));
        }
        Err(errno) => stage.fact("receive", errno),
    }
}

fn observe_error(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    if let Ok(seen) = listener::receive(fd) {
        stage.fact("send", listener::send(fd, seen.id, 0, -13, 0));
    }
    stage.fact("caller got", caller.got());
}

fn observe_closed(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    listener::wait_for_one(fd);
    let _ = sys::number(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
    stage.fact("waiting caller got", caller.got());
    stage.fact("next call got", getppid());
}

fn observe_continue(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    if let Ok(seen) = listener::receive(fd) {
        stage.fact("with a value", listener::send(fd, seen.id, 1, 0, CONTINUE));
        stage.fact("with an error", listener::send(fd, seen.id, 0, -1, CONTINUE));
        stage.fact("alone", listener::send(fd, seen.id, 0, 0, CONTINUE));
    }
    stage.fact("caller got its parent", (caller.got() == i64::from(std::process::id())).into());
}

fn observe_killed(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    if let Ok(seen) = listener::receive(fd) {
        sys::kill(caller.pid, libc::SIGKILL);
        let status = sys::wait_for(caller.pid, libc::__WALL);
        stage.fact("end of the caller", end_code(sys::end_of(status as i32)));
        stage.fact("send", listener::send(fd, seen.id, 0, 0, 0));
    }
}

fn observe_unknown_id(stage: &Stage) {
    let fd = listener(stage);
    stage.fact("send to an unknown id", listener::send(fd, 12_345, 0, 0, 0));
    stage.fact("unknown flag", listener::send(fd, 12_345, 0, 0, 1 << 31));
    let mut id = 12_345_u64.to_ne_bytes();
    let valid = match sys::ioctl(fd, listener::ID_VALID, &mut id) {
        // The old number of the request, before 5.9.
        -22 => sys::ioctl(fd, 0x8008_2102, &mut id),
        result => result,
    };
    stage.fact("id valid for an unknown id", valid);
}

/// Two callers wait, first one, then the other. Shared with the probe of the order.
pub(crate) fn observe_order(stage: &Stage) {
    let fd = listener(stage);
    let first = Caller::start(stage, fd, 1);
    listener::wait_for_one(fd);
    let second = Caller::start(stage, fd, 2);
    waiting::until_blocked(second.pid);
    for name in ["received first", "received second"] {
        if let Ok(seen) = listener::receive(fd) {
            stage.fact(name, seen.first_argument as i64);
            listener::send(fd, seen.id, 0, 0, 0);
        }
    }
    let _ = (first.got(), second.got());
}

fn observe_add_fd(stage: &Stage) {
    let fd = listener(stage);
    let [reader, writer] = sys::pipe();
    let pid = stage.start(|_| {
        let _ = sys::number(libc::SYS_close, [writer as u64, 0, 0, 0, 0, 0]);
        let target = getppid();
        let byte = [b'!'];
        // SAFETY: one byte that lives until the call returns.
        let _ = unsafe { sys::raw(libc::SYS_write, [target as u64, byte.as_ptr() as u64, 1, 0, 0, 0]) };
    });
    if let Ok(seen) = listener::receive(fd) {
        stage.fact("bad source", listener::add_fd(fd, seen.id, 0, -1));
        stage.fact("unknown flag", listener::add_fd(fd, seen.id, 1 << 31, writer));
        let number = listener::add_fd(fd, seen.id, 0, writer);
        stage.fact("descriptor in the caller", number);
        listener::send(fd, seen.id, number, 0, 0);
    }
    finish(pid);
    // The write end is still open here, so that reading without a byte would wait for ever.
    let _ = sys::number(libc::SYS_close, [writer as u64, 0, 0, 0, 0, 0]);
    let mut byte = [0_u8];
    // SAFETY: room for one byte, which lives until the call returns.
    let read = unsafe { sys::raw(libc::SYS_read, [reader as u64, byte.as_mut_ptr() as u64, 1, 0, 0, 0]) };
    stage.fact("caller wrote to it", read);
}

fn observe_add_fd_send(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    if let Ok(seen) = listener::receive(fd) {
        let added = listener::add_fd(fd, seen.id, 2, 0);
        stage.fact("caller got the number", (added >= 0 && caller.got() == added).into());
        let again = listener::send(fd, seen.id, 0, 0, 0);
        stage.fact("send afterwards finds it answered", [ENOENT, EINPROGRESS].contains(&again).into());
    }
}

fn observe_set_flags(stage: &Stage) {
    let fd = listener(stage);
    let set = |flags: u64| {
        // The value itself is the argument, not a pointer to it.
        sys::number(libc::SYS_ioctl, [fd as u64, listener::SET_FLAGS, flags, 0, 0, 0])
    };
    stage.fact("sync wake-up", set(1));
    stage.fact("off again", set(0));
    stage.fact("unknown flag", set(2));
}

fn observe_sizes(stage: &Stage) {
    let mut sizes = [0_u16; 3];
    // SAFETY: room for the three numbers of struct seccomp_notif_sizes.
    let result = unsafe { sys::raw(libc::SYS_seccomp, [3, 0, sizes.as_mut_ptr() as u64, 0, 0, 0]) };
    if result != 0 {
        stage.fact("GET_NOTIF_SIZES", result);
    }
    stage.fact("struct seccomp_notif", sizes[0].into());
    stage.fact("struct seccomp_notif_resp", sizes[1].into());
    stage.fact("struct seccomp_data", sizes[2].into());
}

/// Shared with the probe of the hang-up.
pub(crate) fn observe_hang_up(stage: &Stage) {
    let (pid, fd) = hand_over(stage, || {
        loop {
            let _ = sys::number(libc::SYS_sched_yield, [0; 6]);
        }
    });
    if fd < 0 {
        return;
    }
    let hung_up = || i64::from(listener::poll(fd) & i64::from(libc::POLLHUP) != 0);
    stage.fact("hung up while it lives", hung_up());
    sys::kill(pid, libc::SIGKILL);
    finish(pid);
    stage.fact("hung up once reaped", hung_up());
}
