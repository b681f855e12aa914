//! What filters say of a call is what becomes of it.

use crate::script::{behind_guard, install, marked, steps};
use crate::trial::{Isolation, Property, Trial};
use atlas_model::abi::offset;
use atlas_model::arbitrary::{call, stack};
use atlas_model::bpf::{self, Filter, op};
use atlas_model::experiment::{Call, Disposition, Op};
use atlas_model::{Abi, Action};
use proptest::prelude::*;

pub(crate) const INTERPRETER: Property = Property {
    name: "interpreter",
    about: "For every stack of filters and call, what the kernel does is what the model says: value, errno, \
            SIGSYS and its siginfo, death.",
    isolation: Isolation::Bare,
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
    prop_oneof![24 => own, 12 => harmless, 1 => beyond()].boxed()
}

/// Numbers far beyond every table, trapped. Among them are those that are errnos of the kernel's own by another
/// name, but for -513, which may take a task for ever.
fn beyond() -> BoxedStrategy<Trial> {
    const NUMBERS: [i32; 10] = [-1, -2, -4095, -511, -512, -514, -515, -516, -517, i32::MIN];
    let number = prop::sample::select(NUMBERS.to_vec());
    let call =
        (prop::sample::select(Abi::ALL.to_vec()), number, any::<bool>()).prop_map(|(abi, nr, signed)| {
            // The native ABIs' register has 64 bits, of which filters see the lower half.
            let nr = if signed && abi != Abi::I386 { i64::from(nr) as u64 } else { u64::from(nr as u32) };
            Call { abi, nr, args: [0; 6] }
        });
    (prop::collection::vec(call, 1..8), any::<u16>())
        .prop_map(|(calls, data)| {
            let filter = Filter(vec![
                bpf::ld(offset::NR),
                bpf::jump(op::JGE, i32::MAX as u32, 0, 1),
                bpf::ret(Action::Trap(data)),
                bpf::ret(Action::Allow),
            ]);
            experiment(None, vec![filter], calls, Disposition::Record, false, false)
        })
        .boxed()
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

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::arbitrary::share;
    use atlas_model::expect::expect;
    use atlas_model::{Traits, action::errno};

    #[test]
    fn numbers_are_met_that_are_taken_for_errnos() {
        let newest = Traits::newest();
        let taken = |trial: &Trial| {
            let seen = trial.experiments.iter().flat_map(|experiment| expect(experiment, &newest).steps);
            seen.flat_map(|step| step.traps).any(|trap| trap.result == -errno::EINTR)
        };
        let met = share::samples(&stacks(), 1000).filter(taken).count();
        assert!(met > 5, "{met} of 1000 trials trap such a number");
    }
}
