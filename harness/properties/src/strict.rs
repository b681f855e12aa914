//! Strict mode against its four calls.

use crate::script::steps;
use crate::trial::{Isolation, Property, Trial};
use atlas_model::Abi;
use atlas_model::abi::syscalls;
use atlas_model::arbitrary::call;
use atlas_model::experiment::{Call, Op, layout};
use proptest::prelude::*;

pub(crate) const STRICT: Property = Property {
    name: "strict",
    about: "Strict mode lets read, write and exit run and kills for everything else but returns from handlers, by every ABI.",
    isolation: Isolation::Furnished,
    share: 44,
    strategy,
    statement: |_, _| Vec::new(),
};

/// Enters by either call, then makes up to three calls, the four allowed ones often among them.
fn strategy() -> BoxedStrategy<Trial> {
    let native = |nr, args| Call { abi: Abi::X86_64, nr, args };
    let enter = prop_oneof![
        Just(native(157, [22, 1, 0, 0, 0, 0])),
        Just(native(317, [0, 0, 0, 0, 0, 0])),
        // One flag too many: not entered.
        Just(native(317, [0, 1, 0, 0, 0, 0])),
    ];
    // read, write and exit by their native, i386 and x32 numbers; descriptors that are never open.
    let four = (prop::sample::select(vec![(0, 3), (1, 4), (60, 1)]), prop::sample::select(Abi::ALL.to_vec()))
        .prop_map(move |((native_nr, i386_nr), abi)| {
            let nr = match abi {
                Abi::X86_64 => native_nr,
                Abi::I386 => i386_nr,
                Abi::X32 => native_nr | u64::from(Abi::X32_BIT),
            };
            Call { abi, nr, args: [layout::FD_CLOSED, 0, 0, 0, 0, 0] }
        });
    let exit_group = Just(native(231, [5, 0, 0, 0, 0, 0]));
    // Nobody writes to what a task of the guest has for standard input, so reading there would last.
    let any = call::call().prop_map(|call| match syscalls::name(call.abi, call.nr as u32) {
        Some("read" | "write") => Call { args: [layout::FD_CLOSED, 0, 0, 0, 0, 0], ..call },
        _ => call,
    });
    let call = prop_oneof![8 => four, 3 => any, 2 => call::harmless(), 1 => exit_group];
    let later = prop_oneof![10 => call.prop_map(Op::Call), 1 => Just(Op::Rdtsc)];
    (enter, prop::collection::vec(later, 1..4))
        .prop_map(|(enter, calls)| {
            let entered = !(enter.nr == 317 && enter.args[1] != 0);
            // Out of strict mode only harmless calls may run.
            let calls = calls.into_iter().filter(|_| entered);
            steps([Op::Call(enter)].into_iter().chain(calls)).into()
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::arbitrary::share;

    #[test]
    fn nothing_is_read_or_written_that_is_open() {
        let opens = |trial: &Trial| {
            let ops = trial.experiments.iter().flat_map(|experiment| &experiment.steps);
            ops.filter_map(|step| match &step.op {
                Op::Call(call) => Some(*call),
                _ => None,
            })
            .any(|call| {
                let name = syscalls::name(call.abi, call.nr as u32);
                matches!(name, Some("read" | "write")) && call.args[0] != layout::FD_CLOSED
            })
        };
        assert_eq!(share::samples(&strategy(), 5000).filter(opens).count(), 0);
    }
}
