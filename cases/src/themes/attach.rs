//! Attaching filters, and the modes a task can be in.

use crate::case::case;
use crate::{Case, Script};
use atlas_model::bpf;
use atlas_model::traits::Feature;
use atlas_model::{Abi, Action};

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const BY_SECCOMP: &[Feature] = &[Feature::ModeFilter, Feature::SeccompSyscall];

fn allow_all() -> Vec<bpf::Insn> {
    vec![bpf::ret(Action::Allow)]
}

pub(crate) const CASES: &[Case] = &[
    case(
        "attach::by_prctl",
        "A filter attached by prctl(2) that allows everything changes nothing.",
        NEEDS,
        |abi| {
            Script::new(abi).no_new_privs().filter(allow_all()).call("getppid", []).call("gettid", []).done()
        },
    ),
    case("attach::by_seccomp", "A filter attached by seccomp(2) does the same.", BY_SECCOMP, |abi| {
        Script::new(abi).no_new_privs().filter_with(0, allow_all()).call("getppid", []).done()
    }),
    case(
        "attach::flag_log",
        "FILTER_FLAG_LOG does not change what a filter does.",
        &[Feature::FlagLog],
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter_with(2, Script::on(abi, "getppid", Action::Errno(5)))
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "attach::flag_spec_allow",
        "FILTER_FLAG_SPEC_ALLOW does not change what a filter does.",
        &[Feature::SpecAllow],
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter_with(4, Script::on(abi, "getppid", Action::Errno(5)))
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "attach::flag_new_listener",
        "FILTER_FLAG_NEW_LISTENER returns a descriptor.",
        &[Feature::NewListener],
        |abi| Script::new(abi).no_new_privs().filter_with(8, allow_all()).call("getppid", []).done(),
    ),
    case(
        "attach::second_listener",
        "A chain has one listener: EBUSY for another.",
        &[Feature::NewListener],
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter_with(8, allow_all())
                .filter_with(8, allow_all())
                .filter_with(0, allow_all())
                .done()
        },
    ),
    case("attach::mode_as_prctl_tells", "PR_GET_SECCOMP says 0, then 2.", NEEDS, |abi| {
        Script::new(abi).call("prctl", [21]).no_new_privs().filter(allow_all()).call("prctl", [21]).done()
    }),
    case(
        "attach::strict_after_filter",
        "Filter mode does not go back to strict mode: EINVAL by either call.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(allow_all())
                .call("prctl", [22, 1])
                .call("seccomp", [0, 0, 0])
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "attach::filter_after_strict",
        "Strict mode does not let a filter be attached.",
        &[Feature::ModeStrict],
        |abi| Script::new(abi).no_new_privs().strict().filter(allow_all()).done(),
    ),
    case(
        "attach::filter_judges_the_next_attach",
        "An attached filter judges the call that attaches the next.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(Script::on(Abi::X86_64, "prctl", Action::Errno(9)))
                .filter(allow_all())
                .call("prctl", [21])
                .done()
        },
    ),
    case(
        "attach::refused_filter_is_not_attached",
        "A filter that the checker refuses leaves nothing behind.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(vec![bpf::ld(64), bpf::ret_a()])
                .call("prctl", [21])
                .call("getppid", [])
                .done()
        },
    ),
];
