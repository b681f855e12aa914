//! User notification: whose listener it is, and what becomes of it.

use super::namespace;
use crate::case::{is, staged};
use crate::handed::{filter, finish, getppid, listener};
use crate::listener::{self, CONTINUE, Caller};
use crate::{Case, Script, waiting};
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action, Filter};
use std::sync::atomic::Ordering::SeqCst;

const NEEDS: &[Feature] = &[Feature::NotifReceive];
const NAMESPACES: &[Feature] = &[Feature::NotifReceive, Feature::PidNamespaces];
const ENOSYS: i64 = -38;

pub(crate) const CASES: &[Case] = &[
    staged(
        "notify::descriptor",
        "A listener is closed by execve, and neither read nor write does anything to it.",
        NEEDS,
        observe_descriptor,
        |_: &Traits| {
            vec![
                is("flags of the descriptor", libc::FD_CLOEXEC.into()),
                is("open for reading and writing", 1),
                is("read", -22),
                is("write", -22),
                is("an unknown request", -22),
            ]
        },
    ),
    staged(
        "notify::id_valid_by_either_number",
        "ID_VALID's first number, whose direction was wrong, goes on working.",
        &[Feature::NotifIdValid],
        observe_id_valid,
        |_: &Traits| vec![is("as corrected", 0), is("as it was", 0)],
    ),
    staged(
        "notify::receive_is_interrupted",
        "A signal interrupts a supervisor that waits for a call: EINTR, and the next call is received.",
        NEEDS,
        observe_receive_interrupted,
        |_: &Traits| vec![is("receive", -4), is("received then", 77), is("caller got", 4242)],
    ),
    staged(
        "notify::receive_faults",
        "A buffer that cannot be written costs the listener an error and the caller nothing.",
        NEEDS,
        observe_fault,
        |_: &Traits| {
            vec![
                is("into unmapped memory", -14),
                is("into memory that is read only", -14),
                is("poll", libc::POLLIN.into()),
                is("into good memory", 77),
                is("caller got", 4242),
            ]
        },
    ),
    staged(
        "notify::inherited_filter",
        "Children of a filtered task notify the same listener; a child of the supervisor may answer.",
        NEEDS,
        observe_inherited,
        |_: &Traits| {
            vec![is("pid is the grandchild's", 1), is("a child of ours sent", 0), is("grandchild got", 4242)]
        },
    ),
    staged(
        "notify::thread_calls",
        "The pid in a notification is the calling thread's.",
        NEEDS,
        observe_thread,
        |_: &Traits| vec![is("it is the thread's id", 1), is("and not the process's", 1)],
    ),
    staged(
        "notify::child_pid_namespace",
        "A listener sees a caller's pid as its own namespace numbers it.",
        NAMESPACES,
        observe_child_namespace,
        |_: &Traits| {
            vec![is("the caller calls itself", 1), is("the listener calls it as its parent does", 1)]
        },
    ),
    staged(
        "notify::sibling_pid_namespace",
        "A caller that the listener's namespace does not have is pid 0.",
        NAMESPACES,
        observe_sibling_namespace,
        |_: &Traits| vec![is("pid as a stranger sees it", 0), is("caller got", 4242)],
    ),
    staged(
        "notify::newest_filter_hides_the_listener",
        "A newer filter's USER_NOTIF without a listener wins: ENOSYS, and the older filter's listener hears nothing.",
        NEEDS,
        observe_hidden,
        |_: &Traits| vec![is("caller got", ENOSYS), is("poll", 0)],
    ),
    staged(
        "notify::continue_over_trace",
        "CONTINUE is the last word: an older filter's TRACE, which without a tracer is ENOSYS, is not asked.",
        &[Feature::NotifContinue],
        observe_continue_over_trace,
        |_: &Traits| vec![is("caller got its parent", 1)],
    ),
    staged(
        "notify::with_tsync",
        "A listener and TSYNC go together with TSYNC_ESRCH: the other threads' calls are notified.",
        &[Feature::NotifReceive, Feature::Tsync, Feature::TsyncEsrch],
        observe_tsync,
        |_: &Traits| vec![is("listener", 1), is("the other thread got", 4242)],
    ),
    staged(
        "notify::sync_wake_up",
        "With the synchronous wake-up calls are answered as without it.",
        &[Feature::NotifSetFlags],
        |stage| {
            let fd = listener(stage);
            let request = [fd as u64, listener::SET_FLAGS, 1, 0, 0, 0];
            stage.fact("set", sys::number(libc::SYS_ioctl, request));
            for value in [1, 2] {
                let caller = Caller::start(stage, fd, 0);
                if let Ok(seen) = listener::receive(fd) {
                    listener::send(fd, seen.id, value, 0, 0);
                }
                stage.fact("caller got", caller.got());
            }
        },
        |_: &Traits| vec![is("set", 0), is("caller got", 1), is("caller got", 2)],
    ),
];

