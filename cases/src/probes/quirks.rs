//! A probe for each quirk. Each also shows that what it builds on is there, and else cannot tell.

use super::stages;
use super::{ProbeBody, fact, last, signal, value};
use crate::Script;
use crate::themes::{
    charged, compat, failed_clone, notify, notify_end, notify_queue, proc, ptrace, vsyscall,
};
use atlas_model::bpf::{self, Insn, op};
use atlas_model::experiment::{CLONE_VM, Disposition, Program, Via};
use atlas_model::observation::{End, Observation};
use atlas_model::traits::Quirk;
use atlas_model::{Abi, Action, Experiment};

const NATIVE: Abi = Abi::X86_64;
const EINVAL: i64 = -22;
const EFAULT: i64 = -14;

fn script() -> Script {
    Script::new(NATIVE)
}

fn allow_all() -> Vec<Insn> {
    vec![bpf::ret(Action::Allow)]
}

/// A harmless filter, which must be accepted, then one that is in question.
fn accepted(insn: Insn) -> Experiment {
    script().filter(allow_all()).filter(vec![insn, bpf::ret(Action::Allow)]).done()
}

fn answered(word: u32) -> Experiment {
    script().filter(Script::on_word(NATIVE, "getppid", word)).call("getppid", []).done()
}

/// A filter on a number answers it with errno 7.
fn number(nr: u32) -> Experiment {
    let filter = vec![bpf::ld(0), bpf::jeq(nr, 0, 1), bpf::ret(Action::Errno(7)), bpf::ret(Action::Allow)];
    script().filter(filter).number(nr.into(), []).done()
}

/// `Some` of the answer where the first step attached its filter.
fn if_attached(seen: &Observation, answer: bool) -> Option<bool> {
    (value(seen, 0) == Some(0)).then_some(answer)
}

/// A chain of longest filters. Three leave room for a fourth that is a little shorter where filters are
/// converted with one instruction in front, and for a fourth and fifth of full length where they are
/// counted otherwise (`atlas_model::bpf::ChainUnit`).
fn chain() -> Experiment {
    let long = |length| vec![bpf::ret(Action::Allow); length];
    let three = (0..3).fold(script(), |script, _| script.filter(long(bpf::MAX_INSNS)));
    let shorter = three.fork(1).filter(long(4086));
    shorter.task(1).filter(long(bpf::MAX_INSNS)).filter(long(bpf::MAX_INSNS)).done()
}

/// Whether the shorter fourth, the longest fourth and the fifth filter of [`chain`] were attached.
fn chain_took(seen: &Observation) -> Option<[bool; 3]> {
    if_attached(seen, true)?;
    Some([4, 5, 6].map(|step| value(seen, step) == Some(0)))
}

