//! Chains, privilege, flags and TSYNC.

use crate::script::{Script, allow, on_getppid};
use atlas_model::Action;
use atlas_model::bpf::{self, Insn};
use atlas_model::mutant::Mutant;

const TSYNC: u32 = 1;
const NEW_LISTENER: u32 = 8;
const TSYNC_ESRCH: u32 = 16;
const WAIT_KILLABLE_RECV: u32 = 32;

/// A filter that counts four more than it has instructions: loads, a return of two, a prologue of three.
fn long(length: usize) -> Vec<Insn> {
    let mut filter = vec![bpf::ld(0); length - 1];
    filter.push(bpf::ret(Action::Allow));
    filter
}

/// A chain of 32,768 and this: seven filters of 4100 and 4 each, and a last one of 4040.
fn chain(more: usize) -> Script {
    let seven = (0..7).fold(Script::new(), |script, _| script.filter(long(4096)));
    seven.filter(long(4036 + more))
}

pub(crate) fn witness(mutant: Mutant) -> Option<Script> {
    let refuse = || on_getppid(Action::Errno(1).word());
    let alone = |flags| Script::new().attach(0, flags, allow());
    Some(match mutant {
        Mutant::ChainLimitLess => chain(0),
        Mutant::ChainLimitMore | Mutant::ChainErrno => chain(1),
        // Of eight filters each counts one, three less; of seven each four less.
        Mutant::ConversionMissing => chain(8),
        Mutant::PrologueMissing => chain(24),
        Mutant::PenaltyMissing => chain(28),
        Mutant::AccessErrno | Mutant::PrivilegeNotNeeded => Script::new().nobody().filter(allow()),
        Mutant::AccessLast => Script::new().nobody().filter(vec![bpf::imm(0)]),
        Mutant::NoNewPrivsNotEnough => Script::new().no_new_privs().nobody().filter(allow()),
        Mutant::CapabilityNotEnough => alone(0),
        Mutant::SecondListener => alone(NEW_LISTENER).attach(0, NEW_LISTENER, allow()),
        Mutant::UnknownFlagAccepted => alone(1 << 20),
        Mutant::AmbiguousAccepted => alone(TSYNC | NEW_LISTENER),
        Mutant::WaitKillableAlone => alone(WAIT_KILLABLE_RECV),
        Mutant::TsyncDivergedZero => Script::new().thread().attach(1, 0, allow()).attach(0, TSYNC, allow()),
        Mutant::TsyncEsrchIgnored => {
            Script::new().thread().attach(1, 0, allow()).attach(0, TSYNC | TSYNC_ESRCH, allow())
        }
        Mutant::TsyncSpreadsNothing | Mutant::TsyncKeepsMode => {
            Script::new().thread().attach(0, TSYNC, refuse()).getppid(1).attach(1, TSYNC, allow())
        }
        Mutant::AttachSpreads => Script::new().thread().attach(0, 0, refuse()).getppid(1),
        Mutant::TsyncStrictFollows => Script::new().thread().strict(1).attach(0, TSYNC, allow()),
        Mutant::TsyncAncestorRefused => {
            Script::new().filter(allow()).thread().filter(allow()).attach(0, TSYNC, allow())
        }
        Mutant::TsyncSameContent => {
            Script::new().thread().attach(1, 0, allow()).filter(allow()).attach(0, TSYNC, allow())
        }
        Mutant::TsyncForgetsNnp => {
            Script::new().thread().no_new_privs().attach(0, TSYNC, allow()).has_no_new_privs(1)
        }
        _ => return None,
    })
}
