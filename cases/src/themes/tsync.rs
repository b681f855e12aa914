//! FILTER_FLAG_TSYNC: one filter for every thread.

use crate::case::case;
use crate::{Case, Script};
use atlas_model::bpf;
use atlas_model::traits::Feature;
use atlas_model::{Abi, Action, Insn};

const NEEDS: &[Feature] = &[Feature::Tsync];
const TSYNC: u32 = 1;
const ESRCH: u32 = 16;

fn errno(data: u16) -> Vec<Insn> {
    Script::on(Abi::X86_64, "getppid", Action::Errno(data))
}

fn allow_all() -> Vec<Insn> {
    vec![bpf::ret(Action::Allow)]
}

pub(crate) const CASES: &[Case] = &[
    case("tsync::alone", "TSYNC without other threads attaches as usual.", NEEDS, |abi| {
        Script::new(abi).no_new_privs().filter_with(TSYNC, errno(1)).call("getppid", []).done()
    }),
    case(
        "tsync::unfiltered_siblings_join",
        "Threads without filters get the filter, no_new_privs and the mode.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .thread(1)
                .thread(2)
                .no_new_privs()
                .filter_with(TSYNC, errno(2))
                .task(1)
                .call("getppid", [])
                .call("prctl", [39])
                .call("prctl", [21])
                .task(2)
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "tsync::siblings_with_an_ancestor_follow",
        "Threads whose filters are the caller's older ones follow.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(allow_all())
                .thread(1)
                .filter(allow_all())
                .filter_with(TSYNC, errno(3))
                .task(1)
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "tsync::diverged_sibling_is_named",
        "A thread with a filter of its own: its id comes back and nothing is attached.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .thread(1)
                .thread(2)
                .task(2)
                .filter(allow_all())
                .task(0)
                .filter_with(TSYNC, errno(4))
                .call("getppid", [])
                .call("prctl", [21])
                .task(1)
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "tsync::equal_filter_is_no_ancestor",
        "The same program attached twice is two filters.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .thread(1)
                .filter(allow_all())
                .task(1)
                .filter(allow_all())
                .task(0)
                .filter_with(TSYNC, errno(5))
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "tsync::diverged_sibling_as_esrch",
        "With TSYNC_ESRCH the answer is ESRCH.",
        &[Feature::TsyncEsrch],
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .thread(1)
                .task(1)
                .filter(allow_all())
                .task(0)
                .filter_with(TSYNC | ESRCH, errno(6))
                .call("getppid", [])
                .done()
        },
    ),
    case("tsync::esrch_alone", "TSYNC_ESRCH without TSYNC changes nothing.", &[Feature::TsyncEsrch], |abi| {
        Script::new(abi)
            .no_new_privs()
            .thread(1)
            .filter_with(ESRCH, errno(7))
            .call("getppid", [])
            .task(1)
            .call("getppid", [])
            .done()
    }),
    case("tsync::strict_sibling", "A thread in strict mode cannot follow.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .thread(1)
            .task(1)
            .strict()
            .task(0)
            .filter_with(TSYNC, errno(8))
            .call("getppid", [])
            .done()
    }),
    case(
        "tsync::dead_sibling_does_not_count",
        "Once the diverged thread is gone TSYNC succeeds.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .thread(1)
                .task(1)
                .filter(allow_all())
                .task(0)
                .filter_with(TSYNC, errno(9))
                .task(1)
                .call("exit", [0])
                .task(0)
                .filter_with(TSYNC, errno(10))
                .call("getppid", [])
                .done()
        },
    ),
    case("tsync::other_processes_are_left_alone", "TSYNC ends at the process.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .fork(1)
            .filter_with(TSYNC, errno(11))
            .call("getppid", [])
            .task(1)
            .call("getppid", [])
            .done()
    }),
    case("tsync::from_a_thread", "A thread that is not the leader synchronises the leader.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .thread(1)
            .task(1)
            .filter_with(TSYNC, errno(12))
            .task(0)
            .call("getppid", [])
            .done()
    }),
    case(
        "tsync::nnp_for_filtered_siblings",
        "Siblings that follow with older filters get no_new_privs as well; before 4.5 they did not.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .filter(allow_all())
                .thread(1)
                .no_new_privs()
                .filter_with(TSYNC, allow_all())
                .task(1)
                .call("prctl", [39])
                .done()
        },
    ),
    case(
        "tsync::prctl_never_synchronises",
        "A filter attached by prctl(2) stays with its thread.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .thread(1)
                .filter(errno(13))
                .call("getppid", [])
                .task(1)
                .call("getppid", [])
                .done()
        },
    ),
];