/// The probe of a quirk.
pub(super) fn probe(quirk: Quirk) -> ProbeBody {
    use ProbeBody::{Choreography, Experiment};
    match quirk {
        Quirk::VsyscallKills => Choreography(vsyscall::observe_filtered, |facts| {
            (fact(facts, "calling it")? == 0).then(|| fact(facts, "filtered") == Some(1009))
        }),
        Quirk::XorRefused => Experiment(
            || accepted(bpf::alu(op::XOR, 1)),
            |seen| if_attached(seen, value(seen, 1) == Some(EINVAL)),
        ),
        Quirk::WideShiftAccepted => Experiment(
            || accepted(bpf::alu(op::LSH, 32)),
            |seen| if_attached(seen, value(seen, 1) == Some(0)),
        ),
        Quirk::ReciprocalDivision => Experiment(
            || {
                let seven = [bpf::imm(7), bpf::alu(op::DIV, 1), bpf::alu(op::OR, 0x0005_0000)];
                script().filter(Script::computing(NATIVE, &seven)).call("getppid", []).done()
            },
            |seen| if_attached(seen, last(seen) != Some(-7)),
        ),
        Quirk::ChainCountsClassic => Experiment(chain, |seen| Some(chain_took(seen)?[2])),
        Quirk::ChainSkipsNewest => {
            Experiment(chain, |seen| chain_took(seen).map(|[_, fourth, fifth]| fourth && !fifth))
        }
        Quirk::ChainShortPrologue => {
            Experiment(chain, |seen| chain_took(seen).map(|[short, fourth, _]| short && !fourth))
        }
        Quirk::ChainBeforePrivilege => Experiment(
            || {
                let long = || vec![bpf::ret(Action::Allow); bpf::MAX_INSNS];
                let full = (0..8).fold(script(), |script, _| script.filter(long()));
                full.become_nobody().filter(long()).done()
            },
            |seen| if_attached(seen, last(seen) == Some(-12)),
        ),
        Quirk::ErrnoUncapped => Experiment(
            || answered(Action::Errno(u16::MAX).word()),
            |seen| if_attached(seen, last(seen) == Some(-65_535)),
        ),
        Quirk::NullInsnsFault => Experiment(
            || script().filter(allow_all()).install(Via::Prctl, Program::NullInsns(1)).done(),
            |seen| if_attached(seen, last(seen) == Some(EFAULT)),
        ),
        Quirk::TsyncSkipsNnp => Experiment(
            || {
                let script = script().filter(allow_all()).thread(1).no_new_privs();
                script.filter_with(1, allow_all()).task(1).call("prctl", [39]).done()
            },
            |seen| (value(seen, 3) == Some(0)).then(|| last(seen) == Some(0)),
        ),
        Quirk::TraceNoRecheck => Choreography(ptrace::observe_recheck, |facts| {
            Some(fact(facts, "rewritten call came back as")? != -9)
        }),
        Quirk::ActionHighBitIgnored => {
            Experiment(|| answered(0x8005_0001), |seen| if_attached(seen, last(seen) == Some(-1)))
        }
        Quirk::UnknownActionKillsThread => Experiment(
            || {
                script()
                    .thread(1)
                    .task(1)
                    .filter(Script::on_word(NATIVE, "getppid", 0x7ffe_0000))
                    .call("getppid", [])
                    .task(0)
                    .call("getppid", [])
                    .done()
            },
            |seen| (value(seen, 1) == Some(0)).then(|| signal(seen, 0).is_none()),
        ),
        Quirk::KillCountsZombies => Experiment(
            || {
                let script = script().filter(Script::on(NATIVE, "getppid", Action::KillThread)).thread(1);
                script.call("exit", [7]).task(1).call("getppid", []).done()
            },
            |seen| if_attached(seen, signal(seen, 1).is_none()),
        ),
        Quirk::NumberAsErrno => Experiment(
            || {
                let trapped = Script::on_number(-512, Action::Trap(1));
                script().filter(trapped).sigsys(Disposition::Record).number(-512_i64 as u64, []).done()
            },
            |seen| if_attached(seen, last(seen) == Some(-4)),
        ),
        Quirk::KilledKeepMode => {
            Choreography(proc::observe_killed, |facts| match fact(facts, "by a filter")? {
                2 => Some(true),
                3 => Some(false),
                _ => None,
            })
        }
        Quirk::LeaderGivesStatus => Experiment(
            || script().thread(1).call("exit", [7]).task(1).call("exit", [3]).done(),
            |seen| match seen.tasks.get(1)?.end {
                End::Exited(7) => Some(true),
                End::Exited(3) => Some(false),
                _ => None,
            },
        ),
        Quirk::FilterMitigates => Choreography(charged::observe_mitigated, |facts| {
            (fact(facts, "before")? == 3).then(|| fact(facts, "store bypass") == Some(1))
        }),
        Quirk::StrictNativeNumbers => Experiment(
            // i386's umask, which has the number of the native exit.
            || script().strict().by(Abi::I386).number(60, [0o77]).done(),
            |seen| match (value(seen, 0)?, value(seen, 1), signal(seen, 0)) {
                (0, Some(_), None) => Some(true),
                (0, None, Some(9)) => Some(false),
                _ => None,
            },
        ),
        Quirk::ForkLeaksArch => Choreography(compat::observe_fork, |facts| {
            (fact(facts, "fork")? > 0).then(|| fact(facts, "child's native call") == Some(-7))
        }),
        Quirk::TsyncListenerAccepted => Experiment(
            || script().call("seccomp", [1, 8, 0]).call("seccomp", [1, 9, 0]).done(),
            |seen| (value(seen, 0) == Some(EFAULT)).then(|| last(seen) == Some(EFAULT)),
        ),
        Quirk::ListenerNoCompat => Choreography(compat::observe_ioctl, |facts| {
            match (fact(facts, "native")?, fact(facts, "by i386")?) {
                (-2, -25) => Some(true),
                (-2, -2) => Some(false),
                _ => None,
            }
        }),
        Quirk::RecvDirtyBuffer => {
            Choreography(stages::receive_dirty, |facts| Some(fact(facts, "receive")? == 0))
        }
        Quirk::NotifNewestFirst => {
            Choreography(notify::observe_order, |facts| Some(fact(facts, "received first")? == 2))
        }
        Quirk::ZombieHoldsFilter => Choreography(stages::zombie, |facts| Some(fact(facts, "hung up")? == 0)),
        Quirk::DumpKillsSharers => Experiment(
            || {
                let script = script().clone_with(1, CLONE_VM).task(1);
                let script = script.filter(Script::on(NATIVE, "getppid", Action::Trap(0)));
                script.call("getppid", []).task(0).call("gettid", []).done()
            },
            |seen| {
                let killed = value(seen, 1) == Some(0) && signal(seen, 1) == Some(31);
                killed.then(|| signal(seen, 0) == Some(31))
            },
        ),
        Quirk::RecvWaitsForNobody => {
            Choreography(notify_end::observe_nobody, |facts| Some(fact(facts, "receive")? == 1))
        }
        Quirk::NumberHighBitsRefused => {
            Experiment(|| script().number(1 << 32 | 110, []).done(), |seen| Some(last(seen)? == -38))
        }
        Quirk::NumberCutBySeccomp => Experiment(
            || {
                let script = script().number(1 << 32 | 110, []).no_new_privs();
                script.filter(vec![bpf::ret(Action::Allow)]).number(1 << 32 | 110, []).done()
            },
            // The supervisor, process 1, is the parent.
            |seen| {
                let cut = value(seen, 0) == Some(-38) && last(seen) == Some(1);
                (value(seen, 2) == Some(0)).then_some(cut)
            },
        ),
        Quirk::SuspendBySeize => Choreography(stages::seize_suspended, |facts| match fact(facts, "seize")? {
            0 => Some(true),
            -1 => Some(false),
            _ => None,
        }),
        Quirk::TsyncStaleCount => {
            Choreography(proc::observe_stale_count, |facts| match fact(facts, "count of the sibling")? {
                0 => Some(true),
                1 => Some(false),
                _ => None,
            })
        }
        Quirk::TsyncTraceBypass => {
            Choreography(ptrace::observe_parked, |facts| Some(fact(facts, "parked call was filtered")? == 0))
        }
        Quirk::FailedCloneKeepsFilter => Choreography(failed_clone::observe, |facts| {
            let seen = fact(facts, "without a clone")? & i64::from(libc::POLLHUP) != 0
                && fact(facts, "clone")? == -12;
            seen.then_some(fact(facts, "once all are gone")? == 0)
        }),
        Quirk::AddfdEarlyReturn => Choreography(notify_queue::observe_interrupted, |facts| {
            match (fact(facts, "add")?, fact(facts, "caller got")?) {
                (-4, 0) => Some(true),
                // Or there is no ADDFD.
                (-4, 4242) | (-22, _) => Some(false),
                _ => None,
            }
        }),
        Quirk::AddfdSendLost => Choreography(notify_queue::observe_send_interrupted, |facts| {
            match (fact(facts, "add")?, fact(facts, "caller got")?) {
                (-4, 0) => Some(true),
                // Or SEND is no flag here, which nothing can be lost by.
                (-4 | -22, _) => Some(false),
                _ => None,
            }
        }),
        Quirk::UretprobeExempt => {
            Experiment(|| number(335), |seen| if_attached(seen, last(seen) != Some(-7)))
        }
        Quirk::UprobeExempt => Experiment(|| number(336), |seen| if_attached(seen, last(seen) != Some(-7))),
    }
}
