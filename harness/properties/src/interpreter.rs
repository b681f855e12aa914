//! What filters say of a call is what becomes of it.

use crate::script::{RECORD, behind_guard, install, steps};
use crate::trial::{Isolation, Property, Trial};
use atlas_model::arbitrary::{call, program, stack};
use atlas_model::bpf::{Filter, op};
use atlas_model::experiment::{Call, Op};
use atlas_model::{Action, Insn};
use proptest::prelude::*;

pub(crate) const INTERPRETER: Property = Property {
    name: "interpreter",
    about: "For every stack of filters and call, what the kernel does is what the model says: value, errno, \
            SIGSYS and its siginfo, death.",
    isolation: Isolation::Shared,
    share: 300,
    strategy: stacks,
    statement: |_, _| Vec::new(),
};

pub(crate) const DATA: Property = Property {
    name: "data",
    about: "Every bit of SECCOMP_RET_DATA reaches user space as the program computed it, compiled or interpreted.",
    isolation: Isolation::Shared,
    share: 150,
    strategy: traps,
    statement: |_, _| Vec::new(),
};

/// The calls run where the filters let them, so they are harmless ones, made beside calls that the
/// last filter has a word for and [`marked`](crate::script::marked) keeps from running.
fn stacks() -> BoxedStrategy<Trial> {
    let own = (stack::stack_and_calls(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.9)).prop_map(
        |((filters, calls), record, block, guarded)| {
            let mut all = vec![crate::script::marked()];
            all.extend(filters.into_iter().rev());
            experiment(all, calls, record, block && record, guarded)
        },
    );
    let harmless = (stack::stack(), prop::collection::vec(call::harmless(), 1..6), any::<bool>()).prop_map(
        |(filters, calls, record)| {
            experiment(filters.into_iter().rev().collect(), calls, record, false, true)
        },
    );
    prop_oneof![2 => own, 1 => harmless].boxed()
}

fn experiment(filters: Vec<Filter>, calls: Vec<Call>, record: bool, block: bool, guarded: bool) -> Trial {
    let mut ops = Vec::new();
    if record {
        ops.push(RECORD);
    }
    if block {
        ops.push(Op::MaskSigsys { block: true });
    }
    ops.extend(
        filters.into_iter().map(|filter| install(if guarded { behind_guard(&filter) } else { filter })),
    );
    ops.extend(calls.into_iter().map(Op::Call));
    steps(ops).into()
}

/// Programs whose constants say TRAP, the one action whose data comes back whole: `si_errno`.
fn traps() -> BoxedStrategy<Trial> {
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
        .prop_map(|(filter, calls)| {
            let ops = [RECORD, install(crate::script::marked()), install(behind_guard(&filter))];
            steps(ops.into_iter().chain(calls.into_iter().map(Op::Call))).into()
        })
        .boxed()
}
