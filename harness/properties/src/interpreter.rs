//! What filters say of a call is what becomes of it.

use crate::script::{behind_guard, install, marked, steps};
use crate::trial::{Isolation, Property, Trial};
use atlas_model::arbitrary::{call, stack};
use atlas_model::bpf::Filter;
use atlas_model::experiment::{Call, Disposition, Op};
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

/// The calls run where the filters let them, so they are harmless ones, made beside calls that the
/// last filter has a word for and [`marked`] keeps from running.
fn stacks() -> BoxedStrategy<Trial> {
    let handling = prop::sample::select(vec![
        Disposition::Record,
        Disposition::Record,
        Disposition::Default,
        Disposition::Ignore,
    ]);
    let block = prop::bool::weighted(0.2);
    let own = (stack::stack_and_calls(), handling.clone(), block, prop::bool::weighted(0.9)).prop_map(
        |((filters, calls), handling, block, guarded)| {
            let filters = filters.into_iter().rev().collect();
            experiment(Some(marked()), filters, calls, handling, block, guarded)
        },
    );
    let harmless = (stack::stack(), prop::collection::vec(call::harmless(), 1..6), handling).prop_map(
        |(filters, calls, handling)| {
            experiment(None, filters.into_iter().rev().collect(), calls, handling, false, true)
        },
    );
    prop_oneof![2 => own, 1 => harmless].boxed()
}

/// An experiment that attaches filters, the oldest first, the first of all as it is and the others
/// guarded or not, and makes calls behind them.
pub(crate) fn experiment(
    first: Option<Filter>,
    filters: Vec<Filter>,
    calls: Vec<Call>,
    handling: Disposition,
    block: bool,
    guarded: bool,
) -> Trial {
    let mut ops = vec![Op::Sigsys(handling)];
    if block {
        ops.push(Op::MaskSigsys { block: true });
    }
    ops.extend(first.map(install));
    ops.extend(
        filters.into_iter().map(|filter| install(if guarded { behind_guard(&filter) } else { filter })),
    );
    ops.extend(calls.into_iter().map(Op::Call));
    steps(ops).into()
}
