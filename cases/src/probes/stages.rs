//! The guest's side of the probes that are choreographies.

use crate::attached::{NOBODY, become_user};
use crate::listener::{self, CONTINUE, Caller};
use crate::themes::proc::status;
use crate::{Script, passing, tracee, waiting};
use atlas_edge::{Stage, sys};
use atlas_model::abi::offset;
use atlas_model::{Abi, Action, Filter, bpf};

/// `PTRACE_O_SUSPEND_SECCOMP`.
const SUSPEND: u64 = 1 << 21;
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";

pub(super) fn status_seccomp(stage: &Stage) {
    stage.fact("mode", status("/proc/self/status", "Seccomp"));
}

pub(super) fn status_filters(stage: &Stage) {
    stage.fact("count", status("/proc/self/status", "Seccomp_filters"));
}

pub(super) fn status_umask(stage: &Stage) {
    let status = sys::read_file("/proc/self/status").unwrap_or_default();
    stage.fact("lines", status.lines().filter(|line| line.starts_with("Umask:")).count() as i64);
}

pub(super) fn jit(stage: &Stage) {
    let write = |value: &str| match std::fs::write(JIT, value) {
        Ok(()) => 0,
        Err(error) => -i64::from(error.raw_os_error().unwrap_or(0)),
    };
    let before = sys::read_file(JIT).unwrap_or_else(|| "1".into());
    stage.fact("turned off", write("0"));
    stage.fact("turned on", write("1"));
    let _ = write(before.trim());
}

pub(super) fn jit_harden(stage: &Stage) {
    let text = sys::read_file("/proc/sys/net/core/bpf_jit_harden").unwrap_or_default();
    stage.fact("value", text.trim().parse().unwrap_or(-1));
}

fn words(stage: &Stage, path: &str) {
    stage.fact("words", sys::read_file(path).unwrap_or_default().split_whitespace().count() as i64);
}

pub(super) fn actions_avail(stage: &Stage) {
    words(stage, "/proc/sys/kernel/seccomp/actions_avail");
}

pub(super) fn actions_logged(stage: &Stage) {
    words(stage, "/proc/sys/kernel/seccomp/actions_logged");
}

/// A traced child that attaches a filter and stops; then `look` at it.
fn stopped_with_filter(stage: &Stage, flags: u32, look: impl FnOnce(i32)) {
    let pid = tracee::start(stage, 0, |stage| {
        let attached = match flags {
            0 => sys::install_by_prctl(&Filter(vec![bpf::ret(Action::Allow)])),
            flags => sys::install(&Filter(vec![bpf::ret(Action::Allow)]), flags),
        };
        stage.fact("attached", attached);
        sys::kill(std::process::id() as i32, libc::SIGSTOP);
    });
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    look(pid);
    sys::kill(pid, libc::SIGKILL);
}

pub(super) fn get_filter(stage: &Stage) {
    stopped_with_filter(stage, 0, |pid| stage.fact("length", tracee::get_filter(pid, 0, None)));
}

pub(super) fn get_metadata(stage: &Stage) {
    stopped_with_filter(stage, 2, |pid| {
        // struct seccomp_metadata: the filter's index, then the flags the kernel fills in.
        let mut metadata = [0_u64; 2];
        let size = size_of_val(&metadata) as u64;
        stage.fact("size", tracee::ptrace(0x420d, pid, size, metadata.as_mut_ptr() as u64));
        stage.fact("flags", metadata[1] as i64);
    });
}

pub(super) fn suspend(stage: &Stage) {
    let me = std::process::id();
    let filter = Filter(Script::on(Abi::X86_64, "getppid", Action::Errno(7)));
    let pid = tracee::start(stage, 0, move |stage| {
        stage.fact("attached", sys::install_by_prctl(&filter));
        let got = sys::number(libc::SYS_getppid, [0; 6]);
        stage.fact("call ran", (got == i64::from(me)).into());
    });
    stage.fact("option", tracee::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, SUSPEND));
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
}

/// A child of ours seized with the option, by a task that has no privilege.
pub(super) fn seize_suspended(stage: &Stage) {
    let _ = stage.child(|stage| {
        become_user(NOBODY);
        // Changing the user has made us undumpable, and so our child would not be traceable.
        let _ = sys::prctl(libc::PR_SET_DUMPABLE, [1, 0, 0, 0]);
        let pid = stage.start(|_| {
            let _ = sys::number(libc::SYS_pause, [0; 6]);
        });
        stage.fact("seize", tracee::ptrace(libc::PTRACE_SEIZE, pid, 0, SUSPEND));
        sys::kill(pid, libc::SIGKILL);
    });
}

