//! Compilers of policies on a kernel.

use crate::script::{MARK, RECORD, behind_guard, decision, install, marked, steps};
use crate::trial::{Isolation, Property, Trial};
use atlas_model::Action;
use atlas_model::action::errno;
use atlas_model::arbitrary::{call, policy};
use atlas_model::expect::{Difference, is_for_probes};
use atlas_model::experiment::{Call, Op};
use atlas_model::observation::{Observation, StepSeen};
use atlas_policy::Compiler;
use proptest::prelude::*;

pub(crate) const COMPILERS: Property = Property {
    name: "compilers",
    about: "A policy's filter does to a call what the policy says of it, whichever compiler made it.",
    isolation: Isolation::Bare,
    share: 60,
    strategy,
    statement,
};

/// One experiment a compiler that can express the policy. Our own can express all of them.
fn strategy() -> BoxedStrategy<Trial> {
    prop_oneof![2 => policy::policy(), 2 => policy::uniform(), 1 => policy::two_actions()]
        .prop_flat_map(|policy| {
            let calls = prop::collection::vec(call::near_policy(&policy), 1..6);
            (Just(policy), calls)
        })
        .prop_filter_map("compiled by nobody", |(policy, calls)| {
            let calls: Vec<Call> = calls.into_iter().filter(is_the_policys).collect();
            let filters = Compiler::ALL.iter().filter_map(|compiler| compiler.compile(&policy).ok());
            let experiments: Vec<_> = filters
                .map(|filter| {
                    let attach = [RECORD, install(marked()), install(behind_guard(&filter))];
                    steps(attach.into_iter().chain(calls.iter().copied().map(Op::Call)))
                })
                .collect();
            (!experiments.is_empty()).then_some(Trial { experiments, policy: Some(policy) })
        })
        .boxed()
}

/// Whether a policy decides what becomes of a call, on every kernel and by every compiler. libseccomp means
/// something of its own by -1 on purpose (`Compiler::decide`), and some calls are exempt.
fn is_the_policys(call: &Call) -> bool {
    call.nr as u32 != u32::MAX && !is_for_probes(call)
}

/// Every call up to the first that kills came out as the policy itself says.
fn statement(trial: &Trial, seen: &[Observation]) -> Vec<Difference> {
    let Some(policy) = &trial.policy else { return Vec::new() };
    let mut differences = Vec::new();
    for (number, (experiment, observation)) in trial.experiments.iter().zip(seen).enumerate() {
        let calls =
            experiment.steps.iter().zip(&observation.steps).filter_map(|(step, seen)| match step.op {
                Op::Call(call) => Some((call, seen)),
                _ => None,
            });
        for (call, seen) in calls.take_while(|(_, seen)| seen.reached) {
            let action = decision(policy, &call);
            if !came_out(action, seen) {
                differences.push(Difference {
                    what: format!("filter {} of {}, {call:?}", number + 1, trial.experiments.len()),
                    expected: format!("{action}, as the policy says: {policy:?}"),
                    observed: seen.to_text(),
                });
            }
        }
    }
    differences
}

/// Whether a call behind [`marked`] shows that the filter above it gave this action. What is weaker
/// than ERRNO leaves the mark.
fn came_out(action: Action, seen: &StepSeen) -> bool {
    match action {
        Action::KillProcess | Action::KillThread | Action::Unknown(_) => seen.returned.is_none(),
        Action::Trap(data) => seen.traps.first().is_some_and(|trap| trap.errno == i32::from(data)),
        Action::Errno(value) => {
            // Before 4.0 there was no cap, and user space takes what is beyond it for a success.
            seen.returned == Some(-(i64::from(value).min(errno::MAX))) || i64::from(value) > errno::MAX
        }
        Action::UserNotif | Action::Trace(_) | Action::Log | Action::Allow => {
            seen.returned == Some(-i64::from(MARK))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::Abi;

    #[test]
    fn exempt_calls_are_not_asked_of_a_policy() {
        let asked = |abi, nr| is_the_policys(&Call { abi, nr, args: [0; 6] });
        assert!(!asked(Abi::X86_64, 335) && !asked(Abi::X86_64, 336) && !asked(Abi::X86_64, u64::MAX));
        // By i386 these numbers are other calls, and the exemption is not theirs.
        assert!(asked(Abi::I386, 335) && asked(Abi::X86_64, 334));
    }
}
