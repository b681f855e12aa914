//! A kernel accepts a program if and only if the model does, with the same errno.

use crate::script::{install, steps};
use crate::trial::{Isolation, Property, Trial};
use atlas_model::arbitrary::{broken, call};
use atlas_model::experiment::{Install, Op, Program, Via};
use proptest::prelude::*;

pub(crate) const CHECKER: Property = Property {
    name: "checker",
    about: "A kernel accepts a program if and only if the model does, with the same errno.",
    isolation: Isolation::Shared,
    share: 300,
    strategy,
    statement: |_, _| Vec::new(),
};

/// The program attached, and one call after it, which shows whether it is in force.
fn strategy() -> BoxedStrategy<Trial> {
    let by_seccomp = prop_oneof![3 => Just(false), 1 => Just(true)];
    (broken::any(), call::harmless(), by_seccomp)
        .prop_map(|(filter, call, by_seccomp)| {
            let attach = if by_seccomp {
                Op::Install(Install { via: Via::Seccomp { flags: 0 }, program: Program::Filter(filter) })
            } else {
                install(filter)
            };
            steps([attach, Op::Call(call)]).into()
        })
        .boxed()
}
