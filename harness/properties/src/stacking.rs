//! Adding a filter never allows more.

use crate::script::{RECORD, behind_guard, install, steps};
use crate::trial::{Isolation, Property, Trial};
use atlas_model::arbitrary::{edge, stack};
use atlas_model::bpf::{self, Dialect, Filter};
use atlas_model::expect::Difference;
use atlas_model::experiment::{Call, Install, Op, Program};
use atlas_model::observation::End;
use atlas_model::{Abi, Action, Experiment, Observation};
use proptest::prelude::*;

pub(crate) const STACKING: Property = Property {
    name: "stacking",
    about: "Of several filters the most restrictive counts, and adding one never allows more.",
    isolation: Isolation::Bare,
    share: 100,
    strategy,
    statement,
};

/// Experiments with 1, 2, … of the same filters, each with the same call last.
fn strategy() -> BoxedStrategy<Trial> {
    let constants =
        words().prop_map(|words| words.into_iter().map(|word| Filter(vec![bpf::ret_word(word)])).collect());
    (prop_oneof![1 => stack::stack(), 1 => constants], asks_for_an_id())
        .prop_map(|(filters, call): (Vec<Filter>, _)| {
            let with = |count: usize| {
                let attach = filters.iter().rev().take(count).map(|filter| install(behind_guard(filter)));
                steps([RECORD].into_iter().chain(attach).chain([Op::Call(call)]))
            };
            (0..=filters.len()).map(with).collect::<Vec<_>>().into()
        })
        .boxed()
}

/// Calls whose own answer is positive, which no filter's is.
fn asks_for_an_id() -> impl Strategy<Value = Call> {
    // getpid and gettid.
    let calls = vec![(Abi::X86_64, 39), (Abi::X86_64, 186), (Abi::I386, 20), (Abi::I386, 224)];
    (prop::sample::select(calls), edge::arguments()).prop_map(|((abi, nr), args)| Call { abi, nr, args })
}

/// Words that are neighbours by rank: actions and what lies between them, with any data.
fn words() -> impl Strategy<Value = Vec<u32>> {
    const BY_RANK: [u32; 18] = [
        0x8000, 0x8001, 0xffff, 0, 1, 0x0003, 4, 0x0005, 6, 0x7fbf, 0x7fc0, 0x7fd0, 0x7ff0, 0x7ff1, 0x7ffc,
        0x7ffd, 0x7ffe, 0x7fff,
    ];
    const NEAR: usize = 4;
    let data = prop::sample::select(vec![0, 1, 4095, 4096, 0xffff_u32]);
    (0..=BY_RANK.len() - NEAR).prop_flat_map(move |from| {
        let word = (0..NEAR, data.clone()).prop_map(move |(near, data)| BY_RANK[from + near] << 16 | data);
        prop::collection::vec(word, 1..5)
    })
}

/// How much was allowed: 0 death, 1 SIGSYS, 2 an answer without the call, 3 the call. The first
/// experiment is without filters, so its answer is the call's own.
fn allowed(seen: &Observation, own: &Observation) -> u8 {
    let last = |seen: &Observation| seen.steps.last().cloned().unwrap_or_default();
    let (this, own_step) = (last(seen), last(own));
    // Ids differ between experiments; the call's own id is told by its task.
    let is_id = |seen: &Observation, value: i64| {
        seen.tasks.first().is_some_and(|task| [i64::from(task.tid), i64::from(task.pid)].contains(&value))
    };
    match (this.returned, own_step.returned) {
        _ if seen.tasks.iter().any(|task| matches!(task.end, End::Signaled { .. })) => 0,
        _ if !this.traps.is_empty() => 1,
        (Some(value), Some(own_value)) if value == own_value => 3,
        (Some(value), Some(own_value)) if is_id(seen, value) && is_id(own, own_value) => 3,
        _ => 2,
    }
}

/// Whether a filter answers the last step's call with an unknown action.
fn says_unknown(experiment: &Experiment) -> bool {
    let Some(Op::Call(call)) = experiment.steps.last().map(|step| &step.op) else { return false };
    let data = call.data();
    experiment.steps.iter().any(|step| match &step.op {
        Op::Install(Install { program: Program::Filter(filter), .. }) => {
            let word = bpf::run(filter, &data, &Dialect::default()).word;
            matches!(Action::from_word(word), Action::Unknown(_))
        }
        _ => false,
    })
}

fn statement(trial: &Trial, seen: &[Observation]) -> Vec<Difference> {
    let answer = |seen: &Observation| seen.steps.last().and_then(|step| step.returned);
    // A kernel without the ABI answers with an errno, as a filter may.
    let Some(own) = seen.first().filter(|own| answer(own).is_some_and(|value| value > 0)) else {
        return Vec::new();
    };
    let levels: Vec<u8> = seen.iter().map(|seen| allowed(seen, own)).collect();
    // Unknown actions kill, but rank by their number: a filter that says LOG takes precedence over one
    // that says 0x7ffe0000, and the call runs (docs/findings/unknown-actions-give-way.md).
    let sound = trial.experiments.iter().take_while(|experiment| !says_unknown(experiment)).count();
    let grown = levels[..sound].windows(2).position(|pair| pair[1] > pair[0]);
    let text = |level: u8| ["death", "SIGSYS", "an answer without the call", "the call"][usize::from(level)];
    grown.map_or_else(Vec::new, |at| {
        vec![Difference {
            what: format!("with filter {} of {} added", at + 1, trial.experiments.len() - 1),
            expected: format!("{}, or less", text(levels[at])),
            observed: text(levels[at + 1]).into(),
        }]
    })
}
