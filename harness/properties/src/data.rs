//! What a program computes reaches user space bit by bit.

use crate::script::{RECORD, behind_guard, install, marked, steps};
use crate::trial::{Isolation, Property, Trial};
use atlas_model::arbitrary::{call, edge, program};
use atlas_model::bpf::{self, Filter, MEMORY_WORDS, op};
use atlas_model::experiment::{Call, Op};
use atlas_model::{Action, Insn};
use proptest::prelude::*;

pub(crate) const DATA: Property = Property {
    name: "data",
    about: "Every bit of SECCOMP_RET_DATA reaches user space as the program computed it, compiled or interpreted.",
    isolation: Isolation::Bare,
    share: 200,
    strategy,
    statement: |_, _| Vec::new(),
};

fn strategy() -> BoxedStrategy<Trial> {
    prop_oneof![2 => straight(), 1 => branching()].boxed()
}

/// Programs without jumps that compute a word and return it as the data of TRAP, the one action whose
/// data comes back whole: `si_errno`. Both halves of the word are folded into the sixteen bits.
fn straight() -> BoxedStrategy<Trial> {
    let body = prop::collection::vec(operation(), 1..24);
    let filled = prop::collection::vec(edge::word(), MEMORY_WORDS);
    let calls = prop::collection::vec(call::call(), 1..4);
    // Without a guard A and X are as the kernel leaves them; then one call is all.
    (filled, body, calls, prop::option::weighted(0.3, Just(())), any::<bool>())
        .prop_map(|(filled, body, calls, bare, uses_memory)| {
            let stores = filled.iter().zip(0..).flat_map(|(&word, at)| [bpf::ldx_imm(word), bpf::stx(at)]);
            let stores: Vec<Insn> = if uses_memory { stores.collect() } else { Vec::new() };
            let body = body.into_iter().filter(|insn| uses_memory || !uses(insn));
            let fold = [
                bpf::tax(),
                bpf::alu(op::RSH, 16),
                bpf::alu_x(op::XOR),
                bpf::alu(op::AND, 0xffff),
                bpf::alu(op::OR, Action::Trap(0).word()),
                bpf::ret_a(),
            ];
            let filter = Filter(stores.into_iter().chain(body).chain(fold).collect());
            match bare {
                Some(()) => trial(filter, calls.into_iter().take(1)),
                None => trial(behind_guard(&filter), calls),
            }
        })
        .boxed()
}

fn uses(insn: &Insn) -> bool {
    matches!(insn.code, op::LD_MEM | op::LDX_MEM)
}

fn operation() -> BoxedStrategy<Insn> {
    let operations = vec![op::ADD, op::SUB, op::MUL, op::DIV, op::OR, op::AND, op::XOR, op::LSH, op::RSH];
    let by_constant = (prop::sample::select(operations.clone()), edge::word()).prop_map(|(operation, k)| {
        let k = match operation {
            op::LSH | op::RSH => k % 32,
            op::DIV => k.max(1),
            _ => k,
        };
        bpf::alu(operation, k)
    });
    // X holds what came before, k must not count.
    let by_x = (prop::sample::select(operations), edge::word())
        .prop_map(|(operation, k)| Insn { k, ..bpf::alu_x(operation) });
    let word = 0..MEMORY_WORDS as u32;
    prop_oneof![
        3 => (0..16_u32).prop_map(|index| bpf::ld(4 * index)),
        1 => edge::word().prop_map(bpf::imm),
        2 => edge::word().prop_map(bpf::ldx_imm),
        // Counts around the width of the register.
        1 => (28..36_u32).prop_map(bpf::ldx_imm),
        1 => word.clone().prop_map(bpf::st),
        1 => word.clone().prop_map(bpf::stx),
        2 => word.clone().prop_map(bpf::ld_mem),
        2 => word.prop_map(bpf::ldx_mem),
        4 => by_constant,
        4 => by_x,
        1 => Just(bpf::neg()),
        1 => Just(bpf::tax()),
        1 => Just(bpf::txa()),
        1 => Just(bpf::ld_len()),
        1 => Just(bpf::ldx_len()),
    ]
    .boxed()
}

/// Programs of every shape whose constants say TRAP.
fn branching() -> BoxedStrategy<Trial> {
    let trap = |insn: Insn| match insn.code {
        op::RET_K => Insn { k: Action::Trap(insn.k as u16).word(), ..insn },
        _ => insn,
    };
    program::valid()
        .prop_flat_map(move |filter| {
            let filter = Filter(filter.iter().copied().map(trap).collect());
            let calls = prop::collection::vec(call::near_program(&filter), 1..8);
            (Just(filter), calls)
        })
        .prop_map(|(filter, calls)| trial(behind_guard(&filter), calls))
        .boxed()
}

fn trial(filter: Filter, calls: impl IntoIterator<Item = Call>) -> Trial {
    let attach = [RECORD, install(marked()), install(filter)];
    steps(attach.into_iter().chain(calls.into_iter().map(Op::Call))).into()
}
