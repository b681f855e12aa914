//! RET_TRAP: SIGSYS with what the handler needs to know.

use crate::case::{both, case};
use crate::{Case, Script};
use atlas_model::bpf;
use atlas_model::experiment::{Disposition, Op};
use atlas_model::traits::Feature;
use atlas_model::{Abi, Action};

const NEEDS: &[Feature] = &[Feature::ModeFilter];

fn handled(abi: Abi, data: u16) -> Script {
    Script::new(abi).no_new_privs().sigsys(Disposition::Record).filter(Script::on(
        abi,
        "getppid",
        Action::Trap(data),
    ))
}

pub(crate) const CASES: &[Case] = &[
    both(
        "trap::siginfo",
        "The handler sees code, data, number, arch and the address after the call.",
        NEEDS,
        |abi| handled(abi, 42).call("getppid", []).call("gettid", []).done(),
    ),
    both("trap::all_data_bits", "All 16 data bits reach si_errno, without a cap.", NEEDS, |abi| {
        handled(abi, 65_535).call("getppid", []).done()
    }),
    both(
        "trap::result_is_the_number",
        "A handler that changes nothing leaves the number as the result.",
        NEEDS,
        |abi| handled(abi, 0).call("getppid", [1, 2, 3, 4, 5, 6]).done(),
    ),
    case("trap::again_and_again", "Every call is trapped anew.", NEEDS, |abi| {
        handled(abi, 1).call("getppid", []).call("getppid", []).call("getppid", []).done()
    }),
    case("trap::default_disposition_kills", "Without a handler SIGSYS ends the process.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .filter(Script::on(abi, "getppid", Action::Trap(1)))
            .call("getppid", [])
            .done()
    }),
    case("trap::ignored_kills", "Ignoring SIGSYS does not help.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .sigsys(Disposition::Ignore)
            .filter(Script::on(abi, "getppid", Action::Trap(1)))
            .call("getppid", [])
            .done()
    }),
    case("trap::blocked_kills", "Nor does blocking it, handler or not.", NEEDS, |abi| {
        handled(abi, 1).op(Op::MaskSigsys { block: true }).call("getppid", []).done()
    }),
    case("trap::unblocked_again", "Once unblocked the handler runs.", NEEDS, |abi| {
        handled(abi, 1)
            .op(Op::MaskSigsys { block: true })
            .op(Op::MaskSigsys { block: false })
            .call("getppid", [])
            .done()
    }),
    case(
        "trap::sigreturn_is_judged",
        "The handler's return is a call like any other: with an errno the handler cannot end.",
        NEEDS,
        |abi| {
            handled(abi, 1)
                .filter(Script::on(abi, "rt_sigreturn", Action::Errno(1)))
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "trap::trap_in_the_handler_kills",
        "SIGSYS is blocked while its handler runs, so a trapped return ends the process.",
        NEEDS,
        |abi| {
            handled(abi, 1)
                .filter(Script::on(abi, "rt_sigreturn", Action::Trap(2)))
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "trap::kills_every_thread",
        "SIGSYS without a handler ends the process, not the thread.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .thread(1)
                .task(1)
                .filter(Script::on(abi, "getppid", Action::Trap(1)))
                .call("getppid", [])
                .task(0)
                .call("gettid", [])
                .done()
        },
    ),
    case(
        "trap::everything",
        "A filter that traps everything traps the handler's return as well.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .sigsys(Disposition::Record)
                .filter(vec![bpf::ret(Action::Trap(3))])
                .call("getppid", [])
                .done()
        },
    ),
];
