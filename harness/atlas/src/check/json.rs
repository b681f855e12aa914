//! Checks for machines.

use super::program::{Denied, Ran};
use super::{Leg, Order, is_well};
use crate::explain::{Map, Subject, remarks};
use crate::sweep::map::Shown;
use crate::sweep::{self, Seen};
use atlas_model::abi::syscalls;
use atlas_model::observation::End;
use atlas_model::{Abi, Call};
use atlas_wire::{Came, Made};
use serde_json::{Value, json};

/// The whole check, and a call of which the filter does not say what its policy says, where there is one.
#[must_use]
pub fn of(
    subject: &Subject,
    map: &Map,
    order: &Order,
    legs: &[Leg],
    means_its_policy: &Result<(), String>,
) -> Value {
    json!({
        "filter": subject.name,
        "compiler": subject.compiler.map(atlas_policy::Compiler::name),
        "instructions": subject.filter.len(),
        "kernel_instructions": subject.kernel_len(),
        "notes": subject.notes,
        "remarks": remarks::of(subject, map),
        "chosen": {
            "calls": order.chosen.calls.len(),
            "ways": order.chosen.ways,
            "out_of_reach": order.chosen.out_of_reach,
            "cut": order.chosen.cut,
            "whole": map.explored.is_whole() && !order.chosen.cut,
        },
        "files": order.program.as_ref().map(|it| it.files.all().iter().map(|file| &file.path).collect::<Vec<_>>()),
        "disagreement": means_its_policy.as_ref().err(),
        "well": means_its_policy.is_ok() && is_well(legs),
        "runs": legs.iter().map(leg).collect::<Vec<_>>(),
    })
}

fn leg(leg: &Leg) -> Value {
    let outcomes = || leg.sweeps().map(|sweep| &sweep.outcome);
    let differences = |sweep: &sweep::Leg| sweep.outcome.as_ref().map(difference).unwrap_or_default();
    json!({
        "kernel": leg.every.kernel,
        "release": leg.every.release,
        "jit": leg.every.jit.name(),
        "agrees": leg.agrees(),
        "problem": outcomes().find_map(|outcome| outcome.as_ref().err()),
        "differences": leg.sweeps().flat_map(differences).collect::<Vec<_>>(),
        "lacks": leg.lacks.iter().map(|feature| feature.info().name).collect::<Vec<_>>(),
        "program": leg.ran.as_ref().map(program),
    })
}

fn call(call: &Call) -> Value {
    json!({
        "abi": call.abi.name(),
        "number": call.nr,
        "name": syscalls::name(call.abi, call.nr as u32),
        "args": call.args,
    })
}

fn difference(seen: &Seen) -> Vec<Value> {
    let one = |it: &sweep::twin::Difference| {
        json!({
            "call": call(&it.call),
            "expected": Shown::expected(&it.expected, seen.marker),
            "observed": Shown::of(&it.observed, seen.marker).to_string(),
            "decided": it.why,
        })
    };
    seen.differences.iter().map(one).collect()
}

fn program(ran: &Result<Ran, String>) -> Value {
    let ran = match ran {
        Ok(ran) => ran,
        Err(problem) => return json!({ "well": false, "problem": problem }),
    };
    let (exited, signal) = match ran.end {
        Some(End::Exited(status)) => (Some(status), None),
        Some(End::Signaled { signal, .. }) => (None, Some(signal)),
        _ => (None, None),
    };
    let late = ran
        .traced
        .late
        .iter()
        .flatten()
        .map(|it| json!({ "task": it.task, "call": it.call.as_ref().map(call) }));
    let wrong = ran.wrong.iter().map(
        |it| json!({ "call": call(&it.made.call()), "expected": it.expected, "observed": came(&it.made.came) }),
    );
    json!({
        "well": ran.well,
        "exit_status": exited,
        "signal": signal,
        "in_time": ran.traced.late.is_none(),
        "late": late.collect::<Vec<_>>(),
        "own_filter": ran.own_filter,
        "out_of_memory": ran.traced.starved,
        "not_found": ran.traced.missed,
        "tasks": ran.traced.tasks,
        "denied": ran.denied.iter().map(denied).collect::<Vec<_>>(),
        "wrong": wrong.collect::<Vec<_>>(),
        "made": names(&ran.traced.calls),
        "left_out": ran.traced.left_out,
        "stdout": String::from_utf8_lossy(&ran.traced.stdout),
        "stderr": String::from_utf8_lossy(&ran.traced.stderr),
        "output_cut": ran.traced.cut,
    })
}

fn came(came: &Came) -> Value {
    match came {
        Came::Back(value) => json!({ "returned": value }),
        Came::Never => json!("did not return"),
        Came::Trapped(sigsys) => json!({ "trapped": sigsys.errno }),
    }
}

fn denied(denied: &Denied) -> Value {
    json!({
        "call": call(&denied.made.call()),
        "path": denied.made.path,
        "action": denied.action.to_string(),
        "decided_at": denied.decided_at,
        "looked_at": denied.looked_at,
        "came": came(&denied.made.came),
        "count": denied.made.count,
    })
}

/// The calls that it made, each once, by name where they have one.
fn names(calls: &[Made]) -> Value {
    let mut told: Vec<(Abi, String)> = Vec::new();
    for made in calls {
        let name = syscalls::name(made.abi, made.nr).map_or_else(|| made.nr.to_string(), str::to_owned);
        if !told.contains(&(made.abi, name.clone())) {
            told.push((made.abi, name));
        }
    }
    told.iter().map(|(abi, name)| json!({ "abi": abi.name(), "name": name })).collect()
}
