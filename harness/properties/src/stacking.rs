//! Adding a filter never allows more.

use crate::script::{RECORD, behind_guard, install, steps};
use crate::trial::{Isolation, Property, Trial};
use atlas_model::Observation;
use atlas_model::arbitrary::{call, stack};
use atlas_model::expect::Difference;
use atlas_model::experiment::Op;
use atlas_model::observation::End;
use proptest::prelude::*;

pub(crate) const STACKING: Property = Property {
    name: "stacking",
    about: "Of several filters the most restrictive counts, and adding one never allows more.",
    isolation: Isolation::Shared,
    share: 100,
    strategy,
    statement,
};

/// Experiments with 1, 2, … of the same filters, each with the same call last.
fn strategy() -> BoxedStrategy<Trial> {
    (stack::stack(), call::harmless())
        .prop_map(|(filters, call)| {
            let with = |count: usize| {
                let attach = filters.iter().rev().take(count).map(|filter| install(behind_guard(filter)));
                steps([RECORD].into_iter().chain(attach).chain([Op::Call(call)]))
            };
            (0..=filters.len()).map(with).collect::<Vec<_>>().into()
        })
        .boxed()
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

fn statement(trial: &Trial, seen: &[Observation]) -> Vec<Difference> {
    let Some(own) = seen.first() else { return Vec::new() };
    let levels: Vec<u8> = seen.iter().map(|seen| allowed(seen, own)).collect();
    let grown = levels.windows(2).position(|pair| pair[1] > pair[0]);
    let text = |level: u8| ["death", "SIGSYS", "an answer without the call", "the call"][usize::from(level)];
    grown.map_or_else(Vec::new, |at| {
        vec![Difference {
            what: format!("with filter {} of {} added", at + 1, trial.experiments.len() - 1),
            expected: format!("{}, or less", text(levels[at])),
            observed: text(levels[at + 1]).into(),
        }]
    })
}