/// A caller waits for a listener; `answer` gets the listener and the caller's notification.
fn one_call(stage: &Stage, answer: impl FnOnce(i32, u64)) {
    let filter = Filter(Script::on(Abi::X86_64, "getppid", Action::UserNotif));
    let listener = listener::attach(&filter, 0);
    stage.fact("listener", listener.min(0));
    if listener < 0 {
        return;
    }
    let me = std::process::id();
    let caller = Caller::start(stage, listener as i32, 0);
    match listener::receive(listener as i32) {
        Ok(seen) => answer(listener as i32, seen.id),
        Err(errno) => stage.fact("receive", errno),
    }
    // Whoever has not been answered gets ENOSYS from this.
    let _ = sys::number(libc::SYS_close, [listener as u64, 0, 0, 0, 0, 0]);
    let got = caller.got();
    stage.fact("caller got", got);
    stage.fact("caller got its parent", (got == i64::from(me)).into());
}

pub(super) fn receive(stage: &Stage) {
    one_call(stage, |fd, id| stage.fact("send", listener::send(fd, id, 4242, 0, 0)));
}

pub(super) fn go_on(stage: &Stage) {
    one_call(stage, |fd, id| stage.fact("send", listener::send(fd, id, 0, 0, CONTINUE)));
}

pub(super) fn id_valid(stage: &Stage) {
    one_call(stage, |fd, id| stage.fact("id valid", listener::id_valid(fd, id)));
}

pub(super) fn add_fd(stage: &Stage) {
    one_call(stage, |fd, id| stage.fact("descriptor", listener::add_fd(fd, id, 0, 0)));
}

pub(super) fn add_fd_send(stage: &Stage) {
    one_call(stage, |fd, id| stage.fact("descriptor", listener::add_fd(fd, id, 2, 0)));
}

pub(super) fn set_flags(stage: &Stage) {
    let filter = Filter(vec![bpf::ret(Action::Allow)]);
    let listener = listener::attach(&filter, 0);
    stage.fact("listener", listener.min(0));
    let request = [listener as u64, listener::SET_FLAGS, 1, 0, 0, 0];
    stage.fact("sync wake-up", sys::number(libc::SYS_ioctl, request));
}

pub(super) fn receive_dirty(stage: &Stage) {
    let filter = Filter(Script::on(Abi::X86_64, "getppid", Action::UserNotif));
    let fd = listener::attach(&filter, 0);
    if fd < 0 {
        return;
    }
    let pid = stage.start(|_| {
        let _ = sys::number(libc::SYS_getppid, [0; 6]);
    });
    listener::wait_for_one(fd as i32);
    stage.fact("receive", listener::receive_into(fd as i32, [1; 80]).err().unwrap_or(0));
    sys::kill(pid, libc::SIGKILL);
}

pub(super) fn zombie(stage: &Stage) {
    let (pid, fd) = passing::hand_over(stage, || sys::exit(0));
    if fd < 0 {
        return;
    }
    waiting::for_zombie(pid);
    stage.fact("hung up", (listener::poll(fd) & i64::from(libc::POLLHUP) != 0).into());
}

/// The cheapest of many calls under a filter of a thousand comparisons, by number alone and with a
/// look at an argument first. The clock is the processor's; only the ratio counts.
pub(super) fn cache(stage: &Stage) {
    let filter = |with_argument: bool| {
        let mut insns = if with_argument { vec![bpf::ld(offset::arg_low(0))] } else { Vec::new() };
        insns.push(bpf::ld(offset::NR));
        insns.extend((0..1000).map(|nr| bpf::jeq(10_000 + nr, 0, 0)));
        insns.push(bpf::ret(Action::Allow));
        Filter(insns)
    };
    for (name, with_argument) in [("by number alone", false), ("looking at an argument", true)] {
        let _ = stage.child(|stage| {
            if sys::install_by_prctl(&filter(with_argument)) != 0 {
                return;
            }
            let cheapest = (0..400)
                .map(|_| {
                    let before = sys::rdtsc();
                    let _ = sys::number(libc::SYS_getppid, [0; 6]);
                    sys::rdtsc() - before
                })
                .min();
            stage.fact(name, cheapest.unwrap_or(0) as i64);
        });
    }
}