fn observe_descriptor(stage: &Stage) {
    let fd = listener(stage) as u64;
    let fcntl = |command: i32| sys::number(libc::SYS_fcntl, [fd, command as u64, 0, 0, 0, 0]);
    stage.fact("flags of the descriptor", fcntl(libc::F_GETFD));
    let mode = fcntl(libc::F_GETFL) & i64::from(libc::O_ACCMODE);
    stage.fact("open for reading and writing", (mode == i64::from(libc::O_RDWR)).into());
    let mut byte = [0_u8];
    for (name, nr) in [("read", libc::SYS_read), ("write", libc::SYS_write)] {
        // SAFETY: one byte, which lives until the call returns.
        stage.fact(name, unsafe { sys::raw(nr, [fd, byte.as_mut_ptr() as u64, 1, 0, 0, 0]) });
    }
    stage.fact("an unknown request", sys::number(libc::SYS_ioctl, [fd, 0x2142, 0, 0, 0, 0]));
}

fn observe_id_valid(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    let Ok(seen) = listener::receive(fd) else { return };
    stage.fact("as corrected", listener::id_valid(fd, seen.id));
    stage.fact("as it was", sys::ioctl(fd, 0x8008_2102, &mut seen.id.to_ne_bytes()));
    listener::send(fd, seen.id, 0, 0, 0);
    let _ = caller.got();
}

fn observe_receive_interrupted(stage: &Stage) {
    let fd = listener(stage);
    let me = std::process::id() as i32;
    waiting::count_signals(libc::SIGUSR1, 0);
    let signaller = stage.start(|_| {
        waiting::until_blocked(me);
        sys::kill(me, libc::SIGUSR1);
    });
    stage.fact("receive", listener::receive(fd).err().unwrap_or(0));
    finish(signaller);
    let caller = Caller::start(stage, fd, 77);
    if let Ok(seen) = listener::receive(fd) {
        stage.fact("received then", seen.first_argument as i64);
        listener::send(fd, seen.id, 4242, 0, 0);
    }
    stage.fact("caller got", caller.got());
}

fn observe_fault(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 77);
    listener::wait_for_one(fd);
    let into = |address: u64| sys::number(libc::SYS_ioctl, [fd as u64, listener::RECV, address, 0, 0, 0]);
    let unmapped = atlas_model::experiment::layout::UNMAPPED;
    stage.fact("into unmapped memory", into(unmapped));
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let read_only = sys::mmap(0, 4096, libc::PROT_READ, flags, -1, 0) as u64;
    stage.fact("into memory that is read only", into(read_only));
    stage.fact("poll", listener::poll(fd));
    if let Ok(seen) = listener::receive(fd) {
        stage.fact("into good memory", seen.first_argument as i64);
        listener::send(fd, seen.id, 4242, 0, 0);
    }
    stage.fact("caller got", caller.got());
}

