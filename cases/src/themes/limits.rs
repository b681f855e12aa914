//! How long filters and chains may be.

use crate::case::{Want, case, staged};
use crate::{Case, Fact, Script};
use atlas_edge::{Stage, sys};
use atlas_model::bpf::{self, Insn};
use atlas_model::traits::{Feature, Quirk, Traits};
use atlas_model::{Action, Filter};

const NEEDS: &[Feature] = &[Feature::ModeFilter];

fn of_length(length: usize) -> Vec<Insn> {
    vec![bpf::ret(Action::Allow); length]
}

pub(crate) const CASES: &[Case] = &[
    case("limits::longest_filter", "4096 instructions are accepted, 4097 refused.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .filter(of_length(4097))
            .filter(of_length(4096))
            .call("getppid", [])
            .done()
    }),
    case(
        "limits::longest_chain",
        "Filters of 4096 instructions until the chain is full: ENOMEM.",
        NEEDS,
        |abi| {
            (0..9)
                .fold(Script::new(abi).no_new_privs(), |script, _| script.filter(of_length(4096)))
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "limits::last_gap_of_a_chain",
        "A full chain still takes a filter that is short enough.",
        NEEDS,
        |abi| {
            let full =
                (0..8).fold(Script::new(abi).no_new_privs(), |script, _| script.filter(of_length(4096)));
            (1..=13)
                .rev()
                .fold(full, |script, bit| script.filter(of_length(1 << (bit - 1))))
                .call("getppid", [])
                .done()
        },
    ),
    staged(
        "limits::shortest_filters",
        "How many filters of one instruction a chain takes: each counts 4 more than its converted length.",
        NEEDS,
        observe_count,
        |traits: &Traits| {
            let count = if traits.shows(Quirk::ChainCountsClassic) {
                6554
            } else if traits.shows(Quirk::ChainSkipsNewest) {
                4682
            } else if traits.shows(Quirk::ChainShortPrologue) {
                4681
            } else {
                3641
            };
            vec![
                Fact { name: "filters attached", want: Want::Is(count) },
                Fact { name: "errno of the next", want: Want::Is(-12) },
            ]
        },
    ),
];

/// Attaches filters of one instruction until the kernel refuses. Shared with the probes of how a
/// chain is counted.
pub(crate) fn observe_count(stage: &Stage) {
    let filter = Filter(of_length(1));
    let _ = sys::no_new_privs();
    for count in 0..10_000 {
        let result = sys::install_by_prctl(&filter);
        if result != 0 {
            stage.fact("filters attached", count);
            stage.fact("errno of the next", result);
            return;
        }
    }
}
