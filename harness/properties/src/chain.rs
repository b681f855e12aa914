//! How many instructions a task may carry.

use crate::script::{install, steps};
use crate::trial::{Isolation, Property, Trial};
use atlas_model::bpf::{self, CHAIN_LIMIT, ChainUnit, Filter, MAX_INSNS, attached_len};
use atlas_model::experiment::{Call, Op};
use atlas_model::{Abi, Action};
use proptest::prelude::*;

pub(crate) const CHAIN: Property = Property {
    name: "chain",
    about: "The filters of a task count up to the limit, each with its penalty, and not one instruction beyond.",
    isolation: Isolation::Bare,
    share: 8,
    strategy,
    statement: |_, _| Vec::new(),
};

/// What every attached filter counts beside its instructions.
const PENALTY: usize = 4;
/// What the long filters leave for the last one.
const ROOM: usize = 32;

/// Long filters, and a last one that ends within a few instructions of the limit as the newest kernels
/// count; one more of a single instruction after it.
fn strategy() -> BoxedStrategy<Trial> {
    (0..4_usize, -6..=6_i64, any::<bool>())
        .prop_map(|(shorter, beyond, loads)| {
            let long = filler(MAX_INSNS - shorter, loads);
            let each = attached(&long) + PENALTY;
            let count = (CHAIN_LIMIT - ROOM) / each;
            let mut filters = vec![long; count];
            let target = CHAIN_LIMIT as i64 + beyond;
            let reaches = |last: usize| (count * each + attached(&filler(last, loads))) as i64 >= target;
            let last = (1..MAX_INSNS).find(|&last| reaches(last)).unwrap_or(MAX_INSNS);
            filters.push(filler(last, loads));
            filters.push(filler(1, loads));
            let call = Call { abi: Abi::X86_64, nr: 39, args: [0; 6] };
            steps(filters.into_iter().map(install).chain([Op::Call(call)])).into()
        })
        .boxed()
}

fn attached(filter: &Filter) -> usize {
    attached_len(filter, ChainUnit::EbpfPrologue3)
}

/// A filter of this length that allows everything; loads cost the kernel more than one instruction.
fn filler(length: usize, loads: bool) -> Filter {
    let body = if loads { bpf::ld(0) } else { bpf::imm(0) };
    Filter(std::iter::repeat_n(body, length - 1).chain([bpf::ret(Action::Allow)]).collect())
}
