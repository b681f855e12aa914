//! The kernel's codes for restarts, 512 to 516, as answers of filters and listeners while a signal waits.
//!
//! They are for the kernel's own calls, and no errno that user space is to see. What a filter or a listener
//! answers stands in the result register all the same when a signal is delivered, and is taken for one there
//! (arch/x86/kernel/signal.c, `handle_signal` and `arch_do_signal_or_restart`).

use super::stops::{SYSGOOD, to_call};
use super::tracer::{GETPPID, call, on};
use crate::attached::attach;
use crate::case::{is, named, staged};
use crate::handed::{getppid, listener_with};
use crate::listener::{self, Caller, WAIT_KILLABLE};
use crate::{Case, Fact, Script, tracee, waiting};
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action};
use std::sync::atomic::Ordering::SeqCst;

/// With tracers that stop before filters judge, as since 4.8.
const TRACED: &[Feature] = &[Feature::ModeFilter, Feature::PtraceSyscallInfo];
const KILLABLE: &[Feature] = &[Feature::NotifReceive, Feature::WaitKillable];
const ENOSYS: i64 = -38;
const EINTR: i64 = -4;
const RESTART: i32 = libc::SA_RESTART;

pub(crate) const CASES: &[Case] = &[
    staged(
        "restart::errno_under_a_handler",
        "An errno that is a restart code is taken for one where a handler runs: EINTR, or the call is judged again.",
        TRACED,
        |stage| HANDLED.iter().for_each(|one| handled(stage, one)),
        |_: &Traits| HANDLED.iter().flat_map(Answered::facts).collect(),
    ),
    staged(
        "restart::errno_without_a_handler",
        "Where a signal comes to nothing the call is judged again; 516 makes restart_syscall of it, which is judged too.",
        TRACED,
        observe_dropped,
        |_: &Traits| {
            let mut facts: Vec<Fact> = DROPPED.iter().flat_map(Answered::facts).collect();
            facts.extend([
                is("516: restart_syscall", EINTR),
                is("516: restart_syscall that is answered", -99),
            ]);
            facts
        },
    ),
    staged(
        "restart::answer_of_a_listener",
        "A listener's answer is taken for one too, where a signal came while nothing but death could wake the caller.",
        KILLABLE,
        |stage| SENT.iter().for_each(|one| sent(stage, one)),
        |_: &Traits| SENT.iter().flat_map(Answered::facts).collect(),
    ),
];

/// A code that a filter or listener answers, and what comes of it.
struct Answered {
    code: i32,
    /// Flags of the handler.
    flags: i32,
    /// What the caller gets, if only once somebody answered it again.
    got: i64,
    /// How often the call was judged.
    judged: i64,
}

const fn answered(code: i32, flags: i32, got: i64, judged: i64) -> Answered {
    Answered { code, flags, got, judged }
}

/// Once judged again no signal waits, and the code reaches the caller.
const HANDLED: &[Answered] = &[
    answered(512, 0, EINTR, 1),
    answered(512, RESTART, -512, 2),
    answered(513, 0, -513, 2),
    answered(514, RESTART, EINTR, 1),
    answered(515, RESTART, -515, 1),
    answered(516, RESTART, EINTR, 1),
    answered(517, RESTART, -517, 1),
];

const DROPPED: &[Answered] = &[
    answered(512, 0, -512, 2),
    answered(513, 0, -513, 2),
    answered(514, 0, -514, 2),
    answered(515, 0, -515, 1),
];

const SENT: &[Answered] =
    &[answered(512, 0, EINTR, 1), answered(512, RESTART, 4242, 2), answered(513, 0, 4242, 2)];

impl Answered {
    fn name(&self, what: &str) -> String {
        let flags = if self.flags == RESTART { " with SA_RESTART" } else { "" };
        format!("{}{flags}: {what}", self.code)
    }

    fn facts(&self) -> [Fact; 2] {
        let fact = |what, value| named(self.name(what), value);
        [fact("caller got", self.got), fact("times judged", self.judged)]
    }

    fn report(&self, stage: &Stage, got: i64, judged: i64) {
        stage.fact(&self.name("caller got"), got);
        stage.fact(&self.name("times judged"), judged);
    }
}

/// A tracee whose getppid is answered with a code, and which a signal waits for when that happens: what its call
/// returned, and how often it was judged. `delivered` is what the tracer lets it have of the signal.
fn signalled(stage: &Stage, code: i32, signal: i32, delivered: i32, before: impl FnOnce()) -> (i64, i64) {
    let got = waiting::shared_number();
    let pid = tracee::start(stage, SYSGOOD, move |_| {
        before();
        attach(on("getppid", Action::Errno(code as u16)));
        got.store(call(GETPPID), SeqCst);
    });
    to_call(pid, GETPPID);
    sys::kill(pid, signal);
    let (mut judged, mut pass_on) = (1, 0);
    loop {
        let status = tracee::resume_with(pid, libc::PTRACE_SYSCALL, pass_on) as i32;
        if !libc::WIFSTOPPED(status) {
            return (got.load(SeqCst), judged);
        }
        pass_on = if libc::WSTOPSIG(status) == signal { delivered } else { 0 };
        let regs = tracee::registers(pid);
        // At a call's entry the result register holds -ENOSYS (arch/x86/entry/entry_64.S).
        judged += i64::from(pass_on == 0 && regs.orig_rax == GETPPID && regs.rax as i64 == ENOSYS);
    }
}

fn handled(stage: &Stage, one: &Answered) {
    let flags = one.flags;
    let before = move || waiting::count_signals(libc::SIGUSR1, flags);
    let (got, judged) = signalled(stage, one.code, libc::SIGUSR1, libc::SIGUSR1, before);
    one.report(stage, got, judged);
}

fn observe_dropped(stage: &Stage) {
    for one in DROPPED {
        let (got, judged) = signalled(stage, one.code, libc::SIGUSR1, 0, || {});
        one.report(stage, got, judged);
    }
    stage.fact("516: restart_syscall", signalled(stage, 516, libc::SIGUSR1, 0, || {}).0);
    let answer = || attach(Script::on(Abi::X86_64, "restart_syscall", Action::Errno(99)));
    stage.fact("516: restart_syscall that is answered", signalled(stage, 516, libc::SIGUSR1, 0, answer).0);
}

/// A process each, since a chain of filters has one listener.
fn sent(stage: &Stage, one: &Answered) {
    let _ = stage.child(|stage| {
        let fd = listener_with(stage, WAIT_KILLABLE);
        let flags = one.flags;
        let caller = Caller::start_with(stage, fd, move |_| {
            waiting::count_signals(libc::SIGUSR1, flags);
            getppid()
        });
        let Ok(seen) = listener::receive(fd) else { return };
        sys::kill(caller.pid, libc::SIGUSR1);
        waiting::until(|| waiting::state(caller.pid) == 'D');
        listener::send(fd, seen.id, 0, -one.code, 0);
        // It comes again, or ends: then there is nobody to receive from, and no hang-up while we are filtered.
        waiting::until(|| {
            listener::poll(fd) & i64::from(libc::POLLIN) != 0 || waiting::state(caller.pid) == 'Z'
        });
        let again = waiting::state(caller.pid) != 'Z'
            && listener::receive(fd).is_ok_and(|seen| listener::send(fd, seen.id, 4242, 0, 0) == 0);
        one.report(stage, caller.got(), 1 + i64::from(again));
    });
}
