//! A probe for each feature.

use super::stages;
use super::{ProbeBody, fact, last, signal, value};
use crate::Script;
use crate::program32;
use crate::script::{FD_READ, SCRATCH};
use crate::themes::{
    beside, capability, charged, entry, failed_clone, info, logging, namespace, notify, notify_stopped, ring,
    uprobe, vsyscall,
};
use atlas_model::experiment::Disposition;
use atlas_model::traits::Feature;
use atlas_model::{Abi, Action, Experiment, bpf};

const NATIVE: Abi = Abi::X86_64;
const SIGSYS: i32 = 31;
const SIGILL: i32 = 4;

fn script() -> Script {
    Script::new(NATIVE)
}

/// The call answered by a word, as root, so that nothing but the filter is needed.
fn answered(word: u32) -> Experiment {
    script().filter(Script::on_word(NATIVE, "getppid", word)).call("getppid", []).done()
}

/// A filter attached by seccomp(2) with flags, and the call it answers with errno 7.
fn flagged(flags: u32) -> Experiment {
    script().filter_with(flags, Script::on(NATIVE, "getppid", Action::Errno(7))).call("getppid", []).done()
}

fn attached_with_listener(flags: u32) -> Experiment {
    script().filter_with(flags, vec![bpf::ret(Action::Allow)]).done()
}

