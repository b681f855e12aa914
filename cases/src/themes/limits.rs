//! How long filters and chains may be.

use crate::case::{case, is, staged};
use crate::{Case, Script};
use atlas_edge::{Stage, sys};
use atlas_model::abi::offset;
use atlas_model::bpf::{self, Insn};
use atlas_model::expect::dialect;
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action, Filter};

const NEEDS: &[Feature] = &[Feature::ModeFilter];

/// Allows all. What no call reaches is made of instructions that take the kernel little time.
fn of_length(length: usize) -> Vec<Insn> {
    let mut filter = vec![bpf::imm(0); length];
    filter[0] = bpf::ret(Action::Allow);
    filter[length - 1] = bpf::ret(Action::Allow);
    filter
}

/// The same of instructions that count twice when converted.
fn of_returns(length: usize) -> Vec<Insn> {
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
            (0..8)
                .fold(Script::new(abi).no_new_privs(), |script, _| script.filter(of_returns(4096)))
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
    case(
        "limits::jump_heavy",
        "A program of 4096 instructions, nearly all of them jumps, is compiled and right (CVE-2015-4700).",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(jump_heavy(abi))
                .call("getppid", [])
                .call("getuid", [])
                .done()
        },
    )
    .alone(),
    staged(
        "limits::shortest_filters",
        "How many filters of one instruction fit on top of long ones: each counts 4 more than its converted length.",
        NEEDS,
        observe_count,
        |traits: &Traits| {
            vec![is("filters attached", shortest_that_fit(traits)), is("errno of the next", -12)]
        },
    ),
];

/// Jumps whose compiled length depends on how far they reach, which depends on the length of others: the
/// compiler has to go over them until nothing moves any more (arch/x86/net/bpf_jit_comp.c
/// bpf_int_jit_compile). All of them are taken or not by the number alone, and lead to the end.
fn jump_heavy(abi: Abi) -> Vec<Insn> {
    let number = crate::script::number(abi, "getppid");
    // A load of an argument ends the trial of each number that is made when the filter is attached
    // (kernel/seccomp.c seccomp_is_const_allow); to try them all would take longer than all else here.
    let mut filter = vec![bpf::ld(offset::arg_low(0)), bpf::ld(offset::NR)];
    while filter.len() < bpf::MAX_INSNS - 3 {
        let left = bpf::MAX_INSNS - 3 - filter.len();
        let far = left.min(120) as u8;
        match filter.len() % 4 {
            0 => filter.push(bpf::jgt(number + 100_000, far, 0)),
            1 => filter.push(bpf::jeq(u32::MAX - left as u32, far, 0)),
            2 => filter.push(bpf::jset(0x8000_0000, far, 0)),
            _ => filter.push(bpf::ja(0)),
        }
    }
    filter.extend([bpf::jeq(number, 0, 1), bpf::ret(Action::Errno(7)), bpf::ret(Action::Allow)]);
    filter
}

/// Three of the longest, and one that leaves little of a chain that counts converted instructions.
const LONG: [usize; 4] = [bpf::MAX_INSNS, bpf::MAX_INSNS, bpf::MAX_INSNS, 3700];

/// As the model counts.
fn shortest_that_fit(traits: &Traits) -> i64 {
    let unit = dialect(traits).chain_unit;
    let length = |count| bpf::attached_len(&of_returns(count), unit);
    let fits = |attached: &i64| {
        let below = LONG.into_iter().map(length);
        let chain = below.chain(std::iter::repeat_n(length(1), *attached as usize));
        !bpf::chain_fits(bpf::kernel_len(&of_returns(1), unit), chain)
    };
    (0..).find(fits).unwrap_or(0)
}

fn observe_count(stage: &Stage) {
    let _ = sys::no_new_privs();
    for length in LONG {
        let _ = sys::install_by_prctl(&Filter(of_returns(length)));
    }
    let shortest = Filter(of_returns(1));
    for count in 0..10_000 {
        let result = sys::install_by_prctl(&shortest);
        if result != 0 {
            stage.fact("filters attached", count);
            stage.fact("errno of the next", result);
            return;
        }
    }
}
