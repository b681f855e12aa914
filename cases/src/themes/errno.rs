//! RET_ERRNO: the call does not run and an errno comes back.

use crate::case::{both, case};
use crate::script::{FD_WRITE, SCRATCH};
use crate::{Case, Script};
use atlas_model::traits::Feature;
use atlas_model::{Abi, Action, Experiment};

const NEEDS: &[Feature] = &[Feature::ModeFilter];

fn with(abi: Abi, data: u16) -> Experiment {
    Script::new(abi)
        .no_new_privs()
        .filter(Script::on(abi, "getppid", Action::Errno(data)))
        .call("getppid", [])
        .call("gettid", [])
        .done()
}

pub(crate) const CASES: &[Case] = &[
    both("errno::value", "The data comes back as a negative errno.", NEEDS, |abi| with(abi, 7)),
    both(
        "errno::zero_fakes_success",
        "Errno 0 lets a call that did not run look successful.",
        NEEDS,
        |abi| with(abi, 0),
    ),
    both("errno::highest", "4095 is the highest errno.", NEEDS, |abi| with(abi, 4095)),
    both(
        "errno::cap_4095",
        "4096 becomes 4095; before 4.0 it came through and looked like success.",
        NEEDS,
        |abi| with(abi, 4096),
    ),
    both("errno::cap_65535", "All data bits set become 4095 as well.", NEEDS, |abi| with(abi, 65_535)),
    case(
        "errno::restart_codes_come_through",
        "ERESTARTSYS and its like are no special values, where no signal waits.",
        NEEDS,
        |abi| with(abi, 512),
    ),
    case(
        "errno::call_does_not_run",
        "A write that gets an errno writes nothing: the next one is as it was.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(Script::on(abi, "write", Action::Errno(4)))
                .call("write", [FD_WRITE, SCRATCH, 8])
                .call("write", [9999, SCRATCH, 8])
                .done()
        },
    ),
    case("errno::exit_can_be_refused", "Even exit_group comes back.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .filter(Script::on(abi, "exit_group", Action::Errno(1)))
            .call("exit_group", [3])
            .call("getppid", [])
            .done()
    }),
];
