//! What a tracer is told.

use crate::script::{RECORD, behind_guard, install, steps};
use crate::trial::{Isolation, Property, Trial};
use atlas_model::Action;
use atlas_model::arbitrary::{call, edge, program};
use atlas_model::bpf::{self, Filter};
use atlas_model::experiment::Op;
use proptest::prelude::*;

pub(crate) const TRACED: Property = Property {
    name: "traced",
    about: "A tracer is told every call that TRACE wins for, with the data that the filter gave, and of no other; \
            then the call runs.",
    isolation: Isolation::Furnished,
    share: 20,
    strategy,
    statement: |_, _| Vec::new(),
};

/// Filters of which several say TRACE, and harmless calls.
fn strategy() -> BoxedStrategy<Trial> {
    let trace = || any::<u16>().prop_map(Action::Trace);
    let actions = (trace(), trace(), 1..4000_u16, any::<u16>()).prop_map(|(one, other, errno, trap)| {
        vec![one, one, other, Action::Errno(errno), Action::Trap(trap), Action::Allow]
    });
    let whole = actions.prop_flat_map(program::returning);
    // The data from a register: what the program makes of an argument.
    let computed = (0..6_u32, edge::word()).prop_map(|(arg, mixed)| {
        Filter(vec![
            bpf::ld(atlas_model::abi::offset::arg_low(arg)),
            bpf::alu(bpf::op::XOR, mixed),
            bpf::alu(bpf::op::AND, 0xffff),
            bpf::alu(bpf::op::OR, Action::Trace(0).word()),
            bpf::ret_a(),
        ])
    });
    let filters = prop::collection::vec(prop_oneof![2 => whole, 1 => computed], 1..3);
    (filters, prop::collection::vec(call::harmless(), 1..5))
        .prop_map(|(filters, calls)| {
            let attach = filters.iter().map(|filter| install(behind_guard(filter)));
            let mut experiment =
                steps([RECORD].into_iter().chain(attach).chain(calls.into_iter().map(Op::Call)));
            experiment.tracer = true;
            experiment.into()
        })
        .boxed()
}