fn observe_inherited(stage: &Stage) {
    let fd = listener(stage);
    let [got, pid] = [waiting::shared_number(), waiting::shared_number()];
    let child = stage.start(|stage| {
        let grandchild = stage.start(|_| {
            sys::close(fd);
            got.store(getppid(), SeqCst);
        });
        pid.store(grandchild.into(), SeqCst);
        finish(grandchild);
    });
    let Ok(seen) = listener::receive(fd) else { return };
    waiting::until(|| pid.load(SeqCst) != 0);
    stage.fact("pid is the grandchild's", (i64::from(seen.pid) == pid.load(SeqCst)).into());
    let _ = stage.child(|stage| {
        stage.fact("a child of ours sent", listener::send(fd, seen.id, 4242, 0, 0));
    });
    finish(child);
    stage.fact("grandchild got", got.load(SeqCst));
}

fn observe_thread(stage: &Stage) {
    let fd = listener(stage);
    let thread = waiting::shared_number();
    let pid = stage.start(|_| {
        let call = || {
            thread.store(sys::number(libc::SYS_gettid, [0; 6]), SeqCst);
            getppid()
        };
        let _ = std::thread::spawn(call).join();
    });
    let Ok(seen) = listener::receive(fd) else { return };
    stage.fact("it is the thread's id", (i64::from(seen.pid) == thread.load(SeqCst)).into());
    stage.fact("and not the process's", (seen.pid != pid as u32).into());
    listener::send(fd, seen.id, 0, 0, 0);
    finish(pid);
}

fn observe_child_namespace(stage: &Stage) {
    let fd = listener(stage);
    let pid = namespace::fork(|| {
        stage.fact("the caller calls itself", std::process::id().into());
        getppid();
    });
    if let Ok(seen) = listener::receive(fd) {
        stage.fact("the listener calls it as its parent does", (seen.pid == pid as u32).into());
        listener::send(fd, seen.id, 0, 0, 0);
    }
    finish(pid);
}

fn observe_sibling_namespace(stage: &Stage) {
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    // Whoever receives is in a namespace of its own, which the caller is not in.
    let receiver = namespace::fork(|| {
        if let Ok(seen) = listener::receive(fd) {
            stage.fact("pid as a stranger sees it", seen.pid.into());
            listener::send(fd, seen.id, 4242, 0, 0);
        }
    });
    finish(receiver);
    stage.fact("caller got", caller.got());
}

fn observe_hidden(stage: &Stage) {
    let fd = listener(stage);
    let _ = sys::install(&filter(), 0);
    let caller = Caller::start(stage, fd, 0);
    stage.fact("caller got", caller.got());
    stage.fact("poll", listener::poll(fd));
}

fn observe_continue_over_trace(stage: &Stage) {
    let _ = sys::no_new_privs();
    let _ = sys::install(&Filter(Script::on(Abi::X86_64, "getppid", Action::Trace(1))), 0);
    let fd = listener(stage);
    let caller = Caller::start(stage, fd, 0);
    if let Ok(seen) = listener::receive(fd) {
        listener::send(fd, seen.id, 0, 0, CONTINUE);
    }
    stage.fact("caller got its parent", (caller.got() == i64::from(std::process::id())).into());
}

fn observe_tsync(stage: &Stage) {
    let go = waiting::shared_number();
    let thread = std::thread::spawn(move || {
        waiting::until(|| go.load(SeqCst) == 1);
        getppid()
    });
    let _ = sys::no_new_privs();
    // TSYNC and TSYNC_ESRCH.
    let fd = listener::attach(&filter(), 1 | 16);
    stage.fact("listener", (fd >= 0).into());
    go.store(1, SeqCst);
    if let Ok(seen) = listener::receive(fd as i32) {
        listener::send(fd as i32, seen.id, 4242, 0, 0);
    }
    stage.fact("the other thread got", thread.join().unwrap_or(0));
}
