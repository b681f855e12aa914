//! Forbidden means forbidden.

use crate::script::{RECORD, behind_guard, decision, install, steps};
use crate::trial::{Isolation, Property, Trial};
use atlas_model::expect::Difference;
use atlas_model::experiment::Op;
use atlas_model::experiment::effects::{self, Effect};
use atlas_model::policy::{Comparison, Condition, Policy, Rule};
use atlas_model::{Abi, Action, Experiment, Observation};
use atlas_policy::Compiler;
use proptest::prelude::*;

pub(crate) const FORBIDDEN: Property = Property {
    name: "forbidden",
    about: "A call that the policy forbids leaves the world as it was; one that it allows has its effect and no other.",
    isolation: Isolation::Furnished,
    share: 50,
    strategy,
    statement,
};

/// Calls whose effect shows, behind a policy about some of them.
fn strategy() -> BoxedStrategy<Trial> {
    let abi = prop_oneof![3 => Just(Abi::X86_64), 1 => Just(Abi::I386)];
    let called = (prop::sample::select(effects::ALL.iter().collect::<Vec<_>>()), abi);
    let about = (action(), prop::option::weighted(0.6, (0..3_u8, comparison(), any::<bool>())));
    let one = (called, prop::option::weighted(0.8, about));
    let default = prop_oneof![3 => Just(Action::Allow), 1 => Just(Action::Errno(1))];
    (prop::collection::vec(one, 1..8), default)
        .prop_filter_map("no filter", |(picked, default)| {
            let rules = picked.iter().filter_map(|((effect, abi), about)| {
                let call = effect.call(*abi)?;
                let (action, condition) = (*about)?;
                let condition = condition.map(|(arg, comparison, off)| {
                    // The argument itself or the one beside it: rules that match, and near misses.
                    let value = call.args[usize::from(arg)] ^ u64::from(off);
                    Condition { arg, comparison, value }
                });
                let conditions = condition.into_iter().collect();
                Some(Rule { abi: *abi, nr: call.nr as u32, conditions, action })
            });
            let rules = rules.collect();
            let abis = vec![Abi::X86_64, Abi::I386];
            let policy = Policy { abis, foreign: Action::KillProcess, default, rules };
            let called: Vec<(&Effect, Abi)> = picked.iter().map(|(called, _)| *called).collect();
            experiment(&policy, &called).map(|one| Trial { experiments: vec![one], policy: Some(policy) })
        })
        .boxed()
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (1..200_u16).prop_map(Action::Errno),
        2 => any::<u16>().prop_map(Action::Trap),
        1 => Just(Action::KillThread),
        1 => Just(Action::KillProcess),
        1 => Just(Action::UserNotif),
        1 => any::<u16>().prop_map(Action::Trace),
        1 => Just(Action::Log),
        2 => Just(Action::Allow),
    ]
}

fn comparison() -> impl Strategy<Value = Comparison> {
    prop_oneof![
        Just(Comparison::Equal),
        Just(Comparison::NotEqual),
        Just(Comparison::Less),
        Just(Comparison::LessOrEqual),
        Just(Comparison::Greater),
        Just(Comparison::GreaterOrEqual),
        any::<u64>().prop_map(Comparison::Masked),
    ]
}

fn experiment(policy: &Policy, called: &[(&Effect, Abi)]) -> Option<Experiment> {
    let filter = Compiler::Linear.compile(policy).ok()?;
    let calls: Option<Vec<Op>> = called.iter().map(|(effect, abi)| effect.call(*abi).map(Op::Call)).collect();
    let attach = [RECORD, install(behind_guard(&filter))];
    let mut experiment = steps(attach.into_iter().chain(calls?));
    experiment.watch = true;
    experiment.memory = called.iter().flat_map(|(effect, abi)| effect.memory(*abi)).collect();
    Some(experiment)
}

/// Where the policy lets no call run, nothing has changed, whatever the model thinks of effects.
fn statement(trial: &Trial, seen: &[Observation]) -> Vec<Difference> {
    let (Some(policy), [experiment], [seen]) = (&trial.policy, &trial.experiments[..], seen) else {
        return Vec::new();
    };
    let runs = |op: &Op| match op {
        Op::Call(call) => matches!(decision(policy, call), Action::Allow | Action::Log),
        _ => false,
    };
    if seen.world.is_empty() || experiment.steps.iter().any(|step| runs(&step.op)) {
        return Vec::new();
    }
    vec![Difference {
        what: "the world, where the policy forbids every call".into(),
        expected: "as it was".into(),
        observed: format!("{} changes", seen.world.len()),
    }]
}
