//! Strict mode, inheritance and what tasks are told.

use crate::script::{Script, allow, on_getppid};
use atlas_model::experiment::{Disposition, layout};
use atlas_model::mutant::Mutant;
use atlas_model::{Abi, Action};

const READ: [u64; 3] = [layout::FD_READ, layout::SCRATCH, 1];

pub(crate) fn witness(mutant: Mutant) -> Option<Script> {
    let strict = || Script::new().strict(0);
    let refuse = || on_getppid(Action::Errno(1).word());
    let trap = || on_getppid(Action::Trap(1).word());
    let handled = || Script::new().sigsys(Disposition::Record);
    // SECCOMP_GET_ACTION_AVAIL of a word in the scratch area.
    let available = |word| Script::new().memory(word).call(0, 317, &[2, 0, layout::SCRATCH]);
    Some(match mutant {
        Mutant::StrictAllowsMore => strict().call(0, 231, &[5]),
        Mutant::StrictForbidsRead => strict().call(0, 0, &READ),
        Mutant::StrictForbidsWrite => strict().call(0, 1, &[layout::FD_WRITE, layout::SCRATCH, 1]),
        Mutant::StrictForbidsExit => strict().call(0, 60, &[5]),
        Mutant::StrictI386Numbers => strict().call_by(Abi::I386, 0, 3, &READ),
        Mutant::StrictMasksX32 => strict().call_by(Abi::X32, 0, u64::from(Abi::X32_BIT), &READ),
        Mutant::StrictSignal => strict().getppid(0),
        Mutant::StrictKillsProcess => Script::new().thread().strict(1).getppid(1).getppid(0),
        Mutant::StrictRdtsc => strict().rdtsc(),
        Mutant::StrictAfterFilter => Script::new().filter(allow()).strict(0),
        Mutant::ForbiddenActs => Script::new().watched("mkdir", Action::Errno(1)),
        Mutant::LeaderStatusStays => Script::new().thread().call(0, 60, &[7]).call(1, 60, &[3]),
        Mutant::ExecDropsFilters => Script::new().filter(refuse()).exec().getppid(0),
        Mutant::ExecKeepsHandler => handled().filter(trap()).exec().getppid(0),
        Mutant::ForkDropsFilters => Script::new().filter(refuse()).fork().getppid(1),
        Mutant::ThreadDropsFilters => Script::new().filter(refuse()).thread().getppid(1),
        Mutant::ForkDropsNnp => Script::new().no_new_privs().fork().has_no_new_privs(1),
        Mutant::ThreadDropsNnp => Script::new().no_new_privs().thread().has_no_new_privs(1),
        Mutant::ForkDropsMask => handled().block().fork().attach(1, 0, trap()).getppid(1),
        Mutant::ForkDropsHandler => handled().fork().attach(1, 0, trap()).getppid(1),
        Mutant::NnpForProcess => Script::new().thread().no_new_privs().has_no_new_privs(1),
        Mutant::GetSeccompOne => Script::new().filter(allow()).call(0, 157, &[21]),
        Mutant::AvailAlways => available(0x0001_0000),
        Mutant::AvailIgnoresData => available(Action::Errno(1).word()),
        _ => return None,
    })
}