/// The probe of a feature.
pub(super) fn probe(feature: Feature) -> ProbeBody {
    use ProbeBody::{Choreography, Experiment};
    match feature {
        Feature::ModeStrict => Experiment(
            || script().strict().call("read", [FD_READ, SCRATCH, 1]).call("getppid", []).done(),
            |seen| Some(value(seen, 1) == Some(1) && signal(seen, 0) == Some(9)),
        ),
        Feature::NoNewPrivs => Experiment(
            || script().no_new_privs().call("prctl", [39]).done(),
            |seen| Some(last(seen) == Some(1)),
        ),
        Feature::ModeFilter | Feature::ActionErrno => {
            Experiment(|| answered(Action::Errno(7).word()), |seen| Some(last(seen) == Some(-7)))
        }
        Feature::ActionKillThread => Experiment(
            || {
                script()
                    .thread(1)
                    .task(1)
                    .filter(Script::on(NATIVE, "getppid", Action::KillThread))
                    .call("getppid", [])
                    .task(0)
                    .call("getppid", [])
                    .done()
            },
            |seen| Some(value(seen, 1) == Some(0) && value(seen, 2).is_none() && value(seen, 3) == Some(1)),
        ),
        Feature::ActionTrap => Experiment(
            || {
                script()
                    .sigsys(Disposition::Record)
                    .filter(Script::on(NATIVE, "getppid", Action::Trap(7)))
                    .call("getppid", [])
                    .done()
            },
            |seen| Some(seen.steps.last()?.traps.iter().any(|trap| trap.errno == 7)),
        ),
        Feature::ActionTrace => {
            Experiment(|| answered(Action::Trace(7).word()), |seen| Some(last(seen) == Some(-38)))
        }
        Feature::ActionAllow => Experiment(
            || script().filter(vec![bpf::ret(Action::Allow)]).call("getppid", []).done(),
            |seen| Some(value(seen, 0) == Some(0) && last(seen) == Some(1)),
        ),
        Feature::ActionLog => Experiment(
            || answered(Action::Log.word()),
            |seen| Some(value(seen, 0) == Some(0) && last(seen) == Some(1)),
        ),
        Feature::ActionUserNotif => {
            Experiment(|| answered(Action::UserNotif.word()), |seen| Some(last(seen) == Some(-38)))
        }
        Feature::ActionKillProcess => Experiment(
            || {
                script()
                    .thread(1)
                    .task(1)
                    .filter(Script::on(NATIVE, "getppid", Action::KillProcess))
                    .call("getppid", [])
                    .task(0)
                    .call("getppid", [])
                    .done()
            },
            // Kernels to 4.13 read it as KILL_THREAD, those that take it for unknown end the thread.
            |seen| Some(value(seen, 1) == Some(0) && signal(seen, 0) == Some(SIGSYS)),
        ),
        // The call may be there where filters are not: an unknown operation tells.
        Feature::SeccompSyscall => Experiment(
            || script().call("seccomp", [0xffff_ffff]).done(),
            |seen| Some(last(seen) == Some(-22)),
        ),
        Feature::FlagLog => Experiment(|| flagged(2), |seen| Some(last(seen) == Some(-7))),
        Feature::SpecAllow => Experiment(|| flagged(4), |seen| Some(last(seen) == Some(-7))),
        Feature::TsyncEsrch => Experiment(|| flagged(17), |seen| Some(last(seen) == Some(-7))),
        Feature::Tsync => Experiment(
            || {
                script()
                    .thread(1)
                    .filter_with(1, Script::on(NATIVE, "getppid", Action::Errno(7)))
                    .task(1)
                    .call("getppid", [])
                    .done()
            },
            |seen| Some(last(seen) == Some(-7)),
        ),
        Feature::NewListener => Experiment(|| attached_with_listener(8), |seen| Some(last(seen)? >= 0)),
        Feature::WaitKillable => Experiment(|| attached_with_listener(40), |seen| Some(last(seen)? >= 0)),
        Feature::GetActionAvail => Experiment(
            || {
                script()
                    .memory(0, &Action::Errno(0).word().to_le_bytes())
                    .call("seccomp", [2, 0, SCRATCH])
                    .done()
            },
            |seen| Some(last(seen) == Some(0)),
        ),
        Feature::GetNotifSizes => Experiment(
            || script().call("seccomp", [3, 0, SCRATCH]).done(),
            |seen| Some(last(seen) == Some(0)),
        ),
        Feature::Uretprobe => {
            Experiment(|| script().number(335, []).done(), |seen| Some(signal(seen, 0) == Some(SIGILL)))
        }
        Feature::Uprobe => {
            Experiment(|| script().number(336, []).done(), |seen| Some(matches!(last(seen), Some(-6 | -71))))
        }
        Feature::AbiI386 => Experiment(
            || script().by(Abi::I386).call("getppid", []).done(),
            |seen| Some(last(seen) == Some(1)),
        ),
        Feature::AbiX32 => Experiment(
            || script().by(Abi::X32).call("getppid", []).done(),
            |seen| Some(last(seen) == Some(1)),
        ),
        Feature::Clone3 => Choreography(entry::observe_clone3_there, |facts| Some(fact(facts, "made")? == 1)),
        Feature::IoUring => Choreography(ring::observe_ring, |facts| Some(fact(facts, "opened")? == 0)),
        Feature::SyscallUserDispatch => {
            Choreography(entry::observe_dispatch, |facts| Some(fact(facts, "off")? == 0))
        }
        Feature::Landlock => Choreography(beside::observe_version, |facts| Some(fact(facts, "version")? > 0)),
        Feature::MemoryControl => Choreography(charged::observe_charged, |facts| Some(!facts.is_empty())),
        Feature::FilterMemoryCharged => Choreography(charged::observe_charged, |facts| {
            Some(fact(facts, "half of what they take, at least").unwrap_or(0) == 1)
        }),
        Feature::EntrySysenter => {
            Choreography(program32::observe_entries, |facts| Some(fact(facts, "sysenter")? == 0))
        }
        Feature::EntrySyscall32 => {
            Choreography(program32::observe_entries, |facts| Some(fact(facts, "syscall")? == 0))
        }
        Feature::VsyscallPage => {
            Choreography(vsyscall::observe_page, |facts| Some(fact(facts, "calling it")? == 0))
        }
        Feature::VsyscallReadable => {
            Choreography(vsyscall::observe_page, |facts| Some(fact(facts, "reading it")? == 0))
        }
        Feature::UprobeEvents => Choreography(uprobe::observe_made, |facts| {
            Some(fact(facts, "entry")? == 0 && fact(facts, "return")? == 0)
        }),
        Feature::StatusSeccomp => {
            Choreography(stages::status_seccomp, |facts| Some(fact(facts, "mode")? == 0))
        }
        Feature::StatusUmask => Choreography(stages::status_umask, |facts| Some(fact(facts, "lines")? == 1)),
        Feature::StatusFilters => {
            Choreography(stages::status_filters, |facts| Some(fact(facts, "count")? == 0))
        }
        Feature::JitToggle => Choreography(stages::jit, |facts| {
            Some(fact(facts, "turned off")? == 0 && fact(facts, "turned on")? == 0)
        }),
        Feature::JitHarden => Choreography(stages::jit_harden, |facts| Some(fact(facts, "value")? >= 0)),
        Feature::ActionsAvail => Choreography(stages::actions_avail, |facts| Some(fact(facts, "words")? > 0)),
        Feature::ActionsLogged => {
            Choreography(stages::actions_logged, |facts| Some(fact(facts, "words")? > 0))
        }
        Feature::PtraceGetFilter => {
            Choreography(stages::get_filter, |facts| Some(fact(facts, "length")? == 1))
        }
        Feature::PtraceGetMetadata => {
            Choreography(stages::get_metadata, |facts| Some(fact(facts, "flags")? == 2))
        }
        Feature::PtraceSyscallInfo => {
            Choreography(info::observe_info, |facts| Some(fact(facts, "operation")? == 3))
        }
        Feature::NotifHangUp => {
            Choreography(notify::observe_hang_up, |facts| Some(fact(facts, "hung up once reaped")? == 1))
        }
        Feature::Freezer => {
            Choreography(notify_stopped::observe_freezer, |facts| Some(fact(facts, "freezes")? == 1))
        }
        Feature::PidNamespaces => {
            Choreography(namespace::observe_there, |facts| Some(fact(facts, "first process")? == 1))
        }
        Feature::UserNamespaces => {
            Choreography(capability::observe_namespace, |facts| Some(fact(facts, "unshare")? == 0))
        }
        Feature::LogRecords => {
            Choreography(logging::observe_records, |facts| Some(fact(facts, "records")? == 1))
        }
        Feature::Userfaultfd => {
            Choreography(failed_clone::observe_stopping, |facts| Some(fact(facts, "page")? == 0))
        }
        Feature::PtraceSetSyscallInfo => {
            Choreography(info::observe_set, |facts| Some(fact(facts, "mask that was set")? == 0o77))
        }
        Feature::SuspendSeccomp => Choreography(stages::suspend, |facts| {
            Some(fact(facts, "attached")? == 0 && fact(facts, "call ran").unwrap_or(0) == 1)
        }),
        Feature::NotifReceive => {
            Choreography(stages::receive, |facts| Some(fact(facts, "caller got").unwrap_or(0) == 4242))
        }
        Feature::NotifContinue => {
            Choreography(stages::go_on, |facts| Some(fact(facts, "caller got its parent").unwrap_or(0) == 1))
        }
        Feature::NotifIdValid => {
            Choreography(stages::id_valid, |facts| Some(fact(facts, "id valid").unwrap_or(-1) == 0))
        }
        Feature::NotifAddfd => {
            Choreography(stages::add_fd, |facts| Some(fact(facts, "descriptor").unwrap_or(-1) >= 0))
        }
        Feature::AddfdSend => {
            Choreography(stages::add_fd_send, |facts| Some(fact(facts, "descriptor").unwrap_or(-1) >= 0))
        }
        Feature::NotifSetFlags => {
            Choreography(stages::set_flags, |facts| Some(fact(facts, "sync wake-up").unwrap_or(-1) == 0))
        }
        // A thousand comparisons cost at least twice a cached answer, in any clock.
        Feature::ActionCache => Choreography(stages::cache, |facts| {
            Some(fact(facts, "looking at an argument")? > 2 * fact(facts, "by number alone")?)
        }),
    }
}
